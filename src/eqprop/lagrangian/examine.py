"""What the second variation says of a path: how sharp an extremum it is, and how near to a conjugate
point."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from eqprop.energy import Clamped, norm, residual
from eqprop.lagrangian.action import ClampedAction
from eqprop.lagrangian.curvature import action_of, second_variation, solve
from eqprop.lagrangian.extremal import PATH
from eqprop.lagrangian.faults import masses
from eqprop.units import State


class Sharpness(NamedTuple):
    """Of one path: its relative residual, the sign and logarithm of the determinant of the second
    variation, its Morse index (how many eigenvalues are negative), and ``margin``, the smallest size of
    an eigenvalue over that of the slowest standing wave of a free particle, ``m (pi / T)^2 dt``. Near 0
    the response to a nudge is infinite."""

    residual: float
    sign: float
    log_determinant: float
    morse_index: int
    margin: float


def examine(phase: Clamped, state: State, least: float = 0.02) -> Sharpness:
    """Look at a path of one example in its phase, free or nudged; not under a transformation.

    Warns where the margin is below ``least``: near a conjugate point between fixed ends, as at
    ``omega T = k pi`` for an oscillator, or near an undamped resonance. 0.02 is 1 % in ``omega T``.
    """
    found = Sharpness(*(value.item() for value in _sharpness(phase, state)))
    if not found.margin >= least:
        warnings.warn(
            f"examine: expected a margin of at least {least:g}, got {found.margin:.1e}: the path is near "
            "a conjugate point or a resonance, where the response to a nudge grows without bound and a "
            "contrast is right only for a nudge that is smaller still. Change the length of the path, "
            "damp it (doubled), or take a smaller beta.",
            stacklevel=2,
        )
    return found


@eqx.filter_jit
def _sharpness(phase: Clamped, state: State) -> tuple[Array, ...]:
    """The smallest eigenvalue by inverse iteration."""
    system = second_variation(phase, state)
    factor, action = system.factor(), action_of(phase)
    if not isinstance(action, ClampedAction):
        raise TypeError(f"examine: expected the phase of an Action, got {type(action).__name__}.")

    def sharpen(way: Array, _: None) -> tuple[Array, Array]:
        answer = solve(system, factor, way)
        size = norm({PATH: answer})
        return answer / size, 1.0 / size

    path = state[PATH]
    start = jax.random.normal(jax.random.key(0), path.shape, path.dtype)
    _, sizes = lax.scan(sharpen, start / norm({PATH: start}), length=12)
    mass = jnp.mean(jnp.abs(lax.map(jnp.linalg.eigvalsh, masses(action, path))))
    dt = action.action.dt
    wave = mass * (math.pi / (action.action.steps * dt)) ** 2 * dt
    return residual(phase, state), *factor.left.inertia(), sizes[-1] / wave
