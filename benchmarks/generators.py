"""Generators of random numbers for spikes: what a number costs, and which statistical tests it passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, PRNGKeyArray
from scipy import stats

from benchmarks.timing import median_ms
from eqprop.energies.units.noise import GOLDEN, mix, uniform, words

BATCH, NEURONS, STEPS = 64, 522, 100
SIGMAS, LEAST = 4.5, 1e-5
Draw = Callable[[PRNGKeyArray, int], Array]


class Generator(NamedTuple):
    name: str
    implementation: str
    draw: Draw


def threefry(key: PRNGKeyArray, count: int) -> Array:
    return jax.random.uniform(key, (count,), jnp.float32)


def counter(key: PRNGKeyArray, count: int) -> Array:
    return uniform(key, (count,))


def halves(bits: Array, count: int) -> Array:
    """Two numbers of 16 bits from each word, in the middle of their intervals."""
    parts = lax.bitcast_convert_type(bits, jnp.uint16).reshape(-1)[:count]
    return (parts.astype(jnp.float32) + np.float32(0.5)) * np.float32(2.0**-16)


def threefry_halves(key: PRNGKeyArray, count: int) -> Array:
    return halves(jax.random.bits(key, (-(-count // 2),), jnp.uint32), count)


def counter_halves(key: PRNGKeyArray, count: int) -> Array:
    return halves(words(key, -(-count // 2)), count)


def two_rounds(key: PRNGKeyArray, count: int) -> Array:
    """The counter hash with two mixes, a half of the key before each."""
    a, b = jax.random.key_data(key)[:2]
    bits = mix(mix(jnp.arange(count, dtype=jnp.uint32) * np.uint32(GOLDEN) + a) ^ b)
    return (bits >> 8).astype(jnp.float32) * np.float32(2.0**-24)


def linear(key: PRNGKeyArray, count: int) -> Array:
    """A counter times a constant, unmixed: what the tests must refuse."""
    a, _ = jax.random.key_data(key)[:2]
    bits = jnp.arange(count, dtype=jnp.uint32) * np.uint32(GOLDEN) + a
    return (bits >> 8).astype(jnp.float32) * np.float32(2.0**-24)


THREEFRY = "threefry2x32"
GENERATORS = (
    Generator("Threefry, 32 bits", THREEFRY, threefry),
    Generator("Threefry, 2 × 16 bits", THREEFRY, threefry_halves),
    Generator("rbg", "rbg", threefry),
    Generator("unsafe rbg", "unsafe_rbg", threefry),
    Generator("counter hash, 24 bits (used)", THREEFRY, counter),
    Generator("counter hash, 2 × 16 bits", THREEFRY, counter_halves),
    Generator("counter hash, two rounds", THREEFRY, two_rounds),
    Generator("Weyl sequence, unmixed", THREEFRY, linear),
)


def cost_ns(generator: Generator) -> float:
    """Nanoseconds a number, drawn and compared with a probability, inside a scan over steps."""
    keys = jax.random.split(jax.random.key(0, impl=generator.implementation), BATCH)
    p = jax.random.uniform(jax.random.key(1), (BATCH, NEURONS))

    def run(draw: Draw) -> float:
        @jax.jit
        def loop(keys: Array, p: Array) -> Array:
            def step(total: Array, i: Array) -> tuple[Array, None]:
                drawn = jax.vmap(lambda key: draw(jax.random.fold_in(key, i), NEURONS))(keys)
                return 0.99 * total + (drawn < p), None

            return lax.scan(step, jnp.zeros((BATCH, NEURONS)), jnp.arange(STEPS))[0]

        return median_ms(lambda: loop(keys, p), repeats=15)

    def nothing(key: PRNGKeyArray, count: int) -> Array:
        return jnp.full(count, 0.3)

    return 1e6 * (run(generator.draw) - run(nothing)) / (BATCH * NEURONS * STEPS)


def failures(generator: Generator) -> list[str]:
    """The tests that 4 million numbers, by key, step and neuron, fail."""
    keys = jax.random.split(jax.random.key(7, impl=generator.implementation), 80)

    @jax.jit
    def drawn(keys: Array) -> Array:
        def steps(key: PRNGKeyArray) -> Array:
            at = jnp.arange(100)
            return jax.vmap(lambda i: generator.draw(jax.random.fold_in(key, i), 500))(at)

        return jax.vmap(steps)(keys)

    u = np.asarray(drawn(keys), np.float64)
    count, failed = u.size, []

    def judge(name: str, deviation: float, error: float) -> None:
        if abs(deviation) > SIGMAS * error:
            failed.append(name)

    judge("mean", u.mean() - 0.5, (12 * count) ** -0.5)
    judge("variance", u.var() - 1 / 12, (180 * count) ** -0.5)
    for axis, name in enumerate(("keys", "steps", "neurons")):
        v = np.moveaxis(u, axis, 0) - 0.5
        worst = max((abs(12 * (v[lag:] * v[:-lag]).mean()) for lag in (1, 2, 7)), default=0.0)
        judge(f"correlation over {name}", worst, (count * 0.93) ** -0.5)
    cells = np.histogram(u, 1024, (0, 1))[0]
    if stats.chisquare(cells).pvalue < LEAST:
        failed.append("chi-square")
    pairs = np.histogram2d(u[..., :-1].ravel(), u[..., 1:].ravel(), 64, [[0, 1]] * 2)[0]
    if stats.chisquare(pairs.ravel()).pvalue < LEAST:
        failed.append("chi-square of pairs")
    spikes = (u < 0.1).sum(-1).ravel()
    judge("variance of counts", spikes.var() / 45.0 - 1, (2 / len(spikes)) ** 0.5)
    return failed


def table() -> list[dict]:
    """Cost and failures of every generator."""
    return [{"name": one.name, "ns": cost_ns(one), "fails": failures(one)} for one in GENERATORS]
