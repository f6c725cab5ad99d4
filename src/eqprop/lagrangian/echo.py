"""The Hamiltonian echo: back-propagation through time without a tape, by running a system backwards.

A separable Hamiltonian that moves by drift, kick and drift (`unroll`) retraces its path when its momentum
is flipped and its damping made a gain. Nudged on the way by the slopes of a loss, the echo differs from
the path by the adjoint state, and what is conjugate to the parameters tells their gradient:

    dC/dtheta = sum_n dt d/d epsilon dH/dtheta(echo_n(epsilon))

which is back-propagation through the same steps, exactly, as the nudge ``epsilon`` goes to zero. With
damping the slopes are weighted by ``e^(damping s)`` after an echo time ``s``, and what is read by its
inverse. Pourcel and Ernoult, NeurIPS 2025; for the gain Boesch, Gediz and Tureci, "Unifying Physical
Backpropagation", 2026.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, PyTree

from eqprop._arguments import Checked, checked
from eqprop.lagrangian.hamiltonian import Hamiltonian, PhasePoint, check, unless, unroll
from eqprop.lagrangian.warn import warn_if


class Response(Checked):
    """Two arrays on a leading axis that stand for an echo and its answer to a nudge."""

    @abstractmethod
    def begin(self, z: Array) -> Array:
        """Not nudged."""

    @abstractmethod
    def nudged(self, pair: Array, slope: Array | None, gain: Array) -> Array:
        """Pushed down a slope."""

    @abstractmethod
    def slope(self, potential: Callable[..., Array], pair: Array, u: Array) -> Array:
        """``dV/dq`` of both."""

    @abstractmethod
    def change(self, energy: Callable[..., Array], *pairs: Array) -> Array:
        """The derivative of an energy in the nudge."""

    @abstractmethod
    def place(self, pair: Array) -> Array:
        """Where the echo is, but for the square of the nudge."""

    @abstractmethod
    def difference(self, pair: Array) -> Array:
        """The derivative of a place in the nudge."""


class LinearResponse(Response):
    """The echo, and its linear response."""

    def begin(self, z: Array) -> Array:
        return jnp.stack([z, jnp.zeros_like(z)])

    def nudged(self, pair: Array, slope: Array | None, gain: Array) -> Array:
        return pair if slope is None else pair.at[1].add(-gain * slope)

    def slope(self, potential: Callable[..., Array], pair: Array, u: Array) -> Array:
        force = jax.grad(lambda q: potential(q, u))
        return jnp.stack(jax.jvp(force, (pair[0],), (pair[1],)))

    def change(self, energy: Callable[..., Array], *pairs: Array) -> Array:
        places, answers = zip(*pairs, strict=True)
        return jax.jvp(energy, tuple(places), tuple(answers))[1]

    def place(self, pair: Array) -> Array:
        return pair[0]

    def difference(self, pair: Array) -> Array:
        return pair[1]


class CentralDifference(Response):
    """Two echoes, nudged either way by ``size`` times the slopes."""

    size: Array

    def begin(self, z: Array) -> Array:
        return jnp.stack([z, z])

    def nudged(self, pair: Array, slope: Array | None, gain: Array) -> Array:
        if slope is None:
            return pair
        push = self.size * gain * slope
        return pair + jnp.stack([-push, push])

    def slope(self, potential: Callable[..., Array], pair: Array, u: Array) -> Array:
        return jax.vmap(jax.grad(potential), (0, None))(pair, u)

    def change(self, energy: Callable[..., Array], *pairs: Array) -> Array:
        there, back = (energy(*(pair[sign] for pair in pairs)) for sign in (0, 1))
        return (there - back) / (2.0 * self.size)

    def place(self, pair: Array) -> Array:
        return 0.5 * (pair[0] + pair[1])

    def difference(self, pair: Array) -> Array:
        return (pair[0] - pair[1]) / (2.0 * self.size)


Slopes = tuple[Array | None, Array | None]


@checked
def evolve(
    hamiltonian: Hamiltonian,
    start: PhasePoint,
    inputs: Array,
    dt: float,
    damping: float | Array = 0.0,
    nudge: float | None = None,
) -> tuple[PhasePoint, Array]:
    """The same path as `unroll`, differentiated by its echo: memory does not grow with the number of steps.

    ``nudge`` is what the nudges of the momenta add up to over the echo; gradients are wrong by its square
    and by rounding over it, as on a machine. By default it is none: the echo and its linear response run
    side by side, which is the limit. Raises ``ValueError`` for damping other than one number that is the
    same for all momenta, for damping so strong that the gain of the echo exceeds the precision, and at
    run time where the path is not finite.

    Examples:
        >>> import equinox as eqx
        >>> import jax.numpy as jnp
        >>> from eqprop import lagrangian as lg
        >>> class Spring(lg.Hamiltonian):
        ...     def potential(self, q, u):
        ...         return jnp.sum(0.5 * q * q)
        >>> start, inputs = (jnp.ones(1), jnp.zeros(1)), jnp.zeros((10, 1))
        >>> (q, p), positions = eqx.filter_jit(lg.evolve)(Spring(), start, inputs, dt=0.1)
        >>> round(float(q[0]), 2), positions.shape  # cos(1) = 0.54
        (0.54, (10, 1))
    """
    damping, dt = check(start, inputs, dt, damping), float(dt)
    precision = float(jnp.finfo(start[0].dtype).eps)
    if nudge is not None and not 0 < nudge < np.inf:
        raise ValueError(f"evolve: expected a nudge > 0, or None for its limit, got {nudge}.")
    if damping * dt * len(inputs) > -0.5 * math.log(precision):
        raise ValueError(
            f"evolve: expected damping * dt * steps below {-0.5 * math.log(precision):.1f}, got "
            f"{damping * dt * len(inputs):.1f}: the echo amplifies by its exponential, and rounding with "
            "it. Use less damping or fewer steps, or unroll."
        )
    least = precision * math.exp(damping * dt * len(inputs))
    if nudge is not None and nudge < least:
        raise ValueError(
            f"evolve: expected a nudge above {least:.1e}, what the echo makes of rounding, got {nudge:g}; "
            "take a larger one, or None for its limit."
        )
    return _evolve((hamiltonian, start, inputs), dt=dt, damping=damping, nudge=nudge)


@eqx.filter_custom_vjp
def _evolve(
    system: Any, *, dt: float, damping: float, nudge: float | None
) -> tuple[PhasePoint, Array]:
    hamiltonian, start, inputs = system
    return unroll(hamiltonian, start, inputs, dt, damping)


@_evolve.def_fwd
def _(perturbed: PyTree, system: Any, *, dt: float, damping: float, nudge: float | None) -> Any:
    hamiltonian, start, inputs = system
    end, positions = unroll(hamiltonian, start, inputs, dt, damping)
    return (end, positions), end


@_evolve.def_bwd
def _(
    end: PhasePoint,
    slopes: Any,
    perturbed: PyTree,
    system: Any,
    *,
    dt: float,
    damping: float,
    nudge: float | None,
) -> PyTree:
    """The echo and what it answers to the nudges, together on a leading axis of two."""
    (hamiltonian, start, inputs), ((end_q, end_p), along) = system, slopes
    a = math.exp(-0.5 * damping * dt)
    size = None if nudge is None else nudge / _total((end_q, end_p), along, damping * dt)
    response: Response = LinearResponse() if size is None else CentralDifference(size)

    def drift(q: Array, p: Array) -> Array:
        return q + 0.5 * dt * hamiltonian.inverse_mass() * p

    def step(carry: tuple[PhasePoint, Array, PyTree], now: Any) -> tuple[Any, Array | None]:
        (q, p), gain, total = carry
        u, slope = now
        first = response.nudged(p, slope, gain)
        middle = drift(q, first)
        last = (first / a - dt * response.slope(hamiltonian.potential, middle, u)) / a

        def energy(learned: tuple[Hamiltonian, Array], places: tuple[Array, ...]) -> Array:
            hamiltonian, u = learned
            moving = places[0] ** 2 + (a * places[2]) ** 2
            drifts = 0.5 * jnp.sum(hamiltonian.inverse_mass() * moving)
            return dt / gain * (0.5 * drifts + a * hamiltonian.potential(places[1], u))

        def read(learned: tuple[Hamiltonian, Array]) -> Array:
            return response.change(lambda *places: energy(learned, places), first, middle, last)

        ours, by_input = eqx.filter_grad(read)((hamiltonian, u))
        total = jax.tree.map(jnp.add, total, ours)
        return ((drift(middle, last), last), gain / (a * a), total), by_input

    one = jnp.ones((), end[0].dtype)
    q = response.nudged(response.begin(end[0]), end_p, one)
    p = response.nudged(response.begin(-end[1]), end_q, one)
    zeros = jax.tree.map(jnp.zeros_like, eqx.filter(hamiltonian, eqx.is_inexact_array))
    carry, by_input = lax.scan(step, ((q, p), one, zeros), (inputs, along), reverse=True)
    (q, p), gain, total = carry
    missed = _missed(response.place(q), -response.place(p), start, end)
    warn_if((missed > MISSED) & (missed <= ASTRAY), ROUGH)
    parts = (q, p, total, by_input)
    q, p, total, by_input = unless(parts, [(~(missed <= ASTRAY), LOST)])
    return total, (-response.difference(p) / gain, -response.difference(q) / gain), by_input


def _missed(q: Array, p: Array, start: PhasePoint, end: PhasePoint) -> Array:
    """By how much the echo misses where the path began, in proportion to the path's size."""
    size = jnp.max(jnp.stack([jnp.max(jnp.abs(part)) for part in (*start, *end)]))
    missed = jnp.maximum(jnp.max(jnp.abs(q - start[0])), jnp.max(jnp.abs(p - start[1])))
    return missed / jnp.where(size > 0, size, 1.0)


MISSED, ASTRAY = 1e-4, 5e-3
"""Of the path's size; gradients are wrong by ten to a hundred times as much."""

REMEDY = (
    "Take a shorter path, float64, a smaller nudge, slower rates (a smaller learning rate for them), or "
    "unroll."
)

ROUGH = (
    f"evolve: expected an echo that comes back to the start of its path within {MISSED:g} of the path's "
    "size, got one that misses it by more: the system amplifies rounding, or the nudge, and the gradient "
    f"may be wrong by some percent. {REMEDY}"
)

LOST = (
    "evolve: expected an echo that comes back to the start of its path, got one that went astray: the "
    "system amplifies rounding, or the nudge, along a path of this length, and the gradient would be "
    f"wrong. {REMEDY}"
)


def _total(last: Slopes, along: Array | None, growth: float) -> Array:
    """What the nudges of one echo add up to: of each, the largest entry."""
    parts = [jnp.max(jnp.abs(slope)) for slope in last if slope is not None]
    if along is not None:
        peaks = jnp.max(jnp.abs(along), axis=tuple(range(1, along.ndim)))
        gains = np.exp(growth * np.arange(len(along))[::-1])
        parts.append(jnp.sum(jnp.asarray(gains, peaks.dtype) * peaks))
    total = sum(parts[1:], parts[0])
    return jnp.where(total > 0, total, 1.0)
