"""Iterative refinement: loops in few bits, whose errors are solved for again in few bits, in the landscape
about the state so far (`eqprop.energies.displaced`)."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Count, FloatType
from eqprop.energies.derivatives import CONSTANT, stopped, without_derivative
from eqprop.energies.displaced import about, no_difference, require_quadratic
from eqprop.energies.energy import Clamped, field, norm, relative
from eqprop.energies.units.interval import Box, Linear
from eqprop.energies.units.unit import State, embed, retract
from eqprop.solvers.solver import Info, Iterative, Solver, check_tolerance, report

Loop = tuple[State, tuple[State, State, Array], Array, Array]
"""The state, its fields, move and residual, and the steps and rounds so far."""


class Refined(Solver):
    """Rounds of ``solver`` in ``dtype``, each for what the state still misses, until the residual in the
    state's own type is within ``tolerance``: a free phase to full precision whose loops run in bfloat16.

    For free phases of Networks of `Box` and `Linear` units and linear operators. ``solver`` has a tolerance
    that ``dtype`` resolves, by which each round makes the error smaller (Wilkinson 1963).

    Examples:
        >>> import equinox as eqx
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> layer = eq.Layer(1, eq.Linear(), bias=jnp.ones(1) / 3)
        >>> phase = eq.Network(1, {"u": layer}, []).clamp(jnp.zeros(1))
        >>> solver = eq.Refined(eq.Blockwise(0.05), tolerance=1e-6)
        >>> state, info = eqx.filter_jit(solver.settle)(phase, {"u": jnp.zeros(1)})
        >>> round(float(state["u"][0]), 5)  # one round alone ends in 0.33398, a third in bfloat16
        0.33333
    """

    solver: Iterative[Any]
    tolerance: float = eqx.field(default=1e-5, static=True)
    rounds: Count = eqx.field(default=8, static=True)
    dtype: FloatType = eqx.field(default="bfloat16", static=True)

    def settle(
        self, phase: Clamped, state: State, key: PRNGKeyArray | None = None
    ) -> tuple[State, Info]:
        check_tolerance(self.tolerance, state)
        require_quadratic(phase, (Box, Linear))
        given = phase, state
        phase, state = stopped(given)
        narrow = jnp.dtype(self.dtype)

        def look(state: State) -> tuple[State, State, Array]:
            fields = field(phase, embed(phase.units, state), tuple(state))
            move = jax.tree.map(jnp.subtract, retract(phase.units, fields), state)
            return fields, move, relative(move, state)

        def missed(loop: Loop) -> Array:
            _, (_, _, true), _, rounds = loop
            return (true > self.tolerance) & (rounds < self.rounds)

        def refine(loop: Loop) -> Loop:
            state, (fields, move, _), steps, rounds = loop
            scale = norm(move)
            scale = jnp.where(scale > 0, scale, 1.0)
            landscape = about(phase, state, fields, scale, narrow)
            found, info = self.solver.settle(landscape, no_difference(state, narrow))
            moved = {name: z + scale * found[name].astype(z.dtype) for name, z in state.items()}
            state = retract(phase.units, moved)
            return state, look(state), steps + info.steps, rounds + 1

        zero = jnp.zeros((), jnp.int32)
        state, _, steps, _ = lax.while_loop(missed, refine, (state, look(state), zero, zero))
        found = state, report(phase, state, steps, self.tolerance)
        return without_derivative(given, found, CONSTANT)
