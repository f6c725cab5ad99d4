"""What sees a run while it goes on: a class of two methods, of which `fit` takes any number.

A callback may be a context manager too, which is entered when training begins and left when it ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from eqprop.training.epoch import StepReport


class Callback:
    """Does nothing; own ones override what they need.

    Examples:
        >>> from eqprop.training import Callback
        >>> class Enough(Callback):  # of `fit(training, callbacks=[Enough()])`
        ...     def epoch(self, row):
        ...         return row["loss"] < 0.1
        >>> [Enough().epoch({"epoch": n, "loss": loss}) for n, loss in enumerate((0.5, 0.05))]
        [False, True]
    """

    def step(self, progress: StepReport) -> None:
        """After each compiled call of many steps."""

    def epoch(self, row: Mapping[str, float]) -> bool | None:
        """After each epoch, with its metrics; a true value ends the training. A resumed run begins with
        the rows of the epochs before."""


class EarlyStopping(Callback):
    """Ends a run after ``patience`` epochs in which ``metric`` did not become better.

    Larger is better, but for names that end in ``loss`` or ``residual``.
    """

    def __init__(self, patience: int, metric: str = "validation_accuracy"):
        if patience < 1:
            raise ValueError(
                f"EarlyStopping: expected patience >= 1, got {patience}; without it no run stops early."
            )
        self.patience, self.metric = patience, metric
        self.sign = -1.0 if metric.endswith(("loss", "residual")) else 1.0
        self.best, self.stale = -math.inf, 0

    def epoch(self, row: Mapping[str, float]) -> bool:
        if self.metric not in row:
            raise ValueError(
                f"EarlyStopping: expected a metric that is logged, one of {', '.join(row)}, got "
                f"{self.metric!r}."
            )
        value = self.sign * row[self.metric]
        self.stale = 0 if value > self.best else self.stale + 1
        self.best = max(self.best, value)
        return self.stale >= self.patience


class TensorBoard(Callback):
    """Every metric of every epoch as TensorBoard logs in a folder; needs the extra ``tensorboard``."""

    def __init__(self, folder: str | Path):
        self.folder = str(folder)
        _ = self.writing

    @cached_property
    def writing(self) -> Any:
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "TensorBoard needs tensorboardX; install it with pip install tensorboardX."
            ) from error
        return SummaryWriter

    @cached_property
    def writer(self) -> Any:
        return self.writing(self.folder)

    def epoch(self, row: Mapping[str, float]) -> None:
        for name, value in row.items():
            self.writer.add_scalar(name, value, int(row["epoch"]))
        self.writer.flush()


class Wandb(Callback):
    """Every metric of every epoch as a run of Weights & Biases; needs the extra ``wandb``. What ``options``
    say goes to ``wandb.init``, as ``mode="offline"``."""

    def __init__(self, **options: Any):
        try:
            import wandb
        except ImportError as error:
            raise ImportError("Wandb needs wandb; install it with pip install wandb.") from error
        self.run = wandb.init(**options)

    def __enter__(self) -> Wandb:
        return self

    def __exit__(self, *unused: object) -> None:
        self.run.finish()

    def epoch(self, row: Mapping[str, float]) -> None:
        self.run.log(dict(row), step=int(row["epoch"]))
