"""What the script is expected to find, before any GPU has run it: ``python -m benchmarks.gpu.predicted``.

Operations are counted from the network's shapes; seconds are these over half of the peak that an H200 is
specified with for dense products in tf32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import equinox as eqx

from benchmarks.gpu.network import FEEDBACK, SWEEPS, residual
from benchmarks.gpu.operations import BACKPROPAGATION, equilibrium
from benchmarks.gpu.scaling import learning_rate
from eqprop.papers.tables import Result, of, table
from eqprop.training.files import write_json

WIDTH, BATCH, IMAGES, EPOCHS = 128, 250, 45_000, 150

SPECIFIED, SHARE, ACCURACY = 495.0, 0.5, 0.94
"""TFLOP/s of dense products in tf32; the share of it, and the test accuracy, that are the goals."""

HERE = Path(__file__).parent / "predicted.json"


def predicted() -> dict[str, Any]:
    """Operations and seconds of an epoch."""
    network = eqx.filter_eval_shape(lambda: residual(WIDTH, BATCH, EPOCHS).model.energy)
    ways = {
        "equilibrium propagation": equilibrium(SWEEPS.free, SWEEPS.nudged),
        "back-propagation": BACKPROPAGATION,
    }
    rows = {}
    for name, passes in ways.items():
        pflop = IMAGES * passes.flops(network) / 1e15
        seconds = 1e3 * pflop / (SHARE * SPECIFIED)
        minutes = EPOCHS * seconds / 60
        rows[name] = {"pflop_an_epoch": pflop, "seconds_an_epoch": seconds, "minutes": minutes}
    return {
        "measured": False,
        "width": WIDTH,
        "batch": BATCH,
        "images": IMAGES,
        "epochs": EPOCHS,
        "feedback": FEEDBACK,
        "learning_rate": learning_rate(WIDTH, BATCH),
        "peak_tflops": SPECIFIED,
        "share_of_peak": SHARE,
        "test_accuracy": ACCURACY,
        "rows": rows,
    }


@of(HERE)
def expected(result: Result) -> list[str]:
    """Operations and seconds of an epoch."""
    rows = [
        (
            name,
            f"{row['pflop_an_epoch']:.2f}",
            f"{row['seconds_an_epoch']:.1f}",
            f"{row['minutes']:.1f}",
        )
        for name, row in result["rows"].items()
    ]
    return table(
        f"**Predicted, not measured**: width {result['width']}, {result['images']:,} images an epoch in "
        f"tf32, at {result['share_of_peak']:.0%} of {result['peak_tflops']:.0f} TFLOP/s; goal: "
        f"{result['test_accuracy']:.0%} of the test images. Augmentation, evaluation, checkpoints and "
        "compilation come on top:",
        ("", "PFLOP an epoch", "seconds an epoch", f"minutes for {result['epochs']} epochs"),
        rows,
    )


TABLES = {"predicted": expected}


if __name__ == "__main__":
    print(write_json(HERE, predicted()))
