"""Spins: units of two values, which have a law at every temperature and no gradient."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from eqprop.energies.derivatives import stopped, without_derivative
from eqprop.energies.units.laws import JUMPS, two_values
from eqprop.energies.units.unit import Unit


class TwoValued(Unit):
    """A state ``u = z`` that is one of two numbers; no self-energy."""

    smooth: ClassVar[bool] = False
    discrete: ClassVar[bool] = True

    @property
    @abstractmethod
    def values(self) -> tuple[float, float]:
        """The two values, the lower first."""

    def embed(self, z: Array) -> Array:
        return z

    def potential(self, z: Array) -> Array:
        return jnp.zeros_like(z)

    def retract(self, z: Array) -> Array:
        low, high = self.values
        nearest = jnp.where(stopped(z) < 0.5 * (low + high), low, high).astype(z.dtype)
        return without_derivative(z, nearest, JUMPS)

    def velocity(self, z: Array, field: Array) -> Array:
        return self.minimise(z, field, jnp.zeros_like(z)) - z

    def minimise(self, z: Array, field: Array, curvature: Array) -> Array:
        low, high = self.values
        advantage = self._advantage(z, field, curvature)
        best = jnp.where(stopped(advantage) >= 0, high, low).astype(z.dtype)
        return without_derivative(advantage, best, JUMPS)

    def sample(
        self, key: PRNGKeyArray, z: Array, field: Array, curvature: Array, temperature: Array
    ) -> Array:
        return two_values(key, self._advantage(z, field, curvature) / temperature, *self.values)

    def mean(self, z: Array, field: Array, curvature: Array, temperature: Array) -> Array:
        low, high = self.values
        up = jax.nn.sigmoid(self._advantage(z, field, curvature) / temperature)
        return low + (high - low) * up

    def _advantage(self, z: Array, field: Array, curvature: Array) -> Array:
        """The energy of the lower value less that of the higher one."""
        low, high = self.values
        return (high - low) * (field - curvature * (0.5 * (low + high) - z))

    def saturation(self, z: Array) -> Array:
        return jnp.zeros_like(z)

    def scatter(self, key: PRNGKeyArray, z: Array) -> Array:
        return two_values(key, jnp.zeros_like(z), *self.values)


class Spin(TwoValued):
    """-1 or 1: ``P(1) = 1 / (1 + exp(-2 a / T))`` in the field ``a``."""

    @property
    def values(self) -> tuple[float, float]:
        return -1.0, 1.0


class Bernoulli(TwoValued):
    """0 or 1: ``P(1) = 1 / (1 + exp(-a / T))`` in the field ``a``.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> z, field = jnp.zeros(2), jnp.log(jnp.array([1.0, 3.0]))
        >>> up = eq.Bernoulli().mean(z, field, curvature=z, temperature=jnp.array(1.0))
        >>> [round(float(p), 3) for p in up]
        [0.5, 0.75]
    """

    @property
    def values(self) -> tuple[float, float]:
        return 0.0, 1.0
