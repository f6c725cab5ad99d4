"""Thermal phases: samplers against quadrature and enumeration, gradients against exact free energies."""

import dataclasses
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from scipy import stats

from eqprop import (
    Box,
    FunctionEnergy,
    Layer,
    Linear,
    Logistic,
    Model,
    Network,
    Oscillator,
    Ramp,
    SquaredError,
    Tanh,
    hard_tanh,
    layered,
    with_read_out,
)
from eqprop.energies.ops import MaxPool
from eqprop.energies.units.laws import truncated_mean, truncated_normal
from eqprop.energies.units.spin import Bernoulli, Spin
from eqprop.estimators.estimator import Estimate, Estimator, Report
from eqprop.estimators.spread import spread
from eqprop.thermal import Gibbs, Hmc, Mala, Nuts, UnadjustedLangevin, Underdamped
from eqprop.thermal.chains import Chains, scatter
from eqprop.thermal.ensemble import Average, no_statistic
from eqprop.thermal.estimator import Thermal, drift
from eqprop.thermal.exact import Enumeration, Gaussian
from eqprop.thermal.free_energy import acceptance_ratio, bounds, integrate, jarzynski, log_mean_exp
from eqprop.thermal.mixing import Mixing, mixing, warn_if_unmixed
from eqprop.thermal.readings import ConditionalMeans, Draws
from eqprop.thermal.rules import (
    Reweighting,
    finite_nudge,
    free_covariance,
    path_integral,
    symmetric_nudge,
)
from eqprop.training.epoch import Examples, start, train_epoch
from eqprop.training.figures.run import draw_run
from eqprop.training.recipe_fit import fit
from eqprop.training.recipes import RECIPES
from helpers import systems
from helpers.systems import SIGNS, exact, gaussian, lateral_op, normal, spins

KEY = jax.random.key(0)
BETAS = (0.01, 0.1, 1.0, 10.0)
CONFINED = "expected an energy that grows"


@pytest.fixture
def promotion():
    """Optax's Adam mixes integers and floats, which strict promotion forbids."""
    with jax.numpy_dtype_promotion("standard"):
        yield


estimate = systems.quickly(lambda estimator, *arguments: estimator(*arguments))


def found(source, rule, system, key=KEY):
    model, x, y = system
    result = estimate(Thermal(source, rule), model, x, y, model.rest(x), key)
    return result, np.asarray(ravel_pytree(result.gradient)[0])


@pytest.mark.parametrize("unit", [Spin, Bernoulli])
@pytest.mark.parametrize("temperature", [0.5, 1.0])
@pytest.mark.parametrize("beta", BETAS)
def test_rules_equal_the_derivative_of_the_free_energy(beta, temperature, unit):
    """On 12 spins, to rounding: a contrast divides its rounding by beta."""
    system, source = spins(unit), Enumeration(temperature)
    value, gradient = exact(source, system, beta)
    for rule in (finite_nudge(beta), path_integral(beta, 64), Reweighting(beta)):
        result, got = found(source, rule, system)
        np.testing.assert_allclose(got, gradient, atol=1e-12)
        np.testing.assert_allclose(result.value, value, atol=1e-9)
    assert np.linalg.norm(gradient) > 1e-2


@pytest.mark.parametrize("rule", [finite_nudge(0.7), path_integral(0.7, 24), Reweighting(0.7)])
def test_rules_teach_a_read_out_as_well(rule):
    """Parameters of the cost, whose gradient needs the mean over the nudged phases."""
    net = layered((3, 5, 4, 2), jax.random.key(3), Spin(), Spin(), 2.0)
    model = with_read_out(net, 3, jax.random.key(4), 2.0)
    system = model, normal(5, (2, 3)), jax.nn.one_hot(jnp.arange(2), 3)
    _, gradient = exact(Enumeration(0.8), system, 0.7)
    np.testing.assert_allclose(found(Enumeration(0.8), rule, system)[1], gradient, atol=1e-12)


@pytest.mark.parametrize("beta", BETAS)
def test_rules_on_a_gaussian(beta):
    source, system = Gaussian(0.4), gaussian()
    value, gradient = exact(source, system, beta)
    for rule in (finite_nudge(beta), path_integral(beta, 48)):
        result, got = found(source, rule, system)
        np.testing.assert_allclose(got, gradient, atol=1e-12)
        np.testing.assert_allclose(result.value, value, rtol=1e-9)


def test_the_gaussian_free_energy_is_its_closed_form():
    """``A = (T/2) log det P - r'P^-1 r / 2 + b y'y / 2`` with ``P = A + b Q`` and ``r = Bx + b y``."""
    system = systems.quadratic()
    model, x, y, beta, t = system.model, system.x, system.y, 0.7, 0.3
    a, drive, bias = (np.asarray(model.energy.params[k]) for k in "ABb")
    got = Gaussian(t).free_energy(model, x, y, jnp.array([0.0, beta]))
    for b, row in zip((0.0, beta), got, strict=True):
        p = a + b * np.eye(4)
        for i, value in enumerate(row):
            r = drive @ x[i] + bias + b * y[i]
            closed = 0.5 * t * np.linalg.slogdet(p)[1] - 0.5 * r @ np.linalg.solve(p, r)
            np.testing.assert_allclose(value, closed + 0.5 * b * y[i] @ y[i], rtol=1e-12)


def test_quadrature_error_falls_fast():
    """Four Gauss-Legendre nodes are enough where beta is about T; the error falls geometrically."""
    system, source = spins(), Enumeration(1.0)
    _, gradient = exact(source, system, 1.0)
    errors = [
        np.linalg.norm(found(source, path_integral(1.0, nodes), system)[1] - gradient)
        for nodes in (1, 2, 3, 4)
    ]
    errors = np.asarray(errors) / np.linalg.norm(gradient)
    assert errors[3] < 1e-4
    assert np.all(errors[1:] < 0.2 * errors[:-1])


def test_the_free_covariance_is_the_slope_at_zero():
    system, source = spins(), Enumeration(0.7)
    _, slope = exact(source, system, 1e-5)
    np.testing.assert_allclose(found(source, free_covariance(), system)[1], slope, atol=1e-3)
    coarse, fine = (
        np.linalg.norm(
            found(source, symmetric_nudge(b), system)[1]
            - found(source, free_covariance(), system)[1]
        )
        for b in (0.2, 0.1)
    )
    np.testing.assert_allclose(np.log2(coarse / fine), 2, atol=0.3)


def test_the_objective_four_ways_and_its_bounds():
    """Every estimate of J from its exact phases, and the sandwich with its divergence."""
    model, x, y = spins()
    source, beta, t = Enumeration(0.8), 0.9, 0.8
    value, _ = exact(source, (model, x, y), beta)
    nodes = path_integral(beta, 12)

    def phases(betas):
        out = source.average(model, x, y, jnp.asarray(betas), model.rest(x), KEY, no_statistic)
        return out.costs, out.weights

    ends = jnp.array([0.0, beta])
    costs, weights = phases(ends)
    ratio = acceptance_ratio(costs, weights, ends, t)[1] / beta
    np.testing.assert_allclose(jnp.mean(ratio), value, rtol=1e-9)
    once = log_mean_exp(costs, weights, beta, t)
    np.testing.assert_allclose(once, ratio, rtol=1e-9)
    np.testing.assert_allclose(integrate(*phases(nodes.betas), nodes.quadrature), once, rtol=1e-9)
    free, nudged = jnp.sum(costs[0] * weights, -1)
    both = bounds(once, free, nudged, beta, t)
    assert np.all(both.nudged < once) and np.all(once < both.free)
    divergence = jnp.sum(weights[1] * (jnp.log(weights[1]) - jnp.log(weights[0])), -1)
    np.testing.assert_allclose(both.divergence, divergence, rtol=1e-9)


def test_jarzynski_finds_the_objective():
    model, x, y = spins()
    value, _ = exact(Enumeration(1.0), (model, x, y), 1.0)
    source = Chains(1.0, Gibbs(), chains=4000, burn=50)
    ramp = systems.quickly(lambda x, y: jarzynski(model, x, y, source, 1.0, model.rest(x), KEY, 20))
    got, effective = ramp(x, y)
    np.testing.assert_allclose(np.mean(got), value, atol=0.03)
    assert np.all((effective > 100) & (effective <= 4000))


@cache
def repetitions(rule_name):
    """800 seeded gradients from chains, and the exact one."""
    rules = {
        "contrast": finite_nudge(1.0),
        "path": path_integral(1.0, 3),
        "covariance": free_covariance(1.0),
    }
    system = spins()
    source = Chains(1.0, Gibbs(), chains=8, burn=30, samples=4, thinning=3)
    learner = Thermal(source, rules[rule_name])
    model, x, y = system

    def along(key):
        return ravel_pytree(learner(model, x, y, model.rest(x), key).gradient)[0]

    gradients = systems.quickly(jax.vmap(along))(jax.random.split(KEY, 800))
    if rule_name == "covariance":
        return np.asarray(gradients), found(Enumeration(1.0), rules[rule_name], system)[1]
    return np.asarray(gradients), exact(Enumeration(1.0), system, 1.0)[1]


@pytest.mark.parametrize("rule", ["contrast", "path", "covariance"])
def test_sampled_gradients_lie_in_their_intervals(rule):
    """100 repetitions of 8 gradients, projected on the exact one: 98 or more intervals of Student's law at
    99 % hold the exact value, and the mean of all lies within 4 of its deviations."""
    gradients, gradient = repetitions(rule)
    way = gradient / np.linalg.norm(gradient)
    errors = ((gradients - gradient) @ way).reshape(100, 8)
    half = stats.t.ppf(0.995, 7) * np.std(errors, 1, ddof=1) / 8**0.5
    assert np.sum(np.abs(np.mean(errors, 1)) < half) >= 98
    assert abs(np.mean(errors)) < 4 * np.std(errors, ddof=1) / 800**0.5
    assert np.std(errors) < np.linalg.norm(gradient)


def test_common_noise_cancels():
    """At a small nudge the shared random numbers take most of the noise away."""
    system = spins()
    model, x, y = system

    def spread(common):
        source = Chains(1.0, Gibbs(), 16, 30, 2, 3, common_noise=common)
        learner = Thermal(source, finite_nudge(0.05))

        def one(key):
            return ravel_pytree(learner(model, x, y, model.rest(x), key).gradient)[0]

        return np.std(systems.quickly(jax.vmap(one))(jax.random.split(KEY, 40)), 0).mean()

    assert spread(True) < 0.4 * spread(False)


ANNEALED = Chains(1.0, Gibbs(), 4000, 60, 1, 1, hot=4.0)
EXCHANGED = Chains(1.0, Gibbs(), 4000, 30, 8, 3, common_noise=False, exchange=True)


@pytest.mark.parametrize(
    "source", [Chains(1.0, Gibbs(), 4000, 60, 1, 1), ANNEALED, EXCHANGED], ids=["", "hot", "swap"]
)
@pytest.mark.parametrize("unit", [Spin, Bernoulli])
def test_gibbs_tends_to_the_enumerated_law(unit, source):
    model, x, y = spins(unit, (2, 3, 3, 2))
    betas = jnp.array([0.0, 0.5, 1.0])

    def moments(states, weights):
        flat = jnp.concatenate(list(states.values()), -1)
        return jnp.einsum("kbc,kbci,kbcj->kbij", weights, flat, flat), jnp.sum(
            weights[..., None] * flat, 2
        )

    def average(source):
        return source.average(model, x, y, betas, model.rest(x), KEY, moments).mean

    got, expected = (systems.quickly(average)(s) for s in (source, Enumeration(1.0)))
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=0.07)


CONTINUOUS = {
    "gibbs": (Gibbs(), 1, 0.0),
    "langevin": (UnadjustedLangevin(0.01), 700, 0.01),
    "underdamped": (Underdamped(0.1), 120, 0.01),
    "mala": (Mala(0.2), 120, 0.0),
    "hmc": (Hmc(0.2, 5), 25, 0.0),
    "nuts": (Nuts(0.3), 12, 0.0),
}
LAWS = {
    "linear": (Linear(), 0.4),
    "box": (Box(), 0.4),
    "box beyond its wall": (Box(), 1.8),
    "hard tanh": (hard_tanh(), -0.7),
    "ramp": (Ramp(), 0.9),
    "tanh": (Tanh(), 0.6),
    "logistic": (Logistic(), 0.9),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", CONTINUOUS)
def test_samplers_tend_to_the_law_in_what_a_unit_shows(name, law):
    """Mean and variance of ``u`` against quadrature of ``exp(-(potential - a u + b C) / T) du``."""
    (sampler, steps, bias), (unit, bias_field) = CONTINUOUS[name], LAWS[law]
    chains, t, beta = 4000, 0.5, 0.6
    model = Model(
        Network(1, {"out": Layer(1, unit, jnp.asarray([bias_field]))}, []), SquaredError()
    )
    x, y = jnp.zeros((1, 1)), jnp.full((1, 1), 0.3)
    source = Chains(t, sampler, chains, steps, 1, 1)
    z0 = scatter(model, x, chains, KEY)

    def shown(states, weights):
        u = unit.embed(states["out"][0, 0, :, 0])
        return jnp.mean(u), jnp.var(u)

    run = systems.quickly(
        lambda start: source.average(model, x, y, jnp.array([beta]), start, KEY, shown).mean
    )
    mean, variance = run(z0)
    z = np.linspace(getattr(unit, "low", -12.0), getattr(unit, "high", 12.0), 40001)
    u = np.asarray(unit.embed(jnp.asarray(z)))
    energy = (
        np.asarray(unit.potential(jnp.asarray(z))) - bias_field * u + 0.5 * beta * (u - 0.3) ** 2
    )
    mass = np.exp(-energy / t) * np.gradient(u, z)
    mass /= mass.sum()
    expected = mass @ u
    spread = mass @ (u - expected) ** 2
    np.testing.assert_allclose(mean, expected, atol=5 * (spread / chains) ** 0.5 + bias)
    np.testing.assert_allclose(variance, spread, rtol=0.12 + 4 * bias)


@pytest.mark.parametrize("law", LAWS)
def test_a_layer_of_many_neurons_is_drawn_exactly(law):
    """All at once, under a curvature: the whole law of ``u`` against its quadrature."""
    (unit, field), q, t, count = LAWS[law], 0.7, 0.15, 20_000
    at, zero = jnp.asarray(t), jnp.zeros(count)
    z = unit.sample(KEY, zero, jnp.full(count, field), jnp.full(count, q), at)
    grid = jnp.linspace(getattr(unit, "low", -12.0), getattr(unit, "high", 12.0), 40001)
    u, u0 = unit.embed(grid), unit.embed(jnp.zeros(()))
    energy = unit.potential(grid) - field * u + 0.5 * q * (u - u0) ** 2
    mass = np.cumsum(np.exp(-np.asarray(energy) / t) * np.gradient(u, grid))
    law = np.interp(np.asarray(z), np.asarray(grid), mass / mass[-1])
    assert stats.kstest(law, "uniform").pvalue > 1e-3


def test_a_truncated_normal_is_monotone_in_its_uniform_number():
    """So that two fields given one key draw nearby numbers, on either side of the middle."""
    zero, flat, t = jnp.zeros(500), jnp.zeros(()), jnp.asarray(0.5)
    low, high = (hard_tanh().sample(KEY, zero, zero + h, flat, t) for h in (-1e-6, 1e-6))
    np.testing.assert_allclose(low, high, atol=1e-5)
    assert jnp.all(low < high)


def test_the_far_tail_of_a_truncated_normal():
    """Where the mean lies many deviations beyond the wall, an exponential law: no draw is lost."""
    z = jnp.zeros(20000, jnp.float32)
    for field, side in ((6.0, 1.0), (-5.0, 0.0)):
        flat, temperature = jnp.zeros((), z.dtype), jnp.asarray(0.01, z.dtype)
        drawn = Box().sample(KEY, z, jnp.full_like(z, field), flat, temperature)
        depth = np.abs(np.asarray(drawn) - side)
        assert drawn.dtype == jnp.float32
        assert np.all((drawn >= 0) & (drawn <= 1))
        np.testing.assert_allclose(depth.mean(), 0.01 / 5.0, rtol=0.03)
        assert len(np.unique(depth)) > 1000


@pytest.mark.parametrize("scale", [0.01, 0.3, 1.0, 30.0])
@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, np.inf)])
def test_the_mean_of_a_truncated_normal(scale, low, high):
    """Against quadrature around its mode."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    for mean in (-30.0, -1.2, 0.3, 0.9, 5.0):
        mode = np.clip(mean, low, high)
        reach = scale * min(12.0, 45.0 * scale / max(abs(mean - mode), 1e-9))
        ends = max(low, mode - reach), min(high, mode + reach)
        x = 0.5 * (ends[1] - ends[0]) * (nodes + 1) + ends[0]
        law = weights * np.exp(-((x - mean) ** 2 - (mode - mean) ** 2) / (2 * scale**2))
        expected = mode + (law / law.sum()) @ (x - mode)
        for dtype, tolerance in ((jnp.float64, 1e-7), (jnp.float32, 3e-4)):
            at, spread = jnp.asarray(mean, dtype), jnp.asarray(scale, dtype)
            found = float(truncated_mean(at, spread, low, high))
            assert abs(found - expected) <= tolerance * scale, (mean, dtype)


def test_no_draw_is_lost_in_float32(monkeypatch):
    """At the ends of the uniform numbers, which one draw in ten million meets."""
    dtype = jnp.float32

    def ends(key, shape, dtype, minval):
        return jnp.asarray([minval, 1.0 - jnp.finfo(dtype).eps], dtype)

    monkeypatch.setattr(jax.random, "uniform", ends)
    for mean in (-50.0, -3.0, 0.2, 3.0, 50.0):
        at = jnp.full(2, mean, dtype)
        draws = truncated_normal(KEY, at, jnp.asarray(0.07, dtype), -1.0, 1.0)
        assert jnp.all((draws >= -1.0) & (draws <= 1.0)), (mean, draws)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("rule", [finite_nudge, path_integral])
@pytest.mark.parametrize("unit", [Spin, Bernoulli])
def test_conditional_means_leave_the_gradient_exact(unit, rule, beta):
    model, x, y = spins(unit)
    source = Enumeration(0.7)
    drawn, averaged = (
        ravel_pytree(
            estimate(Thermal(source, rule(beta), reading), model, x, y, model.rest(x), KEY).gradient
        )[0]
        for reading in (Draws(), ConditionalMeans())
    )
    np.testing.assert_allclose(averaged, drawn, atol=1e-12)


@pytest.mark.parametrize("unit", [Spin(), hard_tanh(), Linear()])
def test_conditional_means_have_the_same_mean_and_less_variance(unit):
    model = layered((3, 8, 2), jax.random.key(3), unit, Linear(), 1.5)
    x, y = normal(5, (1, 3)), normal(6, (1, 2))
    source = Chains(1.0, Gibbs(), chains=32, burn=8, samples=2, thinning=2)
    keys = jax.random.split(KEY, 400)

    def gradients(reading):
        thermal = Thermal(source, path_integral(1.0, 2), reading)
        rest = model.rest(x)
        one = lambda key: ravel_pytree(thermal(model, x, y, rest, key).gradient)[0]  # noqa: E731
        return jax.jit(lambda: jax.lax.map(one, keys))()

    drawn, averaged = (np.asarray(gradients(reading)) for reading in (Draws(), ConditionalMeans()))
    error = np.sqrt((drawn.var(0) + averaged.var(0)) / len(keys))
    assert np.all(np.abs(drawn.mean(0) - averaged.mean(0)) < 4.5 * error)
    assert averaged.var(0).sum() < 0.7 * drawn.var(0).sum()


def test_conditional_means_are_refused_where_there_are_none():
    _, x, y = spins()
    lone = Model(
        Network(3, {"out": Layer(2, Spin())}, [("x", "out", systems.dense_op(1, 3, 2))]), SIGNS
    )
    source = Chains(1.0, Gibbs())
    with pytest.raises(ValueError, match="a layer that the cost does not see"):
        Thermal(source, finite_nudge(), ConditionalMeans()).check(lone, x, y)
    smooth = layered((3, 4, 2), KEY, Tanh(), Linear())
    with pytest.raises(ValueError, match="conditional mean is known"):
        Thermal(source, finite_nudge(), ConditionalMeans()).check(smooth, x, y)


def test_chains_that_mix_and_chains_that_do_not():
    """Gibbs draws of one uncoupled layer are independent; a slow Langevin hardly moves."""
    edges = [("x", "out", systems.dense_op(1, 3, 2))]
    model = Model(Network(3, {"out": Layer(2, Linear())}, edges), SquaredError())
    x, y, betas = normal(5, (2, 3)), normal(6, (2, 2)), jnp.array([0.0, 1.0])
    rows = mixing(model, x, y, Chains(0.5, Gibbs(), chains=4, burn=1), betas, KEY)
    assert [(row.beta, row.quantity) for row in rows] == [
        (beta, quantity) for quantity in ("cost", "energy") for beta in (0.0, 1.0)
    ]
    for row in rows:
        assert row.r_hat < 1.03
        assert 500 < row.effective <= 1.3 * row.draws == 1.3 * 800
    warn_if_unmixed(rows)
    slow = Chains(0.5, UnadjustedLangevin(1e-3), chains=4, burn=1)
    stuck = mixing(model, x, y, slow, betas, KEY)
    assert max(row.r_hat for row in stuck) > 1.2
    assert min(row.effective for row in stuck) < 30
    with pytest.warns(UserWarning, match=r"expected a split R-hat below 1.05, got .* Raise burn"):
        warn_if_unmixed(stuck)


def test_the_effective_sample_size_is_that_of_an_autoregression():
    """Langevin of one Gaussian number, step h, is an AR(1) of coefficient 1 - h; so is a cost far away."""
    step = 0.2
    edges = [("x", "out", systems.dense_op(1, 1, 1, 0.0))]
    model = Model(Network(1, {"out": Layer(1, Linear())}, edges), SquaredError())
    x, y, betas = jnp.zeros((1, 1)), jnp.full((1, 1), 1e3), jnp.zeros(1)
    source = Chains(1.0, UnadjustedLangevin(step), chains=16, burn=200)
    (row, _) = mixing(model, x, y, source, betas, KEY, samples=4000)
    assert row.effective / row.draws == pytest.approx(step / (2 - step), rel=0.1)


def test_bias_and_variance_of_an_estimator():
    """Of reweighting and of the covariance, whose errors are a bias and a variance; known by repetition."""
    model, x, y = spins()
    exact = estimate(Thermal(Enumeration(1.0), finite_nudge()), model, x, y, model.rest(x), KEY)
    references = {"J": exact.gradient}

    def found(rule, chains):
        source = Chains(1.0, Gibbs(), chains=chains, burn=10, samples=1)
        return spread(model, x, y, Thermal(source, rule), references, KEY, 400)[0]["J"]

    few, many = found(Reweighting(1.0), 4), found(Reweighting(1.0), 64)
    assert few.bias > 4 * many.bias
    assert few.cosine < many.cosine
    unbiased, tight = found(path_integral(1.0), 4), found(path_integral(1.0), 64)
    assert unbiased.deviation / tight.deviation == pytest.approx(4.0, rel=0.35)
    assert unbiased.bias < 0.15 * unbiased.deviation
    assert unbiased.snr == pytest.approx(1 / unbiased.deviation, rel=0.1)


class Drawn(Estimator):
    """A gradient of independent normal numbers about 1."""

    def __call__(self, model, x, y, state, key):
        parameters, back = ravel_pytree(eqx.filter(model, eqx.is_inexact_array))
        gradient = 1.0 + jax.random.normal(key, parameters.shape)
        return Estimate(jnp.zeros(()), back(gradient), state, Report())


def test_the_bias_leaves_out_the_noise_of_the_mean():
    """As products of two different estimates do, whose noises have no part in common."""
    model, x, y = spins()
    keys, repeats = jax.random.split(KEY, 3), 3
    parameters, back = ravel_pytree(eqx.filter(model, eqx.is_inexact_array))
    drawn = np.array([1.0 + jax.random.normal(key, parameters.shape) for key in keys])
    reference = np.linspace(0.5, 1.0, parameters.size)

    def between(vectors):
        products = vectors @ vectors.T
        return (products.sum() - np.trace(products)) / (repeats * (repeats - 1))

    found, _ = spread(model, x, y, Drawn(), {"r": back(jnp.asarray(reference))}, KEY, repeats)
    size = np.linalg.norm(reference)
    noise = np.sqrt(drawn.var(0, ddof=1).sum())
    assert found["r"].bias == pytest.approx(np.sqrt(between(drawn - reference)) / size, rel=1e-9)
    assert found["r"].snr == pytest.approx(np.sqrt(between(drawn)) / noise, rel=1e-9)
    assert found["r"].deviation == pytest.approx(noise / size, rel=1e-9)


def test_a_spread_needs_two():
    model, x, y = spins()
    references = {"J": eqx.filter(model, eqx.is_inexact_array)}
    with pytest.raises(ValueError, match="2 repeats or more"):
        spread(model, x, y, Thermal(Chains(1.0, Gibbs()), finite_nudge()), references, KEY, 1)


@pytest.mark.usefixtures("promotion")
def test_persistent_chains_go_on_from_batch_to_batch():
    """Without burn-in, and a step that hardly moves, they leave rest only if they persist."""
    model, x, _ = spins(Spin, (3, 4, 2))
    linear = layered((3, 4, 2), KEY, Linear(), Linear(), 0.1)
    images = Examples(normal(1, (64, 3)), jnp.arange(64) % 2, 1.0, 2)
    optimiser = optax.sgd(0.0)
    costs = {}
    for persistent in (False, True):
        sampler = UnadjustedLangevin(0.01)
        source = Chains(4.0, sampler, 4, burn=0, samples=1, thinning=1, persistent=persistent)
        thermal = Thermal(source, finite_nudge())
        state = start(linear, optimiser)
        (_, progress), *_ = train_epoch(state, images, thermal, optimiser, 2, KEY)
        costs[persistent] = progress.metrics["first_cost"]
    assert costs[True] > costs[False] + 0.2
    kept = Chains(1.0, Gibbs(), chains=3, persistent=True)
    first = kept.start(model, x)
    assert {name: z.shape for name, z in first.items()} == {"h1": (2, 3, 4), "out": (2, 3, 2)}
    assert kept.start(model, x, first) is first


def test_bounded_networks_confine_and_soft_directions_are_found():
    x, y = normal(5, (1, 3)), normal(6, (1, 2))
    for hidden, output in ((Box(), Box()), (hard_tanh(), Logistic()), (Spin(), hard_tanh())):
        bounded = layered((3, 4, 2), KEY, hidden, output, 3.0)
        Thermal(Chains(1.0, Gibbs()), finite_nudge()).check(bounded, x, y)
    wide = layered((3, 64, 2), KEY, Linear(), Linear(), 1.0)
    weight = wide.energy.edges["h1-out"].op.weight
    for scale in (0.9, 1.1):
        scaled = eqx.tree_at(
            lambda m: m.energy.edges["h1-out"].op.weight,
            wide,
            weight * scale / np.linalg.norm(weight, 2),
        )
        check = Thermal(Chains(1.0, UnadjustedLangevin()), finite_nudge()).check
        if scale < 1:
            check(scaled, x, y)
        else:
            with pytest.raises(ValueError, match="an energy that grows without bound"):
                check(scaled, x, y)


def test_the_gaussian_refuses_what_is_not_quadratic():
    energy = FunctionEnergy(
        lambda p, s, x: jnp.sum(0.5 * s["s"] ** 2 + p * s["s"] ** 4), jnp.ones(()), {"s": 2}
    )
    model = Model(energy, SquaredError(output="s"))
    x, y = normal(1, (2, 1)), normal(2, (2, 2))
    with pytest.raises(ValueError, match="an energy and a cost that are quadratic"):
        Thermal(Gaussian(1.0), finite_nudge()).check(model, x, y)
    with pytest.raises(ValueError, match="nodes integrate polynomials only"):
        found(Gaussian(1.0), Reweighting(1.0), gaussian())


def test_a_law_that_cannot_be_drawn_is_refused():
    model = layered((3, 4, 2), KEY, hard_tanh(), Logistic())
    x, y = normal(5, (1, 3)), normal(6, (1, 2))
    with pytest.raises(ValueError, match=r"draws of \['out'\] are not finite"):
        Thermal(Chains(1.0, Gibbs()), symmetric_nudge(0.5)).check(model, x, y)


def test_two_coupled_spins_are_never_taken_for_independent():
    layers = {"out": Layer(2, Spin())}
    edges = [("x", "out", systems.dense_op(1, 3, 2)), ("out", "out", lateral_op(2, 2, 1.0))]
    model = Model(Network(3, layers, edges), SIGNS)
    x, y = normal(5, (1, 3)), jnp.ones((1, 2))
    with pytest.raises(ValueError, match="to be independent given all others"):
        Thermal(Chains(1.0, Gibbs()), finite_nudge()).check(model, x, y)


def test_annealed_underdamped_chains_keep_their_temperature():
    """The velocity drawn in each step of the burn-in is not the noise of its thermostat."""
    network = Network(
        1, {"out": Layer(1, Linear())}, [("x", "out", systems.dense_op(1, 1, 1, 0.0))]
    )
    model = Model(network, SquaredError())
    x, y = jnp.zeros((1, 1)), jnp.zeros((1, 1))
    source = Chains(1.0, Underdamped(0.3), 4000, burn=200, samples=1, thinning=1, hot=1.0 + 1e-6)
    result, _ = found(source, finite_nudge(1e-3), (model, x, y))
    assert float(jnp.var(result.state["out"])) == pytest.approx(1.0, abs=0.1)


def test_one_of_a_kind_is_said_or_left_out():
    model, x, y = spins()
    for rule in (path_integral(), Reweighting(1.0)):
        with pytest.raises(ValueError, match="2 chains or more"):
            found(Chains(1.0, Gibbs(), chains=1), rule, (model, x, y))
    lone, _ = found(Chains(1.0, Gibbs(), chains=1, samples=1), finite_nudge(), (model, x, y))
    assert {"displacement_snr", "drift"}.isdisjoint(lone.report.metrics())
    with pytest.raises(ValueError, match="2 nudges or more to exchange"):
        source = Chains(1.0, Gibbs(), common_noise=False, exchange=True)
        found(source, free_covariance(), (model, x, y))
    for make in (finite_nudge, symmetric_nudge, path_integral, free_covariance):
        for beta in (0.0, np.nan, np.inf):
            with pytest.raises(ValueError, match=r"beta (other than 0|to be a number)"):
                make(beta)


def test_the_objective_of_phases_that_hardly_overlap():
    """In float32, at a work far beyond what its exponential holds."""
    costs = jnp.asarray([[[[1.5, 1.5]], [[1.5, 1.5]]]], jnp.float32)
    weights = jnp.full((2, 1, 2), 0.5, jnp.float32)
    far = jnp.asarray(costs + jnp.asarray([[0.0], [-0.5]], jnp.float32)[None, :, None])
    betas = jnp.asarray([0.0, 1.0], jnp.float32)
    (_, nudged) = acceptance_ratio(far, weights, betas, 1e-3)
    assert float(nudged[0]) == pytest.approx(1.25, rel=1e-3)


def test_a_forecast_under_a_negative_nudge_is_not_upside_down():
    model, x, y = spins()
    source = Enumeration(1.0)
    one, other = (
        Thermal(source, finite_nudge(beta)).forecast(model, x, y, KEY).scores
        for beta in (1e-3, -1e-3)
    )
    np.testing.assert_allclose(one, other, atol=1e-2)
    assert float(jnp.max(jnp.abs(one[:, 0] - one[:, 1]))) > 0.1


def test_starts_of_their_own_and_where_chains_ended():
    model, x, y = gaussian()
    source = Chains(0.2, UnadjustedLangevin(), 5, 3, 2, 2)
    first = estimate(Thermal(source, finite_nudge(0.5)), model, x, y, model.rest(x), KEY)
    assert first.state["h"].shape == (2, 5, 2)
    again = estimate(Thermal(source, finite_nudge(0.5)), model, x, y, first.state, KEY)
    assert np.all(np.isfinite(ravel_pytree(again.gradient)[0]))
    with pytest.raises(ValueError, match="a start for each of 5 chains"):
        bad = {name: z[:, :3] for name, z in first.state.items()}
        Thermal(source, finite_nudge(0.5))(model, x, y, bad, KEY)


def test_the_report_says_how_the_phases_were():
    model, x, y = spins()
    source = Chains(1.0, Gibbs(), 8, 20, 8, 2, common_noise=False, exchange=True)
    result, _ = found(source, path_integral(1.0, 4), (model, x, y))
    seen = result.report.metrics()
    assert seen["last_cost"] < seen["objective"] < seen["first_cost"]
    assert 0.3 < seen["swap_rate"] <= 1
    assert seen["acceptance"] == 1
    assert "divergence" not in seen
    contrast, _ = found(Chains(1.0, Gibbs(), 8, 20, 8, 2), finite_nudge(), (model, x, y))
    assert contrast.report.metrics()["divergence"] > 0
    assert 0 <= seen["drift"] < 0.5


def test_the_divergence_reported_is_that_of_the_phases():
    """``KL(nudged || free)``, of all states of spins."""
    (model, x, y), source, ends = spins(), Enumeration(0.8), jnp.array([0.0, 0.9])
    free, nudged = source.average(model, x, y, ends, model.rest(x), KEY, no_statistic).weights
    result, _ = found(source, finite_nudge(0.9), (model, x, y))
    expected = jnp.mean(jnp.sum(nudged * jnp.log(nudged / free), -1))
    np.testing.assert_allclose(result.report.divergence, expected, rtol=1e-9)


def test_the_drift_is_that_of_the_mean_cost_between_the_halves():
    """In deviations of the costs; by phase, over moments and members."""
    costs = (
        np.random.default_rng(0).normal(size=(6, 2, 3, 50)) + np.arange(6.0)[:, None, None, None]
    )
    apart = costs[3:].mean((0, 2, 3)) - costs[:3].mean((0, 2, 3))
    expected = apart / np.sqrt(costs.var((0, 3)).mean(1))
    weights = jnp.full((2, 3, 50), 0.02)
    np.testing.assert_allclose(drift(Average(None, jnp.asarray(costs), weights, {})), expected)
    costs[:, 0] = costs[0, 0]
    expected[0] = np.nan  # no chain moved, however far they lie apart
    np.testing.assert_allclose(drift(Average(None, jnp.asarray(costs), weights, {})), expected)


def test_chains_that_do_not_move_have_no_drift():
    """Steps that are lost in rounding; the costs of different chains differ."""
    model, x, y = gaussian()
    source = Chains(0.2, UnadjustedLangevin(1e-40), 5, 3, 2, 2)
    start = {name: normal(1, (2, 5, *z.shape[1:])) for name, z in model.rest(x).items()}
    still = estimate(Thermal(source, finite_nudge(0.5)), model, x, y, start, KEY)
    assert jnp.isnan(still.report.metrics()["drift"])
    seen = Thermal(source, finite_nudge(0.5)).forecast(model, x, y, KEY).metrics
    assert jnp.all(jnp.isnan(seen["drift"]))


def lone_layers(*names):
    """Layers of two linear neurons that are coupled to nothing."""
    return Model(Network(1, {name: Layer(2, Linear()) for name in names}, []), SquaredError())


def test_the_snr_of_the_displacement_is_unbiased():
    """That of one chain, though it is estimated from four: the mean moves by 1/2, the variance is 3/2."""
    model, x, y = lone_layers("out"), jnp.zeros((2000, 1)), jnp.ones((2000, 2))
    source = Chains(1.0, Gibbs(), chains=4, burn=1, samples=1, common_noise=False)
    result, _ = found(source, finite_nudge(1.0), (model, x, y))
    assert float(result.report.displacement_snr) == pytest.approx(0.5 / 1.5**0.5, rel=0.05)


@pytest.mark.parametrize("sampler", [Gibbs(), UnadjustedLangevin(0.3), Underdamped(0.3)])
def test_layers_phases_chains_and_examples_have_noise_of_their_own(sampler):
    model, x, y = lone_layers("h", "out"), jnp.zeros((500, 1)), jnp.zeros((500, 2))
    source = Chains(1.0, sampler, 2, burn=4, samples=1, thinning=1, common_noise=False)
    start, nudges = model.rest(x), jnp.zeros(2)
    run = systems.quickly(
        lambda: source.average(model, x, y, nudges, start, KEY, no_statistic).states
    )
    assert_unrelated(run())


def assert_unrelated(states):
    """Of (phases, batch, members, ...): no number twice, and no two columns that are correlated."""
    columns = [np.moveaxis(np.asarray(z), 1, 0).reshape(500, -1) for z in states.values()]
    table = np.concatenate(columns, 1)
    assert len(np.unique(table)) == table.size
    assert np.max(np.abs(np.corrcoef(table.T) - np.eye(table.shape[1]))) < 5 / 500**0.5


def test_scattered_starts_are_unrelated():
    starts = scatter(lone_layers("h", "out"), jnp.zeros((500, 1)), 3, KEY)
    assert_unrelated({name: z[None] for name, z in starts.items()})


def refuse(match, source, model, x, y, rule=None):
    """By the check, and by whatever would run the chains unchecked, also while it is compiled."""
    thermal = Thermal(source, rule or finite_nudge(1.0))
    with pytest.raises(ValueError, match=match):
        thermal.check(model, x, y)
    if match == CONFINED:
        return
    with pytest.raises(ValueError, match=match):
        eqx.filter_eval_shape(thermal, model, x, y, model.rest(x), KEY)


def test_what_cannot_be_sampled_is_refused():
    gibbs, langevin = Chains(1.0, Gibbs()), Chains(1.0, UnadjustedLangevin())
    _, *quadratic = systems.quadratic()
    refuse("expected an energy with `blocks`", gibbs, *quadratic)
    _, *lateral = systems.lateral()
    refuse("a coupling inside a layer", gibbs, *lateral)
    _, *pooled = systems.max_pooled()
    assert any(isinstance(op, MaxPool) for op in pooled[0].energy.edges["x-c1"].op.ops)
    refuse("not linear", gibbs, *pooled)
    _, *read_out = systems.read_out()
    refuse("cost that is not quadratic", gibbs, *read_out)
    refuse("are spins; use Gibbs", langevin, *spins())
    refuse("use Gibbs", Chains(1.0, Mala()), *spins())
    refuse("up to 16", Enumeration(1.0), *spins(Spin, (3, 14, 3)))
    refuse("are no spins", Enumeration(1.0), *gaussian())
    refuse("not linear", Gaussian(1.0), *spins())
    _, *oscillators = systems.oscillators()
    refuse("oscillators; use UnadjustedLangevin", Chains(1.0, Hmc()), *oscillators)
    refuse(CONFINED, langevin, *gaussian(), rule=symmetric_nudge(3.0))

    def hill(params, state, x):
        return -params * jnp.sum(state["out"] ** 2)

    model = Model(FunctionEnergy(hill, jnp.asarray(1.0), {"out": (2,)}), SquaredError())
    refuse(CONFINED, langevin, model, jnp.zeros((1, 1)), jnp.zeros((1, 2)))


def test_every_way_to_run_chains_checks_them():
    """Evaluation, mixing and ramps too; no two messages send a function of spins to one another."""
    langevin, (model, x, y) = Chains(1.0, UnadjustedLangevin()), spins()
    for run in (
        lambda: Thermal(langevin, finite_nudge()).forecast(model, x, y, KEY),
        lambda: mixing(model, x, y, langevin, jnp.zeros(1), KEY),
        lambda: jarzynski(model, x, y, langevin, 1.0, model.rest(x), KEY),
    ):
        with pytest.raises(ValueError, match="are spins; use Gibbs on a Network, or Enumeration"):
            run()

    def ising(params, state, x):
        return -state["out"] @ params @ state["out"]

    function = FunctionEnergy(ising, jnp.eye(2), {"out": (2,)}, {"out": Spin()})
    refuse(
        "write it as a Network, or use Enumeration",
        Chains(1.0, Gibbs()),
        *(Model(function, SIGNS), jnp.zeros((1, 1)), jnp.zeros((1, 2))),
    )


def test_any_cost_has_a_covariance_in_the_free_phase():
    """Which no nudge enters, so that the cost need not be quadratic: seen while it is compiled, too."""
    _, model, x, y = systems.read_out()
    boxed = layered((4, 5, 4), KEY, Box(), Box())
    model = Model(boxed.energy, dataclasses.replace(model.cost, output="out"))
    thermal = Thermal(Chains(1.0, Gibbs(), 4, 2, 2, 1), free_covariance())
    assert np.isfinite(estimate(thermal, model, x, y, model.rest(x), KEY).value)
    refuse("cost that is not quadratic", Chains(1.0, Gibbs()), model, x, y)


def test_a_unit_without_a_conditional_says_so():
    layers = {"out": Layer(2, Oscillator())}
    model = Model(Network(1, layers, []), SquaredError())
    learner = Thermal(Chains(1.0, Gibbs()), finite_nudge(1.0))
    with pytest.raises(ValueError, match="Oscillator: expected a unit with an exact conditional"):
        learner.check(model, jnp.zeros((1, 1)), jnp.zeros((1, 2)))


def test_two_coupled_layers_in_one_block_are_refused():
    model, x, _ = gaussian()
    phase = model.free(x[0])
    wrong = dataclasses.replace(phase, blocks=(("h", "out"),))
    Gibbs().check(phase, model.energy.rest(x.dtype))
    with pytest.raises(ValueError, match="two coupled layers in one block"):
        Gibbs().check(wrong, model.energy.rest(x.dtype))


def test_wrong_numbers_are_refused():
    for temperature in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=r"temperature (> 0|to be a number)"):
            Chains(temperature, Gibbs())
        with pytest.raises(ValueError, match=r"temperature (> 0|to be a number)"):
            Enumeration(temperature)
    with pytest.raises(ValueError, match="chains >= 1"):
        Chains(1.0, Gibbs(), chains=0)
    with pytest.raises(ValueError, match="common_noise=False"):
        Chains(1.0, Gibbs(), exchange=True)
    with pytest.raises(ValueError, match="hot >= 1"):
        Chains(1.0, Gibbs(), hot=0.5)
    with pytest.raises(ValueError, match="step_size > 0"):
        UnadjustedLangevin(0.0)
    with pytest.raises(ValueError, match="friction > 0"):
        Underdamped(friction=-1.0)
    with pytest.raises(ValueError, match="nodes >= 1"):
        path_integral(1.0, 0)
    model, x, y = spins()
    with pytest.raises(ValueError, match="2 chains or more"):
        Thermal(Chains(1.0, Gibbs(), chains=1), path_integral())(model, x, y, model.rest(x), KEY)
    model, x, y = gaussian()
    boxed = layered((2, 2, 2), KEY, Box(), Linear())
    outside = {"h1": jnp.full((2, 2), 3.0), "out": jnp.zeros((2, 2))}
    with pytest.raises(ValueError, match="starts inside the domain"):
        Thermal(Chains(1.0, Gibbs()), finite_nudge())(boxed, x, y, outside, KEY)


def test_a_boltzmann_machine_of_single_spins():
    """Every spin a layer of its own: couplings among all, still exact by Gibbs."""
    names = [f"s{i}" for i in range(5)] + ["out"]
    layers = {name: Layer(1, Spin(), normal(i, (1,), 0.3)) for i, name in enumerate(names)}
    edges = [
        (a, b, systems.dense_op(10 * i + j, 1, 1))
        for i, a in enumerate(names)
        for j, b in enumerate(names)
        if i < j
    ]
    model = Model(Network(1, layers, edges), SIGNS)
    x, y = jnp.zeros((1, 1)), jnp.ones((1, 1))
    Thermal(Chains(1.0, Gibbs()), finite_nudge()).check(model, x, y)
    _, gradient = exact(Enumeration(1.0), (model, x, y), 1.0)
    source = Chains(1.0, Gibbs(), 4000, 40, 1, 1)
    _, got = found(source, finite_nudge(1.0), (model, x, y))
    np.testing.assert_allclose(got, gradient, atol=0.1)


def test_lateral_couplings_of_spins_are_enumerated():
    layers = {"out": Layer(5, Spin())}
    model = Model(Network(1, layers, [("out", "out", lateral_op(1, 5, 2.0))]), SIGNS)
    x, y = jnp.zeros((1, 1)), jnp.ones((1, 5))
    _, gradient = exact(Enumeration(0.7), (model, x, y), 1.0)
    _, got = found(Enumeration(0.7), finite_nudge(1.0), (model, x, y))
    np.testing.assert_allclose(got, gradient, atol=1e-12)


@pytest.mark.usefixtures("promotion")
def test_spins_learn_what_no_line_separates():
    """Exclusive or, by finite nudges on chains; the objective falls as enumeration says it does."""
    x = jnp.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    y = jax.nn.one_hot(jnp.array([0, 1, 1, 0]), 2)
    net = layered((2, 10, 2), jax.random.key(2), Spin(), Spin(), 2.0)
    model = Model(net.energy, SIGNS)
    learner = Thermal(Chains(0.5, Gibbs(), 32, 10, 4, 2), finite_nudge(1.0))
    optimiser = optax.adam(0.05)
    source = Enumeration(0.5)

    def objective(model):
        free, nudged = source.free_energy(model, x, y, jnp.array([0.0, 1.0]))
        return float(jnp.mean(nudged - free))

    def step(carry, key):
        model, state = carry
        gradient = learner(model, x, y, model.rest(x), key).gradient
        updates, state = optimiser.update(gradient, state)
        return (eqx.apply_updates(model, updates), state), None

    @systems.quickly
    def train(model):
        keys = jax.random.split(KEY, 1000)
        return jax.lax.scan(step, (model, optimiser.init(model)), keys)[0][0]

    before, trained = objective(model), train(model)
    assert objective(trained) < 0.2 * before
    scores = Thermal(source, finite_nudge(1.0)).forecast(trained, x, y, KEY).scores
    np.testing.assert_array_equal(jnp.argmax(scores, 1), jnp.argmax(y, 1))


def test_the_forecast_is_the_averaged_likelihood():
    """At beta = T with a cross-entropy: the logarithm of the softmax averaged over the free phase."""
    _, model, x, y = systems.read_out()
    learner = Thermal(Chains(0.7, UnadjustedLangevin(), 6, 5, 3, 2), finite_nudge(0.7))
    seen = systems.quickly(lambda: learner.forecast(model, x, y, KEY))()

    def record(states, weights):
        scores = jax.vmap(jax.vmap(model.predict))({n: z[0] for n, z in states.items()})
        return jnp.mean(jax.nn.softmax(scores), 1)

    zero = jnp.zeros(1)
    run = systems.quickly(
        lambda: (
            learner.source.average(
                model, x, y, zero, model.rest(x), KEY, no_statistic, record
            ).records
        )
    )
    np.testing.assert_allclose(jnp.exp(seen.scores), jnp.mean(run(), 0), rtol=1e-9)
    np.testing.assert_allclose(jnp.sum(jnp.exp(seen.scores), 1), 1.0, rtol=1e-9)


@pytest.mark.usefixtures("promotion")
@pytest.mark.parametrize("rule", ["contrast", "path-integral", "covariance", "reweighting"])
def test_a_recipe_at_a_temperature(rule, tmp_path):
    """Trains, says how its chains were, draws, and resumes."""
    recipe = dataclasses.replace(RECIPES["digits-thermal"], rule=rule, epochs=2, hidden=(16,))
    rows = []
    result = fit("digits-thermal", recipe, tmp_path / "run", observe_epoch=rows.append)
    assert rows[1]["objective"] < rows[0]["objective"]
    phases = 1 if rule in ("covariance", "reweighting") else 2
    assert ("displacement_snr" in result["relaxation"]) == (phases > 1)
    for key in ("first_cost", "last_cost", "drift", "acceptance"):
        assert np.isfinite(result["relaxation"][key])
    assert rows[0]["last_cost"] <= rows[0]["first_cost"] + 1e-6
    names = {path.stem for path in draw_run(tmp_path / "run")}
    assert names == {"learning", "activity", "agreement", "weights", "objective"}
    assert {row["quantity"] for row in result["mixing"]} == {"cost", "energy"}
    assert all(Mixing(**row).mixed for row in result["mixing"])
    assert fit("digits-thermal", recipe, tmp_path / "run", resume=True) == result


def test_recipes_refuse_what_has_no_law():
    thermal = RECIPES["digits-thermal"]
    for change, match in (
        ({"temperature": 0.0}, "use --estimator ep"),
        ({"chains": 0}, "chains: expected a number >= 1"),
        ({"unit": "tanh"}, "use --reading draws"),
        ({"unit": "spin", "estimator": "ep", "beta": 0.5}, "spins, which have no gradient"),
    ):
        with pytest.raises(ValueError, match=match):
            dataclasses.replace(thermal, **change).check()
    with pytest.raises(ValueError, match="a recipe with a temperature"):
        dataclasses.replace(RECIPES["digits"], estimator="thermal").check()
