"""The images of the benchmarks: the embedded digits, enlarged to the size of MNIST."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from eqprop import data

BATCH, CLASSES = 64, 10


def enlarged_digits(image: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """The embedded digits at 28 by 28, in [0, 1], and their labels."""
    digits = data.load("digits")
    pixels = np.kron(digits.train.x[..., 0], np.ones((1, 3, 3), np.float32)) / digits.scale
    padded = np.pad(pixels, ((0, 0), (2, 2), (2, 2)))
    return jnp.asarray(padded.reshape(-1, *image), jnp.float32), jnp.asarray(digits.train.y)
