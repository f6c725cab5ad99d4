"""Convolutions whose adjoints are convolutions, too: XLA's CPU backend runs any other layout far slower
inside loops. Images are channel-last, of shape (batch, height, width, channels)."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

_LAYOUT = ("NHWC", "HWIO", "NHWC")

Pair = tuple[int, int]


def _convolve(
    u: Array, kernel: Array, stride: int, padding: int, layout: tuple[str, str, str] = _LAYOUT
) -> Array:
    around = ((padding, padding),) * 2
    return lax.conv_general_dilated(u, kernel, (stride, stride), around, dimension_numbers=layout)


@partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def conv(u: Array, kernel: Array, stride: int, padding: int) -> Array:
    """``(N, H, W, in) -> (N, H', W', out)`` by a kernel (k, k, in, out)."""
    return _convolve(u, kernel, stride, padding)


@conv.defjvp
def _conv_jvp(
    stride: int, padding: int, primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Each part in the layout whose transpose, the gradient, is a convolution in `_LAYOUT`.

    XLA's CPU backend runs a convolution in any other layout 20 to 150 times slower inside ``while`` and
    ``scan`` bodies; the automatic gradients are such.
    """
    (u, kernel), (du, dkernel) = primals, tangents
    by_image = _convolve(du, jnp.swapaxes(kernel, 2, 3), stride, padding, ("NHWC", "HWOI", "NHWC"))
    by_kernel = _convolve(
        u.transpose(3, 1, 2, 0),
        dkernel.transpose(2, 0, 1, 3),
        stride,
        padding,
        ("CHWN", "IHWO", "HWNC"),
    )
    return conv(u, kernel, stride, padding), by_image + by_kernel.transpose(2, 0, 1, 3)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def frozen_conv(u: Array, kernel: Array, stride: int, padding: int) -> Array:
    """`conv` by a kernel that gets no gradient."""
    return _convolve(u, kernel, stride, padding)


class _Axis(NamedTuple):
    """How `_frozen_adjoint` goes along an axis. Of ``places`` pixels of each phase ``r``, number ``stride A
    + r - offset`` of the image receives ``sum_i v[A - i] kernel[stride i + r + padding - offset]'``, for
    ``i`` from ``first`` to ``last``."""

    offset: int
    places: int
    first: int
    last: int

    @property
    def taps(self) -> int:
        return self.last - self.first + 1

    @classmethod
    def of(cls, kernel: int, stride: int, padding: int, size: int) -> _Axis:
        """That of the fewest products, and of the fewest taps of these: XLA's CPU backend is slow where an
        image is smaller than its kernel."""

        def moved(offset: int) -> _Axis:
            ahead = padding - offset
            first, last = -((ahead + stride - 1) // stride), (kernel - 1 - ahead) // stride
            return cls(offset, -(-(size + offset) // stride), first, last)

        every = [moved(offset) for offset in range(stride)]
        return min(every, key=lambda axis: (axis.taps * axis.places, axis.taps))


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _frozen_adjoint(v: Array, kernel: Array, stride: int, padding: int, size: Pair) -> Array:
    """The adjoint of `frozen_conv` in ``u``, for images of ``size``: one convolution at stride 1 with a
    channel for each phase of both axes, whose images are interleaved."""
    spare, around, axes = [], [], []
    for taps, pixels, seen in zip(kernel.shape[:2], size, v.shape[1:3], strict=True):
        axis = _Axis.of(taps, stride, padding, pixels)
        before = axis.offset - padding - stride * axis.first
        spare.append((before, stride * axis.taps - before - taps))
        around.append((axis.last, axis.places - seen - axis.first))
        axes.append(axis)
    rows, columns = axes
    kernel = jnp.pad(kernel, (*spare, (0, 0), (0, 0)))
    phases = kernel.reshape(rows.taps, stride, columns.taps, stride, *kernel.shape[2:])
    flipped = phases[::-1, :, ::-1].transpose(0, 2, 5, 1, 3, 4)
    flipped = flipped.reshape(*flipped.shape[:3], -1)
    images = lax.conv_general_dilated(v, flipped, (1, 1), around, dimension_numbers=_LAYOUT)
    images = images.reshape(*images.shape[:3], stride, stride, -1).transpose(0, 1, 3, 2, 4, 5)
    whole = images.reshape(len(v), stride * rows.places, stride * columns.places, -1)
    top, left = rows.offset, columns.offset
    return whole[:, top : top + size[0], left : left + size[1]]


def _conv_fwd(
    u: Array, kernel: Array, stride: int, padding: int
) -> tuple[Array, tuple[Pair, Array]]:
    height, width = u.shape[1:3]
    return frozen_conv(u, kernel, stride, padding), ((height, width), kernel)


def _conv_bwd(
    stride: int, padding: int, saved: tuple[Pair, Array], v: Array
) -> tuple[Array, Array]:
    size, kernel = saved
    return _frozen_adjoint(v, kernel, stride, padding, size), jnp.zeros_like(kernel)


def _adjoint_fwd(
    v: Array, kernel: Array, stride: int, padding: int, size: Pair
) -> tuple[Array, Array]:
    return _frozen_adjoint(v, kernel, stride, padding, size), kernel


def _adjoint_bwd(
    stride: int, padding: int, size: Pair, kernel: Array, u: Array
) -> tuple[Array, Array]:
    return frozen_conv(u, kernel, stride, padding), jnp.zeros_like(kernel)


frozen_conv.defvjp(_conv_fwd, _conv_bwd)

_frozen_adjoint.defvjp(_adjoint_fwd, _adjoint_bwd)
