"""Phases of actions: what solvers for stationary paths ask of them."""

from __future__ import annotations

import inspect
import operator
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from eqprop.energies.energy import Clamped
from eqprop.energies.parameters import learnt
from eqprop.energies.slopes import depends
from eqprop.energies.units.unit import State, self_energy
from eqprop.lagrangian.bordered import Bordered

PATH = "path"

SADDLES = (
    "Action: expected a solver for saddles, got one that descends; use eqprop.lagrangian.Newton."
)


class Extremal(Clamped):
    """The action of one example, as a function of the path that the state holds."""

    x: eqx.AbstractVar[Array]

    @property  # type: ignore[misc]
    def blocks(self) -> tuple[tuple[str, ...], ...] | None:  # type: ignore[override]
        raise ValueError(SADDLES)

    @property
    @abstractmethod
    def period(self) -> float | None:
        """How long the path takes to close, if it does."""

    @property
    @abstractmethod
    def duration(self) -> float:
        """The time that the path takes."""

    @property
    @abstractmethod
    def weight(self) -> float:
        """What a unit of the Lagrangian, in one unknown alone, adds to the action."""

    @abstractmethod
    def continuous(self, q: Array, v: Array, t: Array) -> Array:
        """``L(q, v, t)`` of this example."""

    @abstractmethod
    def samples(self, path: Array) -> tuple[Array, Array, Array]:
        """Positions, velocities and times along the path: (samples, size) twice and (samples,)."""

    @abstractmethod
    def total(self, path: Array) -> Array:
        """The action."""

    @abstractmethod
    def hessian(self, path: Array) -> Bordered:
        """Its second derivatives in the unknowns."""

    @abstractmethod
    def scaled(self, fraction: Array) -> Extremal:
        """The action whose input is a fraction of this one's."""

    def coupling(self, shown: State) -> Array:
        return self.total(shown[PATH]) - self_energy(self.units, shown)

    def curvature(self, name: str) -> float:
        raise ValueError(SADDLES)

    def __call__(self, state: State) -> Array:
        return self.total(state[PATH])


def whole(number: Any) -> int:
    """A count, of whatever type. Raises ``ValueError`` where it is not whole."""
    try:
        return operator.index(number)
    except TypeError:
        raise ValueError(
            f"Action: expected a whole number of coordinates, steps, harmonics and samples, got {number!r}."
        ) from None


def with_input(lagrangian: Callable[..., Any]) -> Callable[..., Any]:
    """The function as one of ``(q, v, params, t, x)``; its own fifth argument may be missing."""
    count = arguments(lagrangian)
    if count == 5:
        return lagrangian
    if count != 4:
        raise ValueError(
            "Action: expected a function L(q, v, params, t) or L(q, v, params, t, x), or a module L(q, "
            f"v, t) or L(q, v, t, x), got {lagrangian!r} of {count} arguments."
        )
    return _WithoutInput(lagrangian)


def arguments(function: Callable[..., Any]) -> int:
    """How many arguments a function must be given by position; 0 where it does not tell."""
    try:
        given = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 0
    kinds = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    return sum(one.kind in kinds and one.default is inspect.Parameter.empty for one in given)


class _WithoutInput:
    """A function of ``(q, v, params, t)`` that takes an input and ignores it; equal to others of its
    kind."""

    def __init__(self, function: Callable[..., Any]):
        self.function = function

    def __call__(self, q: Array, v: Array, params: PyTree, t: Array, x: Array) -> Any:
        return self.function(q, v, params, t)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _WithoutInput) and other.function == self.function

    def __hash__(self) -> int:
        return hash((_WithoutInput, self.function))


def as_function(
    lagrangian: Callable[..., Array], params: PyTree
) -> tuple[Callable[..., Array], PyTree]:
    """A Lagrangian and its parameters as a function of ``(q, v, params, t, x)`` and a tree of arrays."""
    if isinstance(lagrangian, eqx.Module):
        params, lagrangian = lagrangian, _call
    return with_input(lagrangian), learnt(params)


def _call(q: Array, v: Array, params: Any, t: Array, x: Array) -> Array:
    takes_input = arguments(params) == 4
    return params(q, v, t, x) if takes_input else params(q, v, t)


def require_scalar(phase: Extremal, size: int) -> None:
    """Raise ``ValueError`` where the Lagrangian is not one number."""
    if not jnp.issubdtype(phase.x.dtype, jnp.inexact):
        raise ValueError(
            f"Action: expected inputs x of floating-point numbers, got {phase.x.dtype}; cast them, as by "
            "x.astype(float)."
        )
    point, time = (jax.ShapeDtypeStruct(shape, phase.x.dtype) for shape in ((size,), ()))
    try:
        found = jax.eval_shape(phase.continuous, point, point, time).shape
    except Exception as error:
        error.add_note(
            f"Action: the Lagrangian was called with q and v of shape ({size},), a scalar t, and the "
            f"input x of one example, of shape {phase.x.shape}; batches of inputs are (batch, features)."
        )
        raise
    if found != ():
        raise ValueError(
            f"Action: expected a Lagrangian that is one number, of q and v of shape ({size},), got an "
            f"array of shape {found}; sum over the coordinates."
        )


def require_drive(phase: Extremal, size: int) -> None:
    """Raise ``ValueError`` where the time does not enter the equations of motion."""
    point = jnp.zeros(size, phase.x.dtype)

    def slopes(t: Array) -> tuple[Array, Array]:
        holomorphic = jnp.iscomplexobj(point)
        return jax.grad(phase.continuous, (0, 1), holomorphic=holomorphic)(point, point, t)

    if not depends(slopes, jnp.zeros((), phase.x.dtype)):
        raise ValueError(
            "Action: expected a periodic Lagrangian whose drive acts on q or v, L(q, v, theta, t), got "
            "one whose equations of motion do not know the time t: its orbits may begin anywhere along "
            "themselves, and the Hessian has a zero mode. Drive the system, or take Action with a phase "
            "condition, Periodic(pin=(coordinate, value))."
        )
