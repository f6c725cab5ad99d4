"""Whether the sweeps of a recipe reach the gradient: asked before it trains."""

from __future__ import annotations

import logging

import jax
import numpy as np

from eqprop.energies.model import Model
from eqprop.estimators.audit import compare, estimate, exact_gradient
from eqprop.estimators.estimator import Estimator

ASKED = 0.999

log = logging.getLogger(__name__)


def agreement(
    estimator: Estimator, model: Model, x: jax.Array, y: jax.Array, asked: float = ASKED
) -> dict[str, float | str]:
    """The cosine of the estimator's gradient with that of implicit differentiation in float64, of all
    parameters and of the worst; a warning where the former is below ``asked``.

    Where the equilibrium is not reached in float64 there is nothing to compare with, which is said, too.
    """
    found = estimate(model, x, y, estimator, jax.random.key(0)).gradient
    try:
        rows = compare(found, exact_gradient(model, x, y))
    except RuntimeError as error:
        log.warning("The gradient was not compared: %s", error)
        return {"not_compared": str(error)}
    *parts, whole = rows
    worst = min(parts, key=lambda row: np.nan_to_num(row.cosine, nan=-2.0))
    if not whole.cosine >= asked:
        log.warning(
            "The gradient's cosine with the exact one is %.4f, expected %g or more (worst: %s, %.4f): "
            "these sweeps do not settle at this feedback. Lower the feedback, or take more sweeps.",
            *(whole.cosine, asked, worst.name, worst.cosine),
        )
    return {"cosine": whole.cosine, "worst_cosine": worst.cosine, "worst": worst.name}
