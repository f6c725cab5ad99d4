"""The updates of equilibrium propagation beside those of back-propagation through time, step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, PyTree

from eqprop._arguments import checked
from eqprop.energies.model import Model
from eqprop.estimators.audit import Agreement, compare, flat
from eqprop.estimators.backpropagation import Backpropagation
from eqprop.estimators.contrast import Contrast
from eqprop.estimators.equilibrium import EquilibriumPropagation
from eqprop.estimators.estimator import Estimator
from eqprop.solvers import Iterative, Solver
from eqprop.solvers.relax import relax


class Updates(NamedTuple):
    """After ``steps`` nudged steps: the norm of EP's update of all parameters, and how it agrees with
    BPTT's through as many steps."""

    steps: int
    norm: float
    agreement: Agreement


@checked
def follow_updates(
    model: Model,
    x: Array,
    y: Array,
    free: Solver,
    after: Callable[[int], Iterative[Any]],
    contrast: Contrast,
    steps: Sequence[int],
) -> list[Updates]:
    """EP's update against back-propagation through the last ``t`` steps (Ernoult et al. 2019).

    ``free`` settles the batch; from there ``after(t)`` takes ``t`` steps, nudged for EP, free for BPTT. The
    two are equal for a small nudge where the free phase is at an equilibrium and the steps are those of a
    gradient.
    """
    key = jax.random.key(0)
    settled, _ = eqx.filter_jit(relax)(model, x, model.rest(x), free, key)

    @eqx.filter_jit
    def gradient(estimator: Estimator) -> PyTree:
        return estimator(model, x, y, settled, key).gradient

    rows = []
    for count in steps:
        solver = after(count)
        nudged = gradient(EquilibriumPropagation(free, contrast, solver))
        unrolled = gradient(Backpropagation(solver, count))
        norm = float(np.linalg.norm(np.concatenate(flat(nudged))))
        rows.append(Updates(count, norm, compare(nudged, unrolled)[-1]))
    return rows
