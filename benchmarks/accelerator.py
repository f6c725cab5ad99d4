"""Hopfield-ResNet13 at full width on the device that JAX finds: sweeps a second, their share of the peak of
matrix products, and seconds an epoch of CIFAR-10, beside what their operations let one expect.

``python -m benchmarks.accelerator`` wants a GPU; ``--width 2 --batch 8`` runs anywhere.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
from rich.console import Console
from rich.table import Table

import eqprop as eq
from benchmarks.images import CLASSES, enlarged_digits
from benchmarks.timing import SIDES, median_ms, peak_gflops
from eqprop.energies.architectures import channels_of
from eqprop.energies.feedback import nudge_scale
from eqprop.energies.network import alternate
from eqprop.papers.hopfield_resnet.parts import Ordered
from eqprop.solvers import MatmulPrecision
from eqprop.training.files import write_json
from eqprop.training.predict import sweep_flops
from eqprop.training.surroundings import surroundings

IMAGE, BLOCKS, IMAGES, SWEEPS = (32, 32, 3), 4, 45_000, 10
LARGE = (4096, 8192)
KEY = jax.random.key(0)
TYPES: dict[str, tuple[Callable[[int], eq.Solver], dict[str, str]]] = {
    "float32": (lambda n: eq.Blockwise(None, n), {"precision": "highest"}),
    "tf32": (lambda n: MatmulPrecision(eq.Blockwise(None, n)), {"precision": "tensorfloat32"}),
    "bfloat16": (lambda n: eq.Reduced(eq.Blockwise(None, n), "bfloat16"), {"dtype": "bfloat16"}),
}


class Way(NamedTuple):
    """How a step is computed: by which precision, of which feedback, in how many free and nudged sweeps."""

    precision: str
    feedback: float
    free: int
    nudged: int

    def learner(self, order: tuple[str, ...]) -> eq.Estimator:
        """Of full feedback as published, of weak feedback as the narrow recipe does."""
        if self.feedback < 1:
            contrast = eq.symmetric(1e-3 * nudge_scale(self.feedback, len(order)))
            free, nudged = Ordered(self.free, self.nudged).solvers(order)
            return eq.DeltaPropagation(free, contrast, nudged).reduced(self.precision)
        free, nudged = (eq.Blockwise(None, n, alternate(order)) for n in (self.free, self.nudged))
        return eq.EquilibriumPropagation(free, eq.symmetric(0.1), nudged).reduced(self.precision)


RUNS = {
    "as published, in tf32": Way("tf32", 1.0, 120, 50),
    "as published, in bfloat16": Way("bfloat16", 1.0, 120, 50),
    "weak feedback, in tf32": Way("tf32", 0.03, 4, 2),
}

console = Console()


def resnet(width: int) -> eq.Model:
    """Hopfield-ResNet13 of that width."""
    return eq.hopfield_resnet(IMAGE, CLASSES, KEY, channels_of(width, BLOCKS))


def sweeps(width: int, batch: int, sides: tuple[int, ...]) -> dict[str, dict[str, float]]:
    """By type of number: sweeps a second, TFLOP/s, and the share of that type's peak."""
    model = resnet(width)
    x = enlarged_digits(IMAGE)[0][:batch]

    @eqx.filter_jit
    def settle(model, x, solver):
        return eq.relax(model, x, model.rest(x), solver)[0]

    rows = {}
    for name, (way, kind) in TYPES.items():
        short, long = way(SWEEPS), way(3 * SWEEPS)
        few, many = (median_ms(lambda s=s: settle(model, x, s), 5, 1) for s in (short, long))
        a_second = 2e3 * SWEEPS / (many - few)
        rate, peak = a_second * batch * sweep_flops(model.energy) / 1e12, peak_gflops(sides, **kind)
        rows[name] = {
            "sweeps_per_second": a_second,
            "tflops": rate,
            "peak_tflops": peak / 1e3,
            "share_of_peak": 1e3 * rate / peak,
        }
    return rows


def epochs(width: int, batch: int) -> dict[str, dict[str, float]]:
    """Seconds of an epoch of gradients, and the operations of their sweeps."""
    images, labels = enlarged_digits(IMAGE)
    x, y = images[:batch], jax.nn.one_hot(labels[:batch], CLASSES)
    steps, rows = IMAGES // batch, {}
    for line, way in RUNS.items():
        model = eq.with_weak_feedback(resnet(width), way.feedback)
        estimator = way.learner(tuple(model.energy.shapes))

        @eqx.filter_jit
        def gradient(model, x, y, estimator=estimator):
            return estimator(model, x, y, model.rest(x), KEY).gradient

        spent = median_ms(lambda m=model, g=gradient: g(m, x, y), 3, 1) / 1e3
        count = way.free + 2 * way.nudged
        rows[line] = {
            "sweeps": count,
            "pflop": steps * batch * count * sweep_flops(model.energy) / 1e15,
            "seconds": steps * spent,
        }
    return rows


def show(title: str, rows: dict[str, dict[str, float]]) -> None:
    table = Table("", *next(iter(rows.values())), title=title)
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.4g}" for value in row.values()))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accelerator", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/accelerator.json"))
    parser.add_argument("--width", type=int, default=128, help="channels of the first block")
    parser.add_argument("--batch", type=int, default=256, help="images of a batch")
    options = parser.parse_args()
    jax.config.update("jax_default_matmul_precision", "highest")
    sides = SIDES if jax.default_backend() == "cpu" else LARGE
    about, size = surroundings(), f"width {options.width}, batches of {options.batch}"
    console.print(
        f"{size}: {sweep_flops(resnet(options.width).energy) / 1e9:.3g} GFLOP a sweep of an image"
    )
    found = sweeps(options.width, options.batch, sides)
    show(f"{size}: sweeps", found)
    rows = epochs(options.width, options.batch)
    show(f"{size}: an epoch of {IMAGES} images", rows)
    result = {"width": options.width, "batch": options.batch, "sweeps": found, "epochs": rows}
    console.print(f"{write_json(options.out, result | about)}")


if __name__ == "__main__":
    main()
