"""Modules as JSON and back: how a run folder says what was trained, and by what.

A module is its class, by name, and its fields. Arrays are their values or, where these are kept elsewhere
as those of a model are, their form alone. What has no name, as a lambda, is told but cannot be made again.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import math
import types
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from eqprop._arguments import YOUNGER

KIND = "is"
PLAIN = (bool, int, float, str, types.NoneType)


class StructureError(ValueError):
    """What was told cannot be made again."""


def tell(tree: Any, values: bool = True) -> Any:
    """``tree`` as JSON; with ``values`` false, arrays as shape and type alone."""

    def inner(part: Any) -> Any:
        return tell(part, values)

    if isinstance(tree, float) and not math.isfinite(tree):  # which JSON has not
        return {KIND: "float", "value": str(tree)}
    if isinstance(tree, PLAIN):
        return tree
    if isinstance(tree, complex):
        return {KIND: "complex", "value": [tree.real, tree.imag]}
    if isinstance(tree, np.ndarray | np.generic | jax.Array):
        return _array(tree, values)
    if isinstance(tree, list):
        return [inner(part) for part in tree]
    if isinstance(tree, Mapping):
        return {KIND: "dict", "items": [[inner(k), inner(v)] for k, v in tree.items()]}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return {KIND: _name(type(tree)), **{k: inner(getattr(tree, k)) for k in tree._fields}}
    if isinstance(tree, tuple):
        return {KIND: "tuple", "items": [inner(part) for part in tree]}
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        told = [f for f in dataclasses.fields(tree) if not _left_out(f, tree)]
        fields = {f.name: getattr(tree, f.name, None) for f in told}
        return {KIND: _name(type(tree)), **{k: inner(v) for k, v in fields.items()}}
    if isinstance(tree, functools.partial):
        parts = {"function": tree.func, "arguments": tree.args, "keywords": tree.keywords}
        return {KIND: "partial", **{k: inner(v) for k, v in parts.items()}}
    if isinstance(tree, np.dtype):
        return {KIND: "dtype", "name": tree.name}
    if callable(tree) and hasattr(tree, "__qualname__"):
        return {KIND: "named", "name": _name(tree)}
    return {KIND: "opaque", "name": _name(type(tree))}


def make(told: Any) -> Any:
    """What was told; arrays of which only the form is known are zeros. `StructureError` where it cannot
    be."""
    if isinstance(told, PLAIN):
        return told
    if isinstance(told, list):
        return [make(part) for part in told]
    kind = told[KIND]
    rest = {key: value for key, value in told.items() if key != KIND}
    if kind in _MAKERS:
        return _MAKERS[kind](rest)
    cls = _found(kind)
    if not isinstance(cls, type):
        raise StructureError(f"{kind}: expected a class, got {type(cls).__name__}.")
    fields = {key: make(value) for key, value in rest.items()}
    if issubclass(cls, tuple):
        return cls(**fields)
    if not dataclasses.is_dataclass(cls):
        raise StructureError(f"{kind}: expected a module or a dataclass.")
    usual = {f.name: _usual(f) for f in dataclasses.fields(cls)}
    whole = usual | fields
    if set(fields) - set(usual) or any(v is dataclasses.MISSING for v in whole.values()):
        raise StructureError(f"{kind}: expected its fields, got {sorted(fields)}.")
    made = object.__new__(cls)
    for key, value in whole.items():
        object.__setattr__(made, key, value)
    return made


def of_this_process(told: Any) -> list[str]:
    """Names in what was told that no other process finds: of a script or a notebook, inside a function, or
    of nothing with a name."""
    if isinstance(told, list):
        return [name for part in told for name in of_this_process(part)]
    if not isinstance(told, Mapping):
        return []
    own = [told[KIND], told.get("name")] if KIND in told else []
    names = [name for name in own if isinstance(name, str)]
    lost = [n for n in names if n.startswith("__main__:") or "<lambda>" in n or "<locals>" in n]
    return [*lost, *of_this_process(list(told.values()))]


def _left_out(field: dataclasses.Field[Any], tree: Any) -> bool:
    return YOUNGER in field.metadata and bool(getattr(tree, field.name) == field.default)


def _usual(field: dataclasses.Field[Any]) -> Any:
    """What a field is where nothing is told of it, as of one that is younger than the run."""
    factory = field.default_factory
    return field.default if factory is dataclasses.MISSING else factory()


def _array(array: Any, values: bool) -> dict[str, Any]:
    if isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        return {KIND: "key", "value": np.asarray(jax.random.key_data(array)).tolist()}
    kind = "array" if isinstance(array, jax.Array) else "numpy"
    told: dict[str, Any] = {KIND: kind, "shape": list(array.shape), "dtype": array.dtype.name}
    if not values:
        return told
    held = np.asarray(array)
    parts = [held.real, held.imag] if np.iscomplexobj(held) else [held]
    return told | {"value": [np.ravel(part).tolist() for part in parts]}


def _made_array(told: Mapping[str, Any]) -> Any:
    parts = [np.asarray(part) for part in told.get("value", [np.zeros(())])]
    held = parts[0] + 1j * parts[1] if len(parts) > 1 else parts[0]
    full = held if "value" in told else np.zeros(told["shape"])
    return full.reshape(told["shape"]).astype(told["dtype"])


def _name(what: Any) -> str:
    return f"{what.__module__}:{what.__qualname__}"


def _found(name: str) -> Any:
    module, _, path = name.partition(":")
    try:
        found = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise StructureError(
            f"expected {name}, which the run was made of, where Python finds it; define it in a module "
            "that can be imported."
        ) from error
    return found


def _opaque(told: Mapping[str, Any]) -> Any:
    raise StructureError(f"expected something with a name, got a {told['name']} without one.")


def _named(told: Mapping[str, Any]) -> Any:
    if "<lambda>" in told["name"] or "<locals>" in told["name"]:
        raise StructureError(
            f"expected a function of a module, got {told['name']}, which has no name there."
        )
    return _found(told["name"])


_MAKERS: dict[str, Any] = {
    "float": lambda told: float(told["value"]),
    "complex": lambda told: complex(*told["value"]),
    "array": lambda told: jnp.asarray(_made_array(told)),
    "numpy": _made_array,
    "key": lambda told: jax.random.wrap_key_data(jnp.asarray(told["value"], jnp.uint32)),
    "dict": lambda told: {make(key): make(value) for key, value in told["items"]},
    "tuple": lambda told: tuple(make(part) for part in told["items"]),
    "partial": lambda told: functools.partial(
        make(told["function"]), *make(told["arguments"]), **make(told["keywords"])
    ),
    "dtype": lambda told: np.dtype(told["name"]),
    "named": _named,
    "opaque": _opaque,
}


def with_arrays(like: Any, arrays: list[Any]) -> Any:
    """``like`` with these arrays in the place of its own, in order."""
    own, static = eqx.partition(like, eqx.is_array)
    leaves, structure = jax.tree.flatten(own)
    if len(leaves) != len(arrays):
        raise StructureError(f"expected {len(leaves)} arrays, got {len(arrays)}.")
    return eqx.combine(jax.tree.unflatten(structure, arrays), static)
