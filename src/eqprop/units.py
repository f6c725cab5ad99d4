"""Units: the domain of one layer, and how a layer answers its field.

A layer holds a state ``z`` and shows ``u = embed(z)`` to its neighbours and to the cost. With
``coupling(u)`` for everything in the energy but the self-energies,

    E(z) = sum_l potential_l(z_l) + coupling(embed(z)),      field a = -d coupling / d u,

every unit here is normalised so that ``dE/du = z - a`` inside its domain. One rule follows for all
of them: the layer answers a field with ``retract(a)``, which is the exact minimiser over the layer,
and relaxes by ``z <- retract(z + dt (a - z))``. A unit of another geometry, such as the circle of an
oscillator, says itself how it moves.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from eqprop.arguments import Checked
from eqprop.conditional import truncated_mean, truncated_normal
from eqprop.noise import normal


class Unit(Checked):
    """The domain of one layer; shapes are those of the layer, after the unit's ``components``."""

    smooth: ClassVar[bool]
    """Whether the answer to a field is holomorphic, as complex nudges require."""
    walled: ClassVar[bool] = False
    """Whether the domain ends somewhere, so that noise must be reflected."""
    discrete: ClassVar[bool] = False
    """Whether the domain is a set of points, on which energies have no gradient."""
    components: ClassVar[tuple[int, ...]] = ()
    """Leading axes of the state of one neuron: none for a number, ``(2,)`` for a point of the plane."""

    @abstractmethod
    def embed(self, z: Array) -> Array:
        """What neighbours and costs see."""

    def invert(self, u: Array) -> Array:
        """The state that shows ``u``."""
        return u

    @abstractmethod
    def potential(self, z: Array) -> Array:
        """Self-energy, elementwise, with ``d potential / d embed = z``."""

    @abstractmethod
    def retract(self, z: Array) -> Array:
        """The nearest point of the domain; of a field, the state that minimises the energy."""

    @abstractmethod
    def minimise(self, z: Array, field: Array, curvature: Array) -> Array:
        """The layer's answer from ``z`` where the coupling has a curvature ``q`` in ``u``.

        Minimises ``potential - a (u - u_z) + q/2 (u - u_z)^2``: exactly for a quadratic self-energy,
        elsewhere an upper bound of it in the Bregman distance of the self-energy, whose curvature in
        ``u`` is at least 1. Not finite where there is no minimum.
        """

    @abstractmethod
    def saturation(self, z: Array) -> Array:
        """For each neuron, from 0 where it responds to its field to 1 where it does not."""

    def read(self, u: Array) -> Array:
        """The part of what the layer shows that inputs, biases, costs and numbers couple to."""
        return u

    def velocity(self, z: Array, field: Array) -> Array:
        """``dz/dt`` of the relaxation; zero exactly at the layer's equilibria, and a way downhill."""
        return self.retract(field) - z

    def move(self, z: Array, field: Array, dt: float) -> Array:
        """One explicit step of length ``dt``, inside the domain."""
        return self.retract(z + dt * (field - z))

    def diffuse(
        self, z: Array, field: Array, dt: float, temperature: Array | float, noise: Array
    ) -> Array:
        """The same step at a temperature: one standard normal number a neuron, times
        ``sqrt(2 T dt)``, reflected at the domain's walls."""
        return self.reflect(self.move(z, field, dt) + (2.0 * temperature * dt) ** 0.5 * noise)

    def sample(
        self, key: PRNGKeyArray, z: Array, field: Array, curvature: Array, temperature: Array
    ) -> Array:
        """A draw from the layer's law where all else is fixed, ``minimise`` at a temperature:
        ``exp(-(potential - a (u - u_z) + q/2 (u - u_z)^2) / T) du``. Raises ``ValueError`` where there is
        no exact one."""
        raise ValueError(
            f"{type(self).__name__}: expected a unit with an exact conditional, such as Box, Linear, Spin, "
            "Bernoulli, Logistic or Tanh, got one without; use UnadjustedLangevin."
        )

    def mean(self, z: Array, field: Array, curvature: Array, temperature: Array) -> Array:
        """The mean of `sample`'s law, for units whose state is what they show; else ``ValueError``."""
        raise ValueError(
            f"{type(self).__name__}: expected a unit whose conditional mean is known, such as Box, Linear, "
            "Spin or Bernoulli; read the Draws."
        )

    def log_measure(self, z: Array) -> Array:
        """``log du/dz``, elementwise: thermal laws are ``exp(-E / T)`` in what the layer shows."""
        return jnp.zeros_like(z)

    def scatter(self, key: PRNGKeyArray, z: Array) -> Array:
        """A random point of the domain, whatever the energy: where chains may start."""
        return self.reflect(z + jax.random.normal(key, z.shape, z.dtype))

    def tangent(self, z: Array, rate: Array) -> Array:
        """``dz/dt`` of a motion along the domain at one rate a neuron."""
        return rate

    def reflect(self, z: Array) -> Array:
        """``z`` mirrored at the walls of the domain, where it has any."""
        return z


class Wrapped(Unit):
    """A unit around another, of the same kind."""

    unit: Unit

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        return self.unit.smooth

    @property
    def walled(self) -> bool:  # type: ignore[override]
        return self.unit.walled

    @property
    def discrete(self) -> bool:  # type: ignore[override]
        return self.unit.discrete

    @property
    def components(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.unit.components


class Linear(Unit):
    """The whole real line: ``u = z``, potential ``z^2 / 2``."""

    smooth: ClassVar[bool] = True

    def embed(self, z: Array) -> Array:
        return z

    def potential(self, z: Array) -> Array:
        return 0.5 * z * z

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


class Box(Unit):
    """An interval: ``u = z`` in ``[low, high]``, potential ``z^2 / 2``; the answer is a clip."""

    low: float = eqx.field(default=0.0, static=True)
    high: float = eqx.field(default=1.0, static=True)
    smooth: ClassVar[bool] = False
    walled: ClassVar[bool] = True

    def __check_init__(self):
        if not self.low < self.high:
            raise ValueError(f"Box: expected low < high, got low={self.low}, high={self.high}.")

    def embed(self, z: Array) -> Array:
        return z

    def potential(self, z: Array) -> Array:
        return 0.5 * z * z

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
    """The interval [-1, 1]."""
    return Box(-1.0, 1.0)


def relu() -> Box:
    """The half-line from 0: rectified, for networks whose feedback is weak enough to stay bounded."""
    return Box(0.0, math.inf)


def relu6() -> Box:
    """The interval [0, 6]: the clipped ReLU of deep Hopfield networks."""
    return Box(0.0, 6.0)


State = dict[str, Array]
Units = dict[str, Unit]


def embed(units: Units, state: State) -> State:
    """What every layer shows."""
    return {name: units[name].embed(z) for name, z in state.items()}


def read(units: Units, shown: State) -> State:
    """What costs see of what every layer shows."""
    return {name: units[name].read(u) for name, u in shown.items()}


def retract(units: Units, state: State) -> State:
    """Every layer inside its domain."""
    return {name: units[name].retract(z) for name, z in state.items()}


def self_energy(units: Units, state: State) -> Array:
    """Sum of the units' potentials: a scalar."""
    return jax.tree.reduce(
        jnp.add, {name: jnp.sum(units[name].potential(z)) for name, z in state.items()}
    )
