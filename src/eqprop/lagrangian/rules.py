"""Discrete Lagrangians: what a rule makes of ``L(q, v, t)`` over one step.

    S = sum_n L_d(q_n, q_{n+1}, t_n)

Its stationary paths are those of a variational integrator of second order (Marsden and West 2001).
"""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Array

Lagrangian = Callable[[Array, Array, Array], Array]
Rule = Callable[[Lagrangian, Array, Array, Array, float], Array]


def midpoint(lagrangian: Lagrangian, start: Array, end: Array, t: Array, dt: float) -> Array:
    """``dt L((q0 + q1) / 2, (q1 - q0) / dt, t + dt / 2)``: implicit, stable at any step."""
    return dt * lagrangian(0.5 * (start + end), (end - start) / dt, t + 0.5 * dt)


def verlet(lagrangian: Lagrangian, start: Array, end: Array, t: Array, dt: float) -> Array:
    """``dt/2 (L(q0, v, t) + L(q1, v, t + dt))`` with ``v = (q1 - q0) / dt``: leapfrog, stable for
    ``omega dt < 2``."""
    velocity = (end - start) / dt
    ends = lagrangian(start, velocity, t) + lagrangian(end, velocity, t + dt)
    return 0.5 * dt * ends
