"""What is said of a trained model at the end of a run: its gradient's error, and its phases."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, PyTree

from eqprop.energies.model import Model
from eqprop.estimators.answer import warn_of_answer
from eqprop.estimators.audit import compare, estimate, exact_gradient, own_descent, tell_of_dead
from eqprop.estimators.estimator import Estimator

ENOUGH = 0.9


class Exact(NamedTuple):
    """The gradient that an estimator's is compared with, and by what it was had."""

    name: str
    gradient: PyTree


def exact_of(estimator: Estimator, model: Model, x: Array, y: Array) -> Exact:
    """By the estimator's `rival`. Raises ``RuntimeError`` where there is none."""
    name, rival = estimator.rival()
    if rival is None:
        inner, met = estimator.inside(model)
        return Exact(name, exact_gradient(met, x, y, own_descent(inner, met, x)))
    return Exact(name, estimate(model, x, y, rival, jax.random.key(1)).gradient)


def audited(
    estimator: Estimator, model: Model, x: Array, y: Array, exact: Exact | None = None
) -> dict[str, Any]:
    """The audit of the estimator's gradient against ``exact``, or why there is none, and what its phases
    are like."""
    mine = estimate(model, x, y, estimator, jax.random.key(0))
    warn_of_answer(mine.report.metrics())
    try:
        name, gradient = exact or exact_of(estimator, model, x, y)
        rows = tell_of_dead(compare(mine.gradient, gradient))
        told = {"audit": [row._asdict() for row in rows], "against": name, "not_audited": None}
    except RuntimeError as error:
        told = {"audit": [], "not_audited": str(error)}
    return {"mixing": [], "spikes": None, **told, **estimator.examine(model, x, y)}


def warn_of_few_steps(estimator: Estimator, model: Model, x: Array, y: Array) -> None:
    """Warn where a gradient of phases of so many steps points elsewhere than the exact one."""
    try:
        name, gradient = exact_of(estimator, model, x, y)
    except RuntimeError:
        return
    mine = estimate(model, x, y, estimator, jax.random.key(0))
    cosine = compare(mine.gradient, gradient)[-1].cosine
    if cosine < ENOUGH:
        warnings.warn(
            f"Before training, the gradient has a cosine of {cosine:.2f} with {name}, expected {ENOUGH} or "
            "more: its phases have too few steps. Take more of them, free and nudged, or a weaker feedback;"
            " `eqprop audit` tells the cosine of each parameter.",
            stacklevel=2,
        )
