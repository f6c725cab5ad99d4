"""Damped systems: the two exact ways to nudge a path with friction.

A path with friction makes no action of its own stationary. Twice its coordinates do: `doubled` serves any
friction and any boundary. Where the system is linear, reciprocal and periodic, its own response to the
time-reversed error serves: `ReversedNudge`. For damping in proportion to the momenta and a given start, the
gain of the echo (`evolve`) needs no second copy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, PRNGKeyArray, PyTree

from eqprop._arguments import checked
from eqprop.energies.derivatives import stopped, with_own_gradient
from eqprop.energies.model import Batch, Model, Nudged, require_examples
from eqprop.energies.ops import freeze
from eqprop.energies.slopes import require_slopes
from eqprop.energies.units.unit import State
from eqprop.estimators.estimator import Estimate, Estimator, Report, mean_loss
from eqprop.lagrangian.action import Action, ClampedAction
from eqprop.lagrangian.boundary import Periodic
from eqprop.lagrangian.costs import PathDensity
from eqprop.lagrangian.faults import elsewhere, without_faults
from eqprop.lagrangian.newton import Newton
from eqprop.lagrangian.stationary import PATH, arguments, with_input
from eqprop.solvers import Solver
from eqprop.solvers.relax import relax

Friction = Callable[..., Array]


def frictionless(q: Array, v: Array, params: PyTree) -> Array:
    """No friction."""
    return jnp.zeros_like(q)


def _friction(friction: Friction) -> Friction:
    """As a function of ``(q, v, params, t, x)``, of which its own last two may be missing."""
    count = arguments(friction)
    if isinstance(friction, eqx.Module) or count not in (3, 4, 5):
        raise ValueError(
            "doubled: expected a friction F(q, v, params), F(q, v, params, t) or F(q, v, params, t, x), a "
            f"function that takes what learns from params, got {friction!r} of {count} arguments; give "
            "lambda q, v, p: p['friction'](q, v) for a module, which goes into the params of the action."
        )
    return lambda *given: friction(*given[:count])


@checked
def doubled(
    lagrangian: Callable[..., Array], friction: Friction = frictionless
) -> Callable[..., Array]:
    """A Lagrangian of twice the coordinates, ``z = (q, y)``, for a motion with friction ``F(q, v,
    params)``, which may depend on the time ``t`` and the input ``x`` as well:

        d/dt dL/dv - dL/dq + F = 0,        L2 = y dL/dq + y' dL/dv - y F

    Variations of ``y`` give the damped motion of ``q``, those of ``q`` an adjoint ``y``, which is 0 until
    a cost on ``q`` nudges it. ``S2`` is linear in ``y``, so that a one-sided contrast is exact at any
    nudge. The size of the action is twice that of ``L``; costs take ``coordinates`` from the first half;
    ``y`` is 0 at fixed ends; a given start is `InitialValue`. Raises ``ValueError`` for a friction of
    another form or shape, and for an odd size.

    Examples:
        >>> import jax.numpy as jnp
        >>> from eqprop import lagrangian as lg
        >>> def spring(q, v, params, t):
        ...     return 0.5 * v @ v - 0.5 * q @ q
        >>> both = lg.doubled(spring, friction=lambda q, v, params: 0.5 * v)
        >>> q_y, rates, t, x = jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0]), jnp.zeros(()), jnp.zeros(1)
        >>> float(both(q_y, rates, None, t, x))  # y (-q) + y' v - y v / 2
        7.0
    """
    if isinstance(lagrangian, eqx.Module):
        raise ValueError(
            "doubled: expected a function L(q, v, params, t) or L(q, v, params, t, x), got the module "
            f"{type(lagrangian).__name__}; give doubled(lambda q, v, p, t, x: p(q, v, t, x)) and the "
            "module as the params of the action."
        )
    whole, drag = with_input(lagrangian), _friction(friction)

    def both(z: Array, w: Array, params: PyTree, t: Array, x: Array) -> Array:
        if len(z) % 2:
            raise ValueError(
                f"doubled: expected an action of size twice that of the Lagrangian, got {len(z)}."
            )
        (q, y), (v, rate) = jnp.split(z, 2), jnp.split(w, 2)
        _, change = jax.jvp(lambda q, v: whole(q, v, params, t, x), (q, v), (y, rate))
        force = jnp.asarray(drag(q, v, params, t, x))
        if force.shape != q.shape:
            raise ValueError(
                f"doubled: expected a friction of shape {q.shape}, one force a coordinate, got "
                f"{force.shape}."
            )
        return change - jnp.sum(y * force)

    return both


class ReversedNudge(Estimator):
    """The gradient from the damped system's own response to the error, played backwards in time.

    For linear reciprocal systems (symmetric mass, damping and stiffness, constant in time) on a period.
    With the free path ``q``, the path ``q + beta mu`` under the force ``-beta dC/dq(-t)``, and
    ``lambda(t) = mu(-t)``,

        dC/dtheta = integral lambda d(equation of motion)/dtheta dt

    exactly, at any ``beta``. The model's action is `doubled`, from which the equation of motion is taken.
    Raises ``ValueError`` for other boundaries, and at run time where the equation of motion is not linear
    and reciprocal.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> from eqprop import lagrangian as lg
        >>> def driven(q, v, params, t):
        ...     return 0.5 * v @ v - 0.5 * q @ q + jnp.sum(q) * jnp.cos(2 * jnp.pi * t)
        >>> twice = lg.doubled(driven, friction=lambda q, v, params: 0.1 * v)
        >>> model = eq.Model(lg.Action(twice, size=2, steps=8, dt=0.125), lg.PathError(coordinates=(0,)))
        >>> learner = lg.ReversedNudge(lg.Newton(1e-9), beta=100.0)  # exact at any size
        >>> model.energy.shapes, learner.beta
        ({'path': (8, 2)}, 100.0)
    """

    solver: Solver = Newton()
    beta: float = eqx.field(default=1.0, static=True)

    def __check_init__(self):
        if not self.beta:
            raise ValueError(
                "ReversedNudge: expected a nudge beta other than 0, got 0; any will do."
            )

    @checked
    def __call__(
        self, model: Model, x: Batch, y: Batch, state: State, key: PRNGKeyArray
    ) -> Estimate:
        require_examples(x, y)
        action = model.energy
        if not isinstance(action, Action) or not isinstance(action.boundary, Periodic):
            raise ValueError(
                "ReversedNudge: expected a model of a periodic Action of a doubled Lagrangian, got "
                f"{type(action).__name__}; between fixed ends take the contrast of the doubled action "
                "itself."
            )
        require_slopes(model, x, y, state)
        given = model, x, y, state
        model, x, y, state = stopped(given)
        free, info = relax(model, x, state, self.solver)
        frozen = freeze(model)

        def respond(x: Array, y: Array, z: State) -> tuple[State, Any]:
            error = jax.grad(frozen.loss)(z, y)[PATH][:, : action.size // 2]
            base = frozen.free(x)
            assert isinstance(base, ClampedAction)
            error = eqx.error_if(error, not_reciprocal(base, z[PATH]), IRRECIPROCAL)
            phase = Nudged(  # type: ignore[call-arg]
                base=base,
                cost=PathDensity(density=_work),  # type: ignore[call-arg]
                y=_reversed(error),
                beta=jnp.asarray(self.beta, error.dtype),
            )
            nudged, info = self.solver.settle(phase, z)
            nudged = without_faults(
                nudged, [(not_linear(base, z[PATH], nudged[PATH]), IRRECIPROCAL)]
            )
            moved = (nudged[PATH] - z[PATH])[:, : action.size // 2] / self.beta
            q, _ = jnp.split(z[PATH], 2, axis=1)
            return {PATH: jnp.concatenate([q, _reversed(moved)], 1)}, info

        states, nudged = jax.vmap(respond)(x, y, free)

        surrogate = Partial(_responding, free, states)
        gradient = eqx.filter_grad(lambda model: surrogate(model, x, y))(model)
        estimate = Estimate(mean_loss(model, free, y), gradient, free, Report(info, nudged))
        return with_own_gradient(given, estimate, surrogate)


def _responding(free: State, states: State, model: Model, x: Batch, y: Batch) -> Array:
    return jnp.mean(jax.vmap(model.energy)(states, x)) + mean_loss(model, free, y)


def _work(z: Array, force: Array) -> Array:
    """``y f``: a force on the motion of ``q``."""
    return jnp.sum(z[len(force) :] * force)


def _reversed(path: Array) -> Array:
    """A periodic path at ``-t``."""
    return jnp.roll(path[::-1], 1, axis=0)


def not_reciprocal(phase: ClampedAction, path: Array) -> Array:
    """Whether the linearised equation of motion is not of symmetric matrices, the same at every step of
    this path and of another one; or the action is not a doubled one."""
    size = path.shape[1] // 2

    def blocks(start: Array, end: Array, t: Array) -> Array:
        """Of ``y`` at the two nodes, by ``q`` at the two: (2, 2, size, size)."""
        curve = jax.hessian(phase.step, (0, 1))(start, end, t)
        return jnp.stack([jnp.stack([part[size:, :size] for part in row]) for row in curve])

    def around(path: Array) -> Array:
        """By ``q`` here, at the node after and at the one before: (3, steps, size, size)."""
        found = jax.vmap(blocks)(*phase.ends(path))
        here = found[:, 0, 0] + jnp.roll(found[:, 1, 1], 1, axis=0)
        return jnp.stack([here, found[:, 0, 1], found[:, 1, 0]])

    still = elsewhere(path).at[:, size:].set(0.0)
    parts = jnp.concatenate([around(path), around(still)], 1)
    uneven = jnp.max(jnp.abs(parts - parts[:, :1]))
    lopsided = jnp.max(jnp.abs(parts - jnp.swapaxes(parts, -1, -2)))
    left = jnp.max(jnp.abs(jax.grad(phase.total)(still)[:, :size]))
    slack = 100.0 * jnp.finfo(path.dtype).eps * jnp.max(jnp.abs(parts))
    return ~((uneven <= slack) & (lopsided <= slack) & (left <= slack))


def not_linear(phase: ClampedAction, free: Array, nudged: Array) -> Array:
    """Whether the forces on ``q`` do not change in proportion from the free path to the nudged one."""
    size = free.shape[1] // 2

    def motion(q: Array) -> Array:
        return jax.grad(phase.total)(jnp.concatenate([q, jnp.zeros_like(q)], 1))[:, size:]

    q, away = free[:, :size], (nudged - free)[:, :size]
    forces, change = jax.jvp(motion, (q,), (away,))
    stiffest = jnp.max(jnp.abs(jax.vmap(jax.hessian(phase.step))(*phase.ends(free))))
    reach = jnp.max(jnp.abs(q)) + jnp.max(jnp.abs(away))
    bent = jnp.max(jnp.abs(motion(q + away) - forces - change))
    return ~(bent <= 100.0 * jnp.finfo(free.dtype).eps * stiffest * reach)


IRRECIPROCAL = (
    "ReversedNudge: expected the doubled action of a linear reciprocal system, whose mass, damping and "
    "stiffness are symmetric matrices constant in time, got one that is nonlinear, gyroscopic or driven "
    "through its parameters. On such hardware no nudge gives the exact gradient: take the contrast of "
    "the doubled action, EquilibriumPropagation(Newton(), ...)."
)
