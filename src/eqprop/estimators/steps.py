"""How many steps the phases of a learner need: counted against the gradient of many more."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, PyTree

from eqprop._arguments import Count, checked
from eqprop.energies.model import Model
from eqprop.estimators.audit import compare, estimate
from eqprop.estimators.differences import DeltaPropagation
from eqprop.estimators.equilibrium import EquilibriumPropagation
from eqprop.estimators.estimator import Estimator
from eqprop.solvers import Iterative

KEY = 0


class Steps(NamedTuple):
    """Steps of the free phase and of the nudged ones, and the cosines of their gradient with that of many
    more: of all parameters, and of the worst one."""

    free: int
    nudged: int
    cosine: float
    worst: float


def counted(estimator: Estimator) -> tuple[int, int] | None:
    """The steps of the free phase and of the nudged ones; None where phases are asked to settle."""
    if not isinstance(estimator, EquilibriumPropagation | DeltaPropagation):
        return None
    free, nudged = estimator.solver, estimator.nudged_solver or estimator.solver
    if not isinstance(free, Iterative) or not isinstance(nudged, Iterative):
        return None
    counts = free.max_steps, nudged.max_steps
    return counts if free.tolerance is None and nudged.tolerance is None else None


def with_steps(estimator: Estimator, free: int, nudged: int) -> Estimator:
    """The same with phases of other numbers of steps, of an estimator whose steps are `counted`."""
    whole: Any = estimator
    steps, longer = {"max_steps": free}, {"max_steps": nudged}
    made: Estimator = dataclasses.replace(
        whole,
        solver=dataclasses.replace(whole.solver, **steps),
        nudged_solver=dataclasses.replace(whole.nudged_solver or whole.solver, **longer),
    )
    return made


@checked
def fewest_steps(
    model: Model, x: Array, y: Array, estimator: Estimator, cosine: float = 0.999, most: Count = 32
) -> Steps:
    """The fewest steps whose gradient has at least this ``cosine``, of every parameter, with that of
    ``most`` free and nudged ones, on one batch.

    The free phase has as few as do with nudged ones of ``most``, and then the nudged ones. Raises
    ``ValueError`` for learners whose phases are asked to settle, and ``RuntimeError`` where ``most - 1``
    steps are not enough.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> from eqprop.estimators.steps import fewest_steps
        >>> model = eq.layered((4, 8, 2), jax.random.key(0), eq.Linear())
        >>> x = jax.random.normal(jax.random.key(1), (3, 4))
        >>> learner = eq.DeltaPropagation(eq.Blockwise(None, 1), eq.one_sided(1e-3))
        >>> found = fewest_steps(model, x, jnp.ones((3, 2)), learner, cosine=0.99, most=16)
        >>> found.worst >= 0.99 and found.free + found.nudged < 16
        True
    """
    if counted(estimator) is None:
        raise ValueError(
            "fewest_steps: expected EquilibriumPropagation or DeltaPropagation by solvers that take a "
            f"number of steps (a tolerance of None), got {type(estimator).__name__} whose phases settle."
        )
    reference = _gradient(with_steps(estimator, most, most), model, x, y)

    def tried(free: int, nudged: int) -> Steps:
        found = _gradient(with_steps(estimator, free, nudged), model, x, y)
        return Steps(free, nudged, *cosines(found, reference))

    if most < 2 or tried(most - 1, most - 1).worst < cosine:
        raise RuntimeError(
            f"fewest_steps: expected fewer than {most} steps to reach a cosine of {cosine:g} in every "
            "parameter, got less; take a larger `most`, a weaker feedback, or solvers that settle."
        )
    free = _least(lambda count: tried(count, most).worst >= cosine, most)
    nudged = _least(lambda count: tried(free, count).worst >= cosine, most)
    return tried(free, nudged)


def cosines(gradient: PyTree, reference: PyTree) -> tuple[float, float]:
    """Of all parameters, and the worst of one; parameters without a gradient have none."""
    *rows, whole = compare(gradient, reference)
    return whole.cosine, min((r.cosine for r in rows if not math.isnan(r.cosine)), default=math.nan)


def _gradient(estimator: Estimator, model: Model, x: Array, y: Array) -> PyTree:
    return estimate(model, x, y, estimator, jax.random.key(KEY)).gradient


def _least(good: Any, most: int) -> int:
    """The smallest count that is good, by bisection; ``most`` is."""
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if good(middle) else (middle + 1, high)
    return low
