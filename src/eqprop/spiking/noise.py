"""Uniform numbers at the price of a few integer operations, one 32-bit word a number.

A counter hash: word ``i`` of a key ``(a, b)`` is ``mix((i * odd + a) ^ b)``, where `mix` lets every bit of
32 change every other (constants: C. Wellons, "Prospecting for hash functions", public domain). Keys are
JAX's own, split and folded as ever; Threefry, JAX's generator, costs many times as much, and more than all
else of a spiking step. Among the generators that `benchmarks.spiking` compares this is the cheapest that
passes its statistical tests.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

GOLDEN, FIRST, SECOND = 0x9E3779B9, 0x7FEB352D, 0x846CA68B


def uniform(key: PRNGKeyArray, count: int) -> Array:
    """``count`` numbers in [0, 1), multiples of 2^-24, float32."""
    return (words(key, count) >> 8).astype(jnp.float32) * np.float32(2.0**-24)


def words(key: PRNGKeyArray, count: int) -> Array:
    """``count`` words of 32 random bits."""
    a, b = jax.random.key_data(key)[:2]
    counter = jnp.arange(count, dtype=jnp.uint32) * np.uint32(GOLDEN)
    return mix((counter + a) ^ b)


def mix(x: Array) -> Array:
    """A bijection of 32-bit words: a change of one bit changes each other with probability near 1/2."""
    x = (x ^ (x >> 16)) * np.uint32(FIRST)
    x = (x ^ (x >> 15)) * np.uint32(SECOND)
    return x ^ (x >> 16)
