"""Firing: how membranes become spikes, 0 or 1 for a neuron and a step.

A neuron's firing probability ``p = sigma(u)`` is what its unit shows where its field is the membrane
``u``: ``1 / (1 + exp(-4 (u - 1/2)))`` of a `Logistic`, ``clip(u, 0, 1)`` of a `Box`, ``clip(u / 2, 0, 1)``
of a `Ramp`.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from eqprop._arguments import Checked, Count, Positive
from eqprop.energies.units.interval import Box, Ramp
from eqprop.energies.units.sigmoid import Logistic
from eqprop.energies.units.stiff import Stiff
from eqprop.energies.units.unit import Unit, Units

COUNTS = jnp.uint16


def probability(unit: Unit, membrane: Array) -> Array:
    """``p = sigma(u)``, in the shape of ``u``."""
    return unit.embed(unit.retract(membrane))


def check_units(units: Units, graded: tuple[str, ...]) -> None:
    """Raise ``ValueError`` where a layer that should spike has no firing probability in [0, 1]."""
    if unknown := sorted(set(graded) - set(units)):
        raise ValueError(
            f"Spiking: expected graded layers among {list(units)}, got {unknown}; name layers of the "
            "network."
        )
    for name, unit in units.items():
        if name in graded and unit.components:
            raise ValueError(
                f"Spiking: graded layer {name!r} expected one number a neuron, got {type(unit).__name__}; "
                "use Linear."
            )
        if name not in graded and not _fires(unit):
            raise ValueError(
                f"Spiking: layer {name!r} expected a unit that shows a probability in [0, 1], Logistic, "
                f"Ramp or Box inside [0, 1], got {unit}, whose probabilities would be negative, above 1 or "
                f"not defined; change the unit, or let the layer show its membrane with graded=({name!r},)."
            )


def _fires(unit: Unit) -> bool:
    if isinstance(unit, Stiff):
        return _fires(unit.unit)
    inside = isinstance(unit, Box) and 0 <= unit.low < unit.high <= 1
    return inside or isinstance(unit, Logistic | Ramp)


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def numbers(spikes: Array, p: Array, population: int = 1) -> Array:
    """Spikes as 0.0 and 1.0, of a population the share that fired.

    Differentiated, the slope is that of ``p``: a straight-through surrogate, of which relaxation, which
    differentiates nothing, knows nothing.
    """
    shown = spikes.astype(p.dtype)
    if shown.ndim > p.ndim:
        shown = sum(shown[1:], shown[0])  # twice as fast as a reduction, which does not fuse
    return shown / population if population > 1 else shown


@numbers.defjvp
def _numbers_jvp(population, primals, tangents):
    return numbers(*primals, population), tangents[1]


class Firing(Checked):
    """A rule of firing for one layer.

    ``population`` neurons share a membrane, which takes ``draws`` random numbers in a step.
    ``follows_energy`` says whether the mean spike answers the field as the network's energy has it, which
    equilibrium propagation needs.

    Examples:
        >>> from eqprop import spiking as sp
        >>> rules: list[sp.Firing] = [sp.Drawn(4), sp.Staggered(4), sp.SigmaDelta(), sp.Threshold(0.5)]
        >>> [rule.draws for rule in rules]  # random numbers a membrane and step
        [4, 1, 0, 0]
        >>> [rule.follows_energy for rule in rules]  # what equilibrium propagation can nudge
        [True, True, True, False]
    """

    follows_energy: ClassVar[bool] = True

    @property
    def population(self) -> int:
        return 1

    @property
    def draws(self) -> int:
        return 0

    def neurons(self, spikes: Array) -> Array:
        """Booleans, of a population on a leading axis: which neurons fired."""
        return spikes

    def rest(self, membrane: Array) -> Array:
        """What the rule remembers of a neuron before its first step."""
        return jnp.zeros((), membrane.dtype)

    @abstractmethod
    def __call__(
        self, uniform: Array, p: Array, membrane: Array, memory: Array
    ) -> tuple[Array, Array, Array]:
        """Spikes, and the membrane and the memory after them. ``uniform``, ``(draws, ...)``, lies in
        [0, 1)."""


class Drawn(Firing):
    """A spike with probability ``p``, independent of all others given the membranes.

    ``population`` neurons share each membrane and draw for themselves; their spikes lie on a leading axis,
    and neighbours see the share of them that fired, through synapses of ``1 / population`` of the weight.
    The variance that spikes bring to a membrane is that much smaller, as it would be with a smaller leak,
    at the price of draws and not of products or steps.

    Examples:
        >>> import jax.numpy as jnp
        >>> from eqprop.spiking import Drawn
        >>> rule, p, nothing = Drawn(population=2), jnp.array([0.5]), jnp.zeros(1)
        >>> spikes, *_ = rule(jnp.array([[0.4], [0.6]]), p, p, nothing)  # a number for each neuron
        >>> spikes[:, 0].tolist()
        [True, False]
    """

    population: Count = eqx.field(default=1, static=True)

    @property
    def draws(self) -> int:
        return self.population

    def __call__(
        self, uniform: Array, p: Array, membrane: Array, memory: Array
    ) -> tuple[Array, Array, Array]:
        fired = uniform < p
        return fired if self.population > 1 else fired[0], membrane, memory


class Staggered(Firing):
    """A population whose ``M`` neurons fire one after another as the membrane rises: neuron ``m`` where
    ``(m + uniform) / M < p``, with probability ``clip(M p - m, 0, 1)``.

    The share that fires has the mean ``p`` and a deviation of at most ``1 / (2 M)``, for one draw a
    membrane and the cost of one neuron: how many fired says which. No energy tells it from a `Drawn`
    population.

    Raises ``ValueError`` for a population outside 1 to 65535.

    Examples:
        >>> import jax.numpy as jnp
        >>> from eqprop.spiking import Staggered
        >>> rule, p, nothing = Staggered(population=4), jnp.array([0.6]), jnp.zeros(1)
        >>> fired, *_ = rule(jnp.array([[0.5]]), p, p, nothing)  # where (m + 0.5) / 4 < 0.6
        >>> rule.neurons(fired)[:, 0].tolist()
        [True, True, False, False]
    """

    population: Count = eqx.field(default=8, static=True)

    def __check_init__(self):
        most = jnp.iinfo(COUNTS).max
        if self.population > most:
            raise ValueError(
                f"Staggered: expected a population from 1 to {most}, got {self.population}."
            )

    @property
    def draws(self) -> int:
        return 1

    def neurons(self, spikes: Array) -> Array:
        if spikes.dtype != COUNTS:
            raise ValueError(
                f"Staggered: expected spikes as how many of a population fired, {COUNTS.__name__}, got "
                f"{spikes.dtype}; a rate converts by `(rate * population).astype('uint16')`."
            )
        rank = jnp.arange(self.population, dtype=spikes.dtype)
        return rank.reshape(-1, *(1 for _ in spikes.shape)) < spikes

    def __call__(
        self, uniform: Array, p: Array, membrane: Array, memory: Array
    ) -> tuple[Array, Array, Array]:
        fired = jnp.clip(jnp.ceil(self.population * p - uniform[0]), 0, self.population)
        return fired.astype(COUNTS), membrane, memory


class SigmaDelta(Firing):
    """First-order sigma-delta: ``e <- e + p``; a spike where ``e >= 1``; ``e <- e - spike``. No noise: the
    rate over ``K`` steps is the mean of ``p`` to ``1 / K``.

    Examples:
        >>> import jax.numpy as jnp
        >>> from eqprop.spiking import SigmaDelta
        >>> rule, p = SigmaDelta(), jnp.array([0.25])
        >>> memory, train = rule.rest(p), []
        >>> for _ in range(8):
        ...     spikes, _, memory = rule(jnp.zeros(()), p, p, memory)
        ...     train.append(int(spikes[0]))
        >>> train  # one in four
        [0, 1, 0, 0, 0, 1, 0, 0]
    """

    def rest(self, membrane: Array) -> Array:
        return jnp.full_like(membrane, 0.5)

    def __call__(
        self, uniform: Array, p: Array, membrane: Array, memory: Array
    ) -> tuple[Array, Array, Array]:
        charge = memory + p
        spikes = charge >= 1
        return spikes, membrane, charge - spikes.astype(charge.dtype)


class Threshold(Firing):
    """A spike where ``u >= threshold``; then ``u <- 0``, a hard reset. No energy has these dynamics.

    Examples:
        >>> import jax.numpy as jnp
        >>> from eqprop.spiking import Threshold
        >>> u, nothing = jnp.array([0.25, 0.75]), jnp.zeros(())
        >>> spikes, membrane, _ = Threshold(0.5)(nothing, u, u, nothing)
        >>> spikes.tolist(), membrane.tolist()  # the one that fired forgets
        ([False, True], [0.25, 0.0])
    """

    threshold: Positive = eqx.field(default=0.5, static=True)
    follows_energy: ClassVar[bool] = False

    def __call__(
        self, uniform: Array, p: Array, membrane: Array, memory: Array
    ) -> tuple[Array, Array, Array]:
        spikes = membrane >= self.threshold
        return spikes, jnp.where(spikes, 0.0, membrane), memory
