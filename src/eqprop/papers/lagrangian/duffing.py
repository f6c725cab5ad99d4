"""Three coupled Duffing oscillators, driven at both ends: the system whose gradients are compared.

    V(q) = sum_i k_i q_i^2 / 2 + a_i q_i^4 / 4 + sum_i c_i (q_i - q_{i+1})^2 / 2,    masses 1

Eight parameters. All numbers in units of the first spring and mass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
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

Function = TypeVar("Function", bound=Callable)

OPTIONS = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}


def cheaply(function: Function) -> Function:
    """`equinox.filter_jit` with little optimisation: compiles in half the time, on CPUs."""
    return eqx.filter_jit(function, compiler_options=OPTIONS)  # type: ignore[call-overload]


OMEGA, FAST = 0.7, 2.2

PERIOD = 2 * np.pi / OMEGA

STEPS = 120

DAMPING = 0.3

START = (0.5, -0.3, 0.2), (0.1, 0.4, -0.2)

Problem = tuple[Model, Array, Array]


def parameters() -> dict[str, Array]:
    return {
        "k": jnp.array([1.0, 1.2, 0.8]),
        "a": jnp.array([0.3, 0.2, 0.25]),
        "c": jnp.array([0.4, 0.3]),
    }


def potential(q: Array, params: PyTree) -> Array:
    """``V`` of positions (..., 3), summed over the leading axes."""
    gaps = q[..., 1:] - q[..., :-1]
    wells = 0.5 * params["k"] * q**2 + 0.25 * params["a"] * q**4
    return jnp.sum(wells) + 0.5 * jnp.sum(params["c"] * gaps**2)


def driven(q: Array, v: Array, params: PyTree, t: Array, x: Array) -> Array:
    """``L = v^2 / 2 - V + x_0 cos(omega t) q_0 + x_1 sin(omega t) q_2``."""
    return 0.5 * (v @ v) - potential(q, params) + _drive(q, OMEGA * t, x)


def driven_fast(q: Array, v: Array, params: PyTree, t: Array, x: Array) -> Array:
    """The same at the frequency `FAST`."""
    return 0.5 * (v @ v) - potential(q, params) + _drive(q, FAST * t, x)


def _drive(q: Array, angle: Array, x: Array) -> Array:
    return x[0] * jnp.cos(angle) * q[0] + x[1] * jnp.sin(angle) * q[2]


def hardening(q: Array, v: Array, params: PyTree) -> Array:
    """Friction that grows with the displacement, ``g_i v_i (1 + q_i^2)``."""
    return params["g"] * v * (1.0 + q * q)


def linear(q: Array, v: Array, params: PyTree, t: Array, x: Array) -> Array:
    """The chain without its hardening."""
    return driven(q, v, params | {"a": jnp.zeros(3)}, t, x)


def viscous(q: Array, v: Array, params: PyTree) -> Array:
    """``g_i v_i``."""
    return params["g"] * v


def waves(nodes: int) -> Array:
    """Targets (nodes, 3): a cosine, a sine and the second harmonic."""
    angle = 2 * np.pi * np.arange(nodes) / nodes
    return 0.4 * jnp.asarray(np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle)], -1))


def periodic() -> Problem:
    """One period of a drive above the chain's own frequencies: model, inputs (1, 2) and targets (1, nodes,
    3)."""
    dt = 2 * np.pi / FAST / STEPS
    action = Action(driven_fast, parameters(), size=3, steps=STEPS, dt=dt)
    return Model(action, PathError(weight=dt)), jnp.array([[0.3, 0.15]]), waves(STEPS)[None]  # type: ignore[call-arg]


def fixed_ends() -> Problem:
    """Between two given configurations, 1.5 apart in time."""
    ends = FixedEnds((0.3, 0.0, -0.2), (0.1, 0.4, 0.0))
    action = Action(driven, parameters(), size=3, steps=60, dt=0.025, boundary=ends)
    return Model(action, PathError(weight=0.025)), jnp.array([[0.6, 0.3]]), waves(59)[None]  # type: ignore[call-arg]


def doubled_periodic(hardened: bool) -> Problem:
    """A period with friction in doubled variables: nonlinear in all, or linear in all."""
    dt = PERIOD / 100
    params = parameters() | {"g": jnp.array([0.1, 0.2, 0.3])}
    motion = doubled(driven, hardening) if hardened else doubled(linear, viscous)
    action = Action(motion, params, size=6, steps=100, dt=dt, rule=midpoint)
    cost = PathError(weight=dt, coordinates=(0, 1, 2))  # type: ignore[call-arg]
    return Model(action, cost), jnp.array([[0.6, 0.3]]), waves(100)[None]


def launched() -> Problem:
    """From a given start, with nonlinear friction in doubled variables, through a time of 5."""
    params = parameters() | {"g": jnp.array([0.1, 0.2, 0.3])}
    start, dt = InitialValue(*START), 0.05
    motion = doubled(driven, hardening)
    action = Action(motion, params, size=6, steps=100, dt=dt, boundary=start)
    cost = PathError(weight=dt, coordinates=(0, 1, 2))  # type: ignore[call-arg]
    return Model(action, cost), jnp.array([[0.6, 0.3]]), waves(100)[None]


class DuffingChain(Hamiltonian):
    """The same with an initial value: ``H = p^2 / 2 + V(q) - q_0 u_0 - q_2 u_1 - beta (q - u_2..4)^2 / 2``,
    with inputs (steps, 5) that hold the drives and the target."""

    params: PyTree
    beta: float | Array = 0.0

    def potential(self, q: Array, u: Array) -> Array:
        error = q - u[2:]
        nudge = 0.5 * self.beta * jnp.sum(error * error)
        return potential(q, self.params) - q[0] * u[0] - q[2] * u[1] - nudge


def inputs(steps: int, dt: float) -> Array:
    """Drives in the middle of each step, where the kick is, and targets of `DuffingChain`: (steps, 5)."""
    t = dt * (np.arange(steps) + 0.5)
    target = np.cos(dt * np.arange(steps))
    drives = [0.6 * np.cos(OMEGA * t), 0.3 * np.sin(OMEGA * t)]
    return jnp.asarray(np.stack([*drives, target, target, target], -1))
