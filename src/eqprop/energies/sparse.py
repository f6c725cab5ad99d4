"""Couplings along the edges of a graph as an operator: a lattice needs no matrix of zeros."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Checked, Count, checked


class Ends(NamedTuple):
    """Of each neuron of one side, the edges that end there and the neurons at their other ends, both of
    shape (neurons, largest degree); what is left over is an edge past the last, of weight zero."""

    edges: Array
    others: Array


class Sparse(Checked):
    """``u -> u W``, where ``W`` is zero but on the edges of a graph: edge ``e`` carries ``weight[e]``.

    Costs as many operations as neurons times their largest degree, forward and back.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> op = eq.ops.Sparse.of([(0, 1), (2, 0)], (3, 2), jnp.array([0.5, 2.0]))
        >>> op(jnp.array([1.0, 0.0, 3.0])).tolist()
        [6.0, 0.5]
    """

    weight: Array
    into: Ends
    out_of: Ends

    @classmethod
    @checked
    def of(cls, edges: object, sizes: tuple[Count, Count], weight: Array) -> Sparse:
        """Edges as pairs (neuron below, neuron above), from 0, of layers of two ``sizes``; one ``weight``
        each. ``ValueError`` for a neuron that is not there, an edge that is there twice, another number of
        weights."""
        pairs = as_pairs(edges)
        if pairs.size and not (pairs.min() >= 0 and np.all(pairs < sizes)):
            (a, c), (b, d) = pairs.min(0), pairs.max(0)
            raise ValueError(
                f"Sparse: expected neurons from 0 to {sizes[0] - 1} below and {sizes[1] - 1} above, got "
                f"{a} to {b} and {c} to {d}."
            )
        if len(np.unique(pairs, axis=0)) < len(pairs):
            raise ValueError(
                "Sparse: expected each edge once, got some twice; add up their weights."
            )
        if weight.shape != (len(pairs),):
            raise ValueError(
                f"Sparse: expected one weight for each of {len(pairs)} edges, got {weight.shape}."
            )
        return cls(weight, _ends(pairs[:, ::-1], sizes[1]), _ends(pairs, sizes[0]))

    @classmethod
    @checked
    def init(
        cls, key: PRNGKeyArray, edges: object, sizes: tuple[Count, Count], gain: float = 1.0
    ) -> Sparse:
        """Weights from ``U(-gain / sqrt(degree), +gain / sqrt(degree))``, of the mean degree above."""
        count = len(as_pairs(edges))
        bound = gain / max(count / sizes[1], 1.0) ** 0.5
        return cls.of(edges, sizes, jax.random.uniform(key, (count,), minval=-bound, maxval=bound))

    def __call__(self, u: Array) -> Array:
        return jnp.sum(self._spread(self.into) * _at(u.reshape(-1), self.into.others), -1)

    def matrix(self) -> Array:
        """``W``, of shape (neurons below, neurons above)."""
        below = jnp.eye(len(self.out_of.edges), dtype=self.weight.dtype)
        return jax.vmap(self)(below)

    def frozen(self) -> FrozenSparse:
        return FrozenSparse(
            Half(self._spread(self.into), self.into.others),
            Half(self._spread(self.out_of), self.out_of.others),
        )

    def _spread(self, ends: Ends) -> Array:
        return jnp.append(self.weight, jnp.zeros((), self.weight.dtype))[ends.edges]


def as_pairs(edges: object) -> np.ndarray:
    """Edges as an array of shape (edges, 2). ``ValueError`` for what is none."""
    pairs = np.asarray(edges)
    if not pairs.size:
        return np.zeros((0, 2), np.int64)
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise ValueError(f"expected edges as pairs, of shape (edges, 2), got {pairs.shape}.")
    if not np.issubdtype(pairs.dtype, np.integer):
        raise ValueError(f"expected neurons as whole numbers, from 0, got {pairs.dtype}.")
    return pairs.astype(np.int64)


class Half(NamedTuple):
    """Of each neuron of one side, the weights of its edges and the neurons at their other ends."""

    weights: Array
    others: Array


class FrozenSparse(Checked):
    """The same couplings for use inside loops: constant weights, and an adjoint that gathers, where
    autodiff would scatter."""

    into: Half
    out_of: Half

    def __call__(self, u: Array) -> Array:
        return _gathered(u.reshape(-1), self.into, self.out_of)


@jax.custom_vjp
def _gathered(u: Array, there: Half, back: Half) -> Array:
    return jnp.sum(there.weights * _at(u, there.others), -1)


def _forward(u: Array, there: Half, back: Half) -> tuple[Array, tuple[Half, Half]]:
    return _gathered(u, there, back), (there, back)


def _backward(saved: tuple[Half, Half], v: Array) -> tuple[Array, None, None]:
    there, back = saved
    return _gathered(v, back, there), None, None


_gathered.defvjp(_forward, _backward)


def _at(u: Array, index: Array) -> Array:
    return u.at[index].get(mode="promise_in_bounds")


def _ends(pairs: np.ndarray, size: int) -> Ends:
    """Of pairs (neuron of this side, neuron of the other)."""
    degrees = np.bincount(pairs[:, 0], minlength=size)
    edges = np.full((size, max(degrees.max(initial=0), 1)), len(pairs), np.int32)
    others = np.zeros_like(edges)
    order = np.argsort(pairs[:, 0], kind="stable")
    first = np.concatenate([[0], np.cumsum(degrees)[:-1]])
    column = np.arange(len(pairs)) - first[pairs[order, 0]]
    edges[pairs[order, 0], column] = order
    others[pairs[order, 0], column] = pairs[order, 1]
    return Ends(jnp.asarray(edges), jnp.asarray(others))
