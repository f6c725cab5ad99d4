"""How a batch answered its nudges: whether any reached, how far they went, and whether opposite ones went
opposite ways."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from eqprop.energies.energy import displacement, field, norm
from eqprop.energies.model import Model
from eqprop.energies.units.unit import State, embed, retract

REACHED, LOPSIDED, FAR, BENT = 0.75, 0.7, 4.0, 1.0
BENDS = 4


class Answer(NamedTuple):
    """Of the outermost nudges, scalars for a batch.

    ``reached``: see `reached`. ``asymmetry``, of nudges ``-beta`` and ``beta``: by how much one
    displacement about the free state is longer than the other, over the sum of both; 0 where they are
    opposite, and near 1 where one nudge alone leaves the basin. ``response``: how far the two phases are
    apart, over what the output alone, all else fixed, would answer; it grows as 1 / beta where they lie in
    different basins. ``bend``: see `bend`; of differences, in a landscape about the free state, none. What
    a free phase has missed moves both phases alike, and counts in none.
    """

    reached: Array
    asymmetry: Array | None
    response: Array | None
    bend: Array | None = None

    def metrics(self) -> dict[str, Array]:
        """What training logs."""
        named = {f"nudge_{name}": value for name, value in self._asdict().items()}
        return {name: value for name, value in named.items() if value is not None}


def reached(states: State, asked: Array) -> Array:
    """The fraction of layers in which the outermost of phases (phases, batch, ...) differ, of examples that
    were ``asked`` (batch,): whose cost has a slope. A nudge travels by neighbours, a sweep at a time: a
    phase that meets its tolerance early leaves far layers as they were, and these learn nothing. A nudge
    that is lost in rounding reaches none."""
    moved = jnp.stack(
        [jnp.any((z[0] != z[-1]).reshape(z.shape[1], -1), axis=1) for z in states.values()]
    )
    share = jnp.mean(moved, axis=0, dtype=jnp.result_type(float))
    count = jnp.sum(asked, dtype=share.dtype)
    return jnp.where(
        count > 0, jnp.sum(jnp.where(asked, share, 0.0)) / jnp.maximum(count, 1.0), 1.0
    )


def asked(model: Model, y: Array, free: State) -> Array:
    """The examples of a batch whose cost has a slope in the free state."""

    def one(y: Array, z: State) -> Array:
        slopes = jax.tree.leaves(jax.grad(model.loss)(z, y))
        return jnp.any(jnp.stack([jnp.any(slope != 0) for slope in slopes]))

    return jax.vmap(one)(y, free)


def asymmetry(displacements: State) -> Array:
    """Of what the layers show in phases (phases, batch, ...), less what they show in the free one."""
    first, last = (norm(jax.tree.map(lambda d, at=at: d[at], displacements)) for at in (0, -1))
    both = first + last
    return jnp.abs(first - last) / jnp.where(both > 0, both, 1.0)


def relative_response(
    model: Model, x: Array, y: Array, betas: Array, free: State, displacements: State
) -> Array:
    """``|last - first|`` over what the output layer alone would answer from the free state (batch, ...)."""
    output = model.cost.output

    def own(x: Array, y: Array, z: State, beta: Array) -> Array:
        phase = model.nudged(x, y, beta)
        fields = field(phase, embed(phase.units, z), (output,))
        unit = phase.units[output]
        return unit.embed(unit.minimise(z[output], fields[output], jnp.zeros((), beta.dtype)))

    def each(x: Array, y: Array, z: State) -> Array:
        return own(x, y, z, betas[-1]) - own(x, y, z, betas[0])

    least = norm({output: jax.vmap(each)(x, y, free)})
    apart = norm(jax.tree.map(lambda d: d[-1] - d[0], displacements))
    return apart / jnp.where(least > 0, least, jnp.inf)


def bend(model: Model, x: Array, betas: Array, free: State, states: State) -> Array:
    """``|<d, 2 D(half-way) - D(free) - D(end)>| / |<d, D(end) - D(free)>|`` on the straight way ``d`` from
    the free state (batch, ...) to an outermost phase (phases, batch, ...), sums over the first examples of
    the batch, so that a training step costs no more; the larger of the two.

    ``D`` is the `displacement` of the free phase. Where the answer is linear, so is it: 0. Above 1 the
    energy is not convex on the way: half-way, it pulls on and not back, or back more than at the end.
    """

    def pulls(x: Array, start: State, ends: State) -> tuple[Array, Array]:
        phase = model.free(x)
        first = displacement(phase, start)

        def towards(end: State) -> tuple[Array, Array]:
            middle = retract(phase.units, jax.tree.map(lambda a, b: (a + b) / 2, start, end))
            half, last = (displacement(phase, z) for z in (middle, end))
            way = jax.tree.map(jnp.subtract, end, start)
            bent = jax.tree.map(lambda a, m, b: 2 * m - a - b, first, half, last)
            return _along(way, bent), _along(way, jax.tree.map(jnp.subtract, last, first))

        return jax.vmap(towards)(ends)

    ends = jnp.array([0, -1])
    x, free = jax.tree.map(lambda a: a[:BENDS], (x, free))
    found = jax.vmap(pulls, (0, 0, 1))(x, free, jax.tree.map(lambda z: z[ends, :BENDS], states))
    bent, straight = (jnp.sum(jnp.abs(pull), axis=0) for pull in found)
    some = (betas[ends] != 0) & (straight > 0)
    return jnp.max(jnp.where(some, bent / jnp.where(some, straight, 1.0), 0.0))


def _along(way: State, pull: State) -> Array:
    parts = [jnp.sum(jnp.conj(way[name]) * part) for name, part in pull.items()]
    return sum(parts[1:], parts[0])


def warn_of_answer(seen: Mapping[str, Any], when: str = "") -> None:
    """Warn of nudges that left many layers as they were, and of phases in different basins: from what
    training logs, where it is numbers. Compiled programs are silent."""
    row = {k: v for k, v in seen.items() if not isinstance(v, jax.core.Tracer)}
    if row.get("nudge_reached", 1.0) < REACHED:
        _warn(
            f"{when}a nudge reached {row['nudge_reached']:.0%} of the layers on average, and the others "
            "learn nothing. Either its phase met the tolerance before, since the residual counts all "
            "neurons, of which the answer is a small part: use a smaller tolerance, or a number of "
            "steps, or differences (DeltaPropagation), whose tolerance is relative to the answer. Or the "
            "nudge is lost in rounding: use a larger beta. Or whole layers lie at the ends of their "
            "interval: lower the gain."
        )
    bars = {"asymmetry": LOPSIDED, "response": FAR, "bend": BENT}
    found = {name: row[f"nudge_{name}"] for name in bars if f"nudge_{name}" in row}
    if not all(value <= bars[name] for name, value in found.items()):
        parts = [f"{n} {value:.2g} (expected at most {bars[n]:g})" for n, value in found.items()]
        _warn(
            f"{when}phases of opposite or no nudge lie too far apart for answers in proportion to it: "
            f"{', '.join(parts)}. They may have settled in different basins, each well and together wrong: "
            "use a smaller beta, smaller weights or gains, or compare with ImplicitDifferentiation."
        )


def _warn(message: str) -> None:
    warnings.warn(message[:1].upper() + message[1:], stacklevel=3)
