"""Wall-clock medians, and the machine's limit."""

from __future__ import annotations

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

SIDES = (512, 1024, 2048, 3072)


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
    """The best rate of a square float32 matrix product over `SIDES`."""

    def rate(side: int) -> float:
        a = jax.random.normal(jax.random.key(0), (side, side))
        product = jax.jit(jnp.matmul)
        return 2 * side**3 / median_ms(lambda: product(a, a), repeats=15) / 1e6

    return max(map(rate, SIDES))
