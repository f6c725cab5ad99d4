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
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PRNGKeyArray, PyTree

from eqprop._arguments import Checked, concrete
from eqprop.energies.energy import Clamped
from eqprop.energies.model import Model
from eqprop.energies.ops import freeze
from eqprop.energies.units.unit import State, Unit

RAYS, TURNS, NEAR = 64, 60, 1e3

Statistic = Callable[[State, Array], PyTree]

Numbers = Array | np.ndarray | float


def no_statistic(states: State, weights: Array) -> None:
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


class Phases(NamedTuple):
    """The nudged phases of a batch: a model at the nudges ``betas``, (phases,), of examples ``x`` and their
    targets ``y``, (batch, ...). Nudges that are NumPy's are numbers also under ``jit``, for `Source.check`.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> model = eq.Model(eq.Network(1, {"out": eq.Layer(1, eq.Linear())}, []), eq.SquaredError())
        >>> phases = eq.thermal.Phases(model, jnp.zeros((1, 1)), jnp.ones((1, 1)), jnp.array([0.0, 2.0]))
        >>> members = {"out": jnp.zeros((2, 1, 1, 1))}  # one of each phase
        >>> phases.energies(members).ravel().tolist()  # 0 + beta / 2
        [0.0, 1.0]
    """

    model: Model
    x: Array
    y: Array
    betas: Any

    def each(self, function: Callable[..., Any], states: State) -> Any:
        """``function(beta, x, y, state)`` of every member of ``states``, (phases, batch, members, ...)."""
        members = jax.vmap(function, (None, None, None, 0))
        batch = jax.vmap(members, (None, 0, 0, 0))
        return jax.vmap(batch, (0, None, None, 0))(self.betas, self.x, self.y, states)

    def costs(self, states: State) -> Array:
        """The cost of every member: (phases, batch, members)."""
        return self.each(lambda beta, x, y, state: self.model.loss(state, y), states)

    def energies(self, states: State) -> Array:
        """The nudged energy of every member: (phases, batch, members)."""
        return self.each(lambda beta, x, y, state: self.model.nudged(x, y, beta)(state), states)

    def frozen(self) -> Phases:
        """The same, with what operators make of their parameters made once."""
        return Phases(*freeze((self.model, self.x, self.y)), self.betas)


class Source(Checked):
    """Where the phases of a batch come from."""

    temperature: eqx.AbstractVar[float]
    drawn: ClassVar[bool]
    """Whether members are draws, whose covariance is biased by 1 / N, and not the law itself."""

    @abstractmethod
    def average(
        self,
        phases: Phases,
        state: State,
        key: PRNGKeyArray,
        statistic: Statistic,
        record: Statistic = no_statistic,
    ) -> Average:
        """The mean of ``statistic(states, weights)`` over the phases, and what ``record`` makes of each
        moment."""

    def start(self, model: Model, x: Array, last: State | None = None) -> State:
        """Where a batch begins, after one that ended in ``last``: at rest."""
        return model.rest(x)

    @abstractmethod
    def check(self, phases: Phases) -> None:
        """Raise ``ValueError`` where this source cannot serve the model: looks at the first example, and at
        numbers of its own where those of the model are abstract, as under ``jit``."""


def extremes(betas: Numbers, dtype: Any) -> list[Array]:
    """The least and the largest nudge: numbers, also under ``jit``, where they are numbers."""
    if not concrete(betas):
        return [jnp.min(betas), jnp.max(betas)]
    with jax.ensure_compile_time_eval():
        return [jnp.asarray(end(betas), dtype) for end in (np.min, np.max)]


def exact_average(
    phases: Phases, states: State, weights: Array, statistic: Statistic, record: Statistic
) -> Average:
    """The average of an ensemble that is all there is: one moment."""
    costs = phases.frozen().costs(states)
    records = jax.tree.map(lambda a: a[None], record(states, weights))
    return Average(statistic(states, weights), costs[None], weights, states, records)


def require_confining(phase: Clamped, state: State, beta: Array) -> None:
    """Raise ``ValueError`` where the energy does not grow far out, so that no Gibbs law exists.

    Looks along 64 random rays in the layers whose domain has no end, and along each ray turned downhill by
    the curvature of the energy far out.
    """
    if not concrete((phase, state)):
        return
    free = {name: state[name] for name, unit in phase.units.items() if _endless(unit)}
    if not free:
        return
    falling = int(jnp.sum(_falls(phase, state, free)))
    if falling:
        raise ValueError(
            f"Thermal phase at beta = {float(beta):g}: expected an energy that grows without bound, but it "
            f"falls along {falling} of {2 * RAYS} directions in {list(free)}: exp(-F / T) has no integral. "
            "Use a weaker negative nudge, a one-sided contrast, bounded units (Box, Tanh), smaller weights."
        )


@eqx.filter_jit
def _falls(phase: Clamped, state: State, free: State) -> Array:
    """Whether the energy falls between 1e3 and 2e3, along each of the rays and of the turned ones."""
    flat, unravel = ravel_pytree(free)

    def energy(move: Array) -> Array:
        placed = unravel(flat + move)
        moved = {name: phase.units[name].reflect(z) for name, z in placed.items()}
        return phase(state | moved)

    def curvature(at: Array, way: Array) -> Array:
        return jax.jvp(jax.grad(energy), (at,), (way,))[1]

    def turned(way: Array) -> Array:
        """Power iteration towards the largest curvature, then towards the smallest below it."""
        at = NEAR * way

        def unit(v: Array) -> Array:
            return v / jnp.maximum(jnp.linalg.norm(v), jnp.finfo(v.dtype).tiny)

        top = lax.fori_loop(0, TURNS, lambda i, v: unit(curvature(at, v)), unit(way))
        shift = 1.1 * jnp.abs(top @ curvature(at, top))
        return lax.fori_loop(0, TURNS, lambda i, v: unit(shift * v - curvature(at, v)), unit(way))

    rays = jax.random.normal(jax.random.key(0), (RAYS, flat.size), flat.dtype)
    ways = jnp.concatenate([rays, jax.vmap(turned)(rays)])
    near, far = (jax.vmap(lambda way, r=r: energy(r * way))(ways) for r in (NEAR, 2 * NEAR))
    return ~(far > near)


def _endless(unit: Unit) -> bool:
    if unit.discrete or unit.components:
        return False
    ends = [unit.embed(unit.retract(jnp.full(1, end))) for end in (-jnp.inf, jnp.inf)]
    return bool(np.any(np.isinf(np.asarray(ends))))
