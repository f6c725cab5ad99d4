"""The Hamiltonian echo: back-propagation through time without a tape, by running a system backwards.

A separable Hamiltonian ``H = sum_i r_i p_i^2 / 2 + V(q, u)`` moves by drift, kick and drift,

    q += dt/2 r p,    p *= a,   p -= dt dV/dq(q, u_n),   p *= a,    q += dt/2 r p,      a = exp(-damping
    dt / 2)

and retraces its path when its momentum is flipped and its damping made a gain. Nudged on the way by the
slopes of a loss, the echo differs from the path by the adjoint state, and what is conjugate to the
parameters tells their gradient:

    dC/dtheta = sum_n dt d/d epsilon dH/dtheta(echo_n(epsilon))

which equals back-propagation through the same steps as the nudge goes to zero. With damping the slopes
are weighted by ``e^(damping s)`` after an echo time ``s``, and what is read by its inverse. Pourcel and
Ernoult, NeurIPS 2025; for the gain Boesch, Gediz and Tureci, "Unifying Physical Backpropagation", 2026.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, PyTree

Phase = tuple[Array, Array]


class Hamiltonian(eqx.Module):
    """``sum_i r_i p_i^2 / 2 + V(q, u)``, its array leaves the parameters. ``q`` and ``p``: (..., size);
    energies are sums over the leading axes."""

    @abstractmethod
    def potential(self, q: Array, u: Array) -> Array:
        """``V`` with the input ``u`` of one step, summed over the leading axes of ``q``: a scalar."""

    def inverse_mass(self) -> Array | float:
        """``r``, which broadcasts to (size,)."""
        return 1.0

    def kinetic(self, p: Array) -> Array:
        """``sum r p^2 / 2``."""
        return 0.5 * jnp.sum(self.inverse_mass() * p * p)


def unroll(
    hamiltonian: Hamiltonian, start: Phase, inputs: Array, dt: float, damping: float | Array = 0.0
) -> tuple[Phase, Array]:
    """The end ``(q, p)`` and the positions after every step, (steps, ..., size), for inputs (steps, ...).

    Differentiated as any program: by a tape that grows with the number of steps.
    """
    damping = _check(start, inputs, dt, damping)
    return _forward((hamiltonian, start, inputs), dt, damping)


def evolve(
    hamiltonian: Hamiltonian,
    start: Phase,
    inputs: Array,
    dt: float,
    damping: float | Array = 0.0,
    nudge: float | None = None,
) -> tuple[Phase, Array]:
    """The same path as `unroll`, differentiated by its echo: memory does not grow with the number of steps.

    ``nudge`` is what the nudges of the momenta add up to over the echo, by default the cube root of the
    precision; gradients are wrong by its square. Raises ``ValueError`` for damping other than one number
    that is the same for all momenta, for damping so strong that the gain of the echo exceeds the
    precision, and at run time where the path is not finite.
    """
    damping = _check(start, inputs, dt, damping)
    precision = float(jnp.finfo(start[0].dtype).eps)
    nudge = precision ** (1 / 3) if nudge is None else nudge
    if not 0 < nudge < np.inf:
        raise ValueError(f"evolve: expected a nudge > 0, got {nudge}.")
    if damping * dt * len(inputs) > -0.5 * np.log(precision):
        raise ValueError(
            f"evolve: expected damping * dt * steps below {-0.5 * np.log(precision):.1f}, got "
            f"{damping * dt * len(inputs):.1f}: the echo amplifies by its exponential, and rounding with "
            "it. Use less damping or fewer steps, or unroll."
        )
    return _evolve((hamiltonian, start, inputs), dt=dt, damping=damping, nudge=nudge)


@eqx.filter_custom_vjp
def _evolve(system: Any, *, dt: float, damping: float, nudge: float) -> tuple[Phase, Array]:
    return _forward(system, dt, damping)


@_evolve.def_fwd
def _(perturbed: PyTree, system: Any, *, dt: float, damping: float, nudge: float) -> Any:
    end, positions = _forward(system, dt, damping)
    return (end, positions), end


@_evolve.def_bwd
def _(
    end: Phase,
    slopes: Any,
    perturbed: PyTree,
    system: Any,
    *,
    dt: float,
    damping: float,
    nudge: float,
) -> PyTree:
    """The echo for both signs of the nudge, on a leading axis."""
    (hamiltonian, _, inputs), ((end_q, end_p), along) = system, slopes
    a = math.exp(-0.5 * damping * dt)
    scale = nudge / _total((end_q, end_p), along, damping * dt)
    signs = jnp.asarray([1.0, -1.0], end[0].dtype).reshape(2, *(1 for _ in end[0].shape))

    def pushed(z: Array, slope: Array | None, size: Array) -> Array:
        return z if slope is None else z - signs * size * slope

    def step(carry: tuple[Phase, Array, PyTree], now: Any) -> tuple[Any, Array | None]:
        (q, p), gain, total = carry
        u, slope = now
        first = pushed(p, slope, scale * gain)
        middle = q + 0.5 * dt * hamiltonian.inverse_mass() * first
        force = jax.vmap(jax.grad(hamiltonian.potential), (0, None))(middle, u)
        last = (first / a - dt * force) / a
        q = middle + 0.5 * dt * hamiltonian.inverse_mass() * last

        def read(pair: tuple[Hamiltonian, Array]) -> Array:
            hamiltonian, u = pair

            def energy(sign: int) -> Array:
                drifts = hamiltonian.kinetic(first[sign]) + a * a * hamiltonian.kinetic(last[sign])
                return 0.5 * drifts + a * hamiltonian.potential(middle[sign], u)

            return (energy(0) - energy(1)) * (0.5 * dt / (scale * gain))

        ours, by_input = eqx.filter_grad(read)((hamiltonian, u))
        return ((q, last), gain / (a * a), jax.tree.map(jnp.add, total, ours)), by_input

    q, p = (jnp.broadcast_to(z, (2, *z.shape)) for z in (end[0], -end[1]))
    begin = pushed(q, end_p, scale), pushed(p, end_q, scale)
    zeros = jax.tree.map(jnp.zeros_like, eqx.filter(hamiltonian, eqx.is_inexact_array))
    start = begin, jnp.ones_like(scale), zeros
    ((q, p), gain, total), by_input = lax.scan(step, start, (inputs, along), reverse=True)
    read = 0.5 / (scale * gain)
    return total, (-read * (p[0] - p[1]), -read * (q[0] - q[1])), by_input


def _forward(system: Any, dt: float, damping: float) -> tuple[Phase, Array]:
    hamiltonian, start, inputs = system
    a = math.exp(-0.5 * damping * dt)

    def step(z: Phase, u: Array) -> tuple[Phase, Array]:
        q, p = z
        q = q + 0.5 * dt * hamiltonian.inverse_mass() * p
        p = a * (a * p - dt * jax.grad(hamiltonian.potential)(q, u))
        q = q + 0.5 * dt * hamiltonian.inverse_mass() * p
        return (q, p), q

    (q, p), positions = lax.scan(step, start, inputs)
    q = eqx.error_if(
        q,
        ~jnp.all(jnp.isfinite(q)),
        "evolve: expected a finite path, got one that grew without bound; take a smaller time step dt "
        "(leapfrog needs omega dt < 2 for the fastest frequency), or a potential that confines.",
    )
    return (q, p), positions


def _total(last: tuple[Array | None, Array | None], along: Array | None, growth: float) -> Array:
    """What the nudges of one echo add up to: of each, the largest entry."""
    parts = [jnp.max(jnp.abs(slope)) for slope in last if slope is not None]
    if along is not None:
        peaks = jnp.max(jnp.abs(along), axis=tuple(range(1, along.ndim)))
        gains = np.exp(growth * np.arange(len(along))[::-1])
        parts.append(jnp.sum(jnp.asarray(gains, peaks.dtype) * peaks))
    total = sum(parts[1:], parts[0])
    return jnp.where(total > 0, total, 1.0)


def _check(start: Phase, inputs: Array, dt: float, damping: float | Array) -> float:
    if not isinstance(damping, (int, float)) or not damping >= 0:
        raise ValueError(
            f"evolve: expected one number >= 0 as the damping of all momenta, got {damping!r}. Damping in "
            "proportion to the momenta is the only one that a gain undoes exactly; for damping of "
            "another form, nonlinear or different between coordinates, use doubled variables "
            "(eqprop.lagrangian.doubled)."
        )
    if not dt > 0:
        raise ValueError(f"evolve: expected dt > 0, got {dt}.")
    if start[0].shape != start[1].shape or inputs.ndim < 1:
        raise ValueError(
            "evolve: expected positions and momenta of one shape (..., size) and inputs (steps, ...), got "
            f"{start[0].shape}, {start[1].shape} and {inputs.shape}."
        )
    return float(damping)
