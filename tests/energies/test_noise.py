"""The package's own random numbers pass for such."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import eqprop as eq
from eqprop import hardware, lagrangian
from eqprop.energies.units.noise import mix, normal, typed, uniform, words
from eqprop.thermal import chains
from eqprop.training import epoch as train
from eqprop.training.data import augment
from helpers.systems import quickly

COUNT, STEPS, KEYS = 500, 40, 40


@cache
def drawn():
    """Numbers by key, step and neuron, as a batch of examples draws them."""
    keys = jax.random.split(jax.random.key(0), KEYS)

    def steps(key):
        return jax.vmap(lambda step: uniform(jax.random.fold_in(key, step), (COUNT,)))(
            jnp.arange(STEPS)
        )

    return np.asarray(jax.jit(jax.vmap(steps))(keys), np.float64)


def test_moments_and_law():
    u = drawn()
    n = u.size
    assert np.all((u >= 0) & (u < 1)) and uniform(jax.random.key(0), (3,)).dtype == jnp.float32
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
    mixed = jax.jit(mix)
    for bit in range(32):
        changed = np.asarray(mixed(x)) ^ np.asarray(mixed(x ^ np.uint32(1 << bit)))
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
    first, again = (uniform(jax.random.key(1), (9,)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.all(first != uniform(jax.random.key(2), (9,)))
    np.testing.assert_array_equal(first[:4], uniform(jax.random.key(1), (4,)))


def test_both_words_of_a_key_count():
    keys = jax.random.wrap_key_data(jnp.asarray([[1, 2], [1, 3], [4, 2]], jnp.uint32))
    assert len(np.unique(jax.vmap(lambda key: words(key, 9))(keys))) == 27


def test_normals_end_alike_on_either_side(monkeypatch):
    """At the first and at the last of the uniform numbers."""
    ends = jnp.asarray([0, 2**32 - 1], jnp.uint32)
    monkeypatch.setattr("eqprop.energies.units.noise.words", lambda key, count: ends)
    low, high = np.asarray(normal(jax.random.key(0), (2,)))
    assert -low == high == pytest.approx(5.4, abs=0.05)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64])
def test_every_float_type(dtype):
    u, z = (draw(jax.random.key(5), (300, 100), dtype) for draw in (uniform, normal))
    assert u.dtype == z.dtype == dtype and u.shape == z.shape == (300, 100)
    u, z = np.asarray(u, np.float64).ravel(), np.asarray(z, np.float64).ravel()
    assert u.min() >= 0 and u.max() < 1
    step = float(jnp.finfo(dtype).eps) / 2
    np.testing.assert_array_equal(u, np.round(u / step) * step)
    assert len(np.unique(u)) > min(0.5 / step, 0.99 * len(u))
    np.testing.assert_allclose(u.mean(), 0.5, atol=4 / (12 * u.size) ** 0.5 + step)
    np.testing.assert_allclose(z.std(), 1, atol=4 / (2 * z.size) ** 0.5 + step)


def test_the_normal_law_and_its_tails():
    z = np.asarray(jax.jit(lambda: normal(jax.random.key(6), (4_000_000,)))(), np.float64)
    places = stats.norm.ppf(np.linspace(0, 1, 257))
    assert stats.chisquare(np.histogram(z, places)[0]).pvalue > 1e-4
    for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3)):
        spread = np.std(z**power) / z.size**0.5
        np.testing.assert_allclose(np.mean(z**power), moment, atol=4 * spread)
    for far in (3, 4, 4.5):
        expected = z.size * 2 * stats.norm.sf(far)
        np.testing.assert_allclose(np.sum(abs(z) > far), expected, atol=4.5 * expected**0.5)
    wide = np.asarray(normal(jax.random.key(6), (9,), jnp.float64))
    assert wide.dtype == np.float64 and np.all(np.float64(np.float32(wide)) != wide)


def test_neighbouring_normals_are_independent():
    z = np.asarray(normal(jax.random.key(8), (1_000_000,)), np.float64)
    for lag in (1, 2, 7):
        assert abs(np.mean(z[lag:] * z[:-lag])) < 4.5 / z.size**0.5
        assert abs(np.mean(z[lag:] ** 2 * z[:-lag] ** 2) - 1) < 4.5 * 8**0.5 / z.size**0.5


# --- old keys: `jax.random.PRNGKey` -----------------------------------------------------------------

BOX = eq.layered((4, 3), jax.random.key(0), eq.Box(), eq.Box())
TANH = eq.layered((4, 3), jax.random.key(0), eq.Tanh(), eq.Tanh())
KEY, OLD = jax.random.key(0), jax.random.PRNGKey(0)
DEEP = eq.layered((4, 3, 3), jax.random.key(0))
X, Y = jnp.ones((2, 4)), jnp.eye(3)[:2]
IMAGES = train.Examples(jnp.ones((4, 4)), jnp.arange(4) % 3, 1.0, 3)
CHAINS = eq.thermal.Chains(1.0, eq.thermal.Gibbs(), chains=2, burn=1, samples=2, thinning=1)
THERMAL = eq.thermal.Thermal(CHAINS, eq.thermal.finite_nudge(1.0))
START = BOX.rest(X)


def kernel(sampler):
    def walk(key):
        phase = BOX.nudged(X[0], Y[0], 0.1)
        carry = sampler.init(phase, BOX.energy.rest(X.dtype), key, 1.0)
        return sampler.step(phase, carry, key, 1.0).state

    return walk


def written(transform):
    def update(key):
        parameters = eqx.filter(BOX, eqx.is_inexact_array)
        write = transform(key)
        return write.update(parameters, write.init(parameters), parameters)[0]

    return update


DRAWS = {
    "layered": lambda key: eq.layered((4, 3, 2), key),
    "convolutional": lambda key: eq.convolutional((4, 4, 1), (2,), 3, key),
    "resnet": lambda key: eq.hopfield_resnet((8, 8, 3), 3, key, (1,)),
    "biases": lambda key: eq.with_biases(BOX, key, 1.0),
    "read-out": lambda key: eq.with_read_out(DEEP, 3, key),
    "oscillators": lambda key: lagrangian.NonlinearOscillators.init(key, 2, 3),
    "mismatch": lambda key: hardware.Mismatch.draw(BOX, 0.1, key),
    "stuck": lambda key: hardware.stuck(BOX, 0.5, key)(BOX),
    "noise": lambda key: hardware.ReadNoise(0.1)(BOX.energy.units, BOX.energy.rest(X.dtype), key),
    "grid": written(lambda key: hardware.on_grid(4, 1.0, key)),
    "pulses": written(lambda key: hardware.pulsed(0.01, 1.0, key)),
    "sign": lambda key: eq.RandomSign(0.1).draw(key),
    "flip": lambda key: augment.Flip()(jnp.ones((2, 4, 4, 1)), key),
    "scatter": lambda key: chains.scatter(BOX, X, 2, key),
    "gibbs": kernel(eq.thermal.Gibbs()),
    "langevin": lambda key: eq.relax(BOX, X, START, eq.Langevin(0.1, 0.1, 2), key)[0],
    "langevin alone": lambda key: eq.Langevin(0.1, 0.1, 2).settle(
        BOX.free(X[0]), BOX.energy.rest(X.dtype), key
    )[0],
}
TRACED = {
    "underdamped": kernel(eq.thermal.Underdamped()),
    "mala": kernel(eq.thermal.Mala()),
    "nuts": kernel(eq.thermal.Nuts()),
    "jarzynski": lambda key: eq.thermal.free_energy.jarzynski(
        BOX, X, Y, CHAINS, 1.0, START, key, 2
    ),
    "diffusion": lambda key: eq.relax(TANH, X, TANH.rest(X), eq.Diffusion(0.1), key)[0],
    "forecast": lambda key: THERMAL.forecast(BOX, X, Y, key).scores,
    "evaluate": lambda key: train._evaluate(BOX, IMAGES, THERMAL, key),
}


@pytest.mark.parametrize("name", DRAWS)
def test_old_keys_draw_the_same(name):
    draw = quickly(lambda key: eqx.filter(DRAWS[name](key), eqx.is_array))
    new, old = (jax.tree.leaves(draw(key)) for key in (KEY, OLD))
    assert new
    for a, b in zip(new, old, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", TRACED)
def test_old_keys_are_taken(name):
    new, old = (eqx.filter_eval_shape(TRACED[name], key) for key in (KEY, OLD))
    assert eqx.tree_equal(new, old)


def test_keys_are_one_of_either_kind():
    assert typed(OLD) == KEY == typed(KEY)
    for wrong in (0, jnp.zeros(2), jax.random.split(KEY), jax.random.split(OLD, 3)):
        with pytest.raises(
            ValueError, match=r"expected one random key, jax.random.key\(0\) or another"
        ):
            typed(wrong)
