"""Gradient descent: every layer at once, explicit Euler steps of the relaxation dynamics."""

from __future__ import annotations

import equinox as eqx
from jaxtyping import Array

from eqprop._arguments import Count, Positive
from eqprop.energies.energy import Clamped, field, relative, velocities
from eqprop.energies.units.unit import State, embed
from eqprop.solvers.solver import Iterative


class _Descent(eqx.Module):
    state: State
    fields: State
    residual: Array


class GradientDescent(Iterative[_Descent]):
    """``z <- retract(z + step_size (a - z))``: Euler's rule for ``dz/dt = a - z`` in the domain.

    Units of another geometry take a step of the same length by their own `move`.

    For units that show their state this is projected gradient descent, ``z - step_size dE/dz``; for
    the others it is the leaky integrator of Hopfield (1984), which descends the same energy.
    ``step_size = 1`` is the synchronous fixed-point iteration of Laborieux et al. (2021).

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> model, x = eq.layered((4, 8, 2), jax.random.key(0)), jnp.ones((3, 4))
        >>> _, info = eq.relax(model, x, model.rest(x), eq.GradientDescent(None, 20, 1.0))
        >>> info.steps.tolist()  # twenty synchronous steps
        [20, 20, 20]
    """

    tolerance: float | None = eqx.field(default=1e-5, static=True)
    max_steps: Count = eqx.field(default=1000, static=True)
    step_size: Positive = eqx.field(default=0.5, static=True)

    def init(self, phase: Clamped, state: State) -> _Descent:
        return _descent(phase, state)

    def step(self, phase: Clamped, carry: _Descent) -> _Descent:
        state = {
            name: phase.units[name].move(z, carry.fields[name], self.step_size)
            for name, z in carry.state.items()
        }
        return _descent(phase, state)


def _descent(phase: Clamped, state: State) -> _Descent:
    fields = field(phase, embed(phase.units, state), tuple(state))
    move = velocities(phase.units, state, fields)
    return _Descent(state, fields, relative(move, state))
