"""Linear algebra of small matrices, one after another on CPUs.

XLA divides a batched LAPACK call among the threads of a pool, where the calls of several loops of one
program can wait for one another without end; a call of one matrix is never divided.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import sequential_vmap
from jaxtyping import Array, Inexact


def looped_on_cpu(function: Callable[..., Array]) -> Callable[..., Array]:
    """The function of some matrices, which `jax.vmap` makes a loop on CPUs."""
    alone = sequential_vmap(function)

    def call(*matrices: Array) -> Array:
        return (alone if jax.default_backend() == "cpu" else function)(*matrices)

    return call


inverse = looped_on_cpu(lambda matrix: jnp.linalg.inv(matrix))

determinant = looped_on_cpu(lambda matrix: jnp.linalg.det(matrix))

spectrum = looped_on_cpu(lambda matrix: jnp.linalg.eigvalsh(matrix))

solution = looped_on_cpu(lambda matrix, right: jnp.linalg.solve(matrix, right))


class Inertia(NamedTuple):
    """The sign of a determinant, the logarithm of its size, and how many eigenvalues are negative, the
    Morse index; for complex systems, not a number and -1."""

    sign: Array
    log_determinant: Array
    negative: Array


class Bordered(eqx.Module):
    """``diagonal``: (K, n, n); ``upper``: (K - 1, n, n); ``border``: (m, K, n); ``corner``: (m, m).

    ``surplus`` counts the negative eigenvalues that multipliers in the border add to those of the system.
    """

    diagonal: Inexact[Array, "K n n"]
    upper: Inexact[Array, "L n n"]
    border: Inexact[Array, "m K n"]
    corner: Inexact[Array, "m m"]
    surplus: Array | int = 0

    @classmethod
    def chain(cls, diagonal: Array, upper: Array) -> Bordered:
        """Without a border."""
        count, size = diagonal.shape[:2]
        empty = jnp.zeros((0, count, size), diagonal.dtype)
        return cls(diagonal, upper, empty, jnp.zeros((0, 0), diagonal.dtype))

    @property
    def ends(self) -> int:
        """How many of a path's numbers lie in the border rather than the chain."""
        return self.corner.shape[0]

    def bordered_by(self, columns: Array, corner: Array, surplus: Array | int) -> Bordered:
        """One more border of multipliers: ``columns`` (r, nodes, n) on a path, ``corner`` (r, r)."""
        count = len(self.diagonal)
        ours = columns[:, count:].reshape(len(columns), -1)
        ours = jnp.pad(ours, ((0, 0), (0, self.ends - ours.shape[1])))
        return Bordered(
            self.diagonal,
            self.upper,
            jnp.concatenate([self.border, columns[:, :count]]),
            jnp.block([[self.corner, ours.T], [ours, corner]]),
            self.surplus + surplus,
        )

    def plus_blocks(self, blocks: Array) -> Bordered:
        """With ``blocks`` (nodes, n, n) added on the diagonal of a path's nodes."""
        count, size = self.diagonal.shape[:2]
        corner = self.corner
        if len(blocks) > count:
            corner = corner.at[:size, :size].add(blocks[count])
        diagonal = self.diagonal + blocks[:count]
        return Bordered(diagonal, self.upper, self.border, corner, self.surplus)

    def factor(self) -> Factor:
        """Eliminate the chain, from its first block to its last."""

        def eliminate(
            before: Array, blocks: tuple[Array, Array]
        ) -> tuple[Array, tuple[Array, ...]]:
            diagonal, upper = blocks
            gain = before @ upper
            pivot = diagonal - upper.T @ gain
            inverted = inverse(0.5 * (pivot + pivot.T))
            return inverted, (pivot, inverted, gain)

        zero, surplus = jnp.zeros_like(self.diagonal[0]), jnp.asarray(self.surplus)
        links = jnp.concatenate([zero[None], self.upper])
        _, (pivots, inverses, gains) = lax.scan(eliminate, zero, (self.diagonal, links))
        bare = Factor(self.border, pivots, inverses, gains, self.border, self.corner, surplus)
        reach = jax.vmap(bare.along_chain)(self.border)
        schur = self.corner - jnp.einsum("ikn,jkn->ij", self.border, reach)
        schur = 0.5 * (schur + schur.T)
        return Factor(self.border, pivots, inverses, gains, reach, schur, surplus)

    def times(self, path: Array, ends: Array) -> tuple[Array, Array]:
        """``H`` times (chain, border)."""
        product = jnp.einsum("kij,kj->ki", self.diagonal, path)
        product = product.at[:-1].add(jnp.einsum("kij,kj->ki", self.upper, path[1:]))
        product = product.at[1:].add(jnp.einsum("kji,kj->ki", self.upper, path[:-1]))
        product = product + jnp.einsum("mkn,m->kn", self.border, ends)
        return product, jnp.einsum("mkn,kn->m", self.border, path) + self.corner @ ends


class Pivots(eqx.Module):
    """What elimination leaves on the diagonal: ``chain`` (K, n, n), ``corner`` (m, m)."""

    chain: Array
    corner: Array
    surplus: Array

    def inertia(self) -> Inertia:
        """Sylvester's law of inertia: the pivots count the signs of the whole (Haynsworth 1968)."""
        if jnp.iscomplexobj(self.chain):
            unknown = jnp.full((), jnp.nan, jnp.finfo(self.chain.dtype).dtype)
            return Inertia(unknown, unknown, jnp.full((), -1, jnp.result_type(int)))
        spectra = jax.vmap(spectrum)(self.chain).ravel(), spectrum(self.corner)
        values = jnp.concatenate(spectra)
        count = jnp.sum(values < 0) - self.surplus
        sign = jnp.where(count % 2 == 0, 1.0, -1.0).astype(values.dtype)
        return Inertia(sign, jnp.sum(jnp.log(jnp.abs(values))), count)


class Factor(eqx.Module):
    """An eliminated system: ``pivots`` and their ``inverses`` (K, n, n), ``gains`` (K, n, n) from each
    block to the one before it, the chain's answer to its border ``reach`` (m, K, n), and what is left of
    the corner, ``schur`` (m, m)."""

    border: Array
    pivots: Array
    inverses: Array
    gains: Array
    reach: Array
    schur: Array
    surplus: Array

    def along_chain(self, right: Array) -> Array:
        """The solution in the chain alone for a right-hand side (K, n)."""

        def forward(before: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
            gain, value = now
            value = value - gain.T @ before
            return value, value

        def backward(after: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
            gain, value = now
            value = value - gain @ after
            return value, value

        zero = jnp.zeros_like(right[0])
        _, reduced = lax.scan(forward, zero, (self.gains, right))
        scaled = jnp.einsum("kij,kj->ki", self.inverses, reduced)
        nexts = jnp.roll(self.gains, -1, axis=0)
        return lax.scan(backward, zero, (nexts, scaled), reverse=True)[1]

    def solve(self, right: Array, ends: Array) -> tuple[Array, Array]:
        """The solution (chain, border) for a right-hand side (K, n) and (m,)."""
        answer = self.along_chain(right)
        if not len(ends):
            return answer, ends
        outer = solution(self.schur, ends - jnp.einsum("mkn,kn->m", self.border, answer))
        return answer - jnp.einsum("mkn,m->kn", self.reach, outer), outer

    @property
    def left(self) -> Pivots:
        """The pivots, for their signs."""
        return Pivots(self.pivots, self.schur, self.surplus)
