"""Convolutions whose adjoints are convolutions, too: XLA's CPU backend runs any other layout far slower
inside loops. Images are channel-last, of shape (batch, height, width, channels)."""

from __future__ import annotations

from functools import partial

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


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _frozen_adjoint(v: Array, kernel: Array, stride: int, padding: int, size: Pair) -> Array:
    """The adjoint of `frozen_conv` in ``u``, for images of ``size``.

    A pixel ``stride * A + r`` of the padded image receives ``sum_i v[A - i] kernel[stride * i + r]'``:
    one convolution at stride 1 with a channel for each phase ``r``, whose images are interleaved.
    """
    taps = [-(-k // stride) for k in kernel.shape[:2]]
    spare = [(0, n * stride - k) for n, k in zip(taps, kernel.shape[:2], strict=True)]
    kernel = jnp.pad(kernel, (*spare, (0, 0), (0, 0)))
    features, outputs = kernel.shape[2:]
    phases = kernel.reshape(taps[0], stride, taps[1], stride, features, outputs)
    flipped = phases[::-1, :, ::-1].transpose(0, 2, 5, 1, 3, 4).reshape(*taps, outputs, -1)
    around = [(n - 1, n - 1) for n in taps]
    images = lax.conv_general_dilated(v, flipped, (1, 1), around, dimension_numbers=_LAYOUT)
    batch, height, width = images.shape[:3]
    images = images.reshape(batch, height, width, stride, stride, features)
    padded = images.transpose(0, 1, 3, 2, 4, 5)
    padded = padded.reshape(batch, height * stride, width * stride, features)
    edges = [(-padding, n + padding - m) for n, m in zip(size, padded.shape[1:3], strict=True)]
    return lax.pad(
        padded, jnp.zeros((), v.dtype), ((0, 0, 0), *((*e, 0) for e in edges), (0, 0, 0))
    )


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
