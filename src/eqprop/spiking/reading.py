"""What of a spiking phase enters the learning rule: spikes or firing probabilities, averaged over the last
steps. One step is the last spike or the last probability."""

from __future__ import annotations

from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array

from eqprop._arguments import Checked, Count


class Reading(Checked):
    """A number in [0, 1] a neuron: the mean over the last ``steps`` steps of what `of` takes of each.

    Examples:
        >>> import jax.numpy as jnp
        >>> from eqprop import spiking as sp
        >>> class Bit(sp.Reading):  # a comparator in each neuron
        ...     steps: int = 1
        ...     def of(self, shown, p):
        ...         return (p > 0.5).astype(p.dtype)
        >>> spikes, p = jnp.array([0.0, 1.0]), jnp.array([0.25, 0.75])
        >>> [reading.of(spikes, p).tolist() for reading in (sp.Rates(), sp.Probabilities(), Bit())]
        [[0.0, 1.0], [0.25, 0.75], [0.0, 1.0]]
    """

    steps: eqx.AbstractVar[int]

    @abstractmethod
    def of(self, shown: Array, p: Array) -> Array:
        """Of one layer in one step, which ``shown`` spikes, as numbers."""


class Rates(Reading):
    """Spike rates: all that a device without analog read-out knows of its neurons."""

    steps: Count = eqx.field(default=1, static=True)

    def of(self, shown: Array, p: Array) -> Array:
        return shown


class Probabilities(Reading):
    """Firing probabilities, which each neuron knows of itself: the mean of its next spike given its
    membrane, so that they carry less noise than the spikes."""

    steps: Count = eqx.field(default=1, static=True)

    def of(self, shown: Array, p: Array) -> Array:
        return p
