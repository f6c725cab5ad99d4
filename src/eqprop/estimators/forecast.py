"""What a model shows of a batch without being nudged, by whatever its free phase comes from."""

from __future__ import annotations

from functools import singledispatch
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, PRNGKeyArray

from eqprop.energies.model import Batch, Model
from eqprop.solvers import CONVERGED, Solver
from eqprop.solvers.relax import relax


class Forecast(NamedTuple):
    """By example: scores (batch, classes), costs (batch,), and what there is to say of the phase."""

    scores: Array
    costs: Array
    metrics: dict[str, Array]


@singledispatch
def forecast(source: Any, model: Model, x: Batch, y: Batch, key: PRNGKeyArray) -> Forecast:
    """What a model shows of a batch without being nudged, by a solver or another source of phases."""
    raise TypeError(
        f"forecast: expected a Solver or a Thermal estimator, got {type(source).__name__}."
    )


@forecast.register
def _(source: Solver, model: Model, x: Batch, y: Batch, key: PRNGKeyArray) -> Forecast:
    state, info = relax(model, x, model.rest(x), source, key)
    metrics = {
        "steps": info.steps,
        "residual": info.residual,
        "converged": info.outcome == CONVERGED,
    }
    return Forecast(jax.vmap(model.predict)(state), jax.vmap(model.loss)(state, y), metrics)
