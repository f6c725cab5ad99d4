"""Quantisation: at most ``2^bits`` levels, all inside the range."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from eqprop._arguments import require_types
from eqprop.energies.derivatives import stopped, without_derivative


def check_bits(name: str, bits: int) -> None:
    """Raise ``ValueError`` for a number of bits that is no whole number from 1 up."""
    if bits != int(bits) or not 1 <= bits <= 24:
        raise ValueError(f"{name}: expected 1 to 24 bits, got {bits}.")


@dataclass(frozen=True)
class Ranges:
    """A range for each layer: ``limit`` times its factor, for the couplings that end there, its fields and
    its injections; ``limit`` for whatever is in none of them. Called with a parameter's name.

    Examples:
        >>> import eqprop as eq
        >>> limit = eq.hardware.Ranges(0.5, factors=(("out", 4.0),))
        >>> limit("x-h1.weight"), limit("h1-out.weight"), limit("out.bias")
        (0.5, 2.0, 2.0)
    """

    limit: float
    factors: tuple[tuple[str, float], ...] = ()

    def __post_init__(self):
        require_types(self)

    def __call__(self, name: str) -> float:
        return self.limit * dict(self.factors).get(_layer(name), 1.0)

    def check(self, names: PyTree) -> None:
        """Raise ``ValueError`` for a factor of a layer that no parameter belongs to."""
        known = {_layer(name) for name in jax.tree.leaves(names)}
        if unknown := sorted(layer for layer, _ in self.factors if layer not in known):
            raise ValueError(f"Ranges: expected layers among {sorted(known)}, got {unknown}.")


def _layer(name: str) -> str:
    """Where a coupling ends, or whose a field is."""
    return name.split(".")[0].split("-")[-1]


def ranges(limit: float | Ranges, names: PyTree) -> Ranges:
    """One range for all of these parameters, or the layers' own, checked."""
    if not isinstance(limit, Ranges):
        return Ranges(limit)
    limit.check(names)
    return limit


def check_limit(name: str, limit: float | Ranges) -> None:
    """Raise ``ValueError`` for a range that holds nothing."""
    given = limit if isinstance(limit, Ranges) else Ranges(limit)
    for value in (given.limit, *(given.limit * factor for _, factor in given.factors)):
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(
                f"{name}: expected a range [-limit, limit] with limit > 0, got {value}."
            )


def to_grid(
    value: Array, bits: int, low: float, high: float, key: PRNGKeyArray | None = None
) -> Array:
    """The nearest of ``2^bits`` levels ``low ... high``; with a key, one of the two next levels at random
    so that the mean is kept (stochastic rounding).

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> eq.hardware.to_grid(jnp.array([-9.0, 0.9, 1.1, 9.0]), bits=2, low=0.0, high=3.0).tolist()
        [0.0, 1.0, 1.0, 3.0]
    """
    steps = 2**bits - 1
    place = (jnp.clip(stopped(value), low, high) - low) * (steps / (high - low))
    if key is None:
        index = jnp.round(place)
    else:
        index = jnp.floor(place + jax.random.uniform(key, value.shape, value.dtype))
    rounded = low + jnp.minimum(index, steps) * ((high - low) / steps)
    return without_derivative(value, rounded, STEPS)


def to_circle(angle: Array, bits: int) -> Array:
    """The nearest of ``2^bits`` equal angles.

    Examples:
        >>> import math
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> quarters = eq.hardware.to_circle(jnp.array([0.1, 1.5, 3.0]), bits=2) / (math.pi / 2)
        >>> [round(float(turn), 3) for turn in quarters]
        [0.0, 1.0, 2.0]
    """
    step = 2 * math.pi / 2**bits
    return without_derivative(angle, step * jnp.round(stopped(angle) / step), STEPS)


STEPS = (
    "to_grid: expected no derivative of a rounded number, which goes in steps, got one; "
    "eqprop.hardware.Quantise passes it straight through."
)
