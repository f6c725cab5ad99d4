"""Newton's method for stationary paths, which are saddles of the action."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from eqprop.energy import Clamped, displacement, norm, relative, residual
from eqprop.lagrangian.action import PATH, ClampedAction
from eqprop.lagrangian.bordered import Inertia
from eqprop.lagrangian.curvature import action_of, second_variation, solve
from eqprop.lagrangian.faults import (
    PathInfo,
    branch_faults,
    checked,
    input_faults,
    settled_faults,
)
from eqprop.model import Nudged
from eqprop.solvers import Solver, check_tolerance
from eqprop.solvers._solver import report as ending
from eqprop.units import State

SMALLEST = 2.0**-14


class _Point(NamedTuple):
    path: Array
    force: Array
    residual: Array


class _Trial(NamedTuple):
    ahead: _Point
    size: Array
    nearer: Array


class _Carry(NamedTuple):
    point: _Point
    steps: Array
    done: Array
    first: Array
    inertia: Inertia


class Newton(Solver):
    """``H d = -dS/dq`` block by block, damped: a step is halved until the same ``H`` asks for a shorter one
    (the natural monotonicity test; Deuflhard 2011, section 3.3).

    A last step polishes what has converged. One step costs O(steps size^3) time and O(steps size^2)
    memory. Serves actions, free or nudged by a `PathCost`. Raises at run time, with the remedy, where it
    does not converge to ``tolerance``; where the mass matrix is singular, the time step unstable, or a
    drive out of the path's period; and where a nudged path that starts at the free one ends on another
    branch.
    """

    tolerance: float = eqx.field(default=1e-11, static=True)
    max_steps: int = eqx.field(default=50, static=True)

    def __check_init__(self):
        if self.max_steps < 1:
            raise ValueError(f"Newton: expected max_steps >= 1, got {self.max_steps}.")

    def settle(
        self, phase: Clamped, state: State, key: PRNGKeyArray | None = None
    ) -> tuple[State, PathInfo]:
        action = action_of(phase)
        found, info = self.attempt(phase, state)
        faults = input_faults(action, state[PATH]) + settled_faults(action, found[PATH], info)
        if isinstance(phase, Nudged):
            followed = is_free(action, state, self.tolerance)
            faults += branch_faults(followed, morse_index(action, state), info)
        return checked(found, faults), info

    def attempt(self, phase: Clamped, state: State) -> tuple[State, PathInfo]:
        """The same without raising: look at ``info.outcome``."""
        check_tolerance(self.tolerance, state)
        action_of(phase)
        start = phase.units[PATH].retract(state[PATH])

        def at(path: Array) -> _Point:
            force = displacement(phase, {PATH: path})
            return _Point(path, force[PATH], relative(force, {PATH: path}))

        def advance(carry: _Carry) -> _Carry:
            point = carry.point
            system = second_variation(phase, {PATH: point.path})
            factor = system.factor()
            step = solve(system, factor, point.force)
            length = norm({PATH: step})

            def take(size: Array) -> _Trial:
                ahead = at(point.path + size.astype(step.dtype) * step)
                left = norm({PATH: solve(system, factor, ahead.force)})
                return _Trial(ahead, size, left <= (1.0 - 0.25 * size) * length)

            trial = lax.while_loop(
                lambda trial: ~trial.nearer & (trial.size > SMALLEST),
                lambda trial: take(0.5 * trial.size),
                _Trial(point, jnp.full_like(length, 2.0), jnp.asarray(False)),
            )
            pairs = zip(trial.ahead, point, strict=True)
            kept = _Point(*(jnp.where(trial.nearer, *pair) for pair in pairs))
            done = ~trial.nearer | (point.residual <= self.tolerance)
            first = jnp.where(carry.steps == 0, length, carry.first)
            return _Carry(kept, carry.steps + 1, done, first, factor.inertia())

        point = at(start)
        zero = jnp.zeros_like(point.residual)
        steps = jnp.zeros((), jnp.int32)
        unknown = Inertia(zero, zero, jnp.zeros((), jnp.result_type(int)))
        begin = _Carry(point, steps, ~jnp.isfinite(point.residual), zero, unknown)
        end = lax.while_loop(
            lambda carry: ~carry.done & (carry.steps < self.max_steps), advance, begin
        )
        found, moved = {PATH: end.point.path}, norm({PATH: end.point.path - start})
        ended = ending(phase, found, end.steps, self.tolerance)
        stretch = moved / jnp.where(end.first > 0, end.first, 1.0)
        return found, PathInfo(ended.residual, ended.steps, ended.outcome, *end.inertia, stretch)


def is_free(action: ClampedAction, state: State, tolerance: float) -> Array:
    """Whether a path solves the free problem, to what is left of a tolerance after some rounding."""
    return residual(action, state) <= 1e3 * tolerance


def morse_index(phase: Clamped, state: State) -> Array:
    """How many eigenvalues of the second variation are negative; -1 for complex paths."""
    return second_variation(phase, state).factor().inertia().negative
