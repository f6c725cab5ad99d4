"""Edge operators: what carries one layer's show to another. Arrays are channel-last, one example.

Any callable module serves as an operator: ``op(u_source)`` in the shape of the target layer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import reduce
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Checked, Count, Whole, checked
from eqprop.energies.convolution import conv, frozen_conv
from eqprop.energies.derivatives import constant
from eqprop.energies.sparse import FrozenSparse, Sparse
from eqprop.energies.units.unit import Unit

T = TypeVar("T")


def uniform_weights(key: PRNGKeyArray, shape: tuple[int, ...], fan_in: int, gain: float) -> Array:
    """``U(-gain / sqrt(fan_in), +gain / sqrt(fan_in))``."""
    bound = gain / fan_in**0.5
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)


class Dense(Checked):
    """``u -> u W`` with ``W`` of shape (inputs, outputs); an image is flattened first."""

    weight: Array

    @classmethod
    @checked
    def init(cls, key: PRNGKeyArray, inputs: Count, outputs: Count, gain: float = 1.0) -> Dense:
        return cls(uniform_weights(key, (inputs, outputs), inputs, gain))

    def __call__(self, u: Array) -> Array:
        return u.reshape(-1) @ self.weight


class Lateral(Checked):
    """``u -> u S / 2`` inside a layer, ``S = (W + W') / 2`` with a zero diagonal."""

    weight: Array

    @classmethod
    @checked
    def init(cls, key: PRNGKeyArray, size: Count, gain: float = 0.1) -> Lateral:
        return cls(uniform_weights(key, (size, size), size, gain))

    @property
    def matrix(self) -> Array:
        symmetric = 0.5 * (self.weight + self.weight.T)
        return symmetric - jnp.diag(jnp.diag(symmetric))

    def __call__(self, u: Array) -> Array:
        return 0.5 * (u.reshape(-1) @ self.matrix).reshape(u.shape)

    def curvature(self, shape: tuple[int, ...]) -> Array:
        """Row sums of ``|S|``, which bound ``-S`` from above by a diagonal (Gershgorin)."""
        return jnp.sum(jnp.abs(self.matrix), axis=1).reshape(shape)


class Conv(Checked):
    """Convolution, ``(H, W, in) -> (H', W', out)``; ``kernel`` has shape (k, k, in, out)."""

    kernel: Array
    stride: Count = eqx.field(default=1, static=True)
    padding: Whole = eqx.field(default=0, static=True)

    @classmethod
    @checked
    def init(
        cls,
        key: PRNGKeyArray,
        inputs: Count,
        outputs: Count,
        kernel: Count = 3,
        stride: Count = 1,
        padding: Whole | None = None,
        gain: float = 1.0,
    ) -> Conv:
        """``padding`` keeps the image size at stride 1 unless given."""
        shape = (kernel, kernel, inputs, outputs)
        padding = (kernel - 1) // 2 if padding is None else padding
        return cls(uniform_weights(key, shape, inputs * kernel * kernel, gain), stride, padding)

    def __call__(self, u: Array) -> Array:
        return conv(u[None], self.kernel, self.stride, self.padding)[0]

    def pooled(self, size: int, image: tuple[int, ...]) -> Conv:
        """This convolution of an image, mean-pooled: one convolution of a larger stride."""
        return Conv(_pooled(self, size, image), self.stride * size, self.padding)

    def frozen(self) -> FrozenConv:
        return FrozenConv(self.kernel, self.stride, self.padding)


class FrozenConv(eqx.Module):
    """The same convolution with a constant kernel and an explicit adjoint, for use inside loops.

    Its adjoint at strides is cheaper than the automatic one, and so is the adjoint's own adjoint.
    """

    kernel: Array
    stride: int = eqx.field(static=True)
    padding: int = eqx.field(static=True)

    def __call__(self, u: Array) -> Array:
        return frozen_conv(u[None], self.kernel, self.stride, self.padding)[0]

    def pooled(self, size: int, image: tuple[int, ...]) -> FrozenConv:
        return FrozenConv(_pooled(self, size, image), self.stride * size, self.padding)


def freeze(tree: T) -> T:
    """The same operators with constant parameters: what a relaxation runs on.

    Every module with a ``frozen()`` method is replaced by its result. Values are unchanged; a derivative
    that would reach the parameters raises ``ValueError``.
    """

    def able(node: object) -> bool:
        return hasattr(node, "frozen")

    frozen: T = jax.tree.map(lambda n: n.frozen() if able(n) else n, constant(tree), is_leaf=able)
    return frozen


def cast(tree: T, dtype: jnp.dtype) -> T:
    """Every inexact array of a tree in ``dtype``."""
    made: T = jax.tree.map(lambda a: a.astype(dtype) if eqx.is_inexact_array(a) else a, tree)
    return made


class AveragePool(Checked):
    """Mean over windows of ``size`` by ``size``."""

    size: Count = eqx.field(default=2, static=True)

    def __call__(self, u: Array) -> Array:
        return jnp.mean(windows(u, self.size), axis=(1, 3))


class MaxPool(Checked):
    """Maximum over windows of ``size`` by ``size``.

    The coupling is concave in the lower layer wherever the upper one is positive, so that a
    block step minimises an upper bound of the energy rather than the energy itself.
    """

    size: Count = eqx.field(default=2, static=True)

    def __call__(self, u: Array) -> Array:
        return by_pairs(jnp.maximum, windows(u, self.size))


class Chain(Checked):
    """One operator after another. A convolution and its mean pooling are computed as one convolution
    of a larger stride: less than half the products, and no pooling."""

    ops: tuple[Callable[[Array], Array], ...]

    def __call__(self, u: Array) -> Array:
        ops: list[Any] = list(self.ops)
        while ops:
            op = ops.pop(0)
            if isinstance(op, Conv | FrozenConv) and ops and isinstance(ops[0], AveragePool):
                op = op.pooled(ops.pop(0).size, u.shape)
            u = op(u)
        return u


class Scaled(Checked):
    """Another operator, times a number that does not learn."""

    op: Callable[[Array], Array]
    factor: float = eqx.field(static=True)

    def __call__(self, u: Array) -> Array:
        return self.factor * self.op(u)


class Activation(Checked):
    """What a unit shows of a field that it follows: of `relu`, ``max(u, 0)``. For predictive coding; the
    block steps of a `Network` want operators that are linear."""

    unit: Unit

    def __check_init__(self) -> None:
        if self.unit.components or self.unit.discrete:
            raise ValueError(
                f"Activation: expected a unit of numbers with a slope, got {self.unit}."
            )

    def __call__(self, u: Array) -> Array:
        return self.unit.embed(self.unit.retract(u))


class Residual(Checked):
    """``u + op(u)``."""

    op: Callable[[Array], Array]

    def __call__(self, u: Array) -> Array:
        return u + self.op(u)


def _pooled(conv: Conv | FrozenConv, size: int, image: tuple[int, ...]) -> Array:
    """The kernel averaged over the ``size^2`` offsets ``stride * (0 .. size - 1)`` of a window."""
    kernel, stride = conv.kernel, conv.stride
    height, width = (
        (n + 2 * conv.padding - k) // stride + 1
        for n, k in zip(image[:2], kernel.shape[:2], strict=True)
    )
    _check_windows(height, width, size)
    reach = stride * (size - 1)
    offsets = [(stride * i, stride * j) for i in range(size) for j in range(size)]
    shifted = [
        jnp.pad(kernel, ((i, reach - i), (j, reach - j), (0, 0), (0, 0))) for i, j in offsets
    ]
    return sum(shifted[1:], shifted[0]) / size**2


def by_pairs(join: Callable[[Array, Array], Array], whole: Array) -> Array:
    """The entries of each window joined pair by pair, which XLA's CPU backend differentiates two to five
    times faster than a reduction."""
    rows = reduce(join, [whole[:, i] for i in range(whole.shape[1])])
    return reduce(join, [rows[:, :, i] for i in range(whole.shape[3])])


def _check_windows(height: int, width: int, size: int) -> None:
    if height % size or width % size:
        raise ValueError(
            f"Pooling: expected an image that windows of {size} divide, got {height}x{width}; "
            "pad the image, or choose another window or stride."
        )


def windows(u: Array, size: int) -> Array:
    """The image as (rows, size, columns, size, channels)."""
    height, width, channels = u.shape
    _check_windows(height, width, size)
    return u.reshape(height // size, size, width // size, size, channels)


Op = Callable[[Array], Array]


class Routed(eqx.Module):
    """The sum over windows of ``size`` by ``size``, each entry times its constant share."""

    shares: Array
    size: int = eqx.field(static=True)

    def __call__(self, u: Array) -> Array:
        return by_pairs(jnp.add, self.shares * windows(u, self.size))


LINEAR = (AveragePool, Conv, Dense, FrozenConv, FrozenSparse, Lateral, Routed, Sparse)


def is_linear(op: Op, *others: type) -> bool:
    """Whether ``op`` is linear, without a constant, or says so by an attribute ``linear`` that is ``True``;
    kinds of ``others`` count too."""
    if isinstance(op, Chain):
        return all(is_linear(part, *others) for part in op.ops)
    if isinstance(op, Residual | Scaled):
        return is_linear(op.op, *others)
    return isinstance(op, LINEAR + others) or getattr(op, "linear", False) is True


def is_homogeneous(op: Op) -> bool:
    """Whether ``op(c u) = c op(u)`` for positive ``c``, as of linear operators and maximum pooling."""
    return is_linear(op, MaxPool)


def near(op: Op, u: Array) -> Op:
    """What a piecewise linear operator is near ``u``, as long as no window's winner changes: linear, with
    the same parameters. Any other operator as it is."""
    if isinstance(op, Residual | Scaled):
        return dataclasses.replace(op, op=near(op.op, u))
    if isinstance(op, MaxPool):
        pooled, pull = jax.vjp(op, u)
        (shares,) = pull(jnp.ones_like(pooled))
        return Routed(lax.stop_gradient(windows(shares, op.size)), op.size)
    if not isinstance(op, Chain):
        return op
    parts = []
    for part in op.ops:
        parts.append(near(part, u))
        u = part(u)
    return Chain(tuple(parts))
