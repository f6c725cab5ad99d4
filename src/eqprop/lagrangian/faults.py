"""What can be wrong with a path, and what to do about it: pairs of a predicate and a sentence."""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqprop.energies.energy import displacement, norm
from eqprop.energies.model import Nudged
from eqprop.energies.units.unit import State
from eqprop.lagrangian.action import ClampedAction
from eqprop.lagrangian.bordered import Factor, determinant, looped_on_cpu
from eqprop.lagrangian.boundary import NAIVE, InitialValue, Periodic
from eqprop.lagrangian.curvature import softest, solve
from eqprop.lagrangian.harmonic import ClampedHarmonics
from eqprop.lagrangian.stationary import PATH, Extremal
from eqprop.lagrangian.warn import warn_if
from eqprop.solvers import CONVERGED, Info


class PathInfo(Info):
    """How Newton's method ended, and where.

    Of the second variation where the last step was taken: ``sign`` and ``log_determinant`` of its
    determinant, and the Morse ``index``, how many of its eigenvalues are negative (-1 and not a number
    for complex paths). ``stretch`` is the distance travelled over the length of the first full step: near
    1 for a linear response. ``margin`` of a free path is the size of the smallest eigenvalue over that of
    the slowest standing wave of a free particle, ``m (pi / T)^2 dt``: near 0 the response to a nudge is
    infinite (not a number for nudged paths).

    Examples:
        >>> import dataclasses
        >>> from eqprop import lagrangian as lg  # of `lg.Newton().settle(phase, state)`, and in reports
        >>> [field.name for field in dataclasses.fields(lg.PathInfo)]
        ['residual', 'steps', 'outcome', 'sign', 'log_determinant', 'index', 'stretch', 'margin']
    """

    sign: Array
    log_determinant: Array
    index: Array
    stretch: Array
    margin: Array


Faults = list[tuple[Array, str]]

LEAST = 0.02
"""Of the margin: 1 % in ``omega T`` between fixed ends."""

NEAR = 0.1
"""What is left of the balance of forces at a start that is near a branch."""

LEFT_OUT = 0.5

FAR = 4.0
"""A nudged path that moves this many times its first step has left the linear response."""


def without_faults(state: State, faults: Faults) -> State:
    """The state, unless one of the faults is there at run time."""
    for fault, message in faults:
        state = eqx.error_if(state, fault, message)
    return state


ASTRAY = (
    "Action: expected finite forces along the path where the search starts, got some that are not: look "
    "for NaN in the input, the target and the parameters, and for a Lagrangian or a cost that is "
    "infinite there (at rest, where it starts by default); start from another path."
)

UNSETTLED = (
    "Action: expected a path to which the search converges, but the residual stopped falling or the "
    "steps are spent. Start nearer to the path, by Continuation in the input or in the nudge; take a "
    "smaller nudge; raise max_steps; or loosen the tolerance, which rounding bounds by about mass / dt "
    "times the precision. Where the second variation is singular (a conjugate point, an undamped "
    "resonance, a zero mode) there is nothing to converge to."
)


def free_faults(phase: Extremal, path: Array, info: Info) -> Faults:
    """Of a free path that was found: a mass matrix that is singular all along it; a drive whose period is
    not that of the path; no convergence; and a time step at which a path that alternates from node to
    node, the fastest that the grid can carry, has lost the sign of its kinetic energy, as for ``omega dt
    > 2`` in Verlet's rule."""
    mass = masses(phase, path)
    volume = jnp.prod(jnp.linalg.norm(mass, axis=-1), axis=-1)
    flat = jnp.abs(jax.vmap(determinant)(mass)) <= _slack(path) * volume
    faults = [
        (
            jnp.all(flat),
            "Action: expected an invertible mass matrix d2L/dv2, got a singular one: some coordinate has "
            "no kinetic energy and no equation of motion of second order. Give every coordinate a mass, "
            "or solve for it and leave it out.",
        )
    ]
    if phase.period is not None:
        q, v, times = phase.samples(path)
        slopes = jax.vmap(jax.grad(phase.continuous, (0, 1)))
        now, later = (jnp.stack(slopes(q, v, t)) for t in (times, times + phase.period))
        apart = jnp.max(jnp.abs(later - now)) > _slack(path) * (1.0 + jnp.max(jnp.abs(now)))
        faults.append(
            (
                apart,
                "Action: expected a Lagrangian with the period of the path, got one that differs at t "
                "and a period later; choose dt = period / steps, with a period that all drives share.",
            )
        )
    faults.append((info.outcome != CONVERGED, UNSETTLED))
    if isinstance(phase, ClampedAction):
        faults.extend(_pin_faults(phase, path))
        faults.extend(_start_faults(phase, path))
        step = phase.step

        def alternating(start: Array, end: Array, t: Array) -> Array:
            return jax.hessian(lambda u: step(start + u, end - u, t))(jnp.zeros_like(start))

        fastest = jax.vmap(alternating)(*phase.ends(path))
        faults.append(
            (
                jnp.any(jax.vmap(_lost_sign)(mass, fastest)),
                "Action: expected a time step within the limit of stability, omega dt < 2 for the fastest "
                "frequency along the path, got a longer one; take more steps, or the midpoint rule.",
            )
        )
    return faults


def _pin_faults(phase: ClampedAction, path: Array) -> Faults:
    """Of a pinned orbit: a kick at the pin, without which the path would not close; or a pin that the orbit
    does not cross."""
    boundary = phase.action.boundary
    if not isinstance(boundary, Periodic) or boundary.pin is None:
        return []
    arriving, leaving = phase.action.momenta({PATH: path}, phase.x)
    before, after = (p[boundary.pin[0]] for p in (arriving[-1], leaving[0]))
    least = 1e-3 * jnp.max(jnp.abs(arriving))
    return [
        (
            (jnp.abs(after - before) > least) | (jnp.abs(after + before) <= 2.0 * least),
            "Periodic: expected an orbit that crosses the pinned value with some velocity and closes, got "
            "one that rests or turns there, or is kicked: no orbit of this period was found. Pin a value "
            "that the orbit crosses, start from a path that moves there (a sine through the pin), and ask "
            "for a period that the system has.",
        )
    ]


def _start_faults(phase: ClampedAction, path: Array) -> Faults:
    """Of a given start: an action that does not vanish where the second half of its variables does."""
    if not isinstance(phase.action.boundary, InitialValue):
        return []
    half = phase.action.size // 2
    path = elsewhere(path)

    def largest(second: float) -> Array:
        steps = jax.vmap(phase.step)(*phase.ends(path.at[:, half:].set(second)))
        return jnp.max(jnp.abs(steps))

    return [(largest(0.0) > 100.0 * jnp.finfo(path.dtype).eps * largest(1.0), NAIVE)]


def warn_of_harmonics(phase: Extremal, path: Array) -> None:
    """That forces on a path of harmonics have more than ``LEFT_OUT`` of their size in higher ones, up to
    four times as high, which its action averages away."""
    if not isinstance(phase, ClampedHarmonics):
        return
    action = phase.action
    times = action.period * np.arange(8 * action.harmonics + 2) / (8 * action.harmonics + 2)
    q, v = (
        jnp.asarray(part, path.dtype) @ path.reshape(-1, action.size)
        for part in action.waves(times)
    )
    forces, momenta = jax.vmap(jax.grad(phase.continuous, (0, 1)))(q, v, jnp.asarray(times))
    rates = 2j * np.pi / action.period * np.arange(4 * action.harmonics + 2)[:, None]
    along = jnp.fft.rfft(forces, axis=0)
    changes = jnp.asarray(rates, along.dtype) * jnp.fft.rfft(momenta, axis=0)
    left = (along - changes)[action.harmonics + 1 :]
    warn_if(
        jnp.linalg.norm(left) > LEFT_OUT * jnp.linalg.norm(along),
        f"HarmonicAction: expected forces of which less than {LEFT_OUT:.0%} is in harmonics above the "
        f"{action.harmonics} of the path, got more: a drive or a nonlinearity is left out. Take more "
        "harmonics.",
    )


def elsewhere(path: Array) -> Array:
    """A path as large, or of size 1, that nothing makes special: for what must hold of every path."""
    size = jnp.maximum(jnp.max(jnp.abs(path)), 1.0)
    return path + size * jax.random.normal(jax.random.key(0), path.shape, path.dtype)


def warn_of_margin(margin: Array, least: float = LEAST) -> None:
    """That a path is near a conjugate point or a resonance."""
    warn_if(
        margin < least,
        f"Action: expected a path whose second variation has a margin of at least {least:g} (examine tells "
        "it), got one near a conjugate point or a resonance, where the response to a nudge grows without "
        "bound and a contrast is right only for a nudge that is smaller still. Change the length of the "
        "path, damp it (doubled), or take a smaller beta.",
    )


def warn_of_jump(share: Array, before: Array, info: PathInfo) -> None:
    """That a free path left the branch that it started near, as between steps of training: from a start
    of Morse index ``before``, where a ``share`` of the forces was not balanced."""
    warn_if(
        (info.outcome == CONVERGED)
        & (share < NEAR)
        & ((info.index != before) | (info.stretch > FAR)),
        "Newton: expected a free path on the branch that it started near, got one with another Morse "
        "index or far off: parameters or input crossed a fold or a conjugate point since the start was "
        "found, and losses may jump. Take smaller steps of learning, or follow the branch by "
        "Continuation.",
    )


def branch_fault(followed: Array, before: Array, stages: PathInfo) -> tuple[Array, str]:
    """That a nudged path, ``followed`` in one stage or several from the free one, which has the Morse index
    ``before``, has another index, or lies beyond any linear response. Indices of -1 are not known."""
    another = jnp.any((stages.index != before) & (stages.index >= 0))
    return followed & (another | jnp.any(stages.stretch > FAR)), (
        "Newton: expected the nudged path on the branch of the free one, got a path with another "
        "Morse index or far off its linear response: the nudge crossed a fold or a conjugate point. "
        "Take a smaller nudge beta, or follow the branch by Continuation."
    )


def reach_fault(
    followed: Array, free: Factor, phase: Nudged, start: State, found: State
) -> tuple[Array, str]:
    """That a nudged path, ``followed`` from the free one where it starts, moved far more than that one's
    linear response; warns from half as much again."""
    wanted = norm({PATH: solve(free, displacement(phase, start)[PATH])})
    ratio = norm({PATH: found[PATH] - start[PATH]}) / jnp.where(wanted > 0, wanted, jnp.inf)
    warn_if(
        followed & (ratio <= FAR) & (ratio > 1.5),
        "Newton: expected a nudged path near the linear response of the free one, got one that moved half "
        "as much again or more: the contrast is a rough gradient. Take a smaller nudge beta.",
    )
    return followed & (ratio > FAR), (
        "Newton: expected a nudged path near the linear response of the free one, got one that moved "
        f"over {FAR:g} times as far: the nudge comes near a resonance or a conjugate point, and the "
        "contrast is no gradient. Take a smaller nudge beta."
    )


def masses(phase: Extremal, path: Array) -> Array:
    """``d2L/dv2`` along a path, (samples, size, size)."""
    return jax.vmap(jax.hessian(phase.continuous, 1))(*phase.samples(path))


def margin_of(phase: Extremal, factor: Factor, path: Array, rounds: int) -> Array:
    """The smallest eigenvalue of the second variation, of coordinates in units of their masses, over that
    of a free particle's slowest standing wave; not a number for a given start, which has neither conjugate
    points nor resonances."""
    if isinstance(phase, ClampedAction) and isinstance(phase.action.boundary, InitialValue):
        return jnp.full((), jnp.nan, jnp.finfo(path.dtype).dtype)
    heavy = jnp.sqrt(jnp.mean(jnp.linalg.norm(masses(phase, path), axis=-1), axis=0))
    scale = jnp.tile(heavy, path.shape[-1] // len(heavy)).astype(path.dtype)
    return softest(factor, scale, path, rounds) / ((math.pi / phase.duration) ** 2 * phase.weight)


@looped_on_cpu
def _lost_sign(mass: Array, curve: Array) -> Array:
    """Whether a curvature has lost the sign of the mass in some direction; of a mass that is positive in
    some and negative in others, as in doubled variables, in the mean with its transpose."""
    sizes, ways = jnp.linalg.eigh(mass)
    ways = ways / jnp.sqrt(jnp.abs(sizes))
    signed = jnp.sign(sizes)[:, None] * (ways.T @ curve @ ways)
    return jnp.min(jnp.linalg.eigvalsh(signed + signed.T)) < 0


def _slack(path: Array) -> float:
    return 10.0 * float(jnp.finfo(path.dtype).eps) ** 0.5
