"""Shooting: a path found from its start alone, step after step, and its monodromy."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Count, checked
from eqprop.energies.derivatives import CONSTANT, stopped, without_derivative
from eqprop.energies.energy import Clamped
from eqprop.energies.units.unit import State
from eqprop.lagrangian.action import ClampedAction
from eqprop.lagrangian.boundary import Boundary, FixedEnds, InitialValue, Periodic
from eqprop.lagrangian.faults import free_faults, without_faults
from eqprop.lagrangian.stationary import PATH
from eqprop.solvers import Info, Solver, check_tolerance
from eqprop.solvers.solver import report

INNER = 5


class Shooting(Solver):
    """Newton's method in the start of a free path: ``(q_0, p_0)`` on a period, ``p_0`` where ``q_0`` is
    given; a march without corrections where both are.

    A step goes from ``(q_n, p_n)`` to where ``p_n = -D_1 L_d(q_n, q_{n+1})`` and ``p_{n+1} = D_2 L_d``.
    On a period the correction solves ``(M - I) d = z_0 - z_N`` with the monodromy ``M``. Errors grow
    along the path as the system's do, so that it suits short and stable ones. Raises ``TypeError`` for
    nudged phases, which `Newton` follows from here, and at run time where `Newton` does.

    Examples:
        >>> import eqprop as eq
        >>> from eqprop import lagrangian as lg
        >>> learner = eq.EquilibriumPropagation(lg.Shooting(), eq.symmetric(0.1), lg.Newton())
        >>> learner.solver.max_steps, learner.nudged_solver.max_steps  # from what shooting found
        (30, 50)
    """

    watchful: ClassVar[bool] = True
    tolerance: float = eqx.field(default=1e-10, static=True)
    max_steps: Count = eqx.field(default=30, static=True)

    def settle(
        self, phase: Clamped, state: State, key: PRNGKeyArray | None = None
    ) -> tuple[State, Info]:
        check_tolerance(self.tolerance, state)
        if not isinstance(phase, ClampedAction):
            raise TypeError(
                f"Shooting: expected the free phase of an Action, got {type(phase).__name__}; nudged "
                "phases are for Newton, as in EquilibriumPropagation(Shooting(), contrast, Newton())."
            )
        given = phase, state
        phase, state = stopped(given)
        boundary = phase.action.boundary
        if isinstance(boundary, InitialValue):
            path, steps = _marched(phase, boundary, state), jnp.ones((), jnp.int32)
        else:
            path, steps = self._shot(phase, boundary, state)
        found = {PATH: path}
        info = report(phase, found, steps, self.tolerance)
        judged = without_faults(found, free_faults(phase, path, info))
        return without_derivative(given, (judged, info), CONSTANT)

    def _shot(self, phase: ClampedAction, boundary: Boundary, state: State) -> tuple[Array, Array]:
        """The path, and the corrections that it took."""
        nodes = boundary.complete(phase.units[PATH].retract(state[PATH]), phase.x)
        momentum = -jax.grad(phase.step)(nodes[0], nodes[1], jnp.zeros((), nodes.dtype))
        moving = jnp.ones(2 * nodes.shape[1], bool)
        if not isinstance(boundary, Periodic):
            moving = moving.at[: nodes.shape[1]].set(False)
        elif boundary.pin:
            moving = moving.at[boundary.pin[0]].set(False)

        def miss(start: Array) -> tuple[Array, Array]:
            path, last = trajectory(phase, start)
            if isinstance(boundary, Periodic):
                return last - start, path
            q, p = jnp.split(last, 2)
            return (q - nodes[-1] if isinstance(boundary, FixedEnds) else p), path

        def correct(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            start, _, steps = carry
            slope = jax.jacfwd(lambda start: miss(start)[0])(start) * moving.astype(start.dtype)
            change, *_ = jnp.linalg.lstsq(slope, -miss(start)[0])
            start = start + change
            return start, jnp.linalg.norm(miss(start)[0]), steps + 1

        def missed(carry: tuple[Array, Array, Array]) -> Array:
            return (carry[1] > 0.1 * self.tolerance) & (carry[2] < self.max_steps)

        begin = jnp.concatenate([nodes[0], momentum])
        carry = begin, jnp.full((), jnp.inf, nodes.dtype), jnp.zeros((), jnp.int32)
        start, _, steps = lax.while_loop(missed, correct, carry)
        first = 0 if isinstance(boundary, Periodic) else 1
        return miss(start)[1][first : first + len(state[PATH])], steps


def _marched(phase: ClampedAction, boundary: InitialValue, state: State) -> Array:
    """From a given start there is nothing to correct: the second half of the variables stays 0."""
    rest = jnp.zeros_like(state[PATH])
    position = boundary.complete(rest, phase.x)[0]
    momentum = jax.grad(boundary.work)(rest, phase.x)[-1]
    nodes, _ = trajectory(phase, jnp.concatenate([position, momentum]))
    return nodes[1:]


def trajectory(phase: ClampedAction, start: Array) -> tuple[Array, Array]:
    """From ``z_0 = (q_0, p_0)``, (2 size,): all nodes (steps + 1, size), and ``z_N``."""

    def step(z: Array, t: Array) -> tuple[Array, Array]:
        q, p = jnp.split(z, 2)

        def improve(after: Array) -> Array:
            def pull(after: Array) -> Array:
                return p + jax.grad(phase.step)(q, after, t)

            return after - jnp.linalg.solve(jax.jacfwd(pull)(after), pull(after))

        near = lax.fori_loop(0, INNER, lambda _, after: improve(after), q)
        after = improve(lax.stop_gradient(near))
        return jnp.concatenate([after, jax.grad(phase.step, 1)(q, after, t)]), after

    times = phase.action.dt * jnp.arange(phase.action.steps, dtype=start.dtype)
    last, nodes = lax.scan(step, start, times)
    return jnp.concatenate([jnp.split(start, 2)[0][None], nodes]), last


@checked
def monodromy(phase: ClampedAction, state: State) -> Array:
    """``dz_N / dz_0`` of a periodic path, (2 size, 2 size); its eigenvalues are the Floquet multipliers,
    1 at an orbit whose response to a nudge is infinite. Raises ``ValueError`` for other boundaries, whose
    paths do not come back.

    Examples:
        >>> import equinox as eqx
        >>> import jax.numpy as jnp
        >>> from eqprop import lagrangian as lg
        >>> def driven(q, v, params, t):
        ...     return 0.5 * v @ v - 0.5 * q @ q + jnp.sum(q) * jnp.cos(2 * jnp.pi * t)
        >>> phase = lg.Action(driven, size=1, steps=20, dt=0.05).clamp(jnp.zeros(1))
        >>> turn = eqx.filter_jit(lg.monodromy)(phase, {"path": jnp.zeros((20, 1))})
        >>> round(float(jnp.trace(turn)), 2)  # 2 cos(omega T): the multipliers are e^(+-i omega T)
        1.08
    """
    boundary = phase.action.boundary
    if not isinstance(boundary, Periodic):
        raise ValueError(
            f"monodromy: expected an action with a Periodic boundary, got {type(boundary).__name__}."
        )
    nodes = boundary.complete(state[PATH], phase.x)
    momentum = -jax.grad(phase.step)(nodes[0], nodes[1], jnp.zeros((), nodes.dtype))
    start = jnp.concatenate([nodes[0], momentum])
    return jax.jacfwd(lambda start: trajectory(phase, start)[1])(start)
