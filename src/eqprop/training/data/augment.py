"""Augmentation on the device: ``(images, key) -> images``, uint8 (batch, height, width, channels).

Each is a module, so that equal ones are one compiled program. `eqprop.training.data.randaugment` is one
more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Checked, Whole, checked

Augment = Callable[[Array, PRNGKeyArray], Array]


class Flip(Checked):
    """Mirror each image left to right with probability one half."""

    def __call__(self, x: Array, key: PRNGKeyArray) -> Array:
        mirrored = jax.random.bernoulli(key, 0.5, (x.shape[0], 1, 1, 1))
        return jnp.where(mirrored, x[:, :, ::-1], x)


class RandomCrop(Checked):
    """A window as large as the image, from the image with ``pixels`` more on every side: a random shift."""

    pixels: Whole = eqx.field(static=True)
    mode: Literal["edge", "constant"] = eqx.field(default="edge", static=True)
    """What is around: the edge repeated, or zeros."""

    def __call__(self, x: Array, key: PRNGKeyArray) -> Array:
        more = (self.pixels, self.pixels)
        padded = jnp.pad(x, ((0, 0), more, more, (0, 0)), self.mode)
        corners = jax.random.randint(key, (x.shape[0], 2), 0, 2 * self.pixels + 1)

        def crop(image: Array, corner: Array) -> Array:
            start = (corner[0], corner[1], jnp.zeros_like(corner[0]))
            return lax.dynamic_slice(image, start, x.shape[1:])

        return jax.vmap(crop)(padded, corners)


@checked
def random_shift(pixels: int) -> RandomCrop:
    """Translate each image by up to ``pixels`` in both directions, filling with zeros."""
    return RandomCrop(pixels, "constant")


class Compose(Checked):
    """One augmentation after another, each with a key of its own."""

    parts: tuple[Augment, ...]

    def __call__(self, x: Array, key: PRNGKeyArray) -> Array:
        for part, own in zip(self.parts, jax.random.split(key, len(self.parts)), strict=True):
            x = part(x, own)
        return x
