"""Units of an interval, with a quadratic energy of their own: the line, the box, its half and the ramp."""

from __future__ import annotations

import math
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Positive
from eqprop.energies.units.laws import truncated_mean, truncated_normal
from eqprop.energies.units.noise import normal
from eqprop.energies.units.unit import Quadratic, Unit


class Linear(Quadratic):
    """The whole real line: ``u = z``, potential ``z^2 / 2``."""

    smooth: ClassVar[bool] = True
    silent: ClassVar[bool] = True

    def retract(self, z: Array) -> Array:
        return z

    def minimise(self, z: Array, field: Array, curvature: Array) -> Array:
        stiffness = 1.0 + curvature
        return jnp.where(jnp.real(stiffness) > 0, (field + curvature * z) / stiffness, jnp.inf)

    def sample(
        self, key: PRNGKeyArray, z: Array, field: Array, curvature: Array, temperature: Array
    ) -> Array:
        spread = jnp.sqrt(temperature / (1.0 + curvature))
        return self.minimise(z, field, curvature) + spread * normal(key, z.shape, z.dtype)

    def mean(self, z: Array, field: Array, curvature: Array, temperature: Array) -> Array:
        return self.minimise(z, field, curvature)

    def saturation(self, z: Array) -> Array:
        return jnp.zeros_like(z, jnp.finfo(z.dtype).dtype)


class Box(Quadratic):
    """An interval: ``u = z`` in ``[low, high]``, potential ``z^2 / 2``; the answer is a clip.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> eq.Box(0.0, 1.0).retract(jnp.array([-0.5, 0.5, 1.5])).tolist()
        [0.0, 0.5, 1.0]
    """

    low: float = eqx.field(default=0.0, static=True)
    high: float = eqx.field(default=1.0, static=True)
    smooth: ClassVar[bool] = False
    walled: ClassVar[bool] = True

    def __check_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"Box: expected low < high, got low={self.low}, high={self.high}.")

    @property
    def silent(self) -> bool:  # type: ignore[override]
        return self.low <= 0.0 <= self.high

    def retract(self, z: Array) -> Array:
        return jnp.clip(z, self.low, self.high)

    def minimise(self, z: Array, field: Array, curvature: Array) -> Array:
        stiffness, pull = 1.0 + curvature, field - z

        def energy(end: float) -> Array:
            return 0.5 * stiffness * (end - z) ** 2 - pull * (end - z)

        ends = jnp.where(energy(self.low) < energy(self.high), self.low, self.high)
        convex = stiffness > 0
        inside = self.retract((field + curvature * z) / jnp.where(convex, stiffness, 1.0))
        return jnp.where(convex, inside, ends.astype(z.dtype))

    def sample(
        self, key: PRNGKeyArray, z: Array, field: Array, curvature: Array, temperature: Array
    ) -> Array:
        """The truncated normal; not a number where ``1 + q`` is not positive."""
        centre, spread = _normal(z, field, curvature, temperature)
        return truncated_normal(key, centre, spread, self.low, self.high)

    def mean(self, z: Array, field: Array, curvature: Array, temperature: Array) -> Array:
        centre, spread = _normal(z, field, curvature, temperature)
        return truncated_mean(centre, spread, self.low, self.high)

    def saturation(self, z: Array) -> Array:
        return ((z <= self.low) | (z >= self.high)).astype(z.dtype)

    def reflect(self, z: Array) -> Array:
        if math.isinf(self.high) and math.isinf(self.low):
            return z
        if math.isinf(self.high):
            return self.low + jnp.abs(z - self.low)
        if math.isinf(self.low):
            return self.high - jnp.abs(z - self.high)
        width = self.high - self.low
        folded = jnp.mod(z - self.low, 2 * width)
        return self.low + jnp.minimum(folded, 2 * width - folded)


def _normal(z: Array, field: Array, curvature: Array, temperature: Array) -> tuple[Array, Array]:
    """Centre and deviation of the law of a quadratic self-energy, walls aside."""
    stiffness = 1.0 + curvature
    return (field + curvature * z) / stiffness, jnp.sqrt(temperature / stiffness)


def hard_tanh() -> Box:
    """The interval [-1, 1].

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> eq.hard_tanh().retract(jnp.array([-3.0, 0.5, 3.0])).tolist()
        [-1.0, 0.5, 1.0]
    """
    return Box(-1.0, 1.0)


def relu() -> Box:
    """The half-line from 0: rectified, for networks whose feedback is weak enough to stay bounded.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> eq.relu().retract(jnp.array([-3.0, 0.5, 9.0])).tolist()
        [0.0, 0.5, 9.0]
    """
    return Box(0.0, math.inf)


def relu6() -> Box:
    """The interval [0, 6]: the clipped ReLU of deep Hopfield networks.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> eq.relu6().retract(jnp.array([-3.0, 0.5, 9.0])).tolist()
        [0.0, 0.5, 6.0]
    """
    return Box(0.0, 6.0)


class Ramp(Unit):
    """``u = slope z`` for ``z`` in ``[0, 1 / slope]``, potential ``slope z^2 / 2``: the answer to a field
    is ``clip(slope a, 0, 1)``, the ``clip(z / 2, 0, 1)`` of spiking networks at slope 1/2.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> ramp = eq.Ramp(slope=0.5)
        >>> z = ramp.retract(jnp.array([-1.0, 1.0, 3.0]))
        >>> z.tolist(), ramp.embed(z).tolist()
        ([0.0, 1.0, 2.0], [0.0, 0.5, 1.0])
    """

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
