"""How a batch answered its nudges: whether any reached, how far they went, and whether opposite ones went
opposite ways."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from eqprop.energies.energy import field, norm
from eqprop.energies.model import Model
from eqprop.energies.units.unit import State, embed

REACHED, LOPSIDED, FAR = 0.75, 0.7, 4.0


class Answer(NamedTuple):
    """Of the outermost nudges, scalars for a batch.

    ``reached``: see `reached`. ``asymmetry``, of nudges ``-beta`` and ``beta``: by how much one
    displacement about the free state is longer than the other, over the sum of both; 0 where they are
    opposite, and near 1 where one nudge alone leaves the basin. ``response``: how far the two phases are
    apart, over what the output alone, all else fixed, would answer; it grows as 1 / beta where they lie in
    different basins. What a free phase has missed moves both phases alike, and counts in none.
    """

    reached: Array
    asymmetry: Array | None
    response: Array | None

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


def response(
    model: Model, x: Array, y: Array, betas: Array, free: State, displacements: State
) -> Array:
    """``|last - first|`` over what the output layer alone would answer from the free state (batch, ...)."""
    output = model.cost.output

    def own(x: Array, y: Array, z: State, beta: Array) -> Array:
        phase = model.nudged(x, y, beta)
        fields = field(phase, embed(phase.units, z), (output,))
        unit = phase.units[output]
        return unit.embed(unit.minimise(z[output], fields[output], jnp.zeros((), beta.dtype)))

    each = jax.vmap(lambda x, y, z: own(x, y, z, betas[-1]) - own(x, y, z, betas[0]))
    least = norm({output: each(x, y, free)})
    apart = norm(jax.tree.map(lambda d: d[-1] - d[0], displacements))
    return apart / jnp.where(least > 0, least, jnp.inf)


def warn_of_answer(seen: Mapping[str, Any], when: str = "") -> None:
    """Warn of nudges that left many layers as they were, and of phases in different basins: from what
    training logs, where it is numbers. Compiled programs are silent."""
    row = {k: v for k, v in seen.items() if not isinstance(v, jax.core.Tracer)}
    if row.get("nudge_reached", 1.0) < REACHED:
        _warn(
            f"{when}a nudge reached {row['nudge_reached']:.0%} of the layers on average, and the others "
            "learn nothing. Either its phase met the tolerance before, since the residual counts all "
            "neurons, of which the answer is a small part: use a smaller tolerance, or 0 for nudged_steps "
            "steps, or differences (--differences), whose tolerance is relative to the answer. Or the "
            "nudge is lost in rounding: use a larger beta. Or whole layers lie at the ends of their "
            "interval: lower the gain."
        )
    if row.get("nudge_asymmetry", 0.0) > LOPSIDED or row.get("nudge_response", 0.0) > FAR:
        parts = [
            f"{name.removeprefix('nudge_')} {row[name]:.2g} (expected at most {most:g})"
            for name, most in (("nudge_asymmetry", LOPSIDED), ("nudge_response", FAR))
            if name in row
        ]
        _warn(
            f"{when}phases of opposite or no nudge lie too far apart for answers in proportion to it: "
            f"{', '.join(parts)}. They may have settled in different basins, each well and together wrong: "
            "use a smaller beta, smaller weights or gains, or compare with ImplicitDifferentiation."
        )


def _warn(message: str) -> None:
    warnings.warn(message[:1].upper() + message[1:], stacklevel=3)
