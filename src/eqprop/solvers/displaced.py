"""Landscapes of differences: an energy about a state, in units of how far one goes from there.

About a state ``z0`` an energy that is quadratic in its states is, with ``z = z0 + s e``,

    (E(z) - E(z0)) / s^2 = sum_l potential_l(e_l) - sum_l <b_l, e_l> - sum_e <e_target, op_e(e_source)>

inside the domain moved by ``-z0``: the same network, without its input, of other units (`Span`, `Arc`) and
with what pulls at ``z0`` in place of its biases. ``e`` has all the digits of its float type, which a small
change of the state as a whole has not.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array

from eqprop.energy import Clamped
from eqprop.linear import is_linear
from eqprop.network import ClampedNetwork
from eqprop.ops import cast
from eqprop.oscillator import Oscillator, turned
from eqprop.units import Box, Linear, State, Unit


class Span(Unit):
    """An interval of its own for each neuron: ``u = z`` in ``[low, high]``, potential ``z^2 / 2``."""

    low: Array
    high: Array
    smooth: ClassVar[bool] = False
    walled: ClassVar[bool] = True

    def embed(self, z: Array) -> Array:
        return z

    def potential(self, z: Array) -> Array:
        return 0.5 * z * z

    def retract(self, z: Array) -> Array:
        return jnp.clip(z, self.low, self.high)

    def minimise(self, z: Array, field: Array, curvature: Array) -> Array:
        """Not a number where the energy is not convex in the layer."""
        stiffness = 1.0 + curvature
        inside = self.retract((field + curvature * z) / stiffness)
        return jnp.where(stiffness > 0, inside, jnp.nan)

    def saturation(self, z: Array) -> Array:
        return ((z <= self.low) | (z >= self.high)).astype(z.dtype)


class Arc(Unit):
    """The circle about a point of it: ``u = e``, shape (2, ...), with ``origin + scale e`` on the circle.

    ``pull`` is `Oscillator.pull` at the origin, along which it lies; the potential is
    ``-<pull, e> / scale - (S / 2) (e_cos^2 - e_sin^2) - |S| |e|^2 / 2``.
    """

    origin: Array
    pull: Array
    scale: Array
    injection: Array | float
    smooth: ClassVar[bool] = False
    components: ClassVar[tuple[int, ...]] = (2,)

    def embed(self, z: Array) -> Array:
        return z

    def read(self, u: Array) -> Array:
        return u[0]

    def potential(self, z: Array) -> Array:
        cos, sin = z
        held = jnp.sum(self.pull * z, 0) / self.scale
        hold = jnp.abs(self.injection) * (cos * cos + sin * sin)
        return -held - 0.5 * (self.injection * (cos * cos - sin * sin) + hold)

    def retract(self, z: Array) -> Array:
        return self._answer(self.origin, z)

    def minimise(self, z: Array, field: Array, curvature: Array) -> Array:
        """`Oscillator.minimise`, for differences."""
        hold = jnp.abs(curvature).astype(z.dtype)
        return self._answer(self.pull + hold * self.origin, self._change(z, field) + hold * z)

    def velocity(self, z: Array, field: Array) -> Array:
        """``de/dt``: the force along the circle, ``-dE/dphi / scale``."""
        ahead = turned(self.origin + self.scale * z)
        force = jnp.sum(turned(z) * self.pull + ahead * self._change(z, field), 0)
        return force * ahead

    def move(self, z: Array, field: Array, dt: float) -> Array:
        return self.retract(z + dt * self.velocity(z, field))

    def saturation(self, z: Array) -> Array:
        return 1.0 - jnp.abs(self.origin[1] + self.scale * z[1])

    def _change(self, z: Array, field: Array) -> Array:
        """By how much the pull changes from the origin to ``z``, over the scale."""
        mirrored = jnp.stack([z[0], -z[1]])
        return field + self.injection * mirrored + jnp.abs(self.injection) * z

    def _answer(self, pull: Array, change: Array) -> Array:
        """``(retract(pull + scale change) - origin) / scale`` for an origin along ``pull``: no digit is
        lost, however small the scale."""
        before, after = length(pull), length(pull + self.scale * change)
        both = jnp.sum(change * (2.0 * pull + self.scale * change), 0)
        known = after > 0
        after = jnp.where(known, after, 1.0)
        return jnp.where(known, (change - both / (after + before) * self.origin) / after, 0.0)


def length(z: Array) -> Array:
    """Of points of the plane, ``(2, ...)``."""
    return jnp.sqrt(z[0] * z[0] + z[1] * z[1])


def settled(unit: Unit, z: Array, field: Array) -> tuple[Array, Array]:
    """Where a layer goes from ``z`` in its field, and what pulls at it there: `Oscillator.pull`, or the
    field less the state."""
    if isinstance(unit, Oscillator):
        pull = unit.pull(z, field)
        return unit.retract(pull), pull
    origin = unit.retract(field)
    return origin, field - origin


def about(phase: Clamped, origin: State, pull: State, scale: Array, dtype: Any) -> ClampedNetwork:
    """The landscape of ``e = (z - origin) / scale`` in ``dtype``, where ``pull`` is as `settled` says.

    Raises ``ValueError`` where the energy is not known to be quadratic in the states.
    """
    network = require_quadratic(phase)
    largest = float(jnp.finfo(dtype).max) / 4
    units: dict[str, Unit] = {}
    drive: dict[str, Array] = {}

    def in_units(a: Array) -> Array:
        return jnp.clip(a / scale, -largest, largest)

    for name, z in origin.items():
        unit = network.units[name]
        if isinstance(unit, Oscillator):
            units[name] = Arc(z, pull[name], scale, unit.injection)
            drive[name] = jnp.zeros_like(network.drive[name])
            continue
        low, high = (unit.low, unit.high) if isinstance(unit, Box) else (-jnp.inf, jnp.inf)
        units[name], drive[name] = Span(in_units(low - z), in_units(high - z)), in_units(pull[name])
    return cast(dataclasses.replace(network, units=units, drive=drive), dtype)


def nothing(like: State, dtype: Any) -> State:
    """No difference."""
    return {name: jnp.zeros(z.shape, dtype) for name, z in like.items()}


def require_quadratic(phase: Clamped) -> ClampedNetwork:
    """The phase, if its energy is quadratic in its states; else ``ValueError``."""
    network = require_affine(phase)
    for name, edge in network.edges.items():
        if not is_linear(edge.op):
            raise ValueError(
                f"Differences: edge {name!r} expected a linear operator (dense, convolution, average "
                "pooling), got one that is not, or does not say so by an attribute `linear`; relax and "
                "nudge in full precision."
            )
    return network


def require_affine(phase: Clamped) -> ClampedNetwork:
    """The phase, if it is a Network's whose units have quadratic self-energies; else ``ValueError``."""
    if not isinstance(phase, ClampedNetwork):
        raise ValueError(
            "Differences: expected the free phase of a Network, whose fields are affine in its states, got "
            f"{type(phase).__name__}; relax and nudge in full precision."
        )
    for name, unit in phase.units.items():
        if not isinstance(unit, Box | Linear | Oscillator):
            raise ValueError(
                f"Differences: layer {name!r} expected a Box, Linear or Oscillator unit, whose self-energy "
                f"is quadratic, got {type(unit).__name__}; relax and nudge in full precision."
            )
    return phase
