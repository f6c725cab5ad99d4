"""What the second variation says of a path: how sharp an extremum it is, and how near to a conjugate
point."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from eqprop._arguments import checked
from eqprop.energies.energy import Clamped, residual
from eqprop.energies.units.unit import State
from eqprop.lagrangian.curvature import action_of, second_variation
from eqprop.lagrangian.faults import LEAST, margin_of, warn_of_margin
from eqprop.lagrangian.stationary import PATH

ROUNDS = 12


class Sharpness(NamedTuple):
    """Of one path: its relative residual, the sign and logarithm of the determinant of the second
    variation, its Morse index (how many eigenvalues are negative), and ``margin``, the smallest size of
    an eigenvalue over that of the slowest standing wave of a free particle, ``m (pi / T)^2 dt``. Near 0
    the response to a nudge is infinite.

    Examples:
        >>> import jax.numpy as jnp
        >>> from eqprop import lagrangian as lg
        >>> def spring(q, v, params, t):
        ...     return 0.5 * v @ v - 0.5 * q @ q
        >>> ends = lg.FixedEnds((0.0,), (0.0,))
        >>> phase = lg.Action(spring, size=1, steps=5, dt=0.8, boundary=ends).clamp(jnp.zeros(1))
        >>> found: lg.Sharpness = lg.examine(phase, {"path": jnp.zeros((4, 1))})
        >>> found.morse_index  # a time of 4 lies beyond the first conjugate point, pi
        1
    """

    residual: float
    sign: float
    log_determinant: float
    morse_index: int
    margin: float


@checked
def examine(phase: Clamped, state: State, least: float = LEAST) -> Sharpness:
    """Look at a path of one example in its phase, free or nudged; not under a transformation.

    Warns where the margin is below ``least``: near a conjugate point between fixed ends, as at
    ``omega T = k pi`` for an oscillator, or near an undamped resonance.
    """
    found = Sharpness(*(value.item() for value in _sharpness(phase, state)))
    warn_of_margin(jnp.asarray(found.margin), least)
    jax.effects_barrier()
    return found


@eqx.filter_jit
def _sharpness(phase: Clamped, state: State) -> tuple[Array, ...]:
    factor, action = second_variation(phase, state).factor(), action_of(phase)
    margin = margin_of(action, factor, state[PATH], ROUNDS)
    return residual(phase, state), *factor.left.inertia(), margin
