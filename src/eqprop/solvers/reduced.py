"""Relaxation in fewer bits: another solver, on the landscape as a smaller float type holds it."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from eqprop._arguments import FloatType
from eqprop.energies.energy import Clamped
from eqprop.energies.ops import cast
from eqprop.energies.units.unit import State
from eqprop.solvers.solver import Info, Iterative, Solver, report


class Reduced(Solver):
    """``solver`` with weights, drives and states in ``dtype``, such as ``"bfloat16"``.

    The loop stops by the residual that it sees, at a tolerance of at least four units of rounding of
    ``dtype`` (0.031 in bfloat16; ``None`` takes fixed steps). What is reported is the residual of the
    returned state in the landscape as it is given, in whose type the state is returned.
    """

    solver: Iterative[Any]
    dtype: FloatType = eqx.field(default="bfloat16", static=True)

    def settle(
        self, phase: Clamped, state: State, key: PRNGKeyArray | None = None
    ) -> tuple[State, Info]:
        narrow = jnp.dtype(self.dtype)
        found, info = self.solver.settle(cast(phase, narrow), cast(state, narrow), key)
        found = {name: found[name].astype(z.dtype) for name, z in state.items()}
        return found, report(phase, found, info.steps, self.solver.tolerance)


class MatmulPrecision(Solver):
    """``solver`` with its products at one of JAX's precisions, such as ``"tensorfloat32"``, on devices that
    have it; states keep their type. The residual reported is that at the surrounding precision."""

    solver: Iterative[Any]
    precision: str = eqx.field(default="tensorfloat32", static=True)

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
