"""Newton's method for stationary paths, which are saddles of the action."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Count
from eqprop.energies.derivatives import CONSTANT, stopped, without_derivative
from eqprop.energies.energy import Clamped, displacement, norm, relative, residual
from eqprop.energies.model import Nudged
from eqprop.energies.units.unit import State
from eqprop.lagrangian.bordered import Factor, Pivots
from eqprop.lagrangian.curvature import action_of, second_variation, solve
from eqprop.lagrangian.faults import (
    ASTRAY,
    UNSETTLED,
    PathInfo,
    branch_fault,
    free_faults,
    margin_of,
    reach_fault,
    warn_of_harmonics,
    warn_of_jump,
    warn_of_margin,
    without_faults,
)
from eqprop.lagrangian.stationary import PATH
from eqprop.solvers import CONVERGED, DIVERGED, Solver, check_tolerance
from eqprop.solvers.solver import report as ending

SMALLEST = 2.0**-14

NEAR = 1e-3
"""The residual of a start that is a free path, by whichever solver found it."""


class _Point(NamedTuple):
    path: Array
    force: Array
    residual: Array


class _Iterate(NamedTuple):
    point: _Point
    size: Array
    steps: Array
    done: Array
    first: Array
    began: Pivots
    factor: Factor


class Newton(Solver):
    """``H d = -dS/dq`` block by block, damped: a step is halved until the same ``H`` asks for a shorter one
    (the natural monotonicity test; Deuflhard 2011, section 3.3).

    A last step polishes what has converged. One step costs O(steps size^3) time and O(steps size^2)
    memory. Serves actions, free or nudged by a `PathCost`. Raises at run time, with the remedy, where it
    does not converge to ``tolerance``; where the mass matrix is singular, the time step unstable, or a
    drive out of the path's period; and where a nudged path that starts at the free one ends on another
    branch. Warns of a free path near a conjugate point or a resonance, and of one that leaves the branch
    it starts near.
    """

    watchful: ClassVar[bool] = True
    tolerance: float = eqx.field(default=1e-11, static=True)
    max_steps: Count = eqx.field(default=50, static=True)

    def settle(
        self, phase: Clamped, state: State, key: PRNGKeyArray | None = None
    ) -> tuple[State, PathInfo]:
        given = phase, state
        phase, state = stopped(given)
        found, info = self.attempt(phase, state)
        judged = self.judged(phase, state, found, info, info)
        return without_derivative(given, (judged, info), CONSTANT)

    def judged(
        self, phase: Clamped, start: State, found: State, last: PathInfo, stages: PathInfo
    ) -> State:
        """The state, unless it is wrong: by itself where free; by its start where nudged, from which one
        stage alone must not lead far."""
        action = action_of(phase)
        lost = (last.outcome == DIVERGED) & (last.steps == 0), ASTRAY
        if not isinstance(phase, Nudged):
            warn_of_harmonics(action, found[PATH])
            warn_of_margin(jnp.where(last.outcome == CONVERGED, last.margin, jnp.inf))
            return without_faults(found, [lost, *free_faults(action, found[PATH], last)])
        followed = residual(action, start) <= max(NEAR, 1e3 * self.tolerance)
        free = second_variation(action, start).factor()
        crossed, message = branch_fault(followed, free.left.inertia().negative, stages)
        crossed = crossed | (followed & _turned(phase, start))
        faults = [lost, (last.outcome != CONVERGED, UNSETTLED), (crossed, message)]
        if stages is last:
            faults.append(reach_fault(followed, free, phase, start, found))
        return without_faults(found, faults)

    def attempt(self, phase: Clamped, state: State) -> tuple[State, PathInfo]:
        """The same without raising: look at ``info.outcome``."""
        check_tolerance(self.tolerance, state)
        action_of(phase)
        domain = phase.units[PATH]
        start = domain.retract(state[PATH])

        def at(path: Array) -> _Point:
            force = displacement(phase, {PATH: path})
            return _Point(path, force[PATH], relative(force, {PATH: path}))

        def advance(carry: _Iterate) -> _Iterate:
            point, size = carry.point, carry.size
            factor = second_variation(phase, {PATH: point.path}).factor()
            step = solve(factor, point.force)
            ahead = at(domain.retract(point.path + size.astype(step.dtype) * step))
            length = norm({PATH: step})
            left = norm({PATH: solve(factor, ahead.force)})
            nearer = left <= (1.0 - 0.25 * size) * length
            kept = _Point(*(jnp.where(nearer, *pair) for pair in zip(ahead, point, strict=True)))
            return _Iterate(
                kept,
                jnp.where(nearer, jnp.minimum(2.0 * size, 1.0), 0.5 * size),
                carry.steps + 1,
                (point.residual <= self.tolerance) | (size < SMALLEST),
                jnp.where(carry.steps == 0, length, carry.first),
                jax.tree.map(partial(jnp.where, carry.steps == 0), factor.left, carry.began),
                factor,
            )

        point = at(start)
        zero = jnp.zeros_like(point.residual)
        unknown = eqx.filter_eval_shape(lambda: second_variation(phase, {PATH: start}).factor())
        unknown = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), unknown)
        lost = ~jnp.isfinite(point.residual)
        begin = _Iterate(
            point, zero + 1.0, jnp.zeros((), jnp.int32), lost, zero, unknown.left, unknown
        )
        end = lax.while_loop(
            lambda carry: ~carry.done & (carry.steps < self.max_steps), advance, begin
        )
        found, moved = {PATH: end.point.path}, norm({PATH: end.point.path - start})
        ended = ending(phase, found, end.steps, self.tolerance)
        stretch = moved / jnp.where(end.first > 0, end.first, 1.0)
        info = PathInfo(
            ended.residual,
            ended.steps,
            ended.outcome,
            *end.factor.left.inertia(),
            stretch,
            jnp.full_like(stretch, jnp.nan),
        )
        if isinstance(phase, Nudged):
            return found, info
        _, bent = jax.jvp(lambda path: displacement(phase, {PATH: path}), (start,), (start,))
        share = norm({PATH: point.force}) / norm(bent)
        warn_of_jump(share, end.began.inertia().negative, info)
        margin = margin_of(action_of(phase), end.factor, found[PATH], 3)
        return found, eqx.tree_at(lambda info: info.margin, info, margin)


def _index(phase: Clamped, state: State) -> Array:
    return second_variation(phase, state).factor().left.inertia().negative


def _turned(phase: Nudged, start: State) -> Array:
    """Whether a real nudge as large as a complex one, of either sign, changes the Morse index of the second
    variation at the start: complex paths have no index of their own."""
    if not jnp.iscomplexobj(start[PATH]):
        return jnp.zeros((), bool)
    size = jnp.abs(phase.beta)
    real = jax.tree.map(jnp.real, eqx.filter((phase, start), eqx.is_inexact_array))
    phase, start = eqx.combine(real, (phase, start))
    nudged = (eqx.tree_at(lambda p: p.beta, phase, beta) for beta in (size, -size))
    return jnp.any(jnp.stack([_index(p, start) for p in nudged]) != _index(phase.base, start))
