"""Langevin dynamics, overdamped and underdamped, without a test of acceptance."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Positive
from eqprop.energies.energy import Clamped
from eqprop.energies.units.noise import normal
from eqprop.energies.units.unit import State
from eqprop.solvers.langevin import langevin
from eqprop.thermal.sampler import ChainCarry, Link, Sampler


class UnadjustedLangevin(Sampler):
    """``dz = -dE/dz dt + sqrt(2 T) dW`` by Euler-Maruyama, reflected at walls: a law wrong by O(dt).

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> phase = eq.Network(1, {"out": eq.Layer(1, eq.Linear())}, []).clamp(jnp.zeros(1))
        >>> kernel = eq.thermal.UnadjustedLangevin(step_size=0.1)
        >>> @jax.jit
        ... def cold(key):  # a step from z = 2 at T = 0, in the energy z^2 / 2
        ...     chain = kernel.init(phase, {"out": jnp.array([2.0])}, key, 0.0)
        ...     return kernel.step(phase, chain, key, 0.0).state["out"]
        >>> cold(jax.random.key(0))  # 2 - 0.1 * 2
        Array([1.8], dtype=float32)
    """

    step_size: Positive = eqx.field(default=0.1, static=True)
    exact: ClassVar[bool] = False

    def step(
        self, phase: Clamped, carry: ChainCarry, key: PRNGKeyArray, temperature: Array | float
    ) -> ChainCarry:
        return Link(langevin(phase, carry.state, key, self.step_size, temperature))


class _Moving(eqx.Module):
    state: State
    velocity: State

    @property
    def accepted(self) -> Array:
        return jnp.ones(())


class Underdamped(Sampler):
    """``dz = v dt, dv = (-dE/dz - friction v) dt + sqrt(2 friction T) dW``, split as BAOAB.

    Leimkuhler and Matthews 2013: the law of ``z`` is wrong by O(dt^2), by much less than that of the
    overdamped step. Walls reflect the velocity too.

    Examples:
        >>> import eqprop as eq
        >>> kernel = eq.thermal.Underdamped(step_size=0.2, friction=0.5)
        >>> eq.thermal.Chains(1.0, kernel, burn=100, samples=8, thinning=5).steps
        140
    """

    step_size: Positive = eqx.field(default=0.2, static=True)
    friction: Positive = eqx.field(default=1.0, static=True)
    exact: ClassVar[bool] = False

    def check(self, phase: Clamped, state: State) -> None:
        super().check(phase, state)
        _require_numbers(self, phase)

    def init(
        self, phase: Clamped, state: State, key: PRNGKeyArray, temperature: Array | float
    ) -> ChainCarry:
        return _Moving(state, _normal(key, state, jnp.sqrt(temperature)))

    def step(
        self, phase: Clamped, carry: ChainCarry, key: PRNGKeyArray, temperature: Array | float
    ) -> ChainCarry:
        assert isinstance(carry, _Moving)
        half, decay = 0.5 * self.step_size, jnp.exp(-self.friction * self.step_size)

        def force(z: State) -> State:
            """``-d(E - T log du/dz)/dz``, whatever lies beyond the walls."""
            return jax.grad(lambda z: temperature * _smooth_log_density(phase, z, temperature))(z)

        def kick(v: State, z: State) -> State:
            return jax.tree.map(lambda v, f: v + half * f, v, force(z))

        def drift(z: State, v: State) -> tuple[State, State]:
            free = jax.tree.map(lambda z, v: z + half * v, z, v)
            inside = {name: phase.units[name].reflect(x) for name, x in free.items()}
            turned = {
                name: jnp.where(_flipped(phase, name, free[name]), -v[name], v[name]) for name in v
            }
            return inside, turned

        spread = jnp.sqrt(temperature * (1.0 - decay**2))
        z, v = carry.state, kick(carry.velocity, carry.state)
        z, v = drift(z, v)
        v = jax.tree.map(lambda v, n: decay * v + n, v, _normal(key, v, spread))
        z, v = drift(z, v)
        return _Moving(z, kick(v, z))


def _smooth_log_density(phase: Clamped, state: State, temperature: Array | float) -> Array:
    units = phase.units
    measure = sum(jnp.sum(units[name].log_measure(z)) for name, z in state.items())
    return measure - phase(state) / temperature


def _flipped(phase: Clamped, name: str, z: Array) -> Array:
    """Where an odd number of reflections brings ``z`` back into the domain."""
    unit = phase.units[name]
    if not unit.walled:
        return jnp.zeros_like(z, bool)
    _, slope = jax.jvp(unit.reflect, (z,), (jnp.ones_like(z),))
    return slope < 0


def _normal(key: PRNGKeyArray, state: State, scale: Array) -> State:
    keys = jax.random.split(key, len(state))
    return {
        name: scale.astype(z.dtype) * normal(k, z.shape, z.dtype)
        for (name, z), k in zip(state.items(), keys, strict=True)
    }


def _require_numbers(sampler: Sampler, phase: Clamped) -> None:
    if points := [name for name, unit in phase.units.items() if unit.components]:
        raise ValueError(
            f"{type(sampler).__name__}: expected neurons whose state is one number, but {points} are "
            "oscillators; use UnadjustedLangevin, which moves along the circle."
        )
