"""The limits of the device: square matrix products, and 3x3 convolutions as of the residual network."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
from jax import lax

from benchmarks.timing import median_ms, peak_gflops
from eqprop.energies.architectures import channels_of

TYPES = {"tf32": ("float32", "tensorfloat32"), "bf16": ("bfloat16", None)}
"""Type and precision; a device without tf32 takes float32."""

CHAINED, REPEATS = 8, 10


class Shape(NamedTuple):
    """A 3x3 convolution of as many channels in as out, on square images."""

    side: int
    channels: int

    def flops(self, batch: int) -> int:
        return 2 * batch * self.side**2 * 9 * self.channels**2


def shapes(width: int, image: int = 32, blocks: int = 4) -> list[Shape]:
    """Of the blocks of a residual network of that width."""
    return [Shape(image >> i, c) for i, c in enumerate(channels_of(width, blocks))]


def products(sides: tuple[int, ...]) -> dict[str, float]:
    """TFLOP/s of the best square matrix product, by type."""
    rates = {}
    for name, (kind, precision) in TYPES.items():
        with jax.default_matmul_precision(precision):
            rates[name] = peak_gflops(sides, kind) / 1e3
    return rates


def convolutions(found: Sequence[Shape], batch: int) -> dict[str, dict[str, float]]:
    """TFLOP/s of each convolution, and of the best as ``best``, by type."""
    rows = {}
    for name, (kind, precision) in TYPES.items():
        row = {f"{s.side}x{s.side}x{s.channels}": _rate(s, batch, kind, precision) for s in found}
        rows[name] = row | {"best": max(row.values())}
    return rows


def _rate(shape: Shape, batch: int, kind: str, precision: str | None) -> float:
    """TFLOP/s of a chain of convolutions, in one program."""
    u = jax.random.normal(jax.random.key(0), (batch, shape.side, shape.side, shape.channels))
    bound = (9 * shape.channels) ** -0.5
    kernel = bound * jax.random.normal(jax.random.key(1), (3, 3, shape.channels, shape.channels))
    u, kernel = u.astype(kind), kernel.astype(kind)

    @partial(jax.jit, static_argnames="count")
    def chain(u: jax.Array, kernel: jax.Array, count: int) -> jax.Array:
        layout = ("NHWC", "HWIO", "NHWC")
        with jax.default_matmul_precision(precision):
            for _ in range(count):
                u = lax.conv_general_dilated(u, kernel, (1, 1), "SAME", dimension_numbers=layout)
        return u

    spent = median_ms(lambda: chain(u, kernel, CHAINED), REPEATS)
    return CHAINED * shape.flops(batch) / spent / 1e9


def on_this_device(width: int, batch: int) -> dict[str, dict]:
    """Both, in TFLOP/s; of small products where the device is no GPU."""
    gpu = jax.default_backend() == "gpu"
    return {
        "matrix_products": products((4096, 8192) if gpu else (128, 256)),
        "convolutions": convolutions(shapes(width), batch),
    }
