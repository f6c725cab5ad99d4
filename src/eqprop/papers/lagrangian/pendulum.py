"""A driven double pendulum, whose mass matrix changes with its pose, and two pendulums on a spring, whose
energy is separable: the second system whose gradients are compared.

    L = (m_0 + m_1) l_0^2 v_0^2 / 2 + m_1 l_1^2 v_1^2 / 2 + m_1 l_0 l_1 v_0 v_1 cos(q_0 - q_1)
        + (m_0 + m_1) l_0 cos q_0 + m_1 l_1 cos q_1

Angles from the vertical, gravity 1; four parameters, and two of friction in the joints.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from eqprop.energies.model import Model
from eqprop.lagrangian import (
    Action,
    FixedEnds,
    Hamiltonian,
    InitialValue,
    PathError,
    doubled,
    midpoint,
)

OMEGA = 3.0

PERIOD = 2 * np.pi / OMEGA

STEPS = 120

Problem = tuple[Model, Array, Array]


def parameters() -> dict[str, Array]:
    return {"m": jnp.array([1.0, 0.7]), "l": jnp.array([1.0, 0.8])}


def swung(q: Array, v: Array, params: PyTree, t: Array, x: Array) -> Array:
    """With the torque ``x_0 cos(omega t)`` on the first joint and ``x_1 sin(omega t)`` on the second."""
    (m0, m1), (l0, l1) = params["m"], params["l"]
    moving = 0.5 * (m0 + m1) * (l0 * v[0]) ** 2 + 0.5 * m1 * (l1 * v[1]) ** 2
    moving = moving + m1 * l0 * l1 * v[0] * v[1] * jnp.cos(q[0] - q[1])
    hanging = (m0 + m1) * l0 * jnp.cos(q[0]) + m1 * l1 * jnp.cos(q[1])
    drive = x[0] * jnp.cos(OMEGA * t) * q[0] + x[1] * jnp.sin(OMEGA * t) * (q[1] - q[0])
    return moving + hanging + drive


def joints(q: Array, v: Array, params: PyTree) -> Array:
    """Friction of the joints, which turn by ``q_0`` and ``q_1 - q_0``, growing with their speed."""
    slip = v[1] - v[0]
    first = params["g"][0] * v[0] * (1.0 + v[0] ** 2)
    second = params["g"][1] * slip * (1.0 + slip**2)
    return jnp.stack([first - second, second])


def waves(nodes: int) -> Array:
    """Targets (nodes, 2): a cosine and a sine."""
    angle = 2 * np.pi * np.arange(nodes) / nodes
    return 0.4 * jnp.asarray(np.stack([np.cos(angle), np.sin(angle)], -1))


def _problem(
    action: Action, x: tuple[float, float], coordinates: tuple[int, ...] | None = None
) -> Problem:
    cost = PathError(weight=action.dt, coordinates=coordinates)  # type: ignore[call-arg]
    (nodes, _) = action.shapes["path"]
    return Model(action, cost), jnp.array([x]), waves(nodes)[None]


def periodic() -> Problem:
    """One period of the drive: model, inputs (1, 2) and targets (1, nodes, 2)."""
    options = {"steps": STEPS, "dt": PERIOD / STEPS, "rule": midpoint}
    return _problem(Action(swung, parameters(), size=2, **options), (0.5, 0.3))  # type: ignore[arg-type]


def fixed_ends() -> Problem:
    """Between two poses, 0.9 apart in time."""
    ends = FixedEnds((0.4, -0.2), (-0.3, 0.5))
    options = {"steps": 60, "dt": 0.015, "rule": midpoint, "boundary": ends}
    return _problem(Action(swung, parameters(), size=2, **options), (0.6, 0.3))  # type: ignore[arg-type]


def launched() -> Problem:
    """From a pose and momenta, with friction in the joints, through a time of 3."""
    params = parameters() | {"g": jnp.array([0.1, 0.2])}
    start = InitialValue((0.8, 1.2), (0.3, -0.2))
    options = {"steps": 100, "dt": 0.03, "rule": midpoint, "boundary": start}
    action = Action(doubled(swung, joints), params, size=4, **options)  # type: ignore[arg-type]
    return _problem(action, (0.5, 0.3), coordinates=(0, 1))


class Pendulums(Hamiltonian):
    """Two pendulums on a spring: ``V = -g_0 cos q_0 - g_1 cos q_1 + c (q_0 - q_1)^2 / 2 - q_0 u_0``, with
    inputs (steps, 3) that hold the drive and the target."""

    params: PyTree

    def potential(self, q: Array, u: Array) -> Array:
        gap = q[0] - q[1]
        hanging = jnp.sum(self.params["g"] * jnp.cos(q))
        return 0.5 * self.params["c"] * gap * gap - hanging - q[0] * u[0]


def springs() -> dict[str, Array]:
    return {"g": jnp.array([1.0, 1.4]), "c": jnp.array(0.3)}


def inputs(steps: int, dt: float) -> Array:
    """Drive in the middle of each step and targets of `Pendulums`, (steps, 3)."""
    t = dt * np.arange(steps)
    drive = 0.6 * np.cos(OMEGA * (t + 0.5 * dt))
    return jnp.asarray(np.stack([drive, np.cos(t), np.cos(t)], -1))
