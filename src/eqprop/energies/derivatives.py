"""Derivatives of results that no tape records: a rule of their own, or an error, never zeros."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import equinox as eqx
import jax
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, PyTree

T = TypeVar("T")

Pull = Callable[[PyTree, PyTree, PyTree, PyTree], PyTree]


def stopped(tree: T) -> T:
    """The same numbers, through which no derivative passes."""
    still: T = jax.tree.map(lambda a: lax.stop_gradient(a) if eqx.is_inexact_array(a) else a, tree)
    return still


def with_derivative(given: PyTree, results: T, pull: Pull) -> T:
    """``results``, which were computed from ``stopped(given)``, with a derivative in ``given``:
    ``pull(perturbed, given, results, slopes)`` in reverse mode.

    ``perturbed`` says which leaves of ``given`` ask; ``slopes`` is like ``results``, and its pull-back like
    ``given``, with ``None`` for what is zero. ``pull`` is a `Partial` of a function of a module, whose
    arguments hold what else it needs.
    """
    pulled: T = _pulled(given, results, pull)
    return pulled


def without_derivative(given: PyTree, results: T, message: str) -> T:
    """The same, but that differentiating them raises ``ValueError``."""
    return with_derivative(given, results, Partial(_refuse, message=message))


def with_own_gradient(
    given: tuple[Any, Any, Any, Any], found: T, surrogate: Callable[..., Array]
) -> T:
    """An `Estimate`, or its `Phases`, found from ``stopped(given)``: the model, x, y and the start.

    The derivative of its value is its gradient; in ``x`` and ``y`` that of ``surrogate(model, x, y)``, the
    energies and costs of which the gradient is the derivative, a `Partial` that holds the states; and 0 in
    the start, which a settled state forgets. Differentiating anything else of it raises ``ValueError``.
    """
    return with_derivative(given, found, Partial(_own_gradient, surrogate))


def _own_gradient(
    surrogate: Callable[..., Array],
    perturbed: PyTree,
    given: PyTree,
    found: PyTree,
    slopes: PyTree,
) -> PyTree:
    model, *at, start = given

    def of_inputs(at: list[Any]) -> Array:
        return surrogate(model, *at)

    estimate, slope = (getattr(part, "estimate", part) for part in (found, slopes))
    if slope.value is None or len(jax.tree.leaves(slopes)) > 1:
        raise ValueError(VALUE_ALONE)
    inputs = [None, None]
    if any(jax.tree.leaves(perturbed[1:3])):
        inputs = eqx.filter_grad(of_inputs)(at)
    parts = jax.tree.map(lambda g: slope.value.astype(g.dtype) * g, (estimate.gradient, *inputs))
    return *parts, jax.tree.map(lambda _: None, start)


VALUE_ALONE = (
    "Estimate: expected a derivative of its value, which is its own gradient, got one of its states, its "
    "gradient or its report; differentiate the states that eqprop.relax returns, or take Backpropagation, "
    "through the steps. jax.lax.stop_gradient says that none is wanted."
)


def constant(tree: T) -> T:
    """What a relaxation, chains or spikes take as given: a derivative that would reach it raises
    ``ValueError``."""
    return without_derivative(tree, stopped(tree), CONSTANT)


CONSTANT = (
    "Settled states: expected no derivative through what settles by steps or by chance, got one; "
    "differentiate the states that eqprop.relax returns, or the value of an estimator, whose derivative is "
    "the estimator's own gradient. jax.lax.stop_gradient says that none is wanted."
)


@eqx.filter_custom_vjp
def _pulled(given: PyTree, results: T, pull: Pull) -> T:
    return results


def _forward(perturbed: PyTree, given: PyTree, results: T, pull: Pull) -> tuple[T, None]:
    return _pulled(given, results, pull), None


def _backward(
    kept: None, slopes: PyTree, perturbed: PyTree, given: PyTree, results: PyTree, pull: Pull
) -> PyTree:
    once = without_derivative(given, stopped((given, results)), ONCE)
    return pull(perturbed, *once, slopes)


_pulled.def_fwd(_forward)

_pulled.def_bwd(_backward)


def _refuse(*parts: Any, message: str) -> NoReturn:
    raise ValueError(message)


ONCE = (
    "Derivatives: expected a first derivative of settled states or of an estimator's value, got a second "
    "one, which is not known; the value of eqprop.Backpropagation can be differentiated again."
)
