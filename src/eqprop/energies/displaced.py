"""Landscapes of differences: an energy about a state, in units of how far one goes from there.

About a state ``z0`` an energy that is quadratic in its states is, with ``z = z0 + s e``,

    (E(z) - E(z0)) / s^2 = sum_l potential_l(e_l) - sum_l <b_l, e_l> - sum_e <e_target, op_e(e_source)>

inside the domain moved by ``-z0``: the same network, without its input, of other units (`Span`, `Arc`) and
with what the fields are at ``z0`` in place of its biases. ``e`` has all the digits of its float type, which
a small change of the state as a whole has not.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from eqprop.energies.energy import Clamped
from eqprop.energies.network import ClampedNetwork
from eqprop.energies.ops import cast, is_linear
from eqprop.energies.units.interval import Box, Linear
from eqprop.energies.units.oscillator import Oscillator, turned
from eqprop.energies.units.unit import Quadratic, State, Unit

Kinds = tuple[type[Unit], ...]

QUADRATIC: Kinds = (Box, Linear, Oscillator)
"""Units whose self-energy is quadratic in what they show."""


class Span(Quadratic):
    """An interval of its own for each neuron: ``u = z`` in ``[low, high]``, potential ``z^2 / 2``."""

    low: Array
    high: Array
    smooth: ClassVar[bool] = False
    walled: ClassVar[bool] = True
    silent: ClassVar[bool] = True

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

    ``stiffness`` is the length of `Oscillator.pull` at the origin, which counts as if it lay along it. The
    potential is ``(stiffness - |S|) |e|^2 / 2 - (S / 2) (e_cos^2 - e_sin^2)``.
    """

    origin: Array
    stiffness: Array
    scale: Array
    injection: Array | float
    in_phase: bool = eqx.field(static=True)
    smooth: ClassVar[bool] = False
    components: ClassVar[tuple[int, ...]] = (2,)
    silent: ClassVar[bool] = True

    @property
    def coupled(self) -> tuple[int, ...]:
        return () if self.in_phase else self.components

    def embed(self, z: Array) -> Array:
        return z

    def read(self, u: Array) -> Array:
        return u[0]

    def potential(self, z: Array) -> Array:
        cos, sin = z[0] * z[0], z[1] * z[1]
        free = self.stiffness - jnp.abs(self.injection)
        return 0.5 * (free * (cos + sin) - self.injection * (cos - sin))

    def retract(self, z: Array) -> Array:
        return self._answer(jnp.ones_like(self.stiffness), z)

    def minimise(self, z: Array, field: Array, curvature: Array) -> Array:
        """`Oscillator.minimise`, for differences."""
        hold = jnp.abs(curvature).astype(z.dtype)
        return self._answer(self.stiffness + hold, self._change(z, field) + hold * z)

    def velocity(self, z: Array, field: Array) -> Array:
        """``de/dt``: the force along the circle, ``-dE/dphi / scale``."""
        across, ahead = turned(self.origin), turned(self.origin + self.scale * z)
        force = jnp.sum(ahead * self._change(z, field) - self.stiffness * across * z, 0)
        return force * ahead

    def move(self, z: Array, field: Array, dt: float) -> Array:
        return self.retract(z + dt * self.velocity(z, field))

    def saturation(self, z: Array) -> Array:
        return 1.0 - jnp.abs(self.origin[1] + self.scale * z[1])

    def _change(self, z: Array, field: Array) -> Array:
        """By how much the pull changes from the origin to ``z``, over the scale."""
        return Oscillator(self.injection).pull(z, field)

    def _answer(self, stiffness: Array, change: Array) -> Array:
        """``(retract(stiffness origin + scale change) - origin) / scale``. What turns the point is taken
        across the origin, so that a nearly locked one keeps its digits too."""
        largest = jnp.maximum(stiffness, jnp.max(jnp.abs(self.scale * change), 0))
        largest = jnp.where(largest > 0, largest, 1.0)
        pull = stiffness / largest * self.origin + self.scale / largest * change
        length = jnp.sqrt(pull[0] * pull[0] + pull[1] * pull[1])
        ends = Oscillator().retract(pull)
        across = turned(self.origin)
        cosine = jnp.sum(self.origin * ends, 0)
        near = cosine > 0
        rate = jnp.sum(across * change, 0) / largest / jnp.where(near, length, 1.0)
        back = self.scale * rate * rate / jnp.where(near, 1.0 + cosine, 1.0)
        scale = jnp.where(self.scale > 0, self.scale, 1.0)
        return jnp.where(near, rate * across - back * self.origin, (ends - self.origin) / scale)


def about(phase: Clamped, origin: State, fields: State, scale: Array, dtype: Any) -> ClampedNetwork:
    """The landscape of ``e = (z - origin) / scale`` in ``dtype``; ``fields`` are those in the origin.

    Raises ``ValueError`` where the energy is not known to be quadratic in the states.
    """
    network = require_quadratic(phase)
    largest = float(jnp.finfo(dtype).max) / 4
    units: dict[str, Unit] = {}
    drive: dict[str, Array] = {}

    def in_units(a: Array) -> Array:
        return jnp.clip(a / scale, -largest, largest)

    for name, z in origin.items():
        unit, a = network.units[name], fields[name]
        if isinstance(unit, Oscillator):
            stiffness = jnp.hypot(*unit.pull(z, a))
            units[name] = Arc(z, stiffness, scale, unit.injection, unit.in_phase)
            drive[name] = jnp.zeros_like(network.drive[name])
            continue
        low, high = (unit.low, unit.high) if isinstance(unit, Box) else (-jnp.inf, jnp.inf)
        units[name], drive[name] = Span(in_units(low - z), in_units(high - z)), in_units(a - z)
    return cast(dataclasses.replace(network, units=units, drive=drive), dtype)


def no_difference(like: State, dtype: Any) -> State:
    """No difference."""
    return {name: jnp.zeros(z.shape, dtype) for name, z in like.items()}


def require_quadratic(phase: Clamped, kinds: Kinds = QUADRATIC) -> ClampedNetwork:
    """The phase, if its energy is quadratic in its states; else ``ValueError``."""
    network = require_affine(phase, kinds)
    for name, edge in network.edges.items():
        if not is_linear(edge.op):
            raise ValueError(
                f"Differences: edge {name!r} expected a linear operator (dense, convolution, average "
                "pooling), got one that is not, or does not say so by an attribute `linear`; relax and "
                "nudge in full precision."
            )
    return network


def require_affine(phase: Clamped, kinds: Kinds = QUADRATIC) -> ClampedNetwork:
    """The phase, if it is a Network's whose units are of these kinds; else ``ValueError``."""
    if not isinstance(phase, ClampedNetwork):
        raise ValueError(
            "Differences: expected the free phase of a Network, whose fields are affine in its states, got "
            f"{type(phase).__name__}; relax and nudge in full precision."
        )
    for name, unit in phase.units.items():
        if not isinstance(unit, kinds):
            known = ", ".join(kind.__name__ for kind in kinds[:-1]) + f" or {kinds[-1].__name__}"
            raise ValueError(
                f"Differences: layer {name!r} expected a {known} unit, got {type(unit).__name__}; relax "
                "and nudge in full precision."
            )
    return phase
