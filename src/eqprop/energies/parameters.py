"""Parameters: what learns, what it is called, and the gradient of an objective in it, as processors
multiply matrices fastest."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.tree_util import GetAttrKey, SequenceKey
from jaxtyping import Array, PyTree

STRUCTURE = ("energy", "edges", "layers", "unit", "op", "ops", "params")


def parameter_names(model: PyTree) -> PyTree:
    """The model's structure with a name in place of every parameter. Raises ``ValueError`` where two would
    share one, as those of a dict with dots in its keys may."""
    parameters = eqx.filter(model, eqx.is_inexact_array)
    names = jax.tree_util.tree_map_with_path(lambda path, _: _name(path), parameters)
    counts = Counter(jax.tree.leaves(names))
    if shared := sorted(name for name, count in counts.items() if count > 1):
        raise ValueError(
            f"parameter_names: expected a name for each parameter, got {shared} for several; rename them, "
            "without dots."
        )
    return names


def _name(path: tuple[Any, ...]) -> str:
    """The path without what every model has in common, the attributes of our own modules and the first of a
    chain; keys of dicts, which users name, stay."""
    kept: list[Any] = []
    for key, after in zip(path, (*path[1:], None), strict=True):
        common = isinstance(key, GetAttrKey) and key.name in STRUCTURE
        wrapped = kept and kept[-1] == GetAttrKey("cost") == key
        first = kept and after is not None and key == SequenceKey(0)
        if not (after is not None and (common or first)) and not wrapped:
            kept.append(key)
    return jax.tree_util.keystr(tuple(kept), simple=True, separator=".")


NARROW = 24


def learnt(params: PyTree) -> PyTree:
    """Python numbers as arrays that learn, whole ones too. Arrays of whole numbers stay what they are, and
    are warned of."""

    def array(leaf: PyTree) -> PyTree:
        if isinstance(leaf, int) and not isinstance(leaf, bool):
            return jnp.asarray(float(leaf))
        return jnp.asarray(leaf) if eqx.is_array_like(leaf) else leaf

    kept = jax.tree.map(array, params)
    leaves, _ = jax.tree_util.tree_flatten_with_path(
        kept, lambda part: isinstance(part, eqx.Module)
    )
    if whole := [path for path, leaf in leaves if _is_whole(leaf)]:
        names = [jax.tree_util.keystr(path, simple=True, separator=".") for path in whole]
        warnings.warn(
            f"params: expected arrays of floats, which learn, got whole numbers in {names}, which stay as "
            "they are. Write jnp.asarray(..., float) for what is to learn; take what is not into the "
            "function.",
            stacklevel=3,
        )
    return kept


def _is_whole(leaf: PyTree) -> bool:
    """Whether a leaf is an array of whole numbers, and neither a module, which may hold tables of places,
    nor a key."""
    return eqx.is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.signedinteger)


def parameter_gradient(objective: Callable[[PyTree], Array], model: PyTree) -> PyTree:
    """``d objective / d model``, as `equinox.filter_grad` has it.

    The gradient of a read-out of few columns is ``a' b`` with a narrow ``b``, for which XLA takes three to
    ten times as long on CPUs as for ``b' a``: it is formed so, and kept from being turned round again.
    """
    return eqx.filter_grad(lambda model: objective(jax.tree.map(_turned, model)))(model)


def in_memory(tree: PyTree) -> PyTree:
    """The same arrays, written before they are read, by XLA's CPU backend too; not a number where the first
    is not finite.

    That backend joins what makes a state with every product that reads it. The kernel's gradient of a
    convolution reads it across images: the state is then made anew for each, with strides, which takes
    longer than the product. It does not join across a branch.
    """

    def written(tree: PyTree) -> PyTree:
        finite = jnp.isfinite(jax.tree.leaves(tree)[0].ravel()[0])
        return lax.cond(finite, lambda t: t, lambda t: jax.tree.map(lambda a: a * jnp.nan, t), tree)

    return lax.platform_dependent(tree, cpu=written, default=lambda tree: tree)


def _turned(leaf: PyTree) -> PyTree:
    matrix = eqx.is_inexact_array(leaf) and leaf.ndim == 2
    narrow = matrix and leaf.shape[1] <= min(NARROW, leaf.shape[0])
    return lax.optimization_barrier(leaf.T).T if narrow else leaf
