"""Samples of an energy at a temperature, for those who want no gradient."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Count, Whole, checked
from eqprop.energies.costs import FunctionCost
from eqprop.energies.energy import Energy
from eqprop.energies.model import Model
from eqprop.energies.units.unit import State
from eqprop.thermal.chains import Chains, scatter
from eqprop.thermal.ensemble import Phases, no_statistic
from eqprop.thermal.gibbs import Gibbs
from eqprop.thermal.mixing import mixing_of, warn_if_unmixed
from eqprop.thermal.sampler import Sampler

GIBBS = Gibbs()


def nothing(shown: Array, y: Array) -> Array:
    """The cost of what has no target."""
    return jnp.zeros((), y.dtype)


@checked
def sample(
    energy: Energy,
    temperature: float,
    key: PRNGKeyArray,
    x: Array | None = None,
    sampler: Sampler = GIBBS,
    chains: Count = 64,
    burn: Whole = 200,
    samples: Count = 200,
    thinning: Count = 2,
) -> State:
    """States drawn from ``exp(-E(s, x) / T)``: of each layer (samples, chains, ...).

    Each chain starts at random, is left alone for ``burn`` steps of the ``sampler``, and is then kept every
    ``thinning`` steps. ``x`` is the input, zeros unless given. Warns where the energies of the chains say
    that these have not mixed (`mixing`).

    Raises ``ValueError`` where the sampler cannot sample the energy, or ``x`` is missing whose shape the
    energy does not know.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> from eqprop.energies import grid, on_graph
        >>> edges = grid(2, 2)
        >>> ring = on_graph(edges, 0.5 * jnp.ones(len(edges)), jnp.zeros(4), eq.Spin())
        >>> states = eq.thermal.sample(ring.network, 1.0, jax.random.key(0), samples=50)
        >>> spins = ring.values(states)
        >>> spins.shape, bool(jnp.mean(spins[..., 0] * spins[..., 1]) > 0.4)  # neighbours agree
        ((50, 64, 4), True)
    """
    x = _zeros(energy) if x is None else x[None]
    model = Model(
        energy, FunctionCost(function=nothing, output=next(iter(energy.shapes)), bound=0.0)
    )
    source = Chains(temperature, sampler, chains, burn, samples, thinning)
    phases = Phases(model, x, jnp.zeros((1, 1), x.dtype), jnp.zeros(1, x.dtype))
    source.check(phases)
    states, energies = _drawn(source, phases, key)
    if chains > 1 and samples > 3:
        warn_if_unmixed(mixing_of("energy", energies, jnp.zeros(1)))
    return jax.tree.map(lambda z: z[:, 0, 0], states)


@eqx.filter_jit
def _drawn(source: Chains, phases: Phases, key: PRNGKeyArray) -> tuple[State, Array]:
    """States and energies, of shape (samples, 1, 1, chains, ...)."""

    def record(states: State, weights: Array) -> tuple[State, Array]:
        return states, phases.energies(states)

    starting, walking = jax.random.split(key)
    start = scatter(phases.model, phases.x, source.chains, starting)
    return source.average(phases, start, walking, no_statistic, record).records


def _zeros(energy: Energy) -> Array:
    shape = getattr(energy, "input_shape", None)
    if shape is None:
        raise ValueError(
            f"sample: expected an input x, since {type(energy).__name__} does not say of what shape it is."
        )
    return jnp.zeros((1, *shape))
