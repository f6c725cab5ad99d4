"""Samples of an energy at a temperature, for those who want no gradient."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Count, Whole, checked
from eqprop.energies.costs import Cost
from eqprop.energies.energy import Energy
from eqprop.energies.model import Model
from eqprop.energies.units.unit import State
from eqprop.thermal.chains import Chains, scatter
from eqprop.thermal.ensemble import energies_of, no_statistic
from eqprop.thermal.gibbs import Gibbs
from eqprop.thermal.mixing import mixing_of, warn_if_unmixed
from eqprop.thermal.sampler import Sampler

GIBBS = Gibbs()


class NoCost(Cost):
    """Of what has no target: 0."""

    output: str = eqx.field(static=True)

    def __call__(self, shown: State, y: Array) -> Array:
        return jnp.zeros((), y.dtype)

    def predict(self, shown: State) -> Array:
        return shown[self.output]

    def curvature(self, beta: Array) -> Array:
        return jnp.zeros_like(beta)


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
    y, free = jnp.zeros((1, 1), x.dtype), jnp.zeros(1, x.dtype)
    model = Model(energy, NoCost(next(iter(energy.shapes))))
    source = Chains(temperature, sampler, chains, burn, samples, thinning)
    source.check(model, x, y, free)

    @eqx.filter_jit
    def draw(model: Model, x: Array) -> tuple[State, Array]:
        def record(states: State, weights: Array) -> tuple[State, Array]:
            return states, energies_of(model, x, y, free, states)

        start = scatter(model, x, chains, jax.random.fold_in(key, 0))
        run = jax.random.fold_in(key, 1)
        found: tuple[State, Array] = source.average(
            model, x, y, free, start, run, no_statistic, record
        ).records
        return found

    states, energies = draw(model, x)
    if chains > 1 and samples > 3:
        warn_if_unmixed(mixing_of("energy", energies, free))
    return jax.tree.map(lambda z: z[:, 0, 0], states)


def _zeros(energy: Energy) -> Array:
    shape = getattr(energy, "input_shape", None)
    if shape is None:
        raise ValueError(
            f"sample: expected an input x, since {type(energy).__name__} does not say of what shape it is."
        )
    return jnp.zeros((1, *shape))
