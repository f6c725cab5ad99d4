"""Spiking networks trained by the command, and what they are compared with."""

import dataclasses
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqprop import Box, Layer, Logistic, Network, Ramp, layered
from eqprop.energies.costs import SquaredError
from eqprop.energies.energy import field
from eqprop.energies.model import Model
from eqprop.energies.units.noise import uniform
from eqprop.estimators.audit import compare
from eqprop.spiking import (
    Drawn,
    Probabilities,
    Rates,
    SigmaDelta,
    Spiking,
    SurrogateBackpropagation,
    Threshold,
)
from eqprop.spiking.activity import warn_if_unmoved
from eqprop.thermal import Enumeration, Thermal, finite_nudge
from eqprop.thermal.as_spins import TEMPERATURE, GibbsContrast, as_spins
from eqprop.training.recipes import RECIPES
from eqprop.training.runs import read_rows
from eqprop.training.spiking_recipes import SpikingRecipe
from helpers import systems
from helpers.command import call, is_png, one_line, refusal
from helpers.spiking import KEY, dense, distance

TINY = (
    "mnist-spiking", "--data", "digits", "--hidden", "32", "--validation", "100",
    "--examples", "800", "--batch-size", "20", "--learning-rate", "0.005", "--max-steps", "20",
    "--test-seeds", "3",
)  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- the command ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spiking") / "run"
    return folder, call("train", *TINY, "--epochs", "3", "--json", "--out", folder)


def test_spikes_train_digits(trained):
    folder, done = trained
    assert done.code == 0, done.err
    result = one_line(done.out)
    accuracies = result["test_accuracy_by_noise"]
    assert len(accuracies) == 3 and len(set(accuracies)) > 1
    assert result["test_accuracy"] == pytest.approx(np.mean(accuracies))
    assert result["test_error_std_over_noise"] == pytest.approx(100 * np.std(accuracies, ddof=1))
    assert result["test_accuracy"] > 0.75
    spikes = result["spikes"]
    assert list(spikes["rates"]) == ["free", "beta = -0.5", "beta = 0.5"]
    assert spikes["draws"] == (20 + 2 * 10) * 42
    assert 0 < spikes["synaptic_operations"] < spikes["dense_operations"]
    assert spikes["microjoules"] == pytest.approx(0.9e-6 * spikes["synaptic_operations"])
    rows = read_rows(folder)
    assert all(0 < row["rate"] < 1 and 0 <= row["silent"] < 1 for row in rows)
    names = ("learning", "agreement", "activity", "raster", "rates", "weights")
    assert sorted(path.stem for path in folder.glob("*.png")) == sorted(names)
    assert all(is_png(path) for path in folder.glob("*.png"))
    assert "rate 0." in done.err and "synaptic operations" in done.err
    cosine = next(row["cosine"] for row in result["audit"] if row["name"] == "all parameters")
    assert cosine > 0.5


def test_a_spiking_run_is_audited_and_drawn(trained):
    folder, _ = trained
    audited = one_line(call("audit", "mnist-spiking", "--run", folder, "--json").out)
    drawn = call("plot", folder)
    assert audited["beta_sweep"] is None
    assert 0 < audited["spread"]["cosine"] < 1
    assert drawn.code == 0 and "raster.png" in drawn.err


@pytest.mark.parametrize(
    "change, message",
    [
        (("--estimator", "spiking"), "expected a recipe of a spiking network"),
        (("--leak", "0"), r"expected a leak in \(0, 1\]"),
        (("--unit", "tanh"), "unit: expected one of logistic"),
        (("--averaged", "11"), "averaged: expected at most the 10 steps of its phase, got 11"),
        (("--max-steps", "8"), "predicted: expected at most the 8 steps of its phase, got 15"),
        (("--reset", "-1"), "reset: expected a number >= 0"),
        (("--test-seeds", "0"), "test_seeds: expected a number >= 1"),
        (("--population", "0"), "population: expected a number >= 1"),
        (("--population", "4", "--firing", "sigma-delta"), "1 where firing is not drawn"),
        (("--layer-populations", "2"), "layer_populations: expected 2 numbers, one for each of"),
        (("--layer-populations", "0", "4"), "population: expected a number >= 1"),
    ],
)
def test_recipes_that_make_no_sense(change, message):
    name = "digits" if change[-1] == "spiking" else "mnist-spiking"
    line = refusal(call("train", name, "--data", "digits", *change))
    assert re.search(message, line), line


def test_every_field_builds_what_it_says():
    recipe = RECIPES["mnist-spiking"]
    assert isinstance(recipe, SpikingRecipe)
    changed = dataclasses.replace(
        recipe, unit="half-clip", output="linear", firing="sigma-delta", reading="rates", leak=0.7
    )
    changed.check()
    free, nudged = changed.free_phase(), changed.nudged_phase()
    assert (free.steps, free.reading) == (30, Rates(15))
    assert (nudged.steps, nudged.reading) == (10, Rates(5))
    assert free.firing == SigmaDelta() and free.leak == 0.7 and free.graded == ("out",)
    crowds = dataclasses.replace(recipe, population=2, layer_populations=(1, 8))
    crowds.check()
    assert crowds.free_phase().firing == {"h1": Drawn(2), "out": Drawn(16)}


def test_silent_and_busy_neurons_are_warned_of():
    with pytest.warns(UserWarning, match=r"Epoch 3: 95.0% of the spiking neurons hardly ever fire"):
        warn_if_unmoved({"epoch": 3, "silent": 0.95, "busy": 0.0})
    with pytest.warns(UserWarning, match="fire at nearly every step"):
        warn_if_unmoved({"epoch": 3, "silent": 0.0, "busy": 0.91})
    warn_if_unmoved({"epoch": 3, "silent": 0.5, "busy": 0.5})


# --- surrogate gradients ----------------------------------------------------------------------


def test_surrogate_gradients_are_those_of_the_dynamics_without_spikes():
    """Where spikes are replaced by their probabilities, exact; with them, right on average."""
    model, x, y = dense()
    leak, steps = 0.4, 12
    y = jnp.asarray(y, float)

    def loss(model):
        """The same dynamics written anew, with the probabilities themselves."""
        edges, layers = model.energy.edges, model.energy.layers
        names = ("h1", "h2", "out")
        w = [edges[n].op.weight for n in ("x-h1", "h1-h2", "h2-out")]
        u = {name: jnp.zeros((len(x), layers[name].shape[0])) for name in names}

        def p(u):
            return jax.nn.sigmoid(4 * (u - 0.5))

        for _ in range(steps):
            s = {name: p(v) for name, v in u.items()}
            g = {
                "h1": x @ w[0] + s["h2"] @ w[1].T,
                "h2": s["h1"] @ w[1] + s["out"] @ w[2].T,
                "out": s["h2"] @ w[2],
            }
            u = {n: (1 - leak) * u[n] + leak * (g[n] + layers[n].bias) for n in names}
        return 0.5 * jnp.sum((p(u["out"]) - y) ** 2) / len(x)

    exact = eqx.filter_jit(eqx.filter_grad(loss))(model)
    many = 400
    estimator = SurrogateBackpropagation(Spiking(leak, steps, Probabilities(1)))
    xs, ys = jnp.tile(x, (many, 1)), jnp.tile(y, (many, 1))
    found = systems.quickly(lambda: estimator(model, xs, ys, model.rest(xs), KEY))()
    assert compare(found.gradient, exact)[-1].cosine > 0.98
    assert found.report.nudged is None and 0 < found.report.metrics()["rate"] < 1


def test_a_surrogate_slope_is_that_of_the_probability():
    """One layer, one step: no noise enters, and the gradient is exact."""
    model = layered((5, 3), KEY, Logistic(), Logistic(), 2.0)
    x, y = jax.random.normal(KEY, (4, 5)), jnp.eye(3)[jnp.arange(4) % 3]
    estimator = SurrogateBackpropagation(Spiking(0.6, 1, Probabilities(1)))
    found = estimator(model, x, y, model.rest(x), KEY).gradient

    def loss(model):
        u = 0.6 * (x @ model.energy.edges["x-out"].op.weight + model.energy.layers["out"].bias)
        return 0.5 * jnp.sum((jax.nn.sigmoid(4 * (u - 0.5)) - y) ** 2) / 4

    assert compare(found, eqx.filter_grad(loss)(model))[-1].relative_error < 1e-12
    rates = SurrogateBackpropagation(Spiking(0.6, 1, Rates(1)))
    spiked = rates(model, x, y, model.rest(x), KEY)
    scored = np.asarray(spiked.state["out"])
    fired = np.asarray(Logistic().embed(jnp.asarray(scored))).round(6)
    assert set(np.unique(fired)) <= {0.0, 1.0}
    assert np.any(np.asarray(spiked.gradient.energy.edges["x-out"].op.weight) != 0)


# --- firing -----------------------------------------------------------------------------------


def constant_current(current, solver, steps):
    """The spikes of one neuron without neighbours."""
    layer = Layer(1, Box(), jnp.asarray([current]))
    model = Model(Network(1, {"out": layer}, []), SquaredError())
    phase = model.free(jnp.zeros(1))
    start = solver.start(phase, model.energy.rest(jnp.float64), KEY)
    solver = dataclasses.replace(solver, steps=steps)
    return np.asarray(solver.run(lambda key: phase, start, lambda c: c.spikes["out"])[1])[:, 0]


@pytest.mark.parametrize("current", [0.3, 0.55, 0.8, 2.0])
def test_a_threshold_fires_at_the_rate_of_its_charging_time(current):
    leak, threshold, steps = 0.2, 0.5, 200
    solver = Spiking(leak, steps, Rates(1), Threshold(threshold))
    spikes = constant_current(current, solver, steps)
    if current <= threshold:
        assert not spikes.any()
    else:
        period = int(np.ceil(np.log(1 - threshold / current) / np.log(1 - leak)))
        np.testing.assert_array_equal(np.diff(np.flatnonzero(spikes)), period)


@pytest.mark.parametrize("p", [0.0, 0.13, 0.5, 1.0])
def test_sigma_delta_is_within_one_spike_of_its_rate(p):
    spikes = constant_current(p, Spiking(1.0, 100, Rates(1), SigmaDelta()), 100)
    assert np.all(abs(np.cumsum(spikes) - p * np.arange(1, 101)) <= 1.0 + 1e-9)


def test_bernoulli_fires_at_its_rate():
    spikes = constant_current(0.3, Spiking(1.0, 4000, Rates(1), Drawn()), 4000)
    np.testing.assert_allclose(spikes.mean(), 0.3, atol=4 * (0.21 / 4000) ** 0.5)


def test_half_slopes_have_no_bias_in_their_linear_range():
    model = layered((6, 8, 3), jax.random.key(1), Ramp(), Ramp(), 0.3)
    model = eqx.tree_at(
        lambda m: [layer.bias for layer in m.energy.layers.values()],
        model,
        [jnp.full_like(layer.bias, 0.9) for layer in model.energy.layers.values()],
    )
    x = jax.random.uniform(KEY, (1, 6))
    gap, error = distance(model, x, Spiking(0.5, 200, Probabilities(100)))
    assert gap < 3 * error < 0.01


# --- the exact alternative --------------------------------------------------------------------


def test_spins_at_a_quarter_fire_as_logistic_neurons_do():
    model, x, _ = dense(sizes=(3, 4, 3))
    spins = as_spins(model)
    state = {name: uniform(KEY, z[0].shape) > 0.5 for name, z in model.rest(x).items()}
    shown = {name: s.astype(float) for name, s in state.items()}
    network, phase = model.energy, spins.free(x[0])
    w, b = network.edges["x-h1"].op.weight, network.layers["h1"].bias
    g = x[0] @ w + b + network.edges["h1-out"].op.weight @ shown["out"]
    unit, flat = phase.units["h1"], jnp.zeros(4)
    mean = unit.mean(
        shown["h1"], field(phase, shown, ("h1",))["h1"], flat, jnp.asarray(TEMPERATURE)
    )
    np.testing.assert_allclose(mean, jax.nn.sigmoid(4 * (g - 0.5)), rtol=1e-12)


def test_the_gibbs_contrast_is_the_enumerated_one():
    model, x, y = dense(sizes=(6, 5, 3))
    exact = GibbsContrast(Thermal(Enumeration(TEMPERATURE), finite_nudge(0.5)))
    drawn = GibbsContrast.init(finite_nudge(0.5), chains=256, burn=10, samples=10)
    estimate = systems.quickly(lambda e: e(model, x, y, model.rest(x), KEY))
    truth = estimate(exact)

    def free_energies(bias):
        """Differentiated: the exact gradient, by another way."""
        moved = eqx.tree_at(lambda m: m.energy.layers["h1"].bias, as_spins(model), bias)
        found = Enumeration(TEMPERATURE).free_energy(moved, x, y, jnp.array([0.0, 0.5]))
        return jnp.mean(found[1] - found[0]) / 0.5

    slope = jax.grad(free_energies)(as_spins(model).energy.layers["h1"].bias)
    np.testing.assert_allclose(truth.gradient.energy.layers["h1"].bias, slope, atol=1e-12)
    found = estimate(drawn)
    assert compare(found.gradient, truth.gradient)[-1].cosine > 0.99
    assert drawn.scores(model, found.state).shape == (4, 3)
    assert isinstance(found.gradient.energy.layers["h1"].unit, Logistic | type(None))


def test_what_has_no_gibbs_law_is_refused():
    with pytest.raises(ValueError, match="expected Logistic layers"):
        as_spins(layered((3, 4, 2), KEY, Box(), Box()))
    with pytest.raises(ValueError, match=r"at T = 0\.25"):
        GibbsContrast(Thermal(Enumeration(1.0), finite_nudge(0.5)))
    read_out = systems.read_out().model
    with pytest.raises(ValueError, match="expected Logistic layers"):
        as_spins(read_out)
