"""Names of parameters, as people write them: ``x-h1.weight``, ``h1.bias``, ``cost.weight``."""

from __future__ import annotations

from collections import Counter
from typing import Any

import equinox as eqx
import jax
from jax.tree_util import GetAttrKey, SequenceKey
from jaxtyping import PyTree

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
