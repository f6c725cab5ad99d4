"""Exact draws from the laws of single neurons, and their means, against quadrature."""

from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from eqprop import Box, hard_tanh
from eqprop.energies.units import laws
from eqprop.energies.units.laws import truncated_mean, truncated_normal
from helpers import systems
from helpers.thermal import KEY, LAWS, law

draw = systems.quickly(lambda unit, *arguments: unit.sample(KEY, *arguments))


@pytest.mark.parametrize("name", LAWS)
def test_a_layer_of_many_neurons_is_drawn_exactly(name):
    """All at once, under a curvature: the whole law of ``u`` against its quadrature."""
    (unit, field), q, t, zero = LAWS[name], 0.7, 0.15, jnp.zeros(20_000)
    drawn = draw(unit, zero, zero + field, zero + q, jnp.asarray(t))
    z, _, mass = law(unit, field, q, float(unit.embed(jnp.zeros(()))), t)
    ranks = np.interp(np.asarray(drawn), z, np.cumsum(mass))
    assert stats.kstest(ranks, "uniform").pvalue > 1e-3


def test_a_truncated_normal_is_monotone_in_its_uniform_number():
    """So that two fields given one key draw nearby numbers, on either side of the middle."""
    zero, flat, t = jnp.zeros(500), jnp.zeros(()), jnp.asarray(0.5)
    low, high = (draw(hard_tanh(), zero, zero + h, flat, t) for h in (-1e-6, 1e-6))
    np.testing.assert_allclose(low, high, atol=1e-5)
    assert jnp.all(low < high)


def test_the_far_tail_of_a_truncated_normal():
    """Where the mean lies many deviations beyond the wall, an exponential law: no draw is lost."""
    z = jnp.zeros(20000, jnp.float32)
    for field, side in ((6.0, 1.0), (-5.0, 0.0)):
        flat, temperature = jnp.zeros((), z.dtype), jnp.asarray(0.01, z.dtype)
        drawn = np.asarray(draw(Box(), z, jnp.full_like(z, field), flat, temperature))
        depth = np.abs(drawn - side)
        assert drawn.dtype == np.float32
        assert np.all((drawn >= 0) & (drawn <= 1))
        np.testing.assert_allclose(depth.mean(), 0.01 / 5.0, rtol=0.03)
        assert len(np.unique(depth)) > 1000


MEANS = (-30.0, -1.2, 0.3, 0.9, 5.0)
SCALES = (0.01, 0.3, 1.0, 30.0)
NODES, WEIGHTS = np.polynomial.legendre.leggauss(400)


def quadrature(mean, scale, low, high):
    """The mean of a truncated normal, around its mode."""
    mode = np.clip(mean, low, high)
    reach = scale * min(12.0, 45.0 * scale / max(abs(mean - mode), 1e-9))
    ends = max(low, mode - reach), min(high, mode + reach)
    x = 0.5 * (ends[1] - ends[0]) * (NODES + 1) + ends[0]
    law = WEIGHTS * np.exp(-((x - mean) ** 2 - (mode - mean) ** 2) / (2 * scale**2))
    return mode + (law / law.sum()) @ (x - mode)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-7), ("float32", 3e-4)])
@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, np.inf)])
def test_the_mean_of_a_truncated_normal(low, high, dtype, tolerance):
    """Against quadrature, of every mean with every deviation."""
    means, scales = (a.ravel() for a in np.meshgrid(MEANS, SCALES))
    at, spread = (jnp.asarray(a, dtype) for a in (means, scales))
    found = systems.quickly(partial(truncated_mean, low=low, high=high))(at, spread)
    expected = [quadrature(*one, low, high) for one in zip(means, scales, strict=True)]
    error = np.abs(np.asarray(found, np.float64) - expected)
    assert np.all(error <= tolerance * scales), (means, scales, error)


@pytest.mark.parametrize("u", [0.0, 1.0 - 2.0**-24])
def test_no_draw_is_lost_in_float32(u, monkeypatch):
    """At the ends of the uniform numbers, which one draw in ten million meets."""
    monkeypatch.setattr(laws, "uniform", lambda key, shape, dtype: jnp.full(shape, u, dtype))
    means = jnp.array([-50.0, -3.0, 0.2, 3.0, 50.0], jnp.float32)
    scale = jnp.asarray(0.07, jnp.float32)
    draws = systems.quickly(lambda: truncated_normal(KEY, means, scale, -1.0, 1.0))()
    assert jnp.all((draws >= -1.0) & (draws <= 1.0)), draws
