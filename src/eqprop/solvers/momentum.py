"""Accelerated block minimisation: Nesterov's momentum on the sweep, restarted per example."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from eqprop._arguments import Count
from eqprop.energies.energy import Clamped, norm
from eqprop.energies.units.unit import State
from eqprop.solvers.blockwise import sweep
from eqprop.solvers.solver import Iterative


class _Momentum(eqx.Module):
    state: State
    previous: State
    age: Array
    residual: Array


class Momentum(Iterative[_Momentum]):
    """Block sweeps from an extrapolated state ``z + m (z - z_previous)``, for deep networks.

    ``m = age / (age + 3)`` grows with the number of sweeps since the last restart; an example restarts
    where its sweep turns against the momentum (O'Donoghue and Candes 2015, gradient scheme), which
    needs no energy. Nesterov (1983).
    """

    tolerance: float | None = eqx.field(default=1e-5, static=True)
    max_steps: Count = eqx.field(default=500, static=True)

    def init(self, phase: Clamped, state: State) -> _Momentum:
        real = norm(state).dtype
        return _Momentum(state, state, jnp.zeros((), real), jnp.asarray(jnp.inf, real))

    def step(self, phase: Clamped, carry: _Momentum) -> _Momentum:
        momentum = carry.age / (carry.age + 3.0)
        ahead = {
            name: phase.units[name].retract(
                z + momentum.astype(z.dtype) * (z - carry.previous[name])
            )
            for name, z in carry.state.items()
        }
        state, missed = sweep(phase, ahead)
        against = sum(
            jnp.sum(jnp.real((ahead[name] - z) * jnp.conj(z - carry.state[name])))
            for name, z in state.items()
        )
        age = jnp.where(against > 0, 0.0, carry.age + 1.0)
        return _Momentum(state, carry.state, age, missed)
