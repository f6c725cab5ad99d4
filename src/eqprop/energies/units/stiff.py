"""Stiff units: another unit with its self-energy times a number."""

from __future__ import annotations

import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from eqprop.energies.units.unit import Unit, Wrapped


class Stiff(Wrapped):
    """``unit`` with ``stiffness`` times its potential, showing the same.

    The state is ``stiffness`` times that of ``unit``, so that ``dE/du = z - a`` as ever: all it does in a
    field ``a`` at a temperature ``T``, ``unit`` does in ``a / stiffness`` at ``T / stiffness``.

    Raises ``ValueError`` for a stiffness that is not positive and finite, and for units of several
    components, whose states lie on a circle of radius 1.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> stiff = eq.Stiff(eq.Box(0.0, 1.0), stiffness=4.0)  # a field of 4 where the box needs 1
        >>> z = stiff.retract(jnp.array([1.0, 4.0, 8.0]))
        >>> z.tolist(), stiff.embed(z).tolist()
        ([1.0, 4.0, 4.0], [0.25, 1.0, 1.0])
    """

    stiffness: float = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not 0 < self.stiffness < math.inf:
            raise ValueError(f"Stiff: expected a finite stiffness > 0, got {self.stiffness}.")
        if self.unit.components:
            raise ValueError(
                f"Stiff: expected a unit of one number a neuron, got {type(self.unit).__name__}; multiply "
                "the injection of oscillators instead."
            )

    def embed(self, z: Array) -> Array:
        return self.unit.embed(z / self.stiffness)

    def invert(self, u: Array) -> Array:
        return self.stiffness * self.unit.invert(u)

    def potential(self, z: Array) -> Array:
        return self.stiffness * self.unit.potential(z / self.stiffness)

    def retract(self, z: Array) -> Array:
        return self.stiffness * self.unit.retract(z / self.stiffness)

    def minimise(self, z: Array, field: Array, curvature: Array) -> Array:
        c = self.stiffness
        return c * self.unit.minimise(z / c, field / c, curvature / c)

    def saturation(self, z: Array) -> Array:
        return self.unit.saturation(z / self.stiffness)

    def diffuse(
        self, z: Array, field: Array, dt: float, temperature: Array | float, noise: Array
    ) -> Array:
        c = self.stiffness
        return c * self.unit.diffuse(z / c, field / c, dt, temperature / c, noise)

    def sample(
        self, key: PRNGKeyArray, z: Array, field: Array, curvature: Array, temperature: Array
    ) -> Array:
        c = self.stiffness
        return c * self.unit.sample(key, z / c, field / c, curvature / c, temperature / c)

    def mean(self, z: Array, field: Array, curvature: Array, temperature: Array) -> Array:
        c = self.stiffness
        return c * self.unit.mean(z / c, field / c, curvature / c, temperature / c)

    def log_measure(self, z: Array) -> Array:
        return self.unit.log_measure(z / self.stiffness) - jnp.log(self.stiffness)

    def scatter(self, key: PRNGKeyArray, z: Array) -> Array:
        return self.stiffness * self.unit.scatter(key, z / self.stiffness)

    def reflect(self, z: Array) -> Array:
        return self.stiffness * self.unit.reflect(z / self.stiffness)


def stiffness(unit: Unit) -> float:
    """How many times its usual potential a unit has."""
    return unit.stiffness if isinstance(unit, Stiff) else 1.0
