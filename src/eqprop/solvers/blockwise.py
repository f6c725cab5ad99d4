"""Block minimisation: one group of uncoupled layers after another, each exactly."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from eqprop.energy import Clamped, field, norm
from eqprop.solvers._solver import Iterative
from eqprop.units import State, embed


def sweep(phase: Clamped, state: State) -> State:
    """Minimise the energy over each block in turn, the others fixed.

    A layer whose block of the coupling is linear goes to ``retract(a)``, its exact minimiser. Where
    the coupling has a curvature ``q`` within the layer (a nudge, a lateral coupling) the step is
    ``z + (a - z) / (1 + q)``: exact for a quadratic cost, and otherwise the minimiser of an upper
    bound, so that the energy never rises.
    """
    if phase.blocks is None:
        raise ValueError(
            f"Block sweep: {type(phase).__name__} does not say which of its blocks can be minimised; "
            "expected an energy with `blocks`, such as a Network. Use GradientDescent or Flow."
        )
    shown = embed(phase.units, state)
    for names in phase.blocks:
        fields = field(phase, shown, names)
        for name in names:
            unit, z, a = phase.units[name], state[name], fields[name]
            q = phase.curvature(name)
            linear = isinstance(q, float) and q == 0.0
            z = unit.retract(a if linear else z + (a - z) / (1.0 + unit.slope * q))
            state = state | {name: z}
            shown = shown | {name: unit.embed(z)}
    return state


def relative_change(old: State, new: State) -> Array:
    """``|new - old| / |new|`` (absolute where ``|new| < 1``)."""
    change = {name: new[name] - z for name, z in old.items()}
    return norm(change) / jnp.maximum(norm(new), 1.0)


class _Sweep(eqx.Module):
    state: State
    residual: Array


class Blockwise(Iterative[_Sweep]):
    """Sweeps of exact block minimisation over the coloured layer graph, until a sweep changes the
    state by less than ``tolerance``. Each sweep costs as much as one gradient step."""

    tolerance: float | None = eqx.field(default=1e-5, static=True)
    max_steps: int = eqx.field(default=500, static=True)

    def init(self, phase: Clamped, state: State) -> _Sweep:
        return _Sweep(state, jnp.asarray(jnp.inf, norm(state).dtype))

    def step(self, phase: Clamped, carry: _Sweep) -> _Sweep:
        state = sweep(phase, carry.state)
        return _Sweep(state, relative_change(carry.state, state))
