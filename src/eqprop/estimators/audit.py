"""Audits: how well an estimator agrees with a reference, and which nudge serves best."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from eqprop._arguments import checked
from eqprop.energies.model import Model
from eqprop.energies.ops import cast, freeze
from eqprop.energies.parameters import parameter_names
from eqprop.energies.units.unit import State
from eqprop.estimators.answer import warn_of_answer
from eqprop.estimators.contrast import Contrast
from eqprop.estimators.equilibrium import EquilibriumPropagation
from eqprop.estimators.estimator import Estimate, Estimator
from eqprop.estimators.health import not_finite
from eqprop.estimators.implicit import AdjointEquation, ImplicitDifferentiation
from eqprop.solvers import STEPS_SPENT, GradientDescent, Iterative, Momentum, Solver

ALL = "all parameters"
SHARP, LONG = 1e-11, 5000
SETTLED = 1e-3

Learner: TypeAlias = Estimator | Callable[..., Estimate]
"""An estimator, or one compiled: ``eqx.filter_jit(estimator)``."""


class Agreement(NamedTuple):
    """One parameter: the cosine to the reference, ``|g - r| / |r|``, and ``|r|``. A gradient of 0 has no
    direction, and nothing is relative to it: not a number."""

    name: str
    cosine: float
    relative_error: float
    norm: float

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Agreement:
        """From JSON, where what is not a number is null."""
        numbers = (row[key] for key in cls._fields[1:])
        return cls(row["name"], *(math.nan if value is None else value for value in numbers))


@checked
def compare(gradient: PyTree, reference: PyTree) -> list[Agreement]:
    """Agreement by parameter, all parameters together last."""
    names = jax.tree.leaves(parameter_names(reference))
    if ALL in names:
        raise ValueError(
            f"compare: expected other names of parameters than {ALL!r}, which is the sum's; rename it."
        )
    pairs = zip(flat(gradient), flat(reference), strict=True)
    rows = [_agreement(name, g, r) for name, (g, r) in zip(names, pairs, strict=True)]
    return [
        *rows,
        _agreement(ALL, np.concatenate(flat(gradient)), np.concatenate(flat(reference))),
    ]


@checked
def audit(
    model: Model, x: Array, y: Array, estimator: Learner, reference: Learner, key: PRNGKeyArray
) -> list[Agreement]:
    """Both estimators on one batch, from rest. Warns of a reference that has not settled, or is not exact
    where the other is.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> model = eq.layered((4, 8, 2), jax.random.key(0))
        >>> x, y, solver = jnp.ones((2, 4)), jnp.eye(2), eq.Blockwise(1e-5)
        >>> learner = eq.EquilibriumPropagation(solver, eq.symmetric(0.1))
        >>> exact = eq.ImplicitDifferentiation(solver)
        >>> rows = eq.audit(model, x, y, learner, exact, jax.random.key(1))
        >>> rows[-1].name, rows[-1].cosine > 0.99
        ('all parameters', True)
    """
    first, last = (getattr(one, "__wrapped__", one) for one in (estimator, reference))
    if isinstance(first, AdjointEquation) and hasattr(last, "contrast"):
        warnings.warn(
            f"audit: expected the exact gradient last, got {type(first).__name__} audited against "
            f"{type(last).__name__}: exchange them, eq.audit(model, x, y, learner, exact, key).",
            stacklevel=2,
        )
    mine, theirs = (estimate(model, x, y, e, key) for e in (estimator, reference))
    warn_if_unsettled(theirs)
    warn_of_answer(mine.report.metrics())
    return tell_of_dead(compare(mine.gradient, theirs.gradient))


def warn_if_unsettled(reference: Estimate) -> None:
    """Warn where what others are compared with was taken short of its equilibrium."""
    free = getattr(reference.report, "free", None)
    if free is None or not eqx.is_array(free.residual):
        return
    spent, worst = float(jnp.mean(free.outcome == STEPS_SPENT)), float(jnp.max(free.residual))
    if spent > 0 or worst > SETTLED:
        warnings.warn(
            f"audit: expected a reference whose free phases settle to a relative residual of {SETTLED:g}, "
            f"got {worst:.1e}, and no steps left in {spent:.0%} of the examples: its gradient is not the "
            "exact one. Give it a sharper tolerance and more steps, or take eq.exact_gradient.",
            stacklevel=3,
        )


def tell_of_dead(rows: list[Agreement]) -> list[Agreement]:
    """The rows, after a warning of parameters whose gradient or reference is 0 or not finite."""
    if dead := [row.name for row in rows if math.isnan(row.cosine)]:
        warnings.warn(
            f"No direction to compare: expected gradients other than 0, and finite, got others for {dead}. "
            "These parameters learn nothing: layers at the ends of their interval answer no nudge (lower "
            "the gain), and a nudge or an estimate may be lost in rounding.",
            stacklevel=3,
        )
    return rows


@checked
@eqx.filter_jit
def estimate(model: Model, x: Array, y: Array, estimator: Learner, key: PRNGKeyArray) -> Estimate:
    """An estimator on one batch from rest, compiled."""
    return estimator(model, x, y, model.rest(x), key)


@checked
def exact_gradient(model: Model, x: Array, y: Array, solver: Solver | None = None) -> PyTree:
    """The gradient at equilibrium by implicit differentiation in float64, whatever the model's type.

    ``solver`` relaxes the free phase; unless given, `Momentum` where the energy has blocks, and
    `GradientDescent` elsewhere. Raises ``RuntimeError`` where the equilibrium or the adjoint equation
    is not reached to 1e-8.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> model = eq.layered((4, 8, 2), jax.random.key(0))
        >>> gradient = eq.exact_gradient(model, jnp.ones((2, 4)), jnp.eye(2))
        >>> gradient.energy.edges["h1-out"].op.weight.shape
        (8, 2)
    """
    with jax.enable_x64(True):
        model, x, y = cast((model, x, y), np.dtype(np.float64))
        solver = solver or _descent(model, x)
        reference = ImplicitDifferentiation(solver, tolerance=1e-10)
        found = estimate(model, x, y, reference, jax.random.key(0))
        free, adjoint = found.report.free, found.report.adjoint
        assert free is not None and adjoint is not None
        worst = max(float(np.max(free.residual)), float(np.max(adjoint)))
        lost = not_finite(model, x, found.state)
    if not worst < 1e-8:
        why = f"not finite are {lost}" if lost else "the free phase of this model does not settle"
        raise RuntimeError(
            f"exact_gradient: expected a relative residual below 1e-8, got {worst:.1e}; {why}, so that it "
            "has no equilibrium gradient."
        )
    return found.gradient


def own_descent(estimator: Estimator, model: Model, x: Array) -> Solver | None:
    """Where an energy has no blocks, and steps of a size that its learner knows: that learner's solver, to
    the end."""
    solver = getattr(estimator, "solver", None)
    if not isinstance(solver, GradientDescent) or _blocks(model, x) is not None:
        return None
    return GradientDescent(SHARP, max(10 * solver.max_steps, LONG), solver.step_size)


def _blocks(model: Model, x: Array) -> Any:
    return eqx.filter_eval_shape(model.free, x[0]).blocks


def _descent(model: Model, x: Array) -> Solver:
    """A sharp solver of any energy that has a minimum to fall to."""
    try:
        blocks = _blocks(model, x)
    except ValueError as error:  # a stationary point is no minimum
        raise RuntimeError(
            f"exact_gradient: expected an energy with a minimum, or a solver of one's own ({error})"
        ) from error
    return (GradientDescent if blocks is None else Momentum)(SHARP, LONG)


@checked
@eqx.filter_jit
def energy_rises(model: Model, x: Array, solver: Iterative[Any], steps: int = 60) -> Array:
    """The fraction of examples whose free energy rises, beyond rounding, at a step from rest."""
    frozen = freeze(model)

    def one(x: Array, state: State) -> Array:
        _, energies, _ = solver.trace(frozen.free(x), state, steps)
        slack = 1e3 * jnp.finfo(energies.dtype).eps * (1.0 + jnp.abs(energies[:-1]))
        return jnp.any(~(energies[1:] <= energies[:-1] + slack))

    return jnp.mean(jax.vmap(one)(x, model.rest(x)), dtype=x.dtype)


class BetaSweep(NamedTuple):
    """Relative error of the whole gradient at each nudge, the order with which it falls, and the
    nudge that is best at the solver's tolerance and the float type's precision."""

    betas: np.ndarray
    errors: np.ndarray
    order: float
    best: float


@checked
def sweep_beta(
    model: Model,
    x: Array,
    y: Array,
    solver: Solver,
    contrast: Callable[[float], Contrast],
    betas: Sequence[float],
    reference: PyTree,
    key: PRNGKeyArray,
    learner: Callable[[Solver, Contrast], Estimator] = EquilibriumPropagation,
) -> BetaSweep:
    """The error of EP against ``reference`` over ``betas``; ``learner`` may be another form of it.

    The order is the slope of log error against log beta between the best nudge and the largest whose
    error is below one half: above it the nudge is not small, below it tolerance and rounding rule.
    """
    nudges = np.sort(np.asarray(betas, np.float64))
    errors = []
    for beta in nudges:
        estimator = learner(solver, contrast(float(beta)))
        gradient = estimate(model, x, y, estimator, key).gradient
        errors.append(compare(gradient, reference)[-1].relative_error)
    found = np.asarray(errors)
    if not np.isfinite(found).any():
        raise RuntimeError(
            f"sweep_beta: expected a finite gradient for at least one of the nudges {nudges.tolist()}, got "
            "none; use smaller nudges, or another solver."
        )
    best = int(np.nanargmin(found))
    above = (np.arange(len(found)) > best) & (found > 3 * found[best]) & (found < 0.5)
    slope = (
        np.polyfit(np.log(nudges[above]), np.log(found[above]), 1)[0] if above.sum() > 1 else np.nan
    )
    return BetaSweep(nudges, found, float(slope), float(nudges[best]))


def flat(gradient: PyTree) -> list[np.ndarray]:
    """The leaves of a gradient as rows of float64."""
    return [np.ravel(np.asarray(leaf, np.float64)) for leaf in jax.tree.leaves(gradient)]


def _agreement(name: str, g: np.ndarray, r: np.ndarray) -> Agreement:
    scale = float(np.linalg.norm(r))
    product = float(np.linalg.norm(g)) * scale
    cosine = float(g @ r) / product if product > 0 else math.nan
    error = float(np.linalg.norm(g - r)) / scale if scale > 0 else math.nan
    return Agreement(name, cosine, error, scale)
