"""Sigmoid units: no bounds inside, a smooth answer between two ends outside."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from eqprop.energies.units.laws import log_concave
from eqprop.energies.units.unit import Unit


class Sigmoid(Unit):
    """A unit that shows a smooth, growing function of its pre-activation ``z``, which has no bounds.

    The self-energy is the Legendre form ``z u - (primitive of embed)`` of the primitive of
    ``embed^-1``: no logarithm of a saturated unit is ever taken.
    """

    smooth: ClassVar[bool] = True

    @abstractmethod
    def invert(self, u: Array) -> Array:
        """``z`` of what is shown."""

    def retract(self, z: Array) -> Array:
        return z

    def minimise(self, z: Array, field: Array, curvature: Array) -> Array:
        weight = jnp.abs(curvature).astype(z.dtype)
        return (field + weight * z) / (1.0 + weight)

    def diffuse(
        self, z: Array, field: Array, dt: float, temperature: Array | float, noise: Array
    ) -> Array:
        """Langevin's step for the density in ``z``: ``dz = -d(E - T log du/dz)/dz dt + sqrt(2 T) dW``."""
        gain, spread = jax.jvp(self.log_measure, (z,), (jnp.ones_like(z),))
        force = jnp.exp(gain) * (field - z) + temperature * spread
        moved: Array = z + dt * force + (2.0 * temperature * dt) ** 0.5 * noise
        return moved

    def sample(
        self, key: PRNGKeyArray, z: Array, field: Array, curvature: Array, temperature: Array
    ) -> Array:
        """By rejection; not a number for a negative curvature, whose law need not be log-concave."""
        shown = self.embed(z)

        def pull(z: Array) -> Array:
            return field - z - curvature * (self.embed(z) - shown)

        def log_density(z: Array) -> Array:
            move = self.embed(z) - shown
            return (field * move - self.potential(z) - 0.5 * curvature * move**2) / temperature

        def halve(i: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            middle = 0.5 * (ends[0] + ends[1])
            above = pull(middle) > 0
            return jnp.where(above, middle, ends[0]), jnp.where(above, ends[1], middle)

        reach = jnp.where(curvature < 0, jnp.nan, 2.0 * curvature).astype(z.dtype)
        low, high = jax.lax.fori_loop(0, 30, halve, (field - reach, field + reach))
        mode = 0.5 * (low + high)
        return log_concave(
            key, log_density, lambda z: pull(z) / temperature, self.embed, self.invert, mode
        )

    def scatter(self, key: PRNGKeyArray, z: Array) -> Array:
        """Uniform in what is shown."""
        return self.invert(jax.random.uniform(key, z.shape, z.dtype, *self.ends))

    @property
    @abstractmethod
    def ends(self) -> tuple[float, float]:
        """What the unit shows lies between these."""


class Logistic(Sigmoid):
    """``u = 1 / (1 + exp(-4 (z - 1/2)))`` in (0, 1), slope 1 at 1/2."""

    def embed(self, z: Array) -> Array:
        return 0.5 * (1.0 + jnp.tanh(2.0 * z - 1.0))

    def invert(self, u: Array) -> Array:
        return 0.5 + 0.5 * _arctanh(2.0 * u - 1.0)

    @property
    def ends(self) -> tuple[float, float]:
        return 0.0, 1.0

    def potential(self, z: Array) -> Array:
        return z * self.embed(z) - 0.25 * _log_two_cosh(2.0 * z - 1.0) - 0.25 * (2.0 * z - 1.0)

    def log_measure(self, z: Array) -> Array:
        return 2.0 * (math.log(2.0) - _log_two_cosh(2.0 * z - 1.0))

    def saturation(self, z: Array) -> Array:
        return jnp.abs(2.0 * self.embed(z) - 1.0) ** 2


class Tanh(Sigmoid):
    """``u = tanh z`` in (-1, 1), potential ``z u - log cosh z``."""

    def embed(self, z: Array) -> Array:
        return jnp.tanh(z)

    def invert(self, u: Array) -> Array:
        return _arctanh(u)

    @property
    def ends(self) -> tuple[float, float]:
        return -1.0, 1.0

    def potential(self, z: Array) -> Array:
        return z * jnp.tanh(z) - _log_two_cosh(z) + math.log(2.0)

    def log_measure(self, z: Array) -> Array:
        return 2.0 * (math.log(2.0) - _log_two_cosh(z))

    def saturation(self, z: Array) -> Array:
        return jnp.abs(jnp.tanh(z)) ** 2


def _arctanh(u: Array) -> Array:
    """The inverse of tanh, finite at the last floating-point numbers before the ends."""
    edge = 1.0 - jnp.finfo(u.dtype).eps
    return jnp.arctanh(jnp.clip(u, -edge, edge))


def _log_two_cosh(z: Array) -> Array:
    """``log(2 cosh z)`` without overflow, holomorphic in a strip about the real axis."""
    folded = jnp.where(jnp.real(z) < 0, -z, z)
    return folded + jnp.log1p(jnp.exp(-2.0 * folded))
