"""Spiking networks: what crosses between layers, the mean-field limit, and what the learning rule reads."""

import re
import subprocess
import sys
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqprop import (
    Box,
    EquilibriumPropagation,
    GradientDescent,
    Layer,
    Linear,
    Logistic,
    Model,
    Network,
    SquaredError,
    Tanh,
    convolutional,
    holomorphic,
    layered,
    relax,
    symmetric,
    with_read_out,
    with_stiff_layers,
)
from eqprop.energies.energy import Clamped
from eqprop.energies.ops import Dense, MaxPool
from eqprop.energies.units.unit import Units, embed
from eqprop.estimators.audit import compare
from eqprop.solvers.solver import DIVERGED
from eqprop.spiking import (
    BernoulliCoded,
    Drawn,
    Probabilities,
    Rates,
    SigmaDelta,
    Spiking,
    SpikingPropagation,
    Staggered,
    SurrogateBackpropagation,
    Threshold,
    activity,
    fan_out,
    membranes,
    price,
    rates,
    record,
    with_soft_reset,
)
from eqprop.spiking.firing import numbers
from eqprop.training.figures.canvas import save
from eqprop.training.figures.spikes import firing_rates, raster
from helpers import systems
from helpers.spiking import EXACT, KEY, apart, chains, dense, distance, settled


class Watched(Clamped):
    """A landscape that looks at what layers show each other: 0 or 1, or it raises."""

    base: Clamped

    @property
    def units(self) -> Units:
        return self.base.units

    @property
    def blocks(self):
        return self.base.blocks

    def coupling(self, shown):
        def spike(u):
            return eqx.error_if(u, (u != 0) & (u != 1), "a layer shows more than spikes")

        return self.base.coupling({name: spike(u) for name, u in shown.items()})

    def curvature(self, name):
        return self.base.curvature(name)


def test_nothing_but_spikes_crosses():
    model, x, y = dense()
    solver, rest = Spiking(0.3, 20, Probabilities(5)), model.energy.rest(x.dtype)

    @systems.quickly
    def run(beta):
        nudged = model.nudged(x[0], y[0], beta)
        watched = eqx.tree_at(lambda phase: phase.base, nudged, Watched(nudged.base))
        start = solver.start(watched, rest, KEY)
        return [solver.run(lambda key, p=p: p, start)[0].membrane for p in (watched, nudged)]

    for beta in (0.0, 0.7):
        jax.tree.map(np.testing.assert_array_equal, *run(jnp.asarray(beta)))
    with pytest.raises(eqx.EquinoxRuntimeError, match="more than spikes"):
        eqx.filter_jit(GradientDescent(None, 2).settle)(Watched(model.free(x[0])), rest)


@pytest.mark.parametrize(
    "populations, theta, leak",
    [
        ((1, 1, 1), 0.0, 0.3),
        ((3, 3, 3), 0.2, 1.0),
        ((1, 2, 5), 0.2, 0.3),
    ],
)
def test_a_step_is_the_equation(populations, theta, leak):
    model, x, y = dense()
    population = dict(zip(("h1", "h2", "out"), populations, strict=True))
    rules = {name: Drawn(size) for name, size in population.items()}
    solver = Spiking(leak, 5, Rates(1), rules if len(set(populations)) > 1 else rules["h1"])
    if theta:
        model = with_soft_reset(model, solver, theta)
    phase, beta = model.nudged(x[0], y[0], 0.7), 0.7
    start = solver.start(phase, model.energy.rest(x.dtype), KEY)

    @systems.quickly
    def steps(phase, start):
        def step(carry, _):
            carry = solver.step(phase, carry)
            return carry, carry

        return jax.lax.scan(step, start, None, 4)[1]

    made = steps(phase, start)
    before, after = (jax.tree.map(lambda a, i=i: a[i], made) for i in (2, 3))
    u = jax.tree.map(np.asarray, before.membrane)
    s = {n: np.asarray(f).reshape(population[n], -1).mean(0) for n, f in before.spikes.items()}
    edges, layers = model.energy.edges, model.energy.layers
    w = [np.asarray(edges[n].op.weight) for n in ("x-h1", "h1-h2", "h2-out")]
    b = {n: np.asarray(layer.bias) for n, layer in layers.items()}
    p_out = 1 / (1 + np.exp(-4 * (u["out"] - 0.5)))
    g = {
        "h1": b["h1"] + np.asarray(x[0]) @ w[0] + s["h2"] @ w[1].T,
        "h2": b["h2"] + s["h1"] @ w[1] + s["out"] @ w[2].T,
        "out": b["out"] + s["h2"] @ w[2] - beta * (p_out - np.asarray(y[0])),
    }
    assert any(spikes.any() for spikes in s.values())
    for name in g:
        expected = (1 - leak) * u[name] + leak * g[name] - theta * s[name]
        np.testing.assert_allclose(after.membrane[name], expected, atol=1e-12)
        assert after.spikes[name].dtype == bool
        assert after.spikes[name].size == population[name] * u[name].size


@pytest.mark.parametrize(("leak", "population"), [(1.0, 1), (0.1, 1), (0.3, 5)])
def test_the_membranes_variance_and_the_bias_it_brings(leak, population):
    """``Var(u) = leak / (2 - leak) sum w^2 p (1 - p) / population``, and
    ``E sigma(u) - sigma(E u) = sigma'' Var/2``.

    The neighbours' spikes must be nearly independent: the feedback of one output is weak.
    """
    model, x, _ = dense(sizes=(6, 40, 1), gain=(3.0, 0.6))
    solver = Spiking(leak, 60, Probabilities(1), Drawn(population))
    carry = chains(model, x, solver, 8000).carry
    u, fired = np.asarray(carry.membrane["out"])[:, 0], np.asarray(carry.spikes["h1"])
    h = np.mean(fired.reshape(-1, fired.shape[-1]), 0)
    w = np.asarray(model.energy.edges["h1-out"].op.weight)[:, 0]
    variance = leak / (2 - leak) * np.sum(w**2 * h * (1 - h)) / population
    np.testing.assert_allclose(np.var(u), variance, rtol=0.1)

    def sigma(u):
        return 1 / (1 + np.exp(-4 * (u - 0.5)))

    p = sigma(np.mean(u))
    bias = np.mean(sigma(u)) - p
    error = 5 * np.std(sigma(u)) / len(u) ** 0.5
    second = 16 * p * (1 - p) * (1 - 2 * p)
    assert abs(bias) <= 0.5 * 16 / (6 * 3**0.5) * np.var(u) + error
    assert abs(bias - 0.5 * second * np.var(u)) < 0.3 * abs(bias) + error


def test_the_mean_tends_to_the_fixed_point_in_proportion_to_the_membranes_variance():
    model, x, _ = dense()
    found = {k: distance(model, x, Spiking(k, 400, Probabilities(300)))[0] for k in (0.8, 0.1)}
    ratio = (0.1 / 1.9) / (0.8 / 1.2)
    np.testing.assert_allclose(found[0.1] / found[0.8], ratio, rtol=0.3)


def test_a_clip_in_its_linear_range_has_no_bias_at_any_leak():
    model = layered((6, 8, 3), jax.random.key(1), Box(), Box(), 0.3)
    centre = [layer.bias for layer in model.energy.layers.values()]
    model = eqx.tree_at(
        lambda m: [layer.bias for layer in m.energy.layers.values()],
        model,
        [jnp.full_like(b, 0.45) for b in centre],
    )
    x = jax.random.uniform(KEY, (1, 6))
    for leak in (1.0, 0.3):
        gap, error = distance(model, x, Spiking(leak, 200, Probabilities(100)))
        assert gap < 3 * error < 0.01


@pytest.mark.parametrize("population", [1, 3, 8])
def test_neurons_of_a_staggered_population_fire_one_after_another(population):
    """Neuron ``m`` with probability ``clip(M p - m, 0, 1)``: the share has the mean ``p``, between the two
    nearest multiples of ``1 / M``."""
    rule, draws = Staggered(population), 20_000
    p = jnp.asarray([0.0, 1e-3, 0.3, 0.5, 0.77, 1.0])
    u = jax.random.uniform(KEY, (draws, 1, len(p)))
    spikes = jax.vmap(lambda u: rule(u, p, p, p)[0])(u)
    fired = np.asarray(jax.vmap(rule.neurons)(spikes))
    assert fired.shape == (draws, population, len(p)) and fired.dtype == bool
    ladder = np.clip(population * np.asarray(p) - np.arange(population)[:, None], 0, 1)
    error = np.sqrt(ladder * (1 - ladder) / draws)
    assert np.all(np.abs(fired.mean(0) - ladder) <= 4.5 * error)
    share = np.asarray(jax.vmap(lambda s: numbers(s, p, population))(spikes))
    np.testing.assert_allclose(share, fired.mean(1), atol=1e-6)
    assert np.all(np.abs(share - np.asarray(p)) <= 1 / population)
    assert np.all(np.std(share, 0) <= 0.51 / population)


def test_staggered_populations_tend_to_the_fixed_point_and_say_nothing_but_spikes():
    model, x, _ = dense()
    steps = (200, Probabilities(100))
    crowd = distance(model, x, Spiking(0.5, *steps, Staggered(8)), 400)[0]
    drawn = distance(model, x, Spiking(0.5, *steps, Drawn(8)), 400)[0]
    assert crowd < 0.6 * drawn
    solver = Spiking(0.5, 3, Rates(1), {"h1": Staggered(8), "h2": Drawn(2), "out": Staggered(5)})
    carry = chains(model, x, solver, 20).carry
    eighths = 8 * np.asarray(solver.read_out(jax.tree.map(lambda a: a[0], carry))["h1"])
    np.testing.assert_allclose(eighths, np.round(eighths), atol=1e-6)
    fired = solver.neurons(jax.tree.map(lambda a: a[0], carry.spikes))
    assert {name: (s.shape, s.dtype) for name, s in fired.items()} == {
        name: (shape, np.dtype(bool))
        for name, shape in (("h1", (8, 8)), ("h2", (2, 5)), ("out", (5, 3)))
    }


@pytest.mark.parametrize("unit", [Logistic(), Box()], ids=["logistic", "clip"])
def test_stiff_layers_spike_as_any_and_settle_at_once_where_feedback_is_weak(unit):
    """The mean is that of the network's energy; with hardly any feedback it is the forward pass, and each
    layer is there a step after the one below."""
    model, x, _ = dense(unit, (6, 8, 3))
    solver = Spiking(1.0, 200, Probabilities(150), Staggered(64))
    gap, error = distance(with_stiff_layers(model, 0.3), x, solver, 400)
    assert gap < 3 * error + 2e-3
    forward = with_stiff_layers(model, 1e-6)
    few = Spiking(1.0, 4, Probabilities(1), Staggered(60_000))
    phase = chains(forward, x, few, 2)
    assert np.all(phase.info.residual < 2e-3)
    first = Spiking(1.0, 1, Probabilities(1), Staggered(60_000))
    assert np.all(chains(forward, x, first, 2).info.residual > 0.05)
    seen = embed(forward.energy.units, phase.state)
    fixed_point = embed(forward.energy.units, settled(forward, x[:1]))
    for name, fixed in fixed_point.items():
        np.testing.assert_allclose(seen[name][0], fixed[0], atol=2e-3)


def test_a_soft_reset_takes_its_share_of_a_stiff_membrane():
    model = with_stiff_layers(dense()[0], 0.5)
    reset = with_soft_reset(model, Spiking(0.5, 5, Rates(1)), 0.2).energy
    strengths = [reset.edges[f"{name}-{name}"].op.strength for name in ("h1", "h2", "out")]
    np.testing.assert_allclose(strengths, [0.4, 0.2, 0.1])


def test_convolutions_with_average_pooling_tend_to_their_fixed_point():
    model = convolutional((4, 4, 1), (2, 2), 3, jax.random.key(6), Logistic(), Logistic(), gain=1.5)
    x = jax.random.uniform(KEY, (1, 4, 4, 1))
    gap, error = distance(model, x, Spiking(0.1, 300, Probabilities(200)), 400)
    far, _ = distance(model, x, Spiking(1.0, 300, Probabilities(200)), 400)
    assert gap < 0.2 * far + 3 * error


def test_a_soft_reset_is_in_the_energy():
    model, x, _ = dense()
    solver = Spiking(0.1, 400, Probabilities(300))
    reset = with_soft_reset(model, solver, 0.1)
    state = chains(reset, x, solver, 2000).state
    gap, moved = (apart(one, state, settled(one, x[:1]))[0] for one in (reset, model))
    assert gap < 0.1 * moved


def wide(batch):
    model = layered((100, 128, 10), jax.random.key(1), Logistic(), Logistic())
    x = jax.random.uniform(jax.random.key(2), (batch, 100))
    return model, x, jax.nn.one_hot(jnp.arange(batch) % 10, 10)


def cosines(estimator, system, reference, seeds=12):
    model, x, y = system

    @systems.quickly
    @eqx.filter_vmap
    def gradients(key):
        return estimator(model, x, y, model.rest(x), key).gradient

    found = jax.tree.map(np.asarray, gradients(jax.random.split(KEY, seeds)))
    each = [compare(jax.tree.map(lambda a, i=i: a[i], found), reference) for i in range(seeds)]
    return {
        row.name: np.mean([agreements[j].cosine for agreements in each])
        for j, row in enumerate(each[0])
    }


@cache
def deterministic(batch):
    model, x, y = wide(batch)
    estimator = EquilibriumPropagation(EXACT, symmetric(0.5))
    return systems.quickly(lambda: estimator(model, x, y, model.rest(x), KEY).gradient)()


def agreement(batch, reading, steps, seeds=12):
    """The mean cosine to deterministic EP at the same nudge: of both weights, and of all parameters."""
    system, contrast = wide(batch), symmetric(0.5)
    free, nudged = Spiking(0.3, 60, Probabilities(15)), Spiking(0.3, steps, reading)
    estimator = SpikingPropagation(free, contrast, nudged)
    found = cosines(estimator, system, deterministic(batch), seeds)
    return np.array([found["x-h1.weight"], found["h1-out.weight"], found["all parameters"]])


@pytest.mark.long
def test_what_enters_the_rule_decides_its_noise():
    """The fact sheet's table: spikes < rates < probabilities < averaged ones."""
    last, rates = agreement(4, Rates(1), 20), agreement(4, Rates(15), 20)
    p, averaged = agreement(4, Probabilities(1), 20), agreement(4, Probabilities(15), 20)
    assert np.all(last < rates - 0.1) and np.all(rates < p - 0.1)
    assert averaged[0] > p[0] + 0.02 and averaged[2] > p[2]


@pytest.mark.long
def test_averaged_probabilities_find_the_gradient():
    assert np.all(agreement(32, Probabilities(15), 20, seeds=4) > 0.95)
    assert np.all(agreement(4, Probabilities(400), 500, seeds=4) > 0.985)


def test_phases_start_alike_and_share_their_noise():
    system = dense()
    model, x, y = system
    solver, weak = Spiking(0.3, 30, Rates(5)), symmetric(1e-9)
    kept = record(SpikingPropagation(solver, weak), model, x, y, KEY)
    low, high = (spikes for phase, spikes in kept.items() if phase != "free")
    jax.tree.map(np.testing.assert_array_equal, low, high)
    assert low["h1"].shape == (30, 4, 8) and low["h1"].dtype == bool
    assert np.any(low["h1"] != kept["free"]["h1"])
    own = SpikingPropagation(solver, weak, common_noise=False)
    kept = record(own, model, x, y, KEY, lambda carry: (carry.spikes, membranes(carry)))
    low, high = (found for phase, found in kept.items() if phase != "free")
    assert np.any(low[0]["h1"] != high[0]["h1"])
    np.testing.assert_allclose(low[1]["h1"][0], high[1]["h1"][0], atol=1e-8)


@pytest.mark.parametrize("reading", [Rates(1), Probabilities(7)])
def test_a_reading_is_the_mean_of_the_last_steps(reading):
    model, x, _ = dense(sizes=(6, 8, 3))
    estimator = SpikingPropagation(Spiking(0.3, 20, reading), symmetric(0.5))

    def hook(carry):
        return carry.spikes if isinstance(reading, Rates) else membranes(carry)

    run = systems.quickly(lambda: estimator.free(model, x, model.rest(x), KEY, hook))()
    read, kept = embed(model.energy.units, run.state), run.records
    if isinstance(reading, Probabilities):
        kept = embed(model.energy.units, kept)
    last = np.mean(kept["h1"][:, -reading.steps :], 1)
    np.testing.assert_allclose(read["h1"], last, atol=1e-12)


@pytest.mark.parametrize("output", ["graded", "read-out"])
def test_outputs_that_do_not_spike(output):
    """A graded linear layer, and a trained softmax on spiking features."""
    model, x, y = dense()
    if output == "graded":
        model = layered((6, 8, 3), jax.random.key(1), Logistic(), Linear(), 1.5)
    else:
        model = with_read_out(dense(sizes=(6, 8, 5))[0], 3, KEY, 3.0)
    graded = ("out",) if output == "graded" else ()
    contrast = symmetric(0.5)
    exact = EquilibriumPropagation(EXACT, contrast)
    estimator = SpikingPropagation(
        Spiking(0.1, 200, Probabilities(100), graded=graded),
        contrast,
        Spiking(0.1, 2000, Probabilities(1900), graded=graded),
    )
    estimate = systems.quickly(lambda e: e(model, x, y, model.rest(x), KEY).gradient)
    assert compare(estimate(estimator), estimate(exact))[-1].cosine > 0.97


def test_coded_inputs_have_the_mean_of_analog_ones():
    model, x, y = dense()
    solver = Spiking(0.05, 600, Probabilities(500))
    coded, plain = (
        embed(model.energy.units, chains(model, x, solver, 400, coding).state)
        for coding in (BernoulliCoded(), None)
    )
    for name, u in coded.items():
        np.testing.assert_allclose(np.mean(u, 0), np.mean(plain[name], 0), atol=0.01)
    estimator = SpikingPropagation(solver, symmetric(0.5), coding=BernoulliCoded())
    forecast = systems.quickly(lambda x: estimator.forecast(model, x, y, KEY))
    assert forecast(x).scores.shape == (4, 3)
    with pytest.raises(eqx.EquinoxRuntimeError, match="expected inputs in"):
        forecast(-x)


def test_coded_inputs_are_independent_of_the_spikes():
    """And both of themselves a step before, seen in membranes that hardly feel them."""
    layers = {"out": Layer(8, Box(), jnp.full(8, 0.5))}
    edges = [("x", "out", Dense(1e-6 * jnp.eye(8)))]
    model, x = Model(Network(8, layers, edges), SquaredError()), jnp.full((1, 8), 0.5)
    learner = SpikingPropagation(
        Spiking(1.0, 4000, Rates(1)), symmetric(0.1), coding=BernoulliCoded()
    )

    def seen(carry):
        return carry.membrane["out"] > 0.5, carry.spikes["out"]

    run = eqx.filter_jit(lambda: learner.free(model, x, model.rest(x), KEY, seen).records)
    coded, fired = (np.asarray(a[0], float) - 0.5 for a in run())
    pairs = [(coded, fired), (coded[1:], fired[:-1]), (coded[:-1], fired[1:])]
    for one, other in [*pairs, (coded[1:], coded[:-1]), (fired[1:], fired[:-1])]:
        assert abs(4 * np.mean(one * other)) < 5 / one.size**0.5


def test_sigma_delta_spikes_are_nearly_probabilities():
    model, x, _ = dense()
    gap, _ = distance(model, x, Spiking(0.1, 400, Rates(300), SigmaDelta()), 1)
    noisy, _ = distance(model, x, Spiking(0.1, 400, Rates(300)), 1)
    assert gap < 0.3 * noisy


def test_noise_differs_by_example_and_repeats():
    model, x, _ = dense()
    solver = Spiking(0.3, 20, Rates(1))
    first, again = (chains(model, x, solver, 50).carry.spikes["h1"] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(first, axis=0)) > 10


@pytest.mark.parametrize("leak", [0.0, -0.1, 1.1, float("nan")])
def test_leaks_outside_the_unit_interval(leak):
    with pytest.raises(ValueError, match=r"expected (a leak in \(0, 1\]|leak to be a number)"):
        Spiking(leak)


def pooled():
    return convolutional((8, 8, 1), (2, 2), 3, KEY, Box(), Box(), pool=MaxPool)


@pytest.mark.parametrize(
    "model, message",
    [
        (lambda: layered((4, 5, 3), KEY, Tanh(), Box()), "'h1' expected a unit that shows a prob"),
        (lambda: layered((4, 5, 3), KEY, Box(-1.0, 1.0), Box()), "negative"),
        (lambda: layered((4, 5, 3), KEY), r"'out' .* graded=\('out',\)"),
        (pooled, "expected average pooling"),
        (lambda: systems.quadratic().model, "expected a Network"),
    ],
)
def test_models_that_cannot_spike(model, message):
    model = model()
    x = jnp.zeros((1, *(model.energy.input_shape or (3,))))
    with pytest.raises(ValueError, match=message):
        traced(lambda: relax(model, x, model.rest(x), Spiking(), KEY))


def traced(function):
    """What is refused is refused before anything is computed."""
    return eqx.filter_eval_shape(function)


def test_other_bad_input():
    model, x, y = dense()
    solver, rest = Spiking(0.3, 20, Rates(5)), model.rest(x)
    given = model, x, y, rest, KEY
    with pytest.raises(ValueError, match="at least the 30 steps"):
        Spiking(0.3, 20, Probabilities(30))
    with pytest.raises(ValueError, match="Rates: expected steps >= 1, a whole number, got 0"):
        Rates(0)
    with pytest.raises(ValueError, match="Spiking: expected steps >= 1"):
        Spiking(steps=0)
    for rule in (Drawn, Staggered):
        with pytest.raises(ValueError, match="population >= 1, a whole number, got 0"):
            rule(0)
    hard = Spiking(firing=Threshold())
    with pytest.raises(ValueError, match="hard reset"):
        SpikingPropagation(hard, symmetric(0.5))
    with pytest.raises(ValueError, match="hard reset"):
        traced(lambda: EquilibriumPropagation(hard, symmetric(0.5))(*given))
    for other in (Spiking(0.5), Spiking(firing=Drawn(8)), Spiking(graded=("out",))):
        with pytest.raises(ValueError, match="in both phases, of the same neurons"):
            SpikingPropagation(Spiking(), symmetric(0.5), other)
    with pytest.raises(ValueError, match="real nudges"):
        traced(lambda: SpikingPropagation(solver, holomorphic(4, 0.3))(*given))
    with pytest.raises(ValueError, match="population from 1 to 65535, got 70000"):
        Staggered(70_000)
    with pytest.raises(
        ValueError, match="expected spikes as how many of a population fired, uint16"
    ):
        Staggered(4).neurons(jnp.ones(3))
    some = Spiking(0.3, 5, Rates(1), {"h1": Drawn()})
    with pytest.raises(ValueError, match=r"a rule of firing for layer 'h2', got rules for .'h1'."):
        some.start(model.free(x[0]), model.energy.rest(x.dtype), KEY)
    rules = dict.fromkeys(("h1", "h2", "out", "h9"), Drawn())
    with pytest.raises(ValueError, match=r"rules of firing for layers among .* got some for"):
        traced(lambda: relax(model, x, rest, Spiking(firing=rules), KEY))
    with pytest.raises(ValueError, match="expected graded layers among"):
        traced(lambda: relax(model, x, rest, Spiking(graded=("h9",)), KEY))
    with pytest.raises(ValueError, match="random key"):
        traced(lambda: relax(model, x, rest, solver))
    with pytest.raises(ValueError, match="theta > 0"):
        with_soft_reset(model, solver, 0.0)
    phase = model.free(x[0])
    carry = eqx.filter_jit(solver.start)(phase, model.energy.rest(x.dtype), KEY)
    with pytest.raises(ValueError, match="carry of a batch, got that of one example"):
        activity(carry)
    wrong = carry._replace(spikes=jax.tree.map(lambda s: s.astype(float), carry.spikes))
    with pytest.raises(ValueError, match="expected booleans"):
        solver.run(lambda key: phase, wrong)


WRONG_TYPES = """
from eqprop import Blockwise, EquilibriumPropagation, symmetric
from eqprop.spiking import Spiking, SpikingPropagation, Staggered, record

contrast = symmetric(0.1)
for make in (
    lambda: Spiking(steps=7.5),
    lambda: Staggered(2.5),
    lambda: Spiking(firing="bernoulli"),
    lambda: SpikingPropagation(Blockwise(), contrast),
    lambda: SpikingPropagation(Spiking(), type("Contrast", (), {})()),
    lambda: record(EquilibriumPropagation(Blockwise(), contrast), 0, 0, 0, 0),
):
    try:
        make()
    except ValueError as error:
        print(error)
"""


def test_wrong_types_are_said_where_no_checker_runs():
    done = subprocess.run([sys.executable, "-c", WRONG_TYPES], capture_output=True, text=True)
    for said, expected in zip(
        done.stdout.splitlines(),
        (
            "expected steps >= 1, a whole number, got 7.5",
            "expected population >= 1, a whole number, got 2.5",
            "expected firing to be a Firing or a dict, each a Firing, got 'bernoulli'",
            "expected solver to be a Spiking, got a Blockwise",
            "expected contrast to be a Contrast, got a Contrast of __main__",
            "a SurrogateBackpropagation, got an EquilibriumPropagation",
        ),
        strict=True,
    ):
        assert re.search(expected, said), said


@systems.quickly
def matrices(network):
    """Of the edges between layers, from what they make of each unit vector."""
    made = {}
    for name, edge in network.edges.items():
        if edge.source != "x":
            shape = network.shapes[edge.source]
            flat = jax.vmap(lambda u, op=edge.op, s=shape: op(u.reshape(s)).ravel())
            made[name] = flat(jnp.eye(int(np.prod(shape))))
    return made


def synapses(network):
    """Targets and sources that each neuron is wired to, counted one weight at a time."""
    count = dict.fromkeys(network.layers, 0)
    for name, matrix in matrices(network).items():
        edge, wired = network.edges[name], np.asarray(matrix) != 0
        count[edge.source] = count[edge.source] + wired.sum(1)
        count[edge.target] = count[edge.target] + wired.sum(0)
    return count


def test_fan_out_counts_both_ways():
    count = systems.quickly(fan_out)
    for system in (systems.strided(), systems.skip()):
        found = count(system.model)
        counted = synapses(system.model.energy)
        for name, reached in found.items():
            np.testing.assert_array_equal(np.ravel(reached), counted[name])
    model = convolutional((8, 8, 1), (2, 4), 3, KEY, Box(), Box())
    reached = np.asarray(count(model)["c2"])
    np.testing.assert_array_equal(reached[..., 0], np.full((2, 2), 3 + 2 * (4 + 6 + 6 + 9)))


@pytest.mark.parametrize("population", [1, 3])
def test_costs_are_spikes_times_fan_out(population):
    model, x, y = dense(sizes=(6, 8, 3))
    solver = Spiking(0.3, 20, Rates(5), Drawn(population))
    estimator = SpikingPropagation(solver, symmetric(0.5))
    kept = record(estimator, model, x, y, KEY)
    assert list(kept) == ["free", "beta = -0.5", "beta = 0.5"]
    found = price(model, estimator.solver, kept)
    fan = {"h1": 3, "out": 8}
    spikes = {n: sum(np.sum(part[n]) for part in kept.values()) for n in fan}
    np.testing.assert_allclose(
        found.synaptic_operations, sum(fan[n] * spikes[n] for n in fan) / len(x)
    )
    assert found.draws == 60 * 11 * population
    assert found.dense_operations == 60 * sum(
        fan[n] * size for n, size in zip(fan, (8, 3), strict=True)
    )
    assert found.synaptic_operations < found.dense_operations * population
    np.testing.assert_allclose(rates(kept["free"])["h1"], np.mean(kept["free"]["h1"], 0), rtol=1e-6)
    with pytest.raises(ValueError, match="expected booleans"):
        price(model, solver, {"free": kept["free"] | {"h1": jnp.ones((2, 3, 8))}})
    with pytest.raises(ValueError, match="expected 8 neurons a membrane"):
        price(model, Spiking(0.3, 20, Rates(5), Drawn(8)), kept)
    with pytest.raises(ValueError, match="expected spikes of the layers"):
        price(model, solver, {"free": {"h1": kept["free"]["h1"]}})


def test_phases_of_any_firing_are_recorded():
    model, x, y = dense()
    solver = Spiking(0.3, 12, Rates(5), Threshold())
    kept = record(SurrogateBackpropagation(solver), model, x, y, KEY)
    assert list(kept) == ["free"] and kept["free"]["h1"].shape == (12, 4, 8)
    assert price(model, solver, kept).synaptic_operations > 0


estimate = systems.quickly(
    lambda estimator, model, x, y: estimator(model, x, y, model.rest(x), KEY)
)


@pytest.mark.parametrize("where", ["weights", "input"])
def test_what_is_not_finite_is_seen_behind_spikes(where):
    """Whatever is read: rates in the free phase, probabilities in the nudged ones."""
    model, x, y = dense(sizes=(6, 8, 3))
    if where == "weights":
        model = jax.tree.map(lambda a: a * jnp.nan if eqx.is_inexact_array(a) else a, model)
    else:
        x = x.at[0, 0].set(jnp.nan)
    free, nudged = Spiking(0.3, 20, Rates(5)), Spiking(0.3, 20, Probabilities(5))
    contrast = SpikingPropagation(free, symmetric(0.5), nudged)
    for estimator in (contrast, SurrogateBackpropagation(free)):
        found = estimate(estimator, model, x, y)
        assert np.isnan(found.value)
        assert found.report.free.outcome[0] == DIVERGED
        if estimator is contrast:
            assert np.all(found.report.nudged.outcome[:, 0] == DIVERGED)


def test_plots_show_the_spikes_given(tmp_path):
    spikes = np.zeros((6, 2, 4), bool)
    spikes[[1, 3], 0, 2] = spikes[5, 1, 0] = True
    phases = {"free": {"h1": spikes}, "beta = 0.5": {"h1": spikes[:3]}}
    (axes,) = raster(phases).axes
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[1, 2], [3, 2], [7, 2]])
    large = np.zeros((2, 1, 630), bool)
    large[0, 0, 10] = True  # the second of 64 neurons at distances of 629 / 63
    (axes,) = raster({"free": {"h1": large}}).axes
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[0, 1]])
    assert "64 of 630 neurons" in axes.get_title(loc="left")
    figure = firing_rates(phases)
    assert [len(stairs.get_data().values) for stairs in figure.axes[0].patches] == [7, 4]
    density = figure.axes[0].patches[0].get_data().values
    np.testing.assert_allclose(density, [4.5, 0.75, 0.75, 0, 0, 0, 0])
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["free: mean 0.06", "beta = 0.5: mean 0.04"]
    assert save(figure, tmp_path / "rates.png").exists()
    with pytest.raises(ValueError, match="expected booleans"):
        raster({"free": {"h1": spikes.astype(float)}})
    with pytest.raises(ValueError, match="expected one of 2"):
        raster(phases, 2)
    with pytest.raises(ValueError, match="expected layers"):
        firing_rates(phases | {"other": {"h2": spikes}})
