"""What an echo answers to its nudges: by two echoes, or by one and its linear response."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from eqprop.arguments import Checked


class Response(Checked):
    """Two arrays on a leading axis that stand for an echo and its answer to a nudge."""

    @abstractmethod
    def begin(self, z: Array) -> Array:
        """Not nudged."""

    @abstractmethod
    def nudged(self, pair: Array, slope: Array | None, gain: Array) -> Array:
        """Pushed down a slope."""

    @abstractmethod
    def slope(self, potential: Callable[..., Array], pair: Array, u: Array) -> Array:
        """``dV/dq`` of both."""

    @abstractmethod
    def change(self, energy: Callable[..., Array], *pairs: Array) -> Array:
        """The derivative of an energy in the nudge."""

    @abstractmethod
    def place(self, pair: Array) -> Array:
        """Where the echo is, but for the square of the nudge."""

    @abstractmethod
    def difference(self, pair: Array) -> Array:
        """The derivative of a place in the nudge."""


class Limit(Response):
    """The echo, and its linear response."""

    def begin(self, z: Array) -> Array:
        return jnp.stack([z, jnp.zeros_like(z)])

    def nudged(self, pair: Array, slope: Array | None, gain: Array) -> Array:
        return pair if slope is None else pair.at[1].add(-gain * slope)

    def slope(self, potential: Callable[..., Array], pair: Array, u: Array) -> Array:
        force = jax.grad(lambda q: potential(q, u))
        return jnp.stack(jax.jvp(force, (pair[0],), (pair[1],)))

    def change(self, energy: Callable[..., Array], *pairs: Array) -> Array:
        places, answers = zip(*pairs, strict=True)
        return jax.jvp(energy, tuple(places), tuple(answers))[1]

    def place(self, pair: Array) -> Array:
        return pair[0]

    def difference(self, pair: Array) -> Array:
        return pair[1]


class Pair(Response):
    """Two echoes, nudged either way by ``size`` times the slopes."""

    size: Array

    def begin(self, z: Array) -> Array:
        return jnp.stack([z, z])

    def nudged(self, pair: Array, slope: Array | None, gain: Array) -> Array:
        if slope is None:
            return pair
        push = self.size * gain * slope
        return pair + jnp.stack([-push, push])

    def slope(self, potential: Callable[..., Array], pair: Array, u: Array) -> Array:
        return jax.vmap(jax.grad(potential), (0, None))(pair, u)

    def change(self, energy: Callable[..., Array], *pairs: Array) -> Array:
        there, back = (energy(*(pair[sign] for pair in pairs)) for sign in (0, 1))
        return (there - back) / (2.0 * self.size)

    def place(self, pair: Array) -> Array:
        return 0.5 * (pair[0] + pair[1])

    def difference(self, pair: Array) -> Array:
        return (pair[0] - pair[1]) / (2.0 * self.size)
