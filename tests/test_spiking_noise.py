"""The generator of the spikes' uniform numbers passes for one."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from eqprop.spiking.noise import mix, uniform, words

COUNT, STEPS, KEYS = 500, 40, 40


@cache
def drawn():
    """Numbers by key, step and neuron, as a batch of examples draws them."""
    keys = jax.random.split(jax.random.key(0), KEYS)

    def steps(key):
        return jax.vmap(lambda step: uniform(jax.random.fold_in(key, step), COUNT))(
            jnp.arange(STEPS)
        )

    return np.asarray(jax.jit(jax.vmap(steps))(keys), np.float64)


def test_moments_and_law():
    u = drawn()
    n = u.size
    assert np.all((u >= 0) & (u < 1)) and uniform(jax.random.key(0), 3).dtype == jnp.float32
    np.testing.assert_allclose(u.mean(), 0.5, atol=4 / (12 * n) ** 0.5)
    np.testing.assert_allclose(u.var(), 1 / 12, atol=4 / (180 * n) ** 0.5)
    assert stats.chisquare(np.histogram(u, 256, (0, 1))[0]).pvalue > 1e-4
    pairs = np.histogram2d(u[..., :-1].ravel(), u[..., 1:].ravel(), 32, [[0, 1]] * 2)[0]
    assert stats.chisquare(pairs.ravel()).pvalue > 1e-4


@pytest.mark.parametrize("axis", ["keys", "steps", "neurons"])
@pytest.mark.parametrize("lag", [1, 2, 7])
def test_no_serial_correlation(axis, lag):
    u = np.moveaxis(drawn(), ("keys", "steps", "neurons").index(axis), 0) - 0.5
    product = 12 * u[lag:] * u[:-lag]
    assert abs(product.mean()) < 4.5 / product.size**0.5


def test_every_bit_is_fair_and_independent_of_the_others():
    key = jax.random.key(3)
    many = np.asarray(words(key, 200_000), np.uint32)
    bits = (many[:, None] >> np.arange(32, dtype=np.uint32)) & 1
    assert np.all(abs(bits.mean(0) - 0.5) < 5 * 0.5 / len(bits) ** 0.5)
    agreement = np.corrcoef(bits.T) - np.eye(32)
    assert np.max(abs(agreement)) < 5.5 / len(bits) ** 0.5


def test_one_bit_changes_every_other():
    x = np.asarray(words(jax.random.key(4), 20_000))
    for bit in range(32):
        changed = np.asarray(mix(jnp.asarray(x)) ^ mix(jnp.asarray(x ^ np.uint32(1 << bit))))
        flips = ((changed[:, None] >> np.arange(32, dtype=np.uint32)) & 1).mean(0)
        assert np.all(abs(flips - 0.5) < 0.05)


@pytest.mark.parametrize("p", [0.003, 0.5, 0.99])
def test_rare_and_common_events(p):
    """Counts of events in blocks have the binomial law's mean and variance."""
    counts = (drawn() < p).sum(-1).ravel()
    mean, variance = COUNT * p, COUNT * p * (1 - p)
    np.testing.assert_allclose(counts.mean(), mean, atol=4.5 * (variance / len(counts)) ** 0.5)
    np.testing.assert_allclose(counts.var(), variance, rtol=4.5 * (2 / len(counts)) ** 0.5 + 0.02)


def test_ends_of_the_interval():
    """Probability 0 never fires and probability 1 always does."""
    u = drawn()
    assert not np.any(u < 0.0) and np.all(u < 1.0)


def test_numbers_follow_from_the_key():
    first, again = (uniform(jax.random.key(1), 9) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.all(first != uniform(jax.random.key(2), 9))
    np.testing.assert_array_equal(first[:4], uniform(jax.random.key(1), 4))
