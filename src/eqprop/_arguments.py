"""What callers hand in, held against the annotations of our own constructors and functions.

Values that are traced are only asked for their shape, so that a constructor may be called under any of
JAX's transformations. The annotations of classes that others derive from ours are not enforced.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import math
import numbers
import operator
from collections.abc import Callable, Mapping
from functools import cache, wraps
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    NamedTuple,
    SupportsFloat,
    SupportsIndex,
    TypeVar,
    Union,
    get_args,
    get_origin,
)
from typing import get_type_hints as hints_of

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

F = TypeVar("F", bound=Callable[..., Any])

SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<": operator.lt,
}

NAMES: dict[Any, str] = {
    int: "a whole number",
    SupportsIndex: "a whole number",
    float: "a number",
    SupportsFloat: "a number",
    complex: "a number",
    bool: "True or False",
    str: "a string",
    NoneType: "None",
}


class Bound(NamedTuple):
    """What a number keeps to, as metadata of an annotation."""

    sign: str
    limit: float

    def __str__(self) -> str:
        return f"{self.sign} {self.limit}"

    def admits(self, value: Any) -> bool:
        return isinstance(value, jax.core.Tracer) or bool(
            SIGNS[self.sign](np.asarray(value), self.limit)
        )


class Floating:
    """What a type of floating-point numbers keeps to, under its name or as itself."""

    def __str__(self) -> str:
        return "the name of a floating-point type"

    def admits(self, value: Any) -> bool:
        try:
            return value is not None and jnp.issubdtype(jnp.dtype(value), jnp.floating)
        except TypeError:
            return False


Count = Annotated[int, Bound(">=", 1)]

Whole = Annotated[int, Bound(">=", 0)]

FloatType = Annotated[Any, Floating()]

Positive = Annotated[float, Bound(">", 0), Bound("<", math.inf)]

NotNegative = Annotated[float, Bound(">=", 0), Bound("<", math.inf)]


YOUNGER = "younger"


def younger(default: Any) -> Any:
    """A static field that came after runs were kept: at its default, nothing is told of it, as in these."""
    return eqx.field(default=default, static=True, metadata={YOUNGER: True})


if TYPE_CHECKING:
    Checked = eqx.Module
else:

    class _Checking(type(eqx.Module)):
        def __call__(cls, *arguments: Any, **named: Any) -> Any:
            if cls.__module__.partition(".")[0] == __package__:
                _check(cls.__name__, *_asked(cls), (None, *arguments), named)
            return super().__call__(*arguments, **named)

    class Checked(eqx.Module, metaclass=_Checking):
        """A module whose constructor raises ``ValueError`` for arguments that are not as annotated."""


def require_types(made: Any) -> None:
    """Raise ``ValueError`` for a dataclass with fields that are not of their annotations."""
    kind: Callable[..., Any] = type(made)
    _check(kind.__name__, *_asked(kind), (None,), vars(made))


def checked(function: F) -> F:
    """``function``, which raises ``ValueError`` for arguments that are not of its annotations."""

    @wraps(function)
    def guarded(*arguments: Any, **named: Any) -> Any:
        _check(function.__qualname__, *_asked(function), arguments, named)
        return function(*arguments, **named)

    return guarded  # type: ignore[return-value]


def fits(hint: Any, value: Any) -> bool:
    """Whether a value is of an annotation, as far as it can be seen without computing."""
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin is Annotated:
        return fits(parts[0], value) and all(bound.admits(value) for bound in parts[1:])
    if origin in (Union, UnionType):
        return any(fits(part, value) for part in parts)
    if origin is Literal:
        return value in parts
    if hint in (int, bool):
        kind = numbers.Integral if hint is int else (bool, np.bool_)
        return isinstance(value, kind) and (hint is bool or not isinstance(value, bool))
    if hint in (float, complex):
        return _is_number(hint, value)
    if hint in (jax.Array, np.ndarray) or hasattr(hint, "array_type"):
        return _is_array(value)
    if origin is tuple:
        return isinstance(value, tuple) and _all_fit(parts, value)
    if origin is not None and issubclass(origin, collections.abc.Mapping):
        return isinstance(value, Mapping) and all(
            fits(parts[0], key) and fits(parts[1], one) for key, one in value.items()
        )
    if origin in (list, collections.abc.Sequence):
        sequence = isinstance(value, collections.abc.Sequence) and not isinstance(value, str)
        return (_is_array(value) and value.ndim > 0) or (
            sequence and all(fits(parts[0], one) for one in value)
        )
    kind = origin or hint
    seen = isinstance(kind, type) and (
        not getattr(kind, "_is_protocol", False) or getattr(kind, "_is_runtime_protocol", False)
    )
    return isinstance(value, kind) if seen else True


def spoken(hint: Any) -> str:
    """An annotation in words."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        kind = [] if parts[0] is Any else [spoken(parts[0])]
        return " ".join([*kind, *map(str, parts[1:])])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(spoken(part) for part in parts))
    if origin is Literal:
        return "one of " + ", ".join(map(str, parts))
    if hint in (jax.Array, np.ndarray) or hasattr(hint, "array_type"):
        return "an array"
    if origin is tuple:
        inner = parts[:1] if parts[1:] == (...,) else parts
        each = "each " if inner is not parts else ""
        return f"a tuple, {each}{', '.join(map(spoken, inner))}"
    if origin in (list, collections.abc.Sequence):
        return f"a sequence, each {spoken(parts[0])}"
    if origin is not None and issubclass(origin, collections.abc.Mapping):
        return f"a dict, each {spoken(parts[1])}"
    if (origin or hint) is collections.abc.Callable:
        return "a function"
    name = getattr(origin or hint, "__name__", str(hint))
    return NAMES.get(hint, f"{'an' if name[0] in 'AEIO' else 'a'} {name}")


def shown(value: Any) -> str:
    """A value in a few words."""
    if _is_array(value):
        return f"an array of shape {value.shape} and type {value.dtype}"
    if value is None or isinstance(value, numbers.Number | str | tuple | list | type):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    if callable(value) and hasattr(value, "__name__"):
        return f"the function {value.__name__}"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeioAEIO' else 'a'} {name}"


def _all_fit(parts: tuple[Any, ...], values: tuple[Any, ...]) -> bool:
    if parts[1:] == (...,):
        return all(fits(parts[0], value) for value in values)
    return len(parts) == len(values) and all(map(fits, parts, values))


def _is_array(value: Any) -> bool:
    if not (hasattr(value, "shape") and hasattr(value, "dtype")):
        return False
    return jax.dtypes.issubdtype(value.dtype, jax.dtypes.extended) or not (
        np.issubdtype(value.dtype, np.character) or value.dtype == object
    )


def _is_number(hint: type, value: Any) -> bool:
    if isinstance(value, bool | np.bool_):
        return False
    if isinstance(value, numbers.Real if hint is float else numbers.Number):
        return bool(value == value)
    kinds = (jnp.floating, jnp.integer) if hint is float else (jnp.number,)
    return (
        _is_array(value)
        and value.shape == ()
        and any(jnp.issubdtype(value.dtype, kind) for kind in kinds)
    )


@cache
def _asked(called: Callable[..., Any]) -> tuple[inspect.Signature, dict[str, Any]]:
    """A signature, and what it asks of each argument."""
    function = called.__init__ if isinstance(called, type) else called  # type: ignore[misc]
    signature = inspect.signature(function)
    fields = dataclasses.fields(called) if isinstance(called, type) else ()  # type: ignore[arg-type]
    raw = {field.name: field.type for field in fields}
    given = {n: p.annotation for n, p in signature.parameters.items() if n != "self"}
    plain = isinstance(called, type) and all(raw.get(n) == a for n, a in given.items())
    return signature, hints_of(called if plain else function, include_extras=True)


def _check(
    owner: str,
    signature: inspect.Signature,
    hints: Mapping[str, Any],
    arguments: tuple[Any, ...],
    named: Mapping[str, Any],
) -> None:
    try:
        given = signature.bind_partial(*arguments, **named).arguments
    except TypeError:
        return  # the call itself says what is missing or too much
    for name, value in given.items():
        if name not in hints or fits(hints[name], value):
            continue
        others = [n for n in given if n in hints and n != name and fits(hints[n], value)]
        swapped = [n for n in others if not fits(hints[n], given[n])]
        remedy = f"; it would do as {swapped[0]}: are the two swapped?" if swapped else "."
        if spoken(hints[name]).startswith("an array") and isinstance(value, list | tuple):
            remedy = "; convert it by jnp.asarray."
        if name == "key" and type(value) is int:
            remedy = f"; make one by jax.random.key({value})."
        ours = isinstance(value, type) and issubclass(value, eqx.Module)
        if ours and fits(hints[name], object.__new__(value)):
            remedy = f"; make one: {value.__name__}(...)."
        got, kind = shown(value), type(value)
        if kind.__name__ in spoken(hints[name]):
            got += f" of {kind.__module__}"
        raise ValueError(f"{owner}: expected {_asking(name, hints[name])}, got {got}{remedy}")


def _asking(name: str, hint: Any) -> str:
    kind, *bounds = get_args(hint) if get_origin(hint) is Annotated else (Any,)
    if kind is Any:
        return f"{name} to be {spoken(hint)}"
    whole = ", a whole number" if kind is int else ""
    return f"{name} {' and '.join(map(str, bounds))}{whole}"


def concrete(tree: object) -> bool:
    """Whether a tree holds numbers, and no abstract values of a function being compiled."""
    return not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))
