"""Which operators are linear, and what the piecewise linear ones are near a point."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from eqprop.ops import (
    AveragePool,
    Chain,
    Conv,
    Dense,
    FrozenConv,
    Lateral,
    MaxPool,
    Scaled,
    by_pairs,
    windows,
)

Op = Callable[[Array], Array]


class Routed(eqx.Module):
    """The sum over windows of ``size`` by ``size``, each entry times its constant share."""

    shares: Array
    size: int = eqx.field(static=True)

    def __call__(self, u: Array) -> Array:
        return by_pairs(jnp.add, self.shares * windows(u, self.size))


LINEAR = (AveragePool, Conv, Dense, FrozenConv, Lateral, Routed)


def is_linear(op: Op, *others: type) -> bool:
    """Whether ``op`` is linear, without a constant, or says so by an attribute ``linear`` that is ``True``;
    kinds of ``others`` count too."""
    if isinstance(op, Chain):
        return all(is_linear(part, *others) for part in op.ops)
    if isinstance(op, Scaled):
        return is_linear(op.op, *others)
    return isinstance(op, LINEAR + others) or getattr(op, "linear", False) is True


def is_homogeneous(op: Op) -> bool:
    """Whether ``op(c u) = c op(u)`` for positive ``c``, as of linear operators and maximum pooling."""
    return is_linear(op, MaxPool)


def near(op: Op, u: Array) -> Op:
    """What a piecewise linear operator is near ``u``, as long as no window's winner changes: linear, with
    the same parameters. Any other operator as it is."""
    if isinstance(op, Scaled):
        return Scaled(near(op.op, u), op.factor)
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
