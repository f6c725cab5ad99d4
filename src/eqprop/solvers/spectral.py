"""Accelerated block minimisation: steps along the sweep as long as its last response suggests."""

from __future__ import annotations

from typing import Annotated

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from eqprop._arguments import Bound, Count
from eqprop.energies.energy import Clamped, norm
from eqprop.energies.units.unit import State, retract
from eqprop.solvers.blockwise import sweep
from eqprop.solvers.solver import Iterative


class _Spectral(eqx.Module):
    state: State
    before: State
    move: State
    residual: Array


class Spectral(Iterative[_Spectral]):
    """``z <- retract(z + r g(z))`` with ``g(z) = sweep(z) - z``, for deep networks.

    The length is that of Barzilai and Borwein (1988) for the last step ``s`` and the change of move
    ``t = g(z_before) - g(z)``: ``r = <s, s> / <s, t>``, for each example, within ``[1, longest]``. The
    energy need not fall at every step.
    """

    tolerance: float | None = eqx.field(default=1e-5, static=True)
    max_steps: Count = eqx.field(default=500, static=True)
    longest: Annotated[float, Bound(">=", 1)] = eqx.field(default=50.0, static=True)

    def init(self, phase: Clamped, state: State) -> _Spectral:
        still = jax.tree.map(jnp.zeros_like, state)
        return _Spectral(state, state, still, jnp.asarray(jnp.inf, norm(state).dtype))

    def step(self, phase: Clamped, carry: _Spectral) -> _Spectral:
        swept, missed = sweep(phase, carry.state)
        move = jax.tree.map(jnp.subtract, swept, carry.state)
        step = jax.tree.map(jnp.subtract, carry.state, carry.before)
        change = jax.tree.map(jnp.subtract, carry.move, move)
        length = self._length(_dot(step, step), _dot(step, change))
        ahead = {name: z + length.astype(z.dtype) * move[name] for name, z in carry.state.items()}
        return _Spectral(retract(phase.units, ahead), carry.state, move, missed)

    def _length(self, square: Array, response: Array) -> Array:
        safe = jnp.where(response > 0, response, 1.0)
        ratio = jnp.where(response > 0, square / safe, self.longest)
        return jnp.where(square > 0, jnp.clip(ratio, 1.0, self.longest), 1.0)


def _dot(a: State, b: State) -> Array:
    parts = [jnp.sum(jnp.real(z * jnp.conj(b[name]))) for name, z in a.items()]
    return sum(parts[1:], parts[0])
