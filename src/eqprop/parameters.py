"""Parameters: what learns, and the gradient of an objective in them, as processors multiply matrices
fastest."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PyTree

NARROW = 24


def learnt(params: PyTree) -> PyTree:
    """Python numbers as arrays that learn, whole ones too; arrays of whole numbers stay what they are."""

    def array(leaf: PyTree) -> PyTree:
        if isinstance(leaf, int) and not isinstance(leaf, bool):
            return jnp.asarray(float(leaf))
        return jnp.asarray(leaf) if eqx.is_array_like(leaf) else leaf

    return jax.tree.map(array, params)


def parameter_gradient(objective: Callable[[PyTree], Array], model: PyTree) -> PyTree:
    """``d objective / d model``, as `equinox.filter_grad` has it.

    The gradient of a read-out of few columns is ``a' b`` with a narrow ``b``, for which XLA takes three to
    ten times as long on CPUs as for ``b' a``: it is formed so, and kept from being turned round again.
    """
    return eqx.filter_grad(lambda model: objective(jax.tree.map(_turned, model)))(model)


def _turned(leaf: PyTree) -> PyTree:
    matrix = eqx.is_inexact_array(leaf) and leaf.ndim == 2
    narrow = matrix and leaf.shape[1] <= min(NARROW, leaf.shape[0])
    return lax.optimization_barrier(leaf.T).T if narrow else leaf
