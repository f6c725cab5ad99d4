"""Oscillators: phases on a circle, pulled to 0 and pi by a second-harmonic injection.

    V(phi) = - sum_(i<j) J_ij cos(phi_i - phi_j) - sum_i h_i cos phi_i - sum_i q_i sin phi_i
             - sum_i (S_i / 2) cos 2 phi_i

An oscillator is the point ``z = (cos phi, sin phi)``, on a leading axis of two. Since
``cos(a - b) = cos a cos b + sin a sin b``, every edge of a network couples oscillators component by
component, the fields ``h`` and the cost see the cosine, and no trigonometric function is left.
Gower, arXiv 2510.12934, who has no ``q``: a reference a quarter period ahead, ours, that keeps an
oscillator from locking at 0 and pi. Alone in a field ``h`` it shows ``cos phi = h / sqrt(h^2 + q^2)``; in
a network the sines of its neighbours add to ``q``, and where they cancel it an oscillator turns at a touch.
Oscillators that couple ``in_phase``, by ``-J cos phi_i cos phi_j``, keep it: each shows that sigmoid of its
field, whatever the others do.
"""

from __future__ import annotations

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import younger
from eqprop.energies.units.unit import Unit


class Oscillator(Unit):
    """The circle: ``u = z = (cos phi, sin phi)``, shape (2, ...); potential
    ``-(S / 2) cos 2 phi - q sin phi``.

    ``injection`` is ``S``, an array that broadcasts to the layer's shape and learns, or a number that does
    not; ``quadrature`` is the number ``q``. One that is ``in_phase`` couples to others by its cosine alone.
    It relaxes by ``dphi/dt = -dV/dphi``, and rests at
    ``phi = pi / 2``. ``ValueError`` where ``q`` is negative, under which that is no minimum.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> z = jnp.array([0.6, 0.8])  # cos and sin of the phase
        >>> round(float(eq.Oscillator().read(z)), 6)
        0.6
    """

    injection: Array | float = 0.0
    quadrature: float = eqx.field(default=0.0, static=True)
    in_phase: bool = younger(False)
    smooth: ClassVar[bool] = True
    components: ClassVar[tuple[int, ...]] = (2,)

    def __check_init__(self) -> None:
        if not 0 <= self.quadrature < math.inf:
            raise ValueError(f"Oscillator: expected a quadrature >= 0, got {self.quadrature}.")

    @property
    def coupled(self) -> tuple[int, ...]:
        return () if self.in_phase else self.components

    def embed(self, z: Array) -> Array:
        return z

    def read(self, u: Array) -> Array:
        return u[0]

    def potential(self, z: Array) -> Array:
        cos, sin = z
        energy: Array = -0.5 * self.injection * (cos * cos - sin * sin) - self.quadrature * sin
        return energy

    def retract(self, z: Array) -> Array:
        square = z[0] * z[0] + z[1] * z[1]
        known = square != 0
        unit = z / jnp.sqrt(jnp.where(known, square, 1.0))
        upright = jnp.arange(2, dtype=z.dtype).reshape(2, *(1 for _ in square.shape))
        return jnp.where(known, unit, upright)

    def pull(self, z: Array, field: Array) -> Array:
        """``a + (0, q) + S (cos, -sin) + |S| z``: along it lies the minimiser over the circle of what
        bounds the energy from above and touches it at ``z``."""
        cos, sin = z
        own = jnp.stack([self.injection * cos, self.quadrature - self.injection * sin])
        return field + own + jnp.abs(self.injection).astype(z.dtype) * z

    def minimise(self, z: Array, field: Array, curvature: Array) -> Array:
        """Along `pull`, held at ``z`` by the size of the curvature."""
        return self.retract(self.pull(z, field) + jnp.abs(curvature).astype(z.dtype) * z)

    def force(self, z: Array, field: Array) -> Array:
        """``-dV/dphi = (a_sin + q) cos phi - a_cos sin phi - S sin 2 phi``, in the layer's shape."""
        cos, sin = z
        upward = field[1] + self.quadrature
        force: Array = upward * cos - field[0] * sin - 2.0 * self.injection * sin * cos
        return force

    def velocity(self, z: Array, field: Array) -> Array:
        """``dz/dt``: the force along the circle, and a pull back to it where rounding left it."""
        inward = 0.5 * (1.0 - z[0] * z[0] - z[1] * z[1])
        return self.tangent(z, self.force(z, field)) + inward * z

    def tangent(self, z: Array, rate: Array) -> Array:
        return rate * turned(z)

    def move(self, z: Array, field: Array, dt: float) -> Array:
        """The rotation by ``2 arctan(dt F / 2)`` (Cayley's form): Euler's step in ``phi`` but for its third
        order, with the same fixed points."""
        return self.rotate(z, dt * self.force(z, field))

    def diffuse(
        self, z: Array, field: Array, dt: float, temperature: Array | float, noise: Array
    ) -> Array:
        return self.rotate(z, dt * self.force(z, field) + (2.0 * temperature * dt) ** 0.5 * noise)

    def scatter(self, key: PRNGKeyArray, z: Array) -> Array:
        return self.retract(jax.random.normal(key, z.shape, z.dtype))

    def saturation(self, z: Array) -> Array:
        """``1 - |sin phi|``: at ``phi = 0`` and ``pi`` no nudge has a hold."""
        return 1.0 - jnp.abs(z[1])

    @staticmethod
    def rotate(z: Array, angle: Array) -> Array:
        """``z`` turned by ``2 arctan(angle / 2)``; what rounding moved off the circle goes back to it."""
        half = 0.5 * angle
        square = half * half
        size = (1.5 - 0.5 * (z[0] * z[0] + z[1] * z[1])) / (1.0 + square)
        return size * (1.0 - square) * z + 2.0 * size * half * turned(z)


def turned(z: Array) -> Array:
    """``(-sin phi, cos phi)``: a quarter turn."""
    return jnp.concatenate([-z[1:], z[:1]])


def phases(z: Array) -> Array:
    """``phi`` in (-pi, pi] of oscillators ``(2, ...)``."""
    return jnp.arctan2(z[1], z[0])


def from_phases(phi: Array) -> Array:
    """``(cos phi, sin phi)`` on a leading axis."""
    return jnp.stack([jnp.cos(phi), jnp.sin(phi)])
