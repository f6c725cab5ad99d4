"""What is warned of while a model trains."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from jaxtyping import Array

from eqprop.energies.model import Model
from eqprop.estimators.answer import warn_of_answer
from eqprop.estimators.audit import energy_rises
from eqprop.solvers import GradientDescent
from eqprop.spiking.activity import warn_if_unmoved
from eqprop.training.structure import of_this_process

LOCKED = 0.999
RISEN, FAR = 10.0, 1000.0
"""How many times the loss of the first epoch is a rise, and of the state at rest, which may be far from
where a large initial gain begins."""


@contextmanager
def noted(known: list[str]) -> Iterator[list[str]]:
    """The texts of the warnings that are shown inside, each once, after those that are ``known``."""
    told = list(known)
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def note(message: Warning | str, *where: Any, **line: Any) -> None:
            if (text := str(message)) not in told:
                told.append(text)
            shown(message, *where, **line)

        warnings.showwarning = note
        yield told


def warn_of_epoch(row: Mapping[str, float], first: Mapping[str, float], rest: float) -> None:
    """Of the row of an epoch, beside that of the first, and the loss at rest."""
    epoch = int(row["epoch"])
    warn_if_risen(row["loss"], first["loss"], epoch)
    if row["loss"] > FAR * rest > 0 and row["loss"] <= RISEN * first["loss"]:
        warn_if_risen(row["loss"], rest, epoch, "the state at rest")
    warn_if_locked(row["saturated"], epoch)
    warn_if_unmoved(row)
    warn_of_answer(row, f"Epoch {epoch}: ")


def warn_of_names(*told: Any) -> None:
    """Warn where another process could not make again what was told of a training."""
    if lost := sorted({name.partition(":")[2] or name for name in of_this_process(list(told))}):
        warnings.warn(
            f"The run in this folder can be loaded by this process alone: expected names of modules that "
            f"can be imported, got {lost}. Move them to a file of their own, and import them from there.",
            stacklevel=2,
        )


def warn_if_rising(solver: object, model: Model, x: Array) -> None:
    """Warn where steps of `GradientDescent` go up."""
    if not isinstance(solver, GradientDescent):
        return
    rising = energy_rises(model, x, solver)
    if rising > 0:
        warnings.warn(
            f"The energy rises in {rising:.0%} of {len(x)} examples while they relax by steps of "
            f"{solver.step_size:g}, where it should fall: the step is too large for these weights. Use a "
            "smaller step_size, or another solver.",
            stacklevel=2,
        )


def warn_if_risen(loss: float, first: float, epoch: int, whose: str = "epoch 1") -> None:
    """Warn where the loss, finite still, has left where it began."""
    if loss > RISEN * first:
        warnings.warn(
            f"Epoch {epoch}: the loss is {loss:.2g}, where that of {whose} was {first:.2g}: training "
            "diverges. Lower the learning rate, the nudge beta or the initial gain.",
            stacklevel=2,
        )


def warn_if_locked(saturated: float, epoch: int) -> None:
    """Warn where hardly a neuron is left that a nudge can move."""
    if saturated > LOCKED:
        warnings.warn(
            f"Epoch {epoch}: {saturated:.2%} of all neurons are saturated (oscillators locked at 0 or pi, "
            "units at the ends of their interval); they answer no nudge and learn nothing. Lower the "
            "learning rate or the gain; give oscillators a negative injection or a quadrature.",
            stacklevel=2,
        )
