"""Quantisation: at most ``2^bits`` levels, all inside the range."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray


def check_bits(name: str, bits: int) -> None:
    """Raise ``ValueError`` for a number of bits that is no whole number from 1 up."""
    if bits != int(bits) or not 1 <= bits <= 24:
        raise ValueError(f"{name}: expected 1 to 24 bits, got {bits}.")


def check_limit(name: str, limit: float) -> None:
    """Raise ``ValueError`` for a range that holds nothing."""
    if not (limit > 0 and math.isfinite(limit)):
        raise ValueError(f"{name}: expected a range [-limit, limit] with limit > 0, got {limit}.")


def to_grid(
    value: Array, bits: int, low: float, high: float, key: PRNGKeyArray | None = None
) -> Array:
    """The nearest of ``2^bits`` levels ``low ... high``; with a key, one of the two next levels at random
    so that the mean is kept (stochastic rounding)."""
    steps = 2**bits - 1
    place = (jnp.clip(value, low, high) - low) * (steps / (high - low))
    if key is None:
        index = jnp.round(place)
    else:
        index = jnp.floor(place + jax.random.uniform(key, value.shape, value.dtype))
    return low + jnp.minimum(index, steps) * ((high - low) / steps)


def to_circle(angle: Array, bits: int) -> Array:
    """The nearest of ``2^bits`` equal angles."""
    step = 2 * math.pi / 2**bits
    return step * jnp.round(angle / step)
