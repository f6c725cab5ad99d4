"""Iterative refinement: loops in few bits, whose errors are solved for again in few bits.

About any state ``z0`` with fields ``a0``, an energy that is quadratic in its states is

    E(z0 + d) - E(z0) = |d|^2 / 2 - <a0 - z0, d> - sum_e <d_target, op_e(d_source)>

inside the domain moved by ``-z0``: the same network, with another drive and without its input. ``d`` is
small and has all the digits of its float type, which the state as a whole has not.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from eqprop.energy import Clamped, field, norm, relative
from eqprop.linear import is_linear
from eqprop.network import ClampedNetwork
from eqprop.ops import cast
from eqprop.solvers._solver import Info, Iterative, Solver, check_tolerance, report
from eqprop.units import Box, Linear, State, Unit, embed, retract


class Span(Unit):
    """An interval of its own for each neuron: ``u = z`` in ``[low, high]``, potential ``z^2 / 2``."""

    low: Array
    high: Array
    smooth: ClassVar[bool] = False
    walled: ClassVar[bool] = True

    def embed(self, z: Array) -> Array:
        return z

    def potential(self, z: Array) -> Array:
        return 0.5 * z * z

    def retract(self, z: Array) -> Array:
        return jnp.clip(z, self.low, self.high)

    def minimise(self, z: Array, field: Array, curvature: Array) -> Array:
        """Not a number where the energy is not convex in the layer."""
        stiffness = 1.0 + curvature
        inside = self.retract((field + curvature * z) / stiffness)
        return jnp.where(stiffness > 0, inside, jnp.nan)

    def saturation(self, z: Array) -> Array:
        return ((z <= self.low) | (z >= self.high)).astype(z.dtype)


def about(phase: Clamped, origin: State, drive: State, scale: Array, dtype: Any) -> ClampedNetwork:
    """The landscape of ``e = (z - origin) / scale`` in ``dtype``, with ``drive`` in place of ``a0 - z0``.

    Raises ``ValueError`` where the energy is not known to be quadratic in the states.
    """
    network = require_quadratic(phase)
    largest = float(jnp.finfo(dtype).max) / 4

    def in_units(a: Array) -> Array:
        return jnp.clip(a / scale, -largest, largest)

    def span(unit: Unit, z: Array) -> Unit:
        low, high = (unit.low, unit.high) if isinstance(unit, Box) else (-jnp.inf, jnp.inf)
        return Span(in_units(low - z), in_units(high - z))

    units = {name: span(network.units[name], z) for name, z in origin.items()}
    scaled = {name: in_units(a) for name, a in drive.items()}
    return cast(dataclasses.replace(network, units=units, drive=scaled), dtype)


def nothing(like: State, dtype: Any) -> State:
    """No difference."""
    return {name: jnp.zeros(z.shape, dtype) for name, z in like.items()}


def require_quadratic(phase: Clamped) -> ClampedNetwork:
    """The phase, if its energy is quadratic in its states; else ``ValueError``."""
    network = require_affine(phase)
    for name, edge in network.edges.items():
        if not is_linear(edge.op):
            raise ValueError(
                f"Differences: edge {name!r} expected a linear operator (dense, convolution, average "
                "pooling), got one that is not, or does not say so by an attribute `linear`; relax and "
                "nudge in full precision."
            )
    return network


def require_affine(phase: Clamped) -> ClampedNetwork:
    """The phase, if it is a Network's whose units show their fields, but for walls; else ``ValueError``."""
    if not isinstance(phase, ClampedNetwork):
        raise ValueError(
            "Differences: expected the free phase of a Network, whose fields are affine in its states, got "
            f"{type(phase).__name__}; relax and nudge in full precision."
        )
    for name, unit in phase.units.items():
        if not isinstance(unit, Box | Linear):
            raise ValueError(
                f"Differences: layer {name!r} expected a Box or Linear unit, whose self-energy is "
                f"quadratic, got {type(unit).__name__}; relax and nudge in full precision."
            )
    return phase


class Refined(Solver):
    """Rounds of ``solver`` in ``dtype``, each for what the state still misses, until the residual in the
    state's own type is within ``tolerance``: a free phase to full precision whose loops run in bfloat16.

    For free phases of Networks with quadratic energies. ``solver`` has a tolerance that ``dtype``
    resolves, by which each round makes the error smaller (Wilkinson 1963).
    """

    solver: Iterative
    tolerance: float = eqx.field(default=1e-5, static=True)
    rounds: int = eqx.field(default=8, static=True)
    dtype: str = eqx.field(default="bfloat16", static=True)

    def settle(
        self, phase: Clamped, state: State, key: PRNGKeyArray | None = None
    ) -> tuple[State, Info]:
        check_tolerance(self.tolerance, state)
        narrow = jnp.dtype(self.dtype)

        def look(state: State) -> tuple[State, State, Array]:
            fields = field(phase, embed(phase.units, state), tuple(state))
            move = jax.tree.map(jnp.subtract, retract(phase.units, fields), state)
            return fields, move, relative(move, state)

        def missed(loop: Any) -> Array:
            _, (_, _, true), _, rounds = loop
            return (true > self.tolerance) & (rounds < self.rounds)

        def refine(loop: Any) -> Any:
            state, (fields, move, _), steps, rounds = loop
            scale = norm(move)
            scale = jnp.where(scale > 0, scale, 1.0)
            drive = jax.tree.map(jnp.subtract, fields, state)
            landscape = about(phase, state, drive, scale, narrow)
            found, info = self.solver.settle(landscape, nothing(state, narrow))
            moved = {name: z + scale * found[name].astype(z.dtype) for name, z in state.items()}
            state = retract(phase.units, moved)
            return state, look(state), steps + info.steps, rounds + 1

        zero = jnp.zeros((), jnp.int32)
        state, _, steps, _ = lax.while_loop(missed, refine, (state, look(state), zero, zero))
        return state, report(phase, state, steps, self.tolerance)
