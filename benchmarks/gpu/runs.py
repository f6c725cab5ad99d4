"""A run in the minutes that are left: its plan, made once, and its epochs, in one call or several."""

from __future__ import annotations

import dataclasses
import logging
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import eqprop as eq
from benchmarks.gpu.memory import largest_batch
from benchmarks.gpu.network import training
from benchmarks.gpu.plan import LEAST, TRIED, Clock, Deadline, OutOfTime, Pace, epochs_in
from eqprop.training.callbacks import Callback
from eqprop.training.data.datasets import Dataset
from eqprop.training.figures import plots
from eqprop.training.files import read_json, write_json
from eqprop.training.runs import read_rows
from eqprop.training.training import Training

HELD_OUT, MOST, CHECKPOINTED = 5000, 200, 10
"""Images held out, epochs at most, and epochs from one checkpoint to the next."""

TOLD = ("test_accuracy", "test_loss", "validation_accuracy", "best_epoch", "seconds", "warnings")

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Of a call: channels of the first block, images a step, images to learn from (0 is all), and epochs (0
    is as many as fit)."""

    width: int
    batch: int
    images: int
    epochs: int


class Told(Callback):
    """A line of the log an epoch."""

    def __init__(self, name: str, epochs: int):
        self.name, self.epochs = name, epochs

    def epoch(self, row: Mapping[str, float]) -> None:
        log.info(
            "%s: epoch %d of %d, loss %.4f, validation %.2f %%, %.0f s",
            *(self.name, row["epoch"], self.epochs, row["loss"]),
            *(100 * row["validation_accuracy"], row["seconds"]),
        )


def made(name: str, sizes: Sizes, data: Dataset, epochs: int) -> Training:
    """The training of a run, on these images."""
    batch = min(sizes.batch, sizes.images or sizes.batch)
    whole = training(name, sizes.width, batch, epochs)
    return dataclasses.replace(whole, data=data, validation=sizes.images or HELD_OUT)


def go_on(name: str, sizes: Sizes, data: Dataset, out: Path, clock: Clock) -> dict[str, Any]:
    """Train, or go on with what an earlier call began under ``out``, as long as the clock allows.

    What the result says: the plan, and the accuracies of a finished run, or of an unfinished one how far
    it came.
    """
    path = out / f"{name}.plan.json"
    plan = dict(read_json(path)) if path.exists() else _plan(name, sizes, data, clock)
    if not plan["epochs"]:
        log.warning("%s: no epoch fits into the %.0f s that are left.", name, clock.left)
        return plan
    if not path.exists():
        write_json(path, plan)
    sizes = dataclasses.replace(sizes, batch=plan["batch"])
    asked = made(name, sizes, data, plan["epochs"])
    deadline = Deadline(clock, asked.epochs, 2 * plan["seconds_an_epoch"])
    try:
        run = eq.fit(
            asked,
            out / name,
            resume=True,
            checkpoint_every=CHECKPOINTED,
            callbacks=[Told(name, asked.epochs), deadline],
            progress=False,
        )
    except OutOfTime as over:
        log.warning("%s: %s", name, over)
        rows = read_rows(out / name)
        best = max((row["validation_accuracy"] for row in rows), default=None)
        found = {"unfinished": str(over), "epochs_done": len(rows), "validation_accuracy": best}
    else:
        rows = run.rows
        found = {key: run.result[key] for key in TOLD}
        log.info("%s: test accuracy %.2f %%", name, 100 * run.accuracy)
    if rows:
        plots.save(plots.learning_curves(rows), out / f"{name}.png")
    return plan | found


def _plan(name: str, sizes: Sizes, data: Dataset, clock: Clock) -> dict[str, Any]:
    """Batch and epochs: those that are asked for, or by a trial; 0 epochs where the time does not do."""
    if sizes.epochs:
        return {"batch": sizes.batch, "epochs": sizes.epochs, "seconds_an_epoch": 0.0}

    def trial(batch: int) -> Pace:
        began, smaller = time.monotonic(), dataclasses.replace(sizes, batch=batch)
        with tempfile.TemporaryDirectory() as folder:
            tried, over = made(name, smaller, data, TRIED), Deadline(clock, TRIED, 0.0)
            run = eq.fit(tried, Path(folder) / "trial", callbacks=[over], progress=False)
        return Pace.of(run.rows, time.monotonic() - began)

    if clock.left < LEAST:
        return {"batch": sizes.batch, "epochs": 0}
    try:
        batch, pace = largest_batch(sizes.batch, trial)
    except OutOfTime:
        return {"batch": sizes.batch, "epochs": 0}
    epochs = epochs_in(clock.left, pace, MOST)
    log.info(
        "%s: %.2f s an epoch and %.0f s besides, so %d epochs in the %.0f s that are left",
        *(name, pace.epoch, pace.once, epochs, clock.left),
    )
    told = {"seconds_an_epoch": pace.epoch, "seconds_besides": pace.once}
    return {"batch": batch, "epochs": epochs, **told}
