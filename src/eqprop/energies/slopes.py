"""Derivatives that are zero whatever the numbers, as of argmax, rounding and whole numbers: told by the
steps that a function is made of, before any number is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.extend.core import jaxpr_as_fun
from jax.interpreters.partial_eval import dce_jaxpr
from jaxtyping import Array, PyTree

from eqprop.energies.model import Model
from eqprop.energies.units.unit import State


def depends(function: Callable[[Array], Any], argument: Array) -> bool:
    """Whether what the function returns depends on its argument."""
    traced = jax.make_jaxpr(function)(argument).jaxpr
    return any(dce_jaxpr(traced, [True] * len(traced.outvars))[1])


def flat(function: Callable[..., Array], point: PyTree, *rest: PyTree) -> list[bool]:
    """By leaf of ``point``: whether the gradient of a scalar ``function(point, *rest)`` is always zero."""
    traced = jax.make_jaxpr(jax.grad(function))(point, *rest)
    if any(isinstance(constant, jax.core.Tracer) for constant in traced.consts):
        return [False] * len(jax.tree.leaves(point))

    def vanishes(index: int) -> bool:
        wanted = [i == index for i in range(len(traced.jaxpr.outvars))]
        steps, used = dce_jaxpr(traced.jaxpr, wanted)
        if any(used):
            return False
        with jax.ensure_compile_time_eval():
            return not jnp.any(jaxpr_as_fun(traced.replace(jaxpr=steps))()[0])

    return [vanishes(index) for index in range(len(traced.jaxpr.outvars))]


def require_slopes(model: Model, x: Array, y: Array, state: State) -> None:
    """Raise ``ValueError`` unless the arguments of an estimator belong to one batch, and the energy and the
    cost have gradients."""
    model.require_batch(x, state, y)
    require_cost_slope(model, y, state)
    require_energy_slope(model, x, state)
    require_parameters(model, x, y, state)


def require_energy_slope(model: Model, x: Array, state: PyTree) -> None:
    """Raise ``ValueError`` where the energy has no gradient in a layer, whatever the numbers."""
    (x, state), (parameters, rest) = _example((x, state)), _parts(model)

    def energy(state: PyTree, parameters: PyTree, x: Array) -> Array:
        model: Model = eqx.combine(parameters, rest)
        return model.energy(state, x)

    _require_number("energy", energy, state, parameters, x)
    still = flat(energy, state, parameters, x)
    if any(still):
        names = [name for name, zero in zip(sorted(state), still, strict=True) if zero]
        raise ValueError(
            f"energy: expected a gradient in every layer, got none in {names}; {STEPS}"
        )


def require_cost_slope(model: Model, y: Array, state: PyTree) -> None:
    """Raise ``ValueError`` where the cost has no gradient, whatever the numbers."""
    (state, y), (parameters, rest) = _example((state, y)), _parts(model)

    def loss(state: PyTree, parameters: PyTree, y: Array) -> Array:
        model: Model = eqx.combine(parameters, rest)
        return model.loss(state, y)

    _require_number("cost", loss, state, parameters, y)
    if all(flat(loss, state, parameters, y)):
        raise ValueError(
            f"cost: expected a gradient in the output, got none from {type(model.cost).__name__}; {STEPS}"
        )


def require_rates(model: Model) -> None:
    """Raise ``ValueError`` where a layer of spins has no derivative in its field."""
    if spins := [name for name, unit in model.energy.units.items() if unit.discrete]:
        raise ValueError(
            f"expected layers whose states have a derivative in their fields, but {spins} are spins; use a "
            "thermal rule (Thermal), or another unit."
        )


def require_parameters(model: Model, x: Array, y: Array, state: PyTree) -> None:
    """Raise ``ValueError`` where neither the energy nor the cost has a gradient in any parameter."""
    (x, y, state), (parameters, rest) = _example((x, y, state)), _parts(model)

    def energy(parameters: PyTree, x: Array, state: PyTree) -> Array:
        model: Model = eqx.combine(parameters, rest)
        return model.energy(state, x)

    def total(parameters: PyTree, x: Array, y: Array, state: PyTree) -> Array:
        model: Model = eqx.combine(parameters, rest)
        return jnp.real(model.nudged(x, y, 1.0)(state))

    _require_number("energy", energy, parameters, x, state)
    if all(flat(total, parameters, x, y, state)):
        raise ValueError(
            "parameters: expected a gradient in at least one, got none: arrays of whole numbers do not "
            f"learn, and a parameter may be in no term of the energy; {STEPS}"
        )


STEPS = (
    "comparisons, argmax, rounding and whole numbers have derivatives that are zero everywhere. Take a "
    "smooth function in their place, or one with a derivative of its own (jax.custom_jvp); a thermal rule "
    "on an Enumeration needs none."
)


def _example(batch: PyTree) -> PyTree:
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), batch)


def _parts(model: Model) -> tuple[PyTree, PyTree]:
    parameters, rest = eqx.partition(model, eqx.is_inexact_array)
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), parameters), rest


def _require_number(what: str, function: Callable[..., Array], *arguments: PyTree) -> None:
    found = jax.eval_shape(function, *arguments)
    if found.shape != () or not jnp.issubdtype(found.dtype, jnp.inexact):
        raise ValueError(
            f"{what}: expected one floating-point number for one example, got {found.dtype} of shape "
            f"{found.shape}; sum over all axes, and write whole numbers as real ones."
        )
