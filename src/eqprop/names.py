"""Names of parameters, as people write them: ``x-h1.weight``, ``h1.bias``, ``cost.weight``."""

from __future__ import annotations

import re

import equinox as eqx
import jax
from jaxtyping import PyTree

_STRUCTURE = re.compile(r"\b(energy|edges|layers|unit|op|ops|params|(?<=cost\.)cost)\.")


def parameter_names(model: PyTree) -> PyTree:
    """The model's structure with a name in place of every parameter."""
    parameters = eqx.filter(model, eqx.is_inexact_array)
    return jax.tree_util.tree_map_with_path(lambda path, _: _name(path), parameters)


def _name(path) -> str:
    full = jax.tree_util.keystr(path, simple=True, separator=".")
    return re.sub(r"\.0\.", ".", _STRUCTURE.sub("", full))
