"""Thermal estimates: unbiased, reported and forecast as they are, and refused where no law is."""

import dataclasses

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
    SquaredError,
    Tanh,
    convolutional,
    hard_tanh,
    layered,
)
from eqprop.energies.ops import MaxPool
from eqprop.energies.units.spin import Spin
from eqprop.estimators.estimator import Estimate, Estimator, Report
from eqprop.estimators.spread import spread
from eqprop.thermal import Gibbs, Hmc, Mala, UnadjustedLangevin, Underdamped
from eqprop.thermal.chains import Chains
from eqprop.thermal.ensemble import Average, Phases, no_statistic
from eqprop.thermal.estimator import Thermal, drift
from eqprop.thermal.exact import Enumeration, Gaussian
from eqprop.thermal.free_energy import jarzynski
from eqprop.thermal.mixing import mixing
from eqprop.thermal.readings import ConditionalMeans, Draws
from eqprop.thermal.rules import (
    Reweighting,
    finite_nudge,
    free_covariance,
    path_integral,
    symmetric_nudge,
)
from helpers import systems
from helpers.later import later
from helpers.systems import SIGNS, exact, gaussian, lateral_op, normal, spins
from helpers.thermal import KEY, estimate, found, repeated

CONFINED = "expected an energy that grows"

forecast = systems.quickly(lambda learner, model, x, y: learner.forecast(model, x, y, KEY))


RULES = {
    "contrast": finite_nudge(1.0),
    "path": path_integral(1.0, 3),
    "covariance": free_covariance(1.0),
}


@pytest.mark.parametrize("rule", RULES)
def test_sampled_gradients_lie_in_their_intervals(rule):
    """100 repetitions of 8 gradients, projected on the exact one: 98 or more intervals of Student's law at
    99 % hold the exact value, and the mean of all lies within 4 of its deviations."""
    source = Chains(1.0, Gibbs(), chains=8, burn=30, samples=4, thinning=3)
    learner, keys = Thermal(source, RULES[rule]), jax.random.split(KEY, 800)
    gradients = np.asarray(repeated(learner, *spins(), keys))
    whole = free_covariance() if rule == "covariance" else finite_nudge(1.0)
    _, gradient = found(Enumeration(1.0), whole, spins())
    way = gradient / np.linalg.norm(gradient)
    errors = ((gradients - gradient) @ way).reshape(100, 8)
    half = stats.t.ppf(0.995, 7) * np.std(errors, 1, ddof=1) / 8**0.5
    assert np.sum(np.abs(np.mean(errors, 1)) < half) >= 98
    assert abs(np.mean(errors)) < 4 * np.std(errors, ddof=1) / 800**0.5
    assert np.std(errors) < np.linalg.norm(gradient)


@pytest.mark.parametrize("unit", [Spin(), later(hard_tanh())])
def test_conditional_means_have_the_same_mean_and_less_variance(unit):
    """Of a hidden unit, and of the linear output."""
    model = layered((3, 8, 2), jax.random.key(3), unit, Linear(), 1.5)
    x, y = normal(5, (1, 3)), normal(6, (1, 2))
    source = Chains(1.0, Gibbs(), chains=32, burn=8, samples=2, thinning=2)
    keys = jax.random.split(KEY, 400)
    drawn, averaged = (
        np.asarray(repeated(Thermal(source, path_integral(1.0, 2), reading), model, x, y, keys))
        for reading in (Draws(), ConditionalMeans())
    )
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


@pytest.mark.long
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


def test_a_law_that_cannot_be_drawn_is_refused():
    model = layered((3, 4, 2), KEY, hard_tanh(), Logistic())
    x, y = normal(5, (1, 3)), normal(6, (1, 2))
    with pytest.raises(ValueError, match=r"draws of \['out'\] are not finite"):
        Thermal(Chains(1.0, Gibbs()), symmetric_nudge(0.5)).check(model, x, y)
    Thermal(Chains(1.0, Gibbs()), finite_nudge(0.5)).check(model, x, y)


def test_two_coupled_spins_are_never_taken_for_independent():
    layers = {"out": Layer(2, Spin())}
    edges = [("x", "out", systems.dense_op(1, 3, 2)), ("out", "out", lateral_op(2, 2, 1.0))]
    model = Model(Network(3, layers, edges), SIGNS)
    x, y = normal(5, (1, 3)), jnp.ones((1, 2))
    with pytest.raises(ValueError, match="to be independent given all others"):
        Thermal(Chains(1.0, Gibbs()), finite_nudge()).check(model, x, y)


def test_one_of_a_kind_is_said_or_left_out():
    model, x, y = spins()
    for rule in (path_integral(), Reweighting(1.0)):
        with pytest.raises(ValueError, match="2 chains or more"):
            found(Chains(1.0, Gibbs(), chains=1), rule, (model, x, y))
    lone = Thermal(Chains(1.0, Gibbs(), chains=1, samples=1), finite_nudge())
    seen = eqx.filter_eval_shape(lambda: lone(model, x, y, model.rest(x), KEY).report.metrics())
    assert "first_cost" in seen and {"displacement_snr", "drift"}.isdisjoint(seen)
    with pytest.raises(ValueError, match="2 nudges or more to exchange"):
        source = Chains(1.0, Gibbs(), common_noise=False, exchange=True)
        found(source, free_covariance(), (model, x, y))
    for make in (finite_nudge, symmetric_nudge, path_integral, free_covariance, Reweighting):
        for beta in (0.0, np.nan, np.inf):
            with pytest.raises(ValueError, match=r"beta (other than 0|to be an? (array|number))"):
                make(beta)


def test_a_forecast_under_a_negative_nudge_is_not_upside_down():
    model, x, y = spins()
    source = Enumeration(1.0)
    one, other = (
        forecast(Thermal(source, finite_nudge(beta)), model, x, y).scores for beta in (1e-3, -1e-3)
    )
    np.testing.assert_allclose(one, other, atol=1e-2)
    assert float(jnp.max(jnp.abs(one[:, 0] - one[:, 1]))) > 0.1


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

    @systems.quickly
    def weights(model, x, y):
        phases = Phases(model, x, y, ends)
        return source.average(phases, model.rest(x), KEY, no_statistic).weights

    free, nudged = weights(model, x, y)
    result, _ = found(source, finite_nudge(0.9), (model, x, y))
    expected = np.mean(np.sum(nudged * np.log(nudged / free), -1))
    np.testing.assert_allclose(result.report.divergence, expected, rtol=1e-9)


def test_the_drift_is_that_of_the_mean_cost_between_the_halves():
    """In deviations of the costs; by phase, over moments and members."""
    costs = (
        np.random.default_rng(0).normal(size=(6, 2, 3, 50)) + np.arange(6.0)[:, None, None, None]
    )
    apart = costs[3:].mean((0, 2, 3)) - costs[:3].mean((0, 2, 3))
    expected = apart / np.sqrt(costs.var((0, 3)).mean(1))
    weights = jnp.full((2, 3, 50), 0.02)
    of = systems.quickly(lambda costs: drift(Average(None, costs, weights, {})))
    np.testing.assert_allclose(of(costs), expected)
    costs[:, 0] = costs[0, 0]
    expected[0] = np.nan  # no chain moved, however far they lie apart
    np.testing.assert_allclose(of(costs), expected)


def test_chains_that_do_not_move_have_no_drift():
    """Steps that are lost in rounding; the costs of different chains differ."""
    model, x, y = gaussian()
    source = Chains(0.2, UnadjustedLangevin(1e-40), 5, 3, 2, 2)
    start = {name: normal(1, (2, 5, *z.shape[1:])) for name, z in model.rest(x).items()}
    still = estimate(Thermal(source, finite_nudge(0.5)), model, x, y, start, KEY)
    assert jnp.isnan(still.report.metrics()["drift"])
    seen = forecast(Thermal(source, finite_nudge(0.5)), model, x, y).metrics
    assert jnp.all(jnp.isnan(seen["drift"]))


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
    data = normal(5, (1, 1)), normal(6, (1, 2))
    lateral = Network(1, {"out": Layer(2, Linear())}, [("out", "out", lateral_op(1, 2, 0.5))])
    refuse("a coupling inside a layer", gibbs, Model(lateral, SquaredError()), *data)
    pooled = convolutional((4, 4, 1), (2, 2), 2, KEY, Box(), pool=MaxPool)
    refuse("not linear", gibbs, pooled, normal(5, (1, 4, 4, 1)), data[1])
    refuse("are spins; use Gibbs", langevin, *spins())
    refuse("use Gibbs", Chains(1.0, Mala()), *spins())
    refuse("up to 16", Enumeration(1.0), *spins(Spin, (3, 14, 3)))
    refuse("are no spins", Enumeration(1.0), *gaussian())
    refuse("not linear", Gaussian(1.0), *spins())
    oscillators = Model(Network(1, {"out": Layer(2, Oscillator())}, []), SIGNS)
    refuse("oscillators; use UnadjustedLangevin", Chains(1.0, Hmc()), oscillators, *data)
    refuse(CONFINED, langevin, *gaussian(), rule=symmetric_nudge(3.0))

    def hill(params, state, x):
        return -params * jnp.sum(state["out"] ** 2)

    model = Model(FunctionEnergy(hill, jnp.asarray(1.0), {"out": (2,)}), SquaredError())
    refuse(CONFINED, langevin, model, jnp.zeros((1, 1)), jnp.zeros((1, 2)))


def test_a_law_that_is_not_gaussian_is_refused():
    def quartic(params, state, x):
        return params * jnp.sum(state["out"] ** 4)

    model = Model(FunctionEnergy(quartic, jnp.asarray(1.0), {"out": (2,)}), SquaredError())
    x, y = jnp.zeros((1, 1)), jnp.zeros((1, 2))
    refuse("their curvature changes by .* use Chains", Gaussian(1.0), model, x, y)


def test_every_way_to_run_chains_checks_them():
    """Evaluation, mixing and ramps too; no two messages send a function of spins to one another."""
    langevin, (model, x, y) = Chains(1.0, UnadjustedLangevin()), spins()
    for run in (
        lambda: Thermal(langevin, finite_nudge()).forecast(model, x, y, KEY),
        lambda: mixing(Phases(model, x, y, jnp.zeros(1)), langevin, KEY),
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
        with pytest.raises(ValueError, match=r"temperature(: .* number > 0| to be a number)"):
            Chains(temperature, Gibbs())
        with pytest.raises(ValueError, match=r"temperature(: .* number > 0| to be a number)"):
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
    _, x, y = gaussian()
    boxed = layered((2, 2, 2), KEY, Box(), Linear())
    outside = {"h1": jnp.full((2, 2), 3.0), "out": jnp.zeros((2, 2))}
    with pytest.raises(ValueError, match="starts inside the domain"):
        Thermal(Chains(1.0, Gibbs()), finite_nudge())(boxed, x, y, outside, KEY)


@pytest.mark.long
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
        return exact(source, (model, x, y), 1.0)[0]

    def step(carry, key):
        model, state = carry
        gradient = learner(model, x, y, model.rest(x), key).gradient
        updates, state = optimiser.update(gradient, state)
        return (eqx.apply_updates(model, updates), state), None

    @systems.quickly
    def train(model):
        keys = jax.random.split(KEY, 600)
        return jax.lax.scan(step, (model, optimiser.init(model)), keys)[0][0]

    before, trained = objective(model), train(model)
    assert objective(trained) < 0.2 * before
    scores = forecast(Thermal(source, finite_nudge(1.0)), trained, x, y).scores
    np.testing.assert_array_equal(jnp.argmax(scores, 1), jnp.argmax(y, 1))


def test_the_forecast_is_the_averaged_likelihood():
    """At beta = T with a cross-entropy: the logarithm of the softmax averaged over the free phase."""
    _, model, x, y = systems.read_out()
    learner = Thermal(Chains(0.7, UnadjustedLangevin(), 6, 5, 3, 2), finite_nudge(0.7))
    seen = forecast(learner, model, x, y)

    def record(states, weights):
        scores = jax.vmap(jax.vmap(model.predict))({n: z[0] for n, z in states.items()})
        return jnp.mean(jax.nn.softmax(scores), 1)

    @systems.quickly
    def likelihoods(x, y):
        free = Phases(model, x, y, jnp.zeros(1))
        return learner.source.average(free, model.rest(x), KEY, no_statistic, record).records

    likelihood = np.mean(likelihoods(x, y), 0)
    np.testing.assert_allclose(np.exp(seen.scores), likelihood, rtol=1e-9)
    np.testing.assert_allclose(likelihood.sum(1), 1.0, rtol=1e-9)
