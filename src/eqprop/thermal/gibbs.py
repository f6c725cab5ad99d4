"""Block Gibbs: one group of uncoupled layers after another, each drawn from its exact conditional law."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import concrete
from eqprop.energies.energy import Clamped, curvature, field
from eqprop.energies.units.unit import State, embed
from eqprop.thermal.sampler import ChainCarry, Link, Sampler, stand_in

MOVES = 16


class Gibbs(Sampler):
    """`eqprop.solvers.blockwise.sweep` at a temperature: every minimum becomes a draw.

    Exact where a layer's neurons are independent given the other layers: edges linear in what each layer
    shows, none inside a layer, and a cost that is quadratic, or else on no layer.
    """

    exact: ClassVar[bool] = True

    def check(self, phase: Clamped, state: State) -> None:
        blocks = _blocks(phase)
        temperature = jnp.ones(())
        for name, z in state.items():
            unit = phase.units[name]
            jax.eval_shape(unit.sample, jax.random.key(0), z, z, temperature, temperature)
        known = concrete((phase, state))
        with jax.ensure_compile_time_eval():
            phase, state = stand_in((phase, state))
            errors, finite = jax.tree.map(np.asarray, _examined(phase, state, blocks))
        for names, error in zip(blocks, errors, strict=True):
            if error > 1e-3:
                raise ValueError(
                    f"Gibbs: expected the neurons of {list(names)} to be independent given all others, "
                    f"but the energy differs from the sum of theirs by {error:.0%}: two coupled layers "
                    "in one block, a coupling inside a layer, an operator that is not linear (max "
                    "pooling), or a cost that is not quadratic. Use Langevin, Mala or Nuts (of spins, "
                    "Enumeration); or split the layer into layers that are not coupled inside."
                )
        lost = [name for name in state if not finite[name]]
        if known and lost:
            raise ValueError(
                f"Gibbs: expected a conditional law that can be drawn, but draws of {lost} are not finite: "
                "a nudge of this sign bends the energy of these down. Use a positive or weaker nudge, "
                "or Langevin, Mala or Nuts."
            )

    def step(
        self, phase: Clamped, carry: ChainCarry, key: PRNGKeyArray, temperature: Array | float
    ) -> ChainCarry:
        state = carry.state
        shown = embed(phase.units, state)
        keys = dict(zip(state, jax.random.split(key, len(state)), strict=True))
        for names in _blocks(phase):
            fields = field(phase, shown, names)
            for name in names:
                unit, z = phase.units[name], state[name]
                q = curvature(phase, name, z)
                drawn = unit.sample(
                    keys[name], z, fields[name], q, jnp.asarray(temperature, z.dtype)
                )
                state = state | {name: drawn}
                shown = shown | {name: unit.embed(drawn)}
        return Link(state)


def _blocks(phase: Clamped) -> tuple[tuple[str, ...], ...]:
    if phase.blocks is None:
        spins = any(unit.discrete for unit in phase.units.values())
        remedy = "write it as a Network, or use Enumeration" if spins else "use Langevin or Nuts"
        raise ValueError(
            f"Gibbs: expected an energy with `blocks`, such as a Network, got {type(phase).__name__}, "
            f"which does not say which layers are independent given the others; {remedy}."
        )
    return phase.blocks


@eqx.filter_jit
def _examined(
    phase: Clamped, state: State, blocks: tuple[tuple[str, ...], ...]
) -> tuple[list[Array], dict[str, Array]]:
    """At random states: how far each block's neurons are from independent, and whether a layer's draws
    are finite."""
    key = jax.random.key(1)
    state = {name: phase.units[name].scatter(key, z) for name, z in state.items()}
    errors = [jnp.max(_defects(phase, state, names)) for names in blocks]
    return errors, {name: jnp.all(jnp.isfinite(_draw(phase, state, name))) for name in state}


def _draw(phase: Clamped, state: State, name: str) -> Array:
    unit, z = phase.units[name], state[name]
    fields = field(phase, embed(phase.units, state), (name,))
    q = curvature(phase, name, z)
    return unit.sample(jax.random.key(2), z, fields[name], q, jnp.ones((), z.dtype))


def _defects(phase: Clamped, state: State, names: tuple[str, ...]) -> Array:
    """How far the energy is from a sum over the block's neurons, at random moves of all of them."""
    shown = embed(phase.units, state)
    fields = field(phase, shown, names)

    def defect(key: PRNGKeyArray) -> Array:
        moved, expected, size = dict(state), jnp.zeros(()), jnp.asarray(1e-3)
        for i, name in enumerate(names):
            unit, z = phase.units[name], state[name]
            moved[name] = unit.scatter(jax.random.fold_in(key, i), z)
            step = unit.embed(moved[name]) - shown[name]
            q = curvature(phase, name, z)
            parts = [-fields[name] * step, 0.5 * q * step * step, unit.potential(moved[name])]
            parts.append(-unit.potential(z))
            expected += sum(jnp.sum(part) for part in parts)
            size += sum(jnp.sum(jnp.abs(part)) for part in parts)
        return jnp.abs(phase(moved) - phase(state) - expected) / size

    return jax.vmap(defect)(jax.random.split(jax.random.key(0), MOVES))
