"""Ensembles: the thermal phases of a batch, from Markov chains or, for small systems, exactly.

A source averages a statistic over the Gibbs laws ``exp(-F_beta / T)`` of several nudges at once. The
statistic sees all states of a moment, of shape (phases, batch, members, ...), with weights that sum to 1
over the members; it is averaged over moments as they come, so that no state is kept.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from eqprop.energy import Clamped
from eqprop.model import Model
from eqprop.ops import freeze
from eqprop.samplers import concrete
from eqprop.units import State, Unit

Statistic = Callable[[State, Array], PyTree]


def nothing(states: State, weights: Array) -> None:
    """The statistic of one who does not ask."""


class Average(NamedTuple):
    """A statistic's mean, and what the ensemble was.

    ``costs``: (moments, phases, batch, members), one number for each state seen; ``weights``: (phases,
    batch, members); ``states``: the last moment's. ``acceptance`` (phases,) and ``swaps`` (phases - 1,)
    are mean probabilities, of chains; ``records`` has a leading axis of moments.
    """

    mean: PyTree
    costs: Array
    weights: Array
    states: State
    records: PyTree = None
    acceptance: Array | None = None
    swaps: Array | None = None


class Source(eqx.Module):
    """Where the phases of a batch come from."""

    temperature: eqx.AbstractVar[float]
    drawn: ClassVar[bool]
    """Whether members are draws, whose covariance is biased by 1 / N, and not the law itself."""

    @abstractmethod
    def average(
        self,
        model: Model,
        x: Array,
        y: Array,
        betas: Array,
        state: State,
        key: PRNGKeyArray,
        statistic: Statistic,
        record: Statistic = nothing,
    ) -> Average:
        """The mean of ``statistic(states, weights)`` over the phases at ``betas``, and what ``record``
        makes of each moment."""

    def start(self, model: Model, x: Array, last: State | None = None) -> State:
        """Where a batch begins, after one that ended in ``last``: at rest."""
        return model.rest(x)

    @abstractmethod
    def check(self, model: Model, x: Array, y: Array, betas: Array) -> None:
        """Raise ``ValueError`` where this source cannot serve the model; looks at the first example."""


def over_ensemble(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function(beta, x, y, state)`` over (phases,), (batch,), (batch,) and (phases, batch, members)."""
    members = jax.vmap(function, (None, None, None, 0))
    return jax.vmap(jax.vmap(members, (None, 0, 0, 0)), (0, None, None, 0))


def costs_of(model: Model, x: Array, y: Array, betas: Array, states: State) -> Array:
    """The cost of every member: (phases, batch, members)."""
    return over_ensemble(lambda beta, x, y, state: model.loss(state, y))(betas, x, y, states)


def energies_of(model: Model, x: Array, y: Array, betas: Array, states: State) -> Array:
    """The nudged energy of every member: (phases, batch, members)."""

    def total(beta: Array, x: Array, y: Array, state: State) -> Array:
        return model.nudged(x, y, beta)(state)

    return over_ensemble(total)(betas, x, y, states)


def exact_average(
    model: Model,
    x: Array,
    y: Array,
    betas: Array,
    states: State,
    weights: Array,
    statistic: Statistic,
    record: Statistic,
) -> Average:
    """The average of an ensemble that is all there is: one moment."""
    costs = costs_of(freeze(model), x, y, betas, states)
    records = jax.tree.map(lambda a: a[None], record(states, weights))
    return Average(statistic(states, weights), costs[None], weights, states, records)


def require_confining(phase: Clamped, state: State, beta: float) -> None:
    """Raise ``ValueError`` where the energy does not grow far out, so that no Gibbs law exists.

    Looks along 64 random rays, in the layers whose domain has no end.
    """
    free = [name for name, unit in phase.units.items() if _endless(unit)]
    if not free or not concrete((phase, state)):
        return

    def along(key: PRNGKeyArray, reach: float) -> Array:
        moved = dict(state)
        for i, name in enumerate(free):
            way = jax.random.normal(
                jax.random.fold_in(key, i), state[name].shape, state[name].dtype
            )
            moved[name] = phase.units[name].reflect(state[name] + reach * way)
        return phase(moved)

    keys = jax.random.split(jax.random.key(0), 64)
    near, far = (jax.vmap(along, (0, None))(keys, reach) for reach in (1e3, 2e3))
    falling = int(np.sum(~(np.asarray(far) > np.asarray(near))))
    if falling:
        raise ValueError(
            f"Thermal phase at beta = {beta:g}: expected an energy that grows without bound, but it falls "
            f"along {falling} of 64 random directions in {free}: exp(-F / T) has no finite integral. Use a "
            "smaller negative nudge or a one-sided contrast, units with bounds (Box, Tanh), or smaller "
            "weights."
        )


def _endless(unit: Unit) -> bool:
    ends = np.asarray(unit.embed(jnp.full((*unit.components, 1), jnp.inf)))
    return not unit.discrete and not unit.components and bool(np.any(np.isinf(ends)))
