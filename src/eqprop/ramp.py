"""A ramp of any slope: a `Box` whose energies, curvatures and temperatures are scaled."""

from __future__ import annotations

import math
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from eqprop.arguments import Positive
from eqprop.units import Box, Unit


class Ramp(Unit):
    """``u = slope z`` for ``z`` in ``[0, 1 / slope]``, potential ``slope z^2 / 2``: the answer to a field
    is ``clip(slope a, 0, 1)``, the ``clip(z / 2, 0, 1)`` of spiking networks at slope 1/2."""

    slope: Positive = eqx.field(default=0.5, static=True)
    smooth: ClassVar[bool] = False
    walled: ClassVar[bool] = True

    @property
    def box(self) -> Box:
        """The interval that the state lives in."""
        return Box(0.0, 1.0 / self.slope)

    @property
    def low(self) -> float:
        return self.box.low

    @property
    def high(self) -> float:
        return self.box.high

    def embed(self, z: Array) -> Array:
        return self.slope * z

    def invert(self, u: Array) -> Array:
        """``z`` of what is shown."""
        return u / self.slope

    def potential(self, z: Array) -> Array:
        return 0.5 * self.slope * z * z

    def retract(self, z: Array) -> Array:
        return self.box.retract(z)

    def minimise(self, z: Array, field: Array, curvature: Array) -> Array:
        return self.box.minimise(z, field, self.slope * curvature)

    def sample(
        self, key: PRNGKeyArray, z: Array, field: Array, curvature: Array, temperature: Array
    ) -> Array:
        return self.box.sample(key, z, field, self.slope * curvature, temperature / self.slope)

    def mean(self, z: Array, field: Array, curvature: Array, temperature: Array) -> Array:
        return self.box.mean(z, field, self.slope * curvature, temperature / self.slope)

    def diffuse(
        self, z: Array, field: Array, dt: float, temperature: Array | float, noise: Array
    ) -> Array:
        return self.box.diffuse(z, field, dt, temperature / self.slope, noise)

    def saturation(self, z: Array) -> Array:
        return self.box.saturation(z)

    def log_measure(self, z: Array) -> Array:
        return jnp.full_like(z, math.log(self.slope))

    def reflect(self, z: Array) -> Array:
        return self.box.reflect(z)
