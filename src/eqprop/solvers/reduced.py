"""Relaxation in fewer bits: another solver, on the landscape as a smaller float type holds it."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from eqprop._arguments import FloatType
from eqprop.energies.energy import Clamped
from eqprop.energies.ops import cast
from eqprop.energies.units.unit import State
from eqprop.solvers.refined import Refined
from eqprop.solvers.solver import Info, Iterative, Rounding, Solver, report

TF32 = "tf32"
TF32_UNIT = 2.0**-11


class Reduced(Solver):
    """``solver`` with weights, drives and states in ``dtype``, such as ``"bfloat16"``.

    The loop stops by the residual that it sees, at a tolerance of at least four units of rounding of
    ``dtype`` (0.031 in bfloat16; ``None`` takes fixed steps). What is reported is the residual of the
    returned state in the landscape as it is given, in whose type the state is returned.

    Examples:
        >>> import equinox as eqx
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> layer = eq.Layer(1, eq.Linear(), bias=jnp.ones(1) / 3)
        >>> phase = eq.Network(1, {"u": layer}, []).clamp(jnp.zeros(1))
        >>> solver = eq.Reduced(eq.Blockwise(None, 2), "bfloat16")
        >>> state, info = eqx.filter_jit(solver.settle)(phase, {"u": jnp.zeros(1)})
        >>> round(float(state["u"][0]), 5), state["u"].dtype.name  # a third in 8 bits, in a wider type
        (0.33398, 'float32')
    """

    solver: Iterative[Any]
    dtype: FloatType = eqx.field(default="bfloat16", static=True)

    @property
    def rounding(self) -> Rounding:
        return Rounding(self.dtype, float(jnp.finfo(self.dtype).eps) / 2, self.solver)

    def settle(
        self, phase: Clamped, state: State, key: PRNGKeyArray | None = None
    ) -> tuple[State, Info]:
        narrow = jnp.dtype(self.dtype)
        found, info = self.solver.settle(cast(phase, narrow), cast(state, narrow), key)
        found = {name: found[name].astype(z.dtype) for name, z in state.items()}
        return found, report(phase, found, info.steps, self.solver.tolerance)


class MatmulPrecision(Solver):
    """``solver`` with its products at one of JAX's precisions, such as ``"tensorfloat32"``, on devices that
    have it; states keep their type. The residual reported is that at the surrounding precision.

    Examples:
        >>> import eqprop as eq
        >>> solver = eq.solvers.MatmulPrecision(eq.Blockwise(1e-3), "tensorfloat32")
        >>> solver.rounding.unit == 2.0**-11
        True
    """

    solver: Iterative[Any]
    precision: str = eqx.field(default="tensorfloat32", static=True)

    @property
    def rounding(self) -> Rounding:
        return Rounding(self.precision, TF32_UNIT, self.solver)

    def __check_init__(self) -> None:
        try:
            jax.default_matmul_precision(self.precision)
        except ValueError as error:
            raise ValueError(
                f"MatmulPrecision: expected precision to be one of JAX's, such as tensorfloat32, got "
                f"{self.precision!r}."
            ) from error

    def settle(
        self, phase: Clamped, state: State, key: PRNGKeyArray | None = None
    ) -> tuple[State, Info]:
        with jax.default_matmul_precision(self.precision):
            found, info = self.solver.settle(phase, state, key)
        return found, report(phase, found, info.steps, self.solver.tolerance)


def in_fewer_bits(solver: Solver, precision: str) -> Solver:
    """``solver`` in ``bfloat16`` or ``float16``, or with ``tf32`` products. ``ValueError`` for a tolerance
    that the type does not resolve."""
    inner = _iterative(solver, precision)
    if precision == TF32:
        return MatmulPrecision(inner)
    least = _least_tolerance(precision)
    if inner.tolerance is not None and inner.tolerance < least:
        raise ValueError(
            f"tolerance: expected at least {least:.2g} for loops in {precision}, or a number of steps, got "
            f"{inner.tolerance}; or use differences, which refine to it."
        )
    return Reduced(inner, precision)


def refined(solver: Solver, precision: str) -> Refined:
    """Rounds of ``solver`` in fewer bits, until its own tolerance is met."""
    inner = _iterative(solver, precision)
    if inner.tolerance is None:
        raise ValueError(
            f"tolerance: expected a number > 0 with differences in {precision}, whose rounds go on until "
            "it is met, got a number of steps."
        )
    return Refined(resolved(inner, precision), inner.tolerance, dtype=precision)


def resolved(solver: Solver, precision: str) -> Iterative[Any]:
    """``solver`` at its tolerance, or at the least that the type resolves."""
    inner = _iterative(solver, precision)
    if inner.tolerance is None:
        return inner
    change: Any = {"tolerance": max(inner.tolerance, _least_tolerance(precision))}
    return dataclasses.replace(inner, **change)


def _iterative(solver: Solver, precision: str) -> Iterative[Any]:
    if not isinstance(solver, Iterative):
        raise ValueError(
            f"precision: expected an iterative solver for {precision}, got {type(solver).__name__}; leave "
            "it full."
        )
    return solver


def _least_tolerance(precision: str) -> float:
    return 4 * float(jnp.finfo(precision).eps)
