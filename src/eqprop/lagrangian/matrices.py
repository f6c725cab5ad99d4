"""Linear algebra of small matrices, one after another on CPUs.

XLA divides a batched LAPACK call among the threads of a pool, where the calls of several loops of one
program can wait for one another without end; a call of one matrix is never divided.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.custom_batching import sequential_vmap
from jaxtyping import Array


def one_by_one(function: Callable[..., Array]) -> Callable[..., Array]:
    """The function of some matrices, which `jax.vmap` makes a loop on CPUs."""
    alone = sequential_vmap(function)

    def call(*matrices: Array) -> Array:
        return (alone if jax.default_backend() == "cpu" else function)(*matrices)

    return call


inverse = one_by_one(lambda matrix: jnp.linalg.inv(matrix))
determinant = one_by_one(lambda matrix: jnp.linalg.det(matrix))
spectrum = one_by_one(lambda matrix: jnp.linalg.eigvalsh(matrix))
solution = one_by_one(lambda matrix, right: jnp.linalg.solve(matrix, right))
