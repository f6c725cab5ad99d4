"""Neurons that are not as they should be: units that wrap units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import checked
from eqprop.energies.model import Model
from eqprop.energies.units.oscillator import Oscillator
from eqprop.energies.units.unit import Unit, Wrapped
from eqprop.hardware.program import Program, _network


class Faulty(Wrapped):
    """A unit that does all that another does; faults change some of it."""

    def embed(self, z: Array) -> Array:
        return self.unit.embed(z)

    def read(self, u: Array) -> Array:
        return self.unit.read(u)

    def potential(self, z: Array) -> Array:
        return self.unit.potential(z)

    def saturation(self, z: Array) -> Array:
        return self.unit.saturation(z)

    def retract(self, z: Array) -> Array:
        return self.unit.retract(z)

    def tangent(self, z: Array, rate: Array) -> Array:
        return self.unit.tangent(z, rate)

    def minimise(self, z: Array, field: Array, curvature: Array) -> Array:
        return self.unit.minimise(z, field, curvature)

    def velocity(self, z: Array, field: Array) -> Array:
        return self.unit.velocity(z, field)

    def move(self, z: Array, field: Array, dt: float) -> Array:
        return self.unit.move(z, field, dt)

    def diffuse(
        self, z: Array, field: Array, dt: float, temperature: Array | float, noise: Array
    ) -> Array:
        return self.unit.diffuse(z, field, dt, temperature, noise)

    def sample(
        self, key: PRNGKeyArray, z: Array, field: Array, curvature: Array, temperature: Array
    ) -> Array:
        return self.unit.sample(key, z, field, curvature, temperature)

    def log_measure(self, z: Array) -> Array:
        return self.unit.log_measure(z)

    def scatter(self, key: PRNGKeyArray, z: Array) -> Array:
        return self.unit.scatter(key, z)

    def reflect(self, z: Array) -> Array:
        return self.unit.reflect(z)


def bare(unit: Unit) -> Unit:
    """The unit without its faults."""
    return bare(unit.unit) if isinstance(unit, Faulty) else unit


class Stuck(Faulty):
    """Where ``dead``, the neuron stays at the state ``at``, whatever its field.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> unit = eq.hardware.Stuck(eq.Box(0.0, 1.0), dead=jnp.array([True, False]), at=jnp.zeros(2))
        >>> unit.retract(jnp.array([0.75, 0.75])).tolist()  # the answers to one field
        [0.0, 0.75]
    """

    dead: Array
    at: Array

    def retract(self, z: Array) -> Array:
        return self._held(self.unit.retract(z))

    def minimise(self, z: Array, field: Array, curvature: Array) -> Array:
        return self._held(self.unit.minimise(z, field, curvature))

    def velocity(self, z: Array, field: Array) -> Array:
        return jnp.where(self.dead, self._held(z) - z, self.unit.velocity(z, field))

    def move(self, z: Array, field: Array, dt: float) -> Array:
        return self._held(self.unit.move(z, field, dt))

    def diffuse(
        self, z: Array, field: Array, dt: float, temperature: Array | float, noise: Array
    ) -> Array:
        return self._held(self.unit.diffuse(z, field, dt, temperature, noise))

    def sample(
        self, key: PRNGKeyArray, z: Array, field: Array, curvature: Array, temperature: Array
    ) -> Array:
        return self._held(self.unit.sample(key, z, field, curvature, temperature))

    def scatter(self, key: PRNGKeyArray, z: Array) -> Array:
        return self._held(self.unit.scatter(key, z))

    def tangent(self, z: Array, rate: Array) -> Array:
        return jnp.where(self.dead, 0.0, self.unit.tangent(z, rate))

    def saturation(self, z: Array) -> Array:
        return jnp.where(self.dead, 1.0, self.unit.saturation(z))

    def _held(self, z: Array) -> Array:
        return jnp.where(self.dead, self.at.astype(z.dtype), z)


class Detuned(Faulty):
    """Oscillators with a natural frequency of their own: ``dphi/dt = detuning - dV/dphi``.

    No potential on the circle has this force, so the energy is that of the tuned ones.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> unit = eq.hardware.Detuned(eq.Oscillator(), detuning=jnp.array(0.25))
        >>> z = jnp.array([0.6, 0.8])  # cos and sin of the phase
        >>> [round(float(rate), 3) for rate in unit.velocity(z, jnp.zeros(2))]  # 0.25 (-sin, cos)
        [-0.2, 0.15]
    """

    detuning: Array

    def minimise(self, z: Array, field: Array, curvature: Array) -> Array:
        return self.unit.minimise(z, self._field(z, field), curvature)

    def velocity(self, z: Array, field: Array) -> Array:
        return self.unit.velocity(z, self._field(z, field))

    def move(self, z: Array, field: Array, dt: float) -> Array:
        return self.unit.move(z, self._field(z, field), dt)

    def diffuse(
        self, z: Array, field: Array, dt: float, temperature: Array | float, noise: Array
    ) -> Array:
        return self.unit.diffuse(z, self._field(z, field), dt, temperature, noise)

    def _field(self, z: Array, field: Array) -> Array:
        return field + self.unit.tangent(z, self.detuning.astype(z.dtype))


class Broken(Program):
    """A device with faults: layer by layer, the wrapped unit in place of the given one."""

    wrap: dict[str, Callable[[Any], Unit]]

    def __call__(self, model: Model) -> Model:
        def units(m: Model) -> list[Unit]:
            return [m.energy.layers[name].unit for name in self.wrap]  # type: ignore[attr-defined]

        broken = [wrap(unit) for wrap, unit in zip(self.wrap.values(), units(model), strict=True)]
        return eqx.tree_at(units, model, broken)


class _Stick(eqx.Module):
    dead: Array
    at: Array

    def __call__(self, unit: Unit) -> Unit:
        return Stuck(unit, self.dead, jax.lax.stop_gradient(self.at))


class _Detune(eqx.Module):
    detuning: Array

    def __call__(self, unit: Unit) -> Unit:
        return Detuned(unit, jax.lax.stop_gradient(self.detuning))


@checked
def stuck(model: Model, fraction: float, key: PRNGKeyArray) -> Broken:
    """A fraction of the neurons, drawn at random in every layer but the output, stay at rest.

    Examples:
        >>> import jax
        >>> import eqprop as eq
        >>> model = eq.layered((4, 8, 2), jax.random.key(0))
        >>> device = eq.hardware.stuck(model, 0.25, jax.random.key(1))(model)
        >>> type(device.energy.units["h1"]).__name__
        'Stuck'
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"stuck: expected a fraction in [0, 1), got {fraction}.")
    network, rest = _network("stuck", model), model.energy.rest()
    names = [name for name in network.order if name != model.cost.output]
    keys = jax.random.split(key, len(names))
    return Broken(
        {
            name: _Stick(jax.random.bernoulli(k, fraction, network.layers[name].shape), rest[name])
            for name, k in zip(names, keys, strict=True)
        }
    )


@checked
def detuned(model: Model, sigma: float, key: PRNGKeyArray) -> Broken:
    """Natural frequencies ``sigma N(0, 1)`` about the common one, in every layer of oscillators.

    Examples:
        >>> import jax
        >>> import eqprop as eq
        >>> layers = {"out": eq.Layer(2, eq.Oscillator())}
        >>> model = eq.Model(eq.Network(1, layers, []), eq.SquaredError("out"))
        >>> device = eq.hardware.detuned(model, 0.1, jax.random.key(0))(model)
        >>> device.energy.units["out"].detuning.shape  # one frequency a neuron
        (2,)
    """
    if not sigma >= 0:
        raise ValueError(f"detuned: expected sigma >= 0, got {sigma}.")
    network = _network("detuned", model)
    names = [n for n in network.order if isinstance(bare(network.layers[n].unit), Oscillator)]
    if not names:
        raise ValueError("detuned: expected a network with oscillators, got none.")
    keys = jax.random.split(key, len(names))
    return Broken(
        {
            name: _Detune(sigma * jax.random.normal(k, network.layers[name].shape))
            for name, k in zip(names, keys, strict=True)
        }
    )
