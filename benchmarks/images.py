"""The images of the benchmarks: the embedded digits, enlarged to the size of MNIST or CIFAR-10."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from eqprop.training.data import datasets as data

BATCH, CLASSES = 64, 10


def enlarged_digits(image: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """The embedded digits in [0, 1], three times as large in a frame, the same in each channel; and their
    labels. ``image`` is (height, width, channels), or (784,)."""
    height, width, channels = image if len(image) == 3 else (28, 28, 1)
    digits = data.load_dataset("digits")
    pixels = np.kron(digits.train.x[..., 0], np.ones((1, 3, 3), np.float32)) / digits.scale
    around = [((n - 24) // 2,) * 2 for n in (height, width)]
    padded = np.repeat(np.pad(pixels, ((0, 0), *around))[..., None], channels, -1)
    return jnp.asarray(padded.reshape(-1, *image), jnp.float32), jnp.asarray(digits.train.y)
