"""A weakly fed back residual network on one GPU, in minutes: peaks, a step's time, and CIFAR-10.

``python -m benchmarks.gpu --parts FOLDER --out FOLDER --minutes 9`` wants a GPU; with ``--width 2 --images
500 --epochs 1`` it runs on two cores. A second call with the same ``--out`` goes on.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from benchmarks.gpu import peaks, steps
from benchmarks.gpu.agreement import agreement
from benchmarks.gpu.images import hundred_at_hand, images
from benchmarks.gpu.memory import largest_batch
from benchmarks.gpu.network import RUNS, residual
from benchmarks.gpu.plan import Clock
from benchmarks.gpu.runs import Sizes, go_on, made
from eqprop.training.data.datasets import DataError, Dataset
from eqprop.training.files import RunError, read_json, write_json
from eqprop.training.surroundings import surroundings
from eqprop.training.training import batch_of, prepare

GOALS = {"share_of_convolutions": 0.5, "test_accuracy": 0.94}

COMPARED = 4
"""Images whose gradient is compared with the exact one."""

PRECISION = "tensorfloat32"

log = logging.getLogger("benchmarks.gpu")


def main(words: Sequence[str] | None = None) -> None:
    options, began = _options(words), time.monotonic()
    clock = Clock(began, options.minutes)
    with _logged(options.out), jax.default_matmul_precision(PRECISION):
        if jax.config.jax_compilation_cache_dir is None:
            jax.config.update("jax_compilation_cache_dir", str(options.out / "compiled"))
        result = _begun(options)
        log.info("%s, %.1f minutes", result["hardware"]["device"], options.minutes)
        data = images("cifar-10", options.parts, options.data_dir, options.out, options.images)
        _speed(result, options)
        batch = result["batch"]["fits"]
        sizes = Sizes(options.width, batch, options.images, options.epochs)
        if "gradient" not in result:
            result["gradient"] = _gradient(sizes, data)
            _keep(result, options.out, began, "gradient")
        for name in options.only:
            if name == "cifar-100":
                if not hundred_at_hand(options.parts, options.data_dir):
                    log.info("cifar-100: its archive is not at hand")
                    continue
                places = options.parts, options.data_dir, options.out
                data = images(name, *places, options.images)
            result[name] = go_on(name, sizes, data, options.out, clock)
            _keep(result, options.out, began, name)
        _conclude(result)


def _speed(result: dict[str, Any], options: argparse.Namespace) -> None:
    """Peaks and steps, once."""
    if "step" in result:
        return
    began = time.monotonic()
    batch, found = largest_batch(
        options.batch, lambda batch: peaks.on_this_device(options.width, batch)
    )
    best = found["convolutions"]["tf32"]["best"]

    def step(batch: int) -> dict[str, float]:
        return steps.compared(residual(options.width, batch, epochs=1), best)

    result["peaks_tflops"] = found
    batch, result["step"] = largest_batch(batch, step)
    result["batch"] = {"asked": options.batch, "fits": batch}
    for name, row in found["matrix_products"].items():
        log.info("%s: %.4g TFLOP/s in matrix products", name, row)
        log.info("%s: %.4g TFLOP/s in convolutions", name, found["convolutions"][name]["best"])
    log.info(
        "a step: %.3g times back-propagation's; %.0f %% of the peak of convolutions",
        *(result["step"]["ratio"], 100 * result["step"]["equilibrium_share_of_convolutions"]),
    )
    _keep(result, options.out, began, "step")


def _gradient(sizes: Sizes, data: Dataset) -> dict[str, Any]:
    asked = made("cifar-10", sizes, data, epochs=1)
    x, y = batch_of(prepare(asked).validation, asked.model, COMPARED)
    found = agreement(asked.estimator, asked.model, x, y)
    if "cosine" in found:
        log.info("the gradient's cosine with the exact one, before training: %.6f", found["cosine"])
    return found


def _begun(options: argparse.Namespace) -> dict[str, Any]:
    """What an earlier call left, or the head of a new result. `RunError` where that was of other sizes."""
    path = options.out / "result.json"
    asked = {"width": options.width, "images": options.images}
    if not path.exists():
        head = {"asked": asked, "goals": GOALS, "precision": PRECISION, "seconds": {}}
        return head | surroundings()
    result = dict(read_json(path))
    if result["asked"] != asked:
        raise RunError(
            f"{path}: expected a result of {asked}, got one of {dict(result['asked'])}; take its sizes, or "
            "another --out."
        )
    return result


def _keep(result: dict[str, Any], out: Path, began: float, part: str) -> None:
    """Write the result so far, with the seconds since ``began``."""
    result["seconds"][part] = round(time.monotonic() - began, 1)
    write_json(out / "result.json", result)


def _conclude(result: dict[str, Any]) -> None:
    """The goals beside what was reached."""
    found = {
        "share_of_convolutions": result["step"]["equilibrium_share_of_convolutions"],
        "test_accuracy": result.get("cifar-10", {}).get("test_accuracy"),
    }
    for name, goal in GOALS.items():
        reached = "not yet known" if found[name] is None else f"{found[name]:.4f}"
        log.info("%s: %s, goal %g", name, reached, goal)


@contextmanager
def _logged(out: Path) -> Iterator[None]:
    """The log and all warnings, on stderr and in ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    handlers = [logging.StreamHandler(sys.stderr), logging.FileHandler(out / "log.txt")]
    sources = [log, logging.getLogger("py.warnings")]
    logging.captureWarnings(True)
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        for source in sources:
            source.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    except Exception as error:
        log.error("%s: %s", type(error).__name__, error)
        raise
    finally:
        logging.captureWarnings(False)
        for handler in handlers:
            for source in sources:
                source.removeHandler(handler)
            handler.close()


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=Path("runs/gpu"), help="folder of all that is made"
    )
    parser.add_argument("--parts", type=Path, help="folder of cifar-10-binary.tar.gz.aa, .ab, ...")
    parser.add_argument("--data-dir", type=Path, help="folder of the data sets, without --parts")
    parser.add_argument("--minutes", type=float, default=9.0, help="that this call may take")
    parser.add_argument("--width", type=int, default=128, help="channels of the first block")
    parser.add_argument("--batch", type=int, default=250, help="images a step, at most")
    parser.add_argument("--images", type=int, default=0, help="to learn from; 0 is all")
    parser.add_argument("--epochs", type=int, default=0, help="0 is as many as fit")
    parser.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS), help="what to train")
    return parser.parse_args(words)


if __name__ == "__main__":
    try:
        main()
    except (DataError, FileNotFoundError, MemoryError, RunError):
        sys.exit(1)  # it is in the log
