"""What is said of a trained model at the end of a run: its gradient's error, and its phases."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, PyTree

from eqprop.energies.model import Model
from eqprop.estimators.answer import warn_of_answer
from eqprop.estimators.audit import compare, estimate, exact_gradient, own_descent, tell_of_dead
from eqprop.estimators.estimator import Estimator
from eqprop.estimators.steps import cosines, counted, with_steps

ENOUGH, SAME = 0.9, 0.99
TWICE = "twice as many steps"


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


def beside_more_steps(estimator: Estimator, model: Model, x: Array, y: Array) -> dict[str, float]:
    """Cosines of the gradient with that of phases of twice as many steps, of all parameters and of the
    worst one, 1 where nothing learns; nothing of an estimator whose phases settle."""
    inner, met = estimator.inside(model)
    if (counts := counted(inner)) is None:
        return {}
    ways = inner, with_steps(inner, *(2 * count for count in counts))
    mine, longer = (estimate(met, x, y, way, jax.random.key(0)).gradient for way in ways)
    whole, worst = (1.0 if math.isnan(c) else c for c in cosines(mine, longer))
    return {"steps_cosine": whole, "steps_worst_cosine": worst}


def warn_of_steps(row: Mapping[str, float], told: Collection[str]) -> None:
    """Warn once where twice as many steps would give another gradient."""
    cosine = row.get("steps_cosine", 1.0)
    if cosine < SAME and not any(TWICE in one for one in told):
        warnings.warn(
            f"Epoch {int(row['epoch'])}: the gradient has a cosine of {cosine:.3f} with that of {TWICE} "
            f"(expected {SAME} or more): phases have too few for these weights. Take more, or a weaker "
            "feedback; eqprop.estimators.steps.fewest_steps counts them.",
            stacklevel=2,
        )


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
