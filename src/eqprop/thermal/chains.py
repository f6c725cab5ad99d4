"""Markov chains as a source of thermal phases: many for each example and nudge, in one compiled loop."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Bound, Count, Whole, checked, concrete
from eqprop.energies.model import Model
from eqprop.energies.slopes import require_cost_slope, require_energy_slope
from eqprop.energies.units.noise import typed
from eqprop.energies.units.unit import State, retract
from eqprop.thermal.ensemble import (
    Average,
    Phases,
    Source,
    Statistic,
    extremes,
    no_statistic,
    require_confining,
)
from eqprop.thermal.sampler import Sampler, check_temperature

BEGIN = 2**31 - 1


class Chains(Source):
    """``chains`` chains of one kernel for each example and nudge.

    Each runs ``burn`` steps from where it starts, then gives ``samples`` states, ``thinning`` steps apart.
    The chains of one example at different nudges share their random numbers, so that what is common to
    the phases cancels, unless ``common_noise`` is false. ``hot`` is the temperature at the start of the
    burn-in as a multiple of the final one, to which it falls geometrically. ``exchange`` swaps the states
    of neighbouring nudges after each sample by Metropolis' rule, accepted with ``min(1, exp((b_i - b_j)
    (C_i - C_j) / T))``; it needs independent noise, and nudges in order. A start of shape (batch, ...) is
    shared by the chains of an example, one of (batch, chains, ...) is theirs. ``persistent`` chains go on
    in training from where those of the last batch's first phase ended.
    """

    temperature: float = eqx.field(static=True)
    sampler: Sampler
    chains: Count = eqx.field(default=8, static=True)
    burn: Whole = eqx.field(default=100, static=True)
    samples: Count = eqx.field(default=8, static=True)
    thinning: Count = eqx.field(default=5, static=True)
    common_noise: bool = eqx.field(default=True, static=True)
    exchange: bool = eqx.field(default=False, static=True)
    hot: Annotated[float, Bound(">=", 1)] = eqx.field(default=1.0, static=True)
    persistent: bool = eqx.field(default=False, static=True)
    drawn: ClassVar[bool] = True

    def __check_init__(self):
        check_temperature(self.temperature)
        if self.exchange and self.common_noise:
            raise ValueError(
                "Chains: expected common_noise=False with exchange, whose rule holds for replicas that are "
                "independent."
            )

    @property
    def steps(self) -> int:
        """Steps of each chain."""
        return self.burn + self.samples * self.thinning

    def check(self, phases: Phases) -> None:
        model, x, y, betas = phases
        start = model.energy.rest(x.dtype)
        for beta in extremes(betas, x.dtype):
            phase = model.nudged(x[0], y[0], beta)
            self.sampler.check(phase, start)
            require_confining(phase, start, beta)
        if not self.sampler.exact:
            rest = jax.eval_shape(model.rest, x)
            require_energy_slope(model, x, rest)
            if not concrete(betas) or np.any(betas):
                require_cost_slope(model, y, rest)

    def average(
        self,
        phases: Phases,
        state: State,
        key: PRNGKeyArray,
        statistic: Statistic,
        record: Statistic = no_statistic,
    ) -> Average:
        phases, key = phases.frozen(), typed(key)
        model, x, _, betas = phases
        if self.exchange and concrete(betas) and np.any(np.diff(np.asarray(betas)) < 0):
            raise ValueError(f"Chains: expected nudges in order with exchange, got {betas}.")
        if self.exchange and len(betas) < 2:
            raise ValueError(
                "Chains: expected 2 nudges or more to exchange replicas, got one phase; drop "
                "exchange, or use finite_nudge or path_integral."
            )
        walk = Walk(self, phases)
        starts = self.starts(model, state, len(betas))
        key, swapping = jax.random.split(key)
        keys = jax.random.split(key, (self.replicas(betas), x.shape[0], self.chains))
        carry, cooled = walk.begin(starts, keys)
        weights = jnp.full((len(betas), x.shape[0], self.chains), 1.0 / self.chains, x.dtype)

        def moment(at: tuple[Any, Any], index: Array) -> tuple[tuple[Any, Any], Any]:
            carry, total = at
            begin = self.burn + index * self.thinning
            first = jnp.where(index == 0, cooled, begin)
            carry = walk.go_on(carry, keys, first, begin + self.thinning)
            costs = phases.costs(carry.state)
            accepted = jnp.mean(jnp.broadcast_to(carry.accepted, costs.shape), (1, 2))
            swapped = None
            if self.exchange:
                draw = jax.random.fold_in(swapping, index)
                states, costs, swapped = _swap(
                    carry.state, costs, betas, self.temperature, draw, index
                )
                carry = walk.init(states, keys, index + 1)
            seen = statistic(carry.state, weights)
            total = jax.tree.map(lambda sum, one: sum + one / self.samples, total, seen)
            return (carry, total), (costs, record(carry.state, weights), accepted, swapped)

        zero = jax.tree.map(
            lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(statistic, carry.state, weights)
        )
        (carry, mean), (costs, records, accepted, swapped) = lax.scan(
            moment, (carry, zero), jnp.arange(self.samples)
        )
        swaps = None if swapped is None else jnp.nanmean(swapped, 0)
        accepted = jnp.mean(accepted, 0)
        return Average(mean, costs, weights, carry.state, records, accepted, swaps)

    def start(self, model: Model, x: Array, last: State | None = None) -> State:
        rest = model.rest(x)
        if not self.persistent:
            return rest
        if last is None:
            return {name: jnp.repeat(z[:, None], self.chains, 1) for name, z in rest.items()}
        return last

    def replicas(self, betas: Array) -> int:
        """How many phases have random numbers of their own."""
        return 1 if self.common_noise else len(betas)

    def starts(self, model: Model, state: State, phases: int) -> State:
        """Where the chains begin: (phases, batch, chains, ...)."""
        shapes = model.energy.shapes

        def spread(name: str, z: Array) -> Array:
            each = z.shape[: z.ndim - len(shapes[name])]
            if len(each) == 2 and each[1] != self.chains:
                raise ValueError(
                    f"Chains: expected a start for each of {self.chains} chains in layer {name!r}, got "
                    f"{z.shape}; shapes are (batch, chains, ...) or (batch, ...)."
                )
            z = z if len(each) == 2 else jnp.repeat(z[:, None], self.chains, 1)
            return jnp.broadcast_to(z, (phases, *z.shape))

        starts = {name: spread(name, z) for name, z in state.items()}
        if concrete(state):
            with jax.ensure_compile_time_eval():
                _require_inside(model, state)
        return starts


class Walk(NamedTuple):
    """The chains of a batch at several nudges, stepping together."""

    source: Chains
    phases: Phases

    def each(self, function: Any, *arguments: Any) -> Any:
        """``function(phase, *arguments)`` for each chain; the arguments have shape (phases, batch,
        chains, ...), or one phase for all."""
        model, x, y, betas = self.phases
        axes = [None if self._shared(a) else 0 for a in arguments]
        given = [
            jax.tree.map(lambda leaf: leaf[0], a) if axis is None else a
            for a, axis in zip(arguments, axes, strict=True)
        ]

        def example(beta: Array, x: Array, y: Array, *given: Any) -> Any:
            phase = model.nudged(x, y, beta)
            return jax.vmap(lambda *one: function(phase, *one))(*given)

        every = [0] * len(given)
        batch = jax.vmap(example, (None, 0, 0, *every))
        return jax.vmap(batch, (0, None, None, *axes))(betas, x, y, *given)

    def _shared(self, argument: Any) -> bool:
        return jax.tree.leaves(argument)[0].shape[0] < len(self.phases.betas)

    def init(self, states: State, keys: Array, time: Array | int = 0) -> Any:
        """The chains at ``states``, with random numbers of their own for each ``time`` they begin."""
        source = self.source

        def begin(phase, state, key):
            draw = jax.random.fold_in(jax.random.fold_in(key, BEGIN), time)
            return source.sampler.init(phase, state, draw, source.temperature)

        return self.each(begin, states, keys)

    def burn_in(self, states: State, keys: Array) -> Any:
        """``burn`` steps from the starts, at a falling temperature where the source is hot."""
        carry, done = self.begin(states, keys)
        return self.go_on(carry, keys, done, self.source.burn)

    def begin(self, states: State, keys: Array) -> tuple[Any, int]:
        """The chains at their starts, and 0; where the source is hot, cooled, and the steps that took."""
        source = self.source
        carry = self.init(states, keys)
        if source.hot == 1:
            return carry, 0

        def cool(phase, carry, key):
            def step(index, carry):
                part = 1.0 - index / source.burn
                temperature = source.temperature * source.hot**part
                draw = jax.random.fold_in(key, index)
                fresh = jax.random.fold_in(draw, BEGIN)
                again = source.sampler.init(phase, carry.state, fresh, temperature)
                return source.sampler.step(phase, again, draw, temperature)

            return lax.fori_loop(0, source.burn, step, carry)

        return self.init(self.each(cool, carry, keys).state, keys), source.burn

    def go_on(self, carry: Any, keys: Array, begin: Array | int, end: Array | int) -> Any:
        """The steps ``begin`` to ``end``."""
        source = self.source

        def walk(phase, carry, key):
            def step(index, carry):
                return source.sampler.step(
                    phase, carry, jax.random.fold_in(key, index), source.temperature
                )

            return lax.fori_loop(begin, end, step, carry)

        return self.each(walk, carry, keys)


def _swap(
    states: State, costs: Array, betas: Array, temperature: float, key: PRNGKeyArray, index: Array
) -> tuple[State, Array, Array]:
    """Swap neighbours in beta, even pairs and odd ones in turn; also the mean probabilities, nan where
    it was not a pair's turn."""
    gain = (betas[:-1] - betas[1:])[:, None, None] * (costs[:-1] - costs[1:]) / temperature
    turn = (jnp.arange(len(betas) - 1) % 2 == index % 2)[:, None, None]
    take = turn & (jnp.log(jax.random.uniform(key, gain.shape, gain.dtype)) < gain)
    pad = jnp.zeros((1, *take.shape[1:]), bool)
    up, down = jnp.concatenate([take, pad]), jnp.concatenate([pad, take])

    def exchanged(a: Array) -> Array:
        def like(mask: Array) -> Array:
            return mask.reshape(mask.shape + (1,) * (a.ndim - 3))

        return jnp.where(like(up), jnp.roll(a, -1, 0), jnp.where(like(down), jnp.roll(a, 1, 0), a))

    rate = jnp.where(turn[:, 0, 0], jnp.mean(jnp.minimum(1.0, jnp.exp(gain)), (1, 2)), jnp.nan)
    return jax.tree.map(exchanged, states), exchanged(costs), rate


@checked
def scatter(model: Model, x: Array, chains: Count, key: PRNGKeyArray) -> State:
    """Starts far apart, whatever the energy: (batch, chains, ...)."""
    rest = model.energy.rest(x.dtype)

    def one(key: PRNGKeyArray) -> State:
        keys = jax.random.split(key, len(rest))
        units = model.energy.units
        return {n: units[n].scatter(k, z) for (n, z), k in zip(rest.items(), keys, strict=True)}

    return jax.vmap(jax.vmap(one))(jax.random.split(key, (x.shape[0], chains)))


def _require_inside(model: Model, state: State) -> None:
    units = model.energy.units
    outside = [
        name
        for name, z in state.items()
        if not np.allclose(z, retract({name: units[name]}, {name: z})[name], atol=1e-5)
        and not units[name].components
    ]
    if outside:
        raise ValueError(
            f"Chains: expected starts inside the domain, but those of {outside} are not: "
            f"{[type(units[name]).__name__ for name in outside]}; start from model.rest(x), from "
            "eqprop.thermal.chains.scatter, or from where other chains ended."
        )
