"""Continuation: a path followed from an easy problem to the one that is asked for."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Count
from eqprop.energies.derivatives import CONSTANT, stopped, without_derivative
from eqprop.energies.energy import Clamped
from eqprop.energies.model import Nudged
from eqprop.energies.slopes import depends
from eqprop.energies.units.unit import State
from eqprop.lagrangian.curvature import action_of
from eqprop.lagrangian.faults import PathInfo
from eqprop.lagrangian.newton import Newton
from eqprop.lagrangian.stationary import PATH, Extremal
from eqprop.solvers import Solver


class Continuation(Solver):
    """`Newton` at ``k / stages`` of the forcing for ``k = 1 .. stages``, each from the path before.

    The forcing of a free path is the example's input ``x``, amplitudes of drives or the positions of
    ends; that of a nudged path is the nudge. Raises where the last stage does, where the Morse index of a
    nudged path changes on the way, and ``ValueError`` for a free path that no input forces.

    Examples:
        >>> import eqprop as eq
        >>> from eqprop import lagrangian as lg
        >>> nudged = lg.Continuation(lg.Newton(1e-9), stages=4)
        >>> learner = eq.EquilibriumPropagation(lg.Newton(1e-9), eq.symmetric(2.0), nudged)
        >>> [2.0 * k / learner.nudged_solver.stages for k in range(1, 5)]  # its nudges, in turn
        [0.5, 1.0, 1.5, 2.0]
    """

    watchful: ClassVar[bool] = True
    newton: Newton = Newton()
    stages: Count = eqx.field(default=10, static=True)

    def settle(
        self, phase: Clamped, state: State, key: PRNGKeyArray | None = None
    ) -> tuple[State, PathInfo]:
        given = phase, state
        phase, state = stopped(given)
        if not isinstance(phase, Nudged):
            _require_input(action_of(phase), state[PATH])
        real = jnp.finfo(state[PATH].dtype).dtype
        fractions = jnp.arange(1, self.stages + 1, dtype=real) / self.stages

        def follow(state: State, fraction: Array) -> tuple[State, PathInfo]:
            return self.newton.attempt(_scaled(phase, fraction), state)

        found, infos = lax.scan(follow, state, fractions)
        last = PathInfo(**{name: value[-1] for name, value in vars(infos).items()})
        judged = self.newton.judged(phase, state, found, last, infos)
        return without_derivative(given, (judged, last), CONSTANT)


def _require_input(phase: Extremal, path: Array) -> None:
    def force(x: Array) -> Array:
        return jax.grad(eqx.tree_at(lambda phase: phase.x, phase, x).total)(path)

    if not depends(force, phase.x):
        raise ValueError(
            "Continuation: expected a path that its input x forces, through a Lagrangian L(q, v, params, "
            "t, x) or through ends that are functions of x, got one that does not depend on it, of which "
            "all stages are the same. Make the amplitudes of the drives the input."
        )


def _scaled(phase: Clamped, fraction: Array) -> Clamped:
    if isinstance(phase, Nudged):
        beta = phase.beta * fraction.astype(phase.beta.dtype)
        return eqx.tree_at(lambda nudged: nudged.beta, phase, beta)
    return action_of(phase).scaled(fraction)
