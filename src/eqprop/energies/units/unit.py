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

from abc import abstractmethod
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Checked


class Unit(Checked):
    """The domain of one layer; shapes are those of the layer, after the unit's ``components``.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> def shown(unit: eq.Unit, field: float) -> float:
        ...     return round(float(unit.embed(unit.retract(jnp.array(field)))), 3)
        >>> [shown(unit, 2.0) for unit in (eq.Linear(), eq.Box(0.0, 1.0), eq.Tanh())]
        [2.0, 1.0, 0.964]
    """

    smooth: ClassVar[bool]
    """Whether the answer to a field is holomorphic, as complex nudges require."""
    walled: ClassVar[bool] = False
    """Whether the domain ends somewhere, so that noise must be reflected."""
    discrete: ClassVar[bool] = False
    """Whether the domain is a set of points, on which energies have no gradient."""
    components: ClassVar[tuple[int, ...]] = ()
    """Leading axes of the state of one neuron: none for a number, ``(2,)`` for a point of the plane."""
    silent: ClassVar[bool] = False
    """Whether a layer at rest shows zeros, which need not be multiplied."""

    @property
    def coupled(self) -> tuple[int, ...]:
        """The components by which it couples to its like; none where it does by what it `read`s."""
        return self.components

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


class Quadratic(Unit):
    """A unit that shows its state, ``u = z``, with the potential ``z^2 / 2``."""

    def embed(self, z: Array) -> Array:
        return z

    def potential(self, z: Array) -> Array:
        return 0.5 * z * z


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

    @property
    def coupled(self) -> tuple[int, ...]:
        return self.unit.coupled


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
