"""Discrete Lagrangians: what a rule makes of ``L(q, v, t)`` over one step.

    S = sum_n L_d(q_n, q_{n+1}, t_n)

Its stationary paths are those of a variational integrator of second order (Marsden and West 2001).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import SupportsFloat, SupportsIndex

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from eqprop.energies.energy import Energy
from eqprop.energies.units.unit import State, Units
from eqprop.lagrangian.bordered import Bordered
from eqprop.lagrangian.boundary import Boundary, Periodic
from eqprop.lagrangian.stationary import (
    PATH,
    Extremal,
    as_function,
    require_drive,
    require_scalar,
    whole,
)

Lagrangian = Callable[[Array, Array, Array], Array]

Discretisation = Callable[[Lagrangian, Array, Array, Array, float], Array]


def midpoint(lagrangian: Lagrangian, start: Array, end: Array, t: Array, dt: float) -> Array:
    """``dt L((q0 + q1) / 2, (q1 - q0) / dt, t + dt / 2)``: implicit, stable at any step.

    Examples:
        >>> import jax.numpy as jnp
        >>> from eqprop import lagrangian as lg
        >>> def spring(q, v, t):
        ...     return 0.5 * v @ v - 0.5 * q @ q
        >>> step = jnp.zeros(1), jnp.ones(1), jnp.array(0.0), 1.0  # from 0 to 1 in a time of 1
        >>> float(lg.midpoint(spring, *step)), float(lg.verlet(spring, *step))  # 1/2 - 1/8; 1/2 - 1/4
        (0.375, 0.25)
    """
    return dt * lagrangian(0.5 * (start + end), (end - start) / dt, t + 0.5 * dt)


def verlet(lagrangian: Lagrangian, start: Array, end: Array, t: Array, dt: float) -> Array:
    """``dt/2 (L(q0, v, t) + L(q1, v, t + dt))`` with ``v = (q1 - q0) / dt``: leapfrog, stable for
    ``omega dt < 2``."""
    velocity = (end - start) / dt
    ends = lagrangian(start, velocity, t) + lagrangian(end, velocity, t + dt)
    return 0.5 * dt * ends


class Action(Energy):
    """A Lagrangian discretised over a path of ``steps`` steps of length ``dt``.

    ``lagrangian`` is a function ``L(q, v, params, t)``, or ``L(q, v, params, t, x)`` where it depends on
    the input ``x`` of the example, such as the amplitudes of drives; or a module ``L(q, v, t)`` or
    ``L(q, v, t, x)`` whose arrays learn. ``q`` and ``v`` have shape (size,), ``t`` is a scalar; for complex
    nudges it must be holomorphic: ``q @ q`` rather than ``|q|^2``. Units are the user's.

    The state is ``{"path": (nodes, size)}``, the nodes that ``boundary`` leaves unknown. Raises
    ``ValueError`` for a Lagrangian of another form, and for boundary data of another size.

    Examples:
        >>> import jax.numpy as jnp
        >>> from eqprop import lagrangian as lg
        >>> def spring(q, v, params, t):
        ...     return 0.5 * v @ v - 0.5 * params["k"] * q @ q
        >>> ends = lg.FixedEnds((0.0,), (1.0,))
        >>> action = lg.Action(spring, {"k": jnp.array(1.0)}, size=1, steps=10, dt=0.1, boundary=ends)
        >>> action.shapes  # the nodes between the ends
        {'path': (9, 1)}
    """

    params: PyTree
    lagrangian: Callable[..., Array] = eqx.field(static=True)
    size: int = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    dt: float = eqx.field(static=True)
    boundary: Boundary
    rule: Discretisation = eqx.field(static=True)
    input_shape: tuple[int, ...] | None = eqx.field(static=True)

    def __init__(
        self,
        lagrangian: Callable[..., Array],
        params: PyTree = None,
        *,
        size: SupportsIndex,
        steps: SupportsIndex,
        dt: SupportsFloat,
        boundary: Boundary | None = None,
        rule: Discretisation = verlet,
    ):
        self.size, self.steps, self.dt = whole(size), whole(steps), float(dt)
        if not self.size >= 1 or not self.steps >= 3 or not 0 < self.dt < np.inf:
            raise ValueError(
                f"Action: expected size >= 1, steps >= 3 and a finite dt > 0, got size={size}, "
                f"steps={steps}, dt={dt}."
            )
        self.boundary = Periodic() if boundary is None else boundary
        self.boundary.check(self.size)
        self.lagrangian, self.params = as_function(lagrangian, params)
        self.rule, self.input_shape = rule, None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {PATH: (self.boundary.unknown(self.steps), self.size)}

    @property  # type: ignore[misc]
    def units(self) -> Units:  # type: ignore[override]
        return {PATH: self.boundary.unit()}

    @property
    def times(self) -> np.ndarray:
        """The times of the unknown nodes."""
        first = 0 if isinstance(self.boundary, Periodic) else 1
        return self.dt * (first + np.arange(self.boundary.unknown(self.steps)))

    def clamp(self, x: Array) -> ClampedAction:
        return ClampedAction(self, x)

    def momenta(self, state: State, x: Array) -> tuple[Array, Array]:
        """``p_n^- = D_2 L_d`` after every step and ``p_n^+ = -D_1 L_d`` before it, both (steps, size):
        equal at the inner nodes of a stationary path."""
        before, after, t = self.clamp(x).ends(state[PATH])
        slopes = jax.vmap(jax.grad(self.clamp(x).step, (0, 1)))(before, after, t)
        return slopes[1], -slopes[0]


class ClampedAction(Extremal):
    """The action of one example.

    Examples:
        >>> import jax.numpy as jnp
        >>> from eqprop import lagrangian as lg
        >>> def free(q, v, params, t):
        ...     return 0.5 * v @ v
        >>> ends = lg.FixedEnds((0.0,), (1.0,))
        >>> action = lg.Action(free, size=1, steps=4, dt=0.25, boundary=ends)
        >>> phase: lg.ClampedAction = action.clamp(jnp.zeros(1))
        >>> phase.duration, float(phase({"path": jnp.array([[0.25], [0.5], [0.75]])}))  # v = 1
        (1.0, 0.5)
    """

    action: Action
    x: Array

    def __init__(self, action: Action, x: Array):
        self.action, self.x = action, x
        require_scalar(self, action.size)
        if isinstance(action.boundary, Periodic) and action.boundary.pin is None:
            require_drive(self, action.size)

    @property  # type: ignore[misc]
    def units(self) -> Units:  # type: ignore[override]
        return self.action.units

    def continuous(self, q: Array, v: Array, t: Array) -> Array:
        action = self.action
        return action.lagrangian(q, v, action.params, t.astype(q.dtype), self.x)

    def step(self, start: Array, end: Array, t: Array) -> Array:
        """``L_d`` of one step."""
        return _step(self, start, end, t)

    def ends(self, path: Array) -> tuple[Array, Array, Array]:
        """The two nodes and the starting time of every step."""
        nodes = self.action.boundary.complete(path, self.x)
        times = self.action.dt * jnp.arange(self.action.steps, dtype=jnp.finfo(path.dtype).dtype)
        return nodes[:-1], nodes[1:], times

    @property
    def period(self) -> float | None:
        return self.duration if isinstance(self.action.boundary, Periodic) else None

    @property
    def duration(self) -> float:
        return self.action.steps * self.action.dt

    @property
    def weight(self) -> float:
        return self.action.dt

    def samples(self, path: Array) -> tuple[Array, Array, Array]:
        before, after, times = self.ends(path)
        return before, (after - before) / self.action.dt, times

    def scaled(self, fraction: Array) -> ClampedAction:
        return ClampedAction(self.action, self.x * fraction.astype(self.x.dtype))

    def hessian(self, path: Array) -> Bordered:
        holomorphic = jnp.iscomplexobj(path)

        def blocks(start: Array, end: Array, t: Array) -> tuple[Array, Array, Array]:
            slopes = jax.grad(self.step, (0, 1), holomorphic=holomorphic)
            curve = jax.jacfwd(slopes, (0, 1), holomorphic=holomorphic)(start, end, t)
            return curve[0][0], curve[0][1], curve[1][1]

        return self.action.boundary.system(*jax.vmap(blocks)(*self.ends(path)))

    def total(self, path: Array) -> Array:
        steps = jax.vmap(self.step)(*self.ends(path))
        return jnp.sum(steps) + self.action.boundary.work(path, self.x)


@eqx.filter_jit
def _step(phase: ClampedAction, start: Array, end: Array, t: Array) -> Array:
    """Traced once, for all the derivatives that are taken of it."""
    return phase.action.rule(phase.continuous, start, end, t, phase.action.dt)
