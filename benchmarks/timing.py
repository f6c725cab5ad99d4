"""Wall-clock medians, and the machine's limit."""

from __future__ import annotations

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

SIDE = 2048


def median_ms(call: Callable[[], object], repeats: int = 30, warm_up: int = 3) -> float:
    """Median milliseconds of a call; what it returns is waited for."""
    for _ in range(warm_up):
        jax.block_until_ready(call())
    spent = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(call())
        spent.append(time.perf_counter() - began)
    return 1e3 * float(np.median(spent))


def first_s(call: Callable[[], object]) -> float:
    """Seconds of the first call: tracing, compiling and one run."""
    began = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - began


def peak_gflops() -> float:
    """The rate of a float32 matrix product of 2048 by 2048 by 2048."""
    a = jax.random.normal(jax.random.key(0), (SIDE, SIDE))
    product = jax.jit(jnp.matmul)
    return 2 * SIDE**3 / median_ms(lambda: product(a, a), repeats=15) / 1e6
