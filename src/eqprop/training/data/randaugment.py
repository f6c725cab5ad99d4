"""RandAugment (Cubuk et al. 2020): a few operations an image, drawn evenly from the fourteen standard ones.

Every operation is one of three things, so that a batch costs one of each and not fourteen branches
an image: a table of new values for each channel, a blend of the image with another, or an affine map
of its pixels. All three are applied to every image; those it did not draw are the identity. Magnitudes
run from 0 to 30; the published recipes use 9.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Bound, Checked, Count, Whole

TABLES = ("identity", "brightness", "contrast", "solarize", "posterize", "autocontrast", "equalize")

BLENDS = ("color", "sharpness")

MAPS = ("shear-x", "shear-y", "translate-x", "translate-y", "rotate")

OPERATIONS = (*TABLES, *BLENDS, *MAPS)

MOST = 30

ENHANCE, SHEAR, SHIFT, TURN, POSTERIZE = 0.9, 0.3, 150 / 331, 30.0, 4
"""At magnitude 30: change of a blend's factor; shear; shift over the side; degrees; bits lost."""

LUMA = (0.299, 0.587, 0.114)


class RandAugment(Checked):
    """``count`` operations an image at one ``magnitude``, in a random direction where they have two."""

    count: Count = eqx.field(static=True)
    magnitude: Annotated[Whole, Bound("<", MOST + 1)] = eqx.field(default=9, static=True)

    def __call__(self, x: Array, key: PRNGKeyArray) -> Array:
        drawn, signs = jax.random.split(key)
        shape = (self.count, x.shape[0])
        which = jax.random.randint(drawn, shape, 0, len(OPERATIONS))
        sign = jax.random.rademacher(signs, shape, jnp.float32)

        def step(x: Array, at: tuple[Array, Array]) -> tuple[Array, None]:
            return jax.vmap(partial(apply, magnitude=self.magnitude))(x, *at), None

        return lax.scan(step, x, (which, sign))[0]


def apply(image: Array, which: Array, sign: Array, magnitude: int) -> Array:
    """Operation number ``which`` of `OPERATIONS` on one uint8 image (height, width, channels).

    ``sign`` is 1 or -1: brighter or darker, right or left, clockwise or not.
    """
    level = magnitude / MOST
    factor = 1.0 + sign * ENHANCE * level
    grey = _grey(image)
    table = _tables(image, grey, factor, magnitude)[jnp.where(which < len(TABLES), which, 0)]
    image = jnp.take_along_axis(table, image.reshape(-1, image.shape[-1]).astype(jnp.int32), 0)
    image = image.reshape(*grey.shape, -1)
    kind = which - len(TABLES)
    image = _blended(image, kind, factor)
    return _mapped(image, kind - len(BLENDS), sign * level)


def _grey(image: Array) -> Array:
    """Luminance, (height, width), whole numbers; of one channel, itself."""
    if image.shape[-1] != len(LUMA):
        return jnp.floor(jnp.mean(image, -1, dtype=jnp.float32))
    return jnp.floor(image.astype(jnp.float32) @ jnp.asarray(LUMA, jnp.float32))


def _tables(image: Array, grey: Array, factor: Array, magnitude: int) -> Array:
    """New values of 0 to 255 by operation of `TABLES`: uint8 (operations, 256, channels)."""
    pixels, channels = image.reshape(-1, image.shape[-1]), image.shape[-1]
    old = jnp.arange(256, dtype=jnp.float32)[:, None]
    bits = round(POSTERIZE * magnitude / MOST)
    threshold = 255.0 * (1.0 - magnitude / MOST)
    rows = [
        old,
        _byte(factor * old),
        _byte(factor * old + (1.0 - factor) * jnp.mean(grey)),
        jnp.where(old < threshold, old, 255.0 - old),
        jnp.floor(old / 2**bits) * 2**bits,
        _stretched(old, pixels),
        _equalised(pixels),
    ]
    full = [jnp.broadcast_to(row, (256, channels)) for row in rows]
    return jnp.stack(full).astype(jnp.uint8)


def _byte(value: Array) -> Array:
    return jnp.floor(jnp.clip(value, 0.0, 255.0))


def _stretched(old: Array, pixels: Array) -> Array:
    """Each channel's least value to 0 and its largest to 255; a channel of one value stays."""
    least, most = (f(pixels, 0).astype(jnp.float32) for f in (jnp.min, jnp.max))
    span = jnp.where(most > least, most - least, 255.0)
    return _byte((old - jnp.where(most > least, least, 0.0)) * (255.0 / span) + 1e-3)


def _equalised(pixels: Array) -> Array:
    """Each channel's cumulative histogram as the new values, as PIL rounds them."""

    def one(channel: Array) -> Array:
        counts = jnp.zeros(256, jnp.int32).at[channel].add(1)
        last = counts[jnp.max(channel)]
        step = (channel.size - last) // 255
        before = jnp.cumsum(counts) - counts
        safe = jnp.maximum(step, 1)
        table = jnp.clip((before + safe // 2) // safe, 0, 255)
        return jnp.where(step > 0, table, jnp.arange(256, dtype=jnp.int32))

    return jax.vmap(one, 1, 1)(pixels).astype(jnp.float32)


def _blended(image: Array, kind: Array, factor: Array) -> Array:
    """Operation ``kind`` of `BLENDS`: ``factor`` times the image and the rest of another; else itself."""
    inside, values = (kind >= 0) & (kind < len(BLENDS)), image.astype(jnp.float32)
    other = jnp.where(kind == 0, _grey(image)[..., None], _smooth(values))
    mixed = _byte(other + factor * (values - other))  # exact where the two are equal
    return jnp.where(inside, mixed, values).astype(jnp.uint8)


def _smooth(values: Array) -> Array:
    """The mean over 3x3 pixels, that in the middle five times; the border as it is."""
    height, width = values.shape[:2]
    rows = values[:-2] + values[1:-1] + values[2:]
    around = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] + 4.0 * values[1:-1, 1:-1]
    inner = jnp.round(around / 13.0)
    return values.at[1 : height - 1, 1 : width - 1].set(inner)


def _mapped(image: Array, kind: Array, level: Array) -> Array:
    """Operation ``kind`` of `MAPS` by the nearest pixel, black where there is none; else itself.

    Shears keep the first row or column, rotations the centre.
    """
    height, width, _ = image.shape
    angle = jnp.deg2rad(TURN * level)
    turn = kind == MAPS.index("rotate")
    cosine, sine = jnp.where(turn, jnp.cos(angle), 1.0), jnp.where(turn, jnp.sin(angle), 0.0)

    def where(name: str, size: float) -> Array:
        return jnp.where(kind == MAPS.index(name), size * level, 0.0)

    rows, columns = jnp.arange(height, dtype=jnp.float32), jnp.arange(width, dtype=jnp.float32)
    y, x = rows[:, None] - (height - 1) / 2, columns[None] - (width - 1) / 2
    from_x = cosine * x + sine * y + where("shear-x", SHEAR) * rows[:, None]
    from_y = cosine * y - sine * x + where("shear-y", SHEAR) * columns[None]
    from_x = jnp.round(from_x - where("translate-x", SHIFT * width) + (width - 1) / 2)
    from_y = jnp.round(from_y - where("translate-y", SHIFT * height) + (height - 1) / 2)
    inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
    at = jnp.where(inside, from_y * width + from_x, 0.0).astype(jnp.int32)
    found = image.reshape(height * width, -1)[at.reshape(-1)].reshape(image.shape)
    return jnp.where(inside[..., None], found, 0).astype(jnp.uint8)
