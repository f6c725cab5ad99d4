"""How many epochs fit into the time that is left, from the time of the first ones."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eqprop.training.callbacks import Callback
from eqprop.training.epoch import StepReport

TRIED = 3
"""Epochs of a trial: the first compiles, the others are timed."""

LEAST = 90.0
"""Seconds that a trial is given, or it does not begin."""

SPARE = 0.07
"""Of the time that is left, what a plan does not spend."""


class OutOfTime(RuntimeError):
    """The time of a call is over, before the epochs that were planned."""


@dataclass(frozen=True)
class Clock:
    """Seconds that are left of a call that began at ``began`` and may take ``minutes``."""

    began: float
    minutes: float

    @property
    def left(self) -> float:
        return self.began + 60 * self.minutes - time.monotonic()


@dataclass(frozen=True)
class Pace:
    """Seconds of a run: those of every epoch, and those spent once, on compilation, data and the test."""

    epoch: float
    once: float

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, float]], wall: float) -> Pace:
        """From the metrics of a trial of three epochs or more, which took ``wall`` seconds in all."""
        ends = [row["seconds"] for row in rows]
        epoch = (ends[-1] - ends[0]) / (len(ends) - 1)
        return cls(epoch, max(wall - len(ends) * epoch, 0.0))


def epochs_in(seconds: float, pace: Pace, most: int) -> int:
    """As many epochs as end in so many seconds, with `SPARE` of them left; 0 where none does."""
    free = (1 - SPARE) * seconds - pace.once
    return max(0, min(most, int(free / pace.epoch)))


class Deadline(Callback):
    """Ends a call by `OutOfTime` after an epoch that leaves less than is ``needed``, and within one when
    nothing is left; the run goes on where its checkpoint is."""

    def __init__(self, clock: Clock, epochs: int, needed: float):
        self.clock, self.epochs, self.needed = clock, epochs, needed

    def step(self, progress: StepReport) -> None:
        if self.clock.left < 0:
            raise OutOfTime(
                f"The minutes are over in epoch {progress.epoch + 1} of {self.epochs}; call again with the "
                "same --out to go on."
            )

    def epoch(self, row: Mapping[str, float]) -> None:
        if int(row["epoch"]) < self.epochs and self.clock.left < self.needed:
            raise OutOfTime(
                f"The minutes are over after epoch {int(row['epoch'])} of {self.epochs}; call again with "
                "the same --out to go on."
            )
