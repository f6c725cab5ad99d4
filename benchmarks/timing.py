"""Wall-clock medians, and the machine's limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

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


def side_by_side_ms(
    calls: Mapping[Any, Callable[[], object]], rounds: int = 5, repeats: int = 6
) -> dict[Any, float]:
    """The least median of each call, a few of one after a few of the other, so that what else the machine
    does meets all alike."""
    spent: dict[Any, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            spent[name].append(median_ms(call, repeats, warm_up=1))
    return {name: min(times) for name, times in spent.items()}


def first_s(call: Callable[[], object]) -> float:
    """Seconds of the first call: tracing, compiling and one run."""
    began = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - began


def peak_gflops(
    sides: tuple[int, ...] = SIDES, dtype: str = "float32", precision: str | None = None
) -> float:
    """The best rate of a square matrix product over the sides, at one of JAX's precisions."""

    def rate(side: int) -> float:
        a = jax.random.normal(jax.random.key(0), (side, side), jnp.float32).astype(dtype)
        product = jax.jit(partial(jnp.matmul, precision=precision))
        return 2 * side**3 / median_ms(lambda: product(a, a), repeats=15) / 1e6

    return max(map(rate, sides))
