"""Uniform and normal numbers at the price of a few integer operations, one 32-bit word a number.

A counter hash: word ``i`` of a key ``(a, b)`` is ``mix((i * odd + a) ^ b)``, where `mix` lets every bit of
32 change every other (constants: C. Wellons, "Prospecting for hash functions", public domain). Keys are
JAX's own, split and folded as ever; Threefry, JAX's generator, costs many times as much, and more than all
else of a spiking or of a Langevin step. Among the generators that `benchmarks.spiking` compares this is the
cheapest that passes its statistical tests.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, PRNGKeyArray

GOLDEN, FIRST, SECOND = 0x9E3779B9, 0x7FEB352D, 0x846CA68B

WORD = 32


def uniform(key: PRNGKeyArray, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """Numbers in [0, 1): multiples of the type's least step below 1, 2^-24 of float32."""
    bits, count = _bits(dtype), math.prod(shape)
    if bits <= WORD:
        whole = (words(key, count) >> (WORD - bits)).astype(dtype)
    else:
        high, low = words(key, 2 * count).reshape(2, count)
        rest = bits - WORD
        whole = high.astype(dtype) * 2**rest + (low >> (WORD - rest)).astype(dtype)
    return (whole * 2.0**-bits).astype(dtype).reshape(shape)


def normal(key: PRNGKeyArray, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
    """Numbers of mean 0 and variance 1, by the inverse of their distribution function at the middle of
    `uniform`'s steps: of float32 within +-5.4, which 1 in 3e7 should leave."""
    wide = dtype if _bits(dtype) > WORD else jnp.float32
    middle = 2.0 * uniform(key, shape, wide) - 1.0 + 2.0 ** -_bits(wide)
    return (math.sqrt(2.0) * lax.erf_inv(middle)).astype(dtype)


def typed(key: Any) -> PRNGKeyArray:
    """One key as `jax.random.key` makes it, of either kind: ``jax.random.PRNGKey`` makes its numbers alone.

    Raises ``ValueError`` for what is no key, or several.
    """
    if isinstance(key, Array) and not key.shape and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key
    made = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0)))
    if not isinstance(key, Array) or (key.dtype, key.shape) != (made.dtype, made.shape):
        raise ValueError(
            f"key: expected one random key, jax.random.key(0) or another of one's own, got {key!r}; "
            "jax.random.split makes several, of which one goes here."
        )
    wrapped: PRNGKeyArray = jax.random.wrap_key_data(key)
    return wrapped


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


def _bits(dtype: DTypeLike) -> int:
    """Binary digits of the type's numbers just below 1."""
    return int(jnp.finfo(dtype).nmant) + 1
