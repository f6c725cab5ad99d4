"""What is said of a trained model at the end of a run: its gradient's error, and its phases."""

from __future__ import annotations

from typing import Any

import jax
from jaxtyping import Array

from eqprop.energies.model import Model
from eqprop.estimators.answer import warn_of_answer
from eqprop.estimators.audit import compare, estimate, exact_gradient, tell_of_dead
from eqprop.estimators.estimator import Estimator


def audited(estimator: Estimator, model: Model, x: Array, y: Array) -> dict[str, Any]:
    """The audit of the estimator's gradient, or why there is none, and what its phases are like."""
    mine = estimate(model, x, y, estimator, jax.random.key(0))
    warn_of_answer(mine.report.metrics())
    try:
        name, rival = estimator.rival()
        exact = (
            exact_gradient(model, x, y)
            if rival is None
            else estimate(model, x, y, rival, jax.random.key(1)).gradient
        )
        rows = tell_of_dead(compare(mine.gradient, exact))
        told = {"audit": [row._asdict() for row in rows], "against": name, "not_audited": None}
    except RuntimeError as error:
        told = {"audit": [], "not_audited": str(error)}
    return {"mixing": [], "spikes": None, **told, **estimator.examine(model, x, y)}
