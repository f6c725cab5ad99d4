"""Spiking networks that are trained, and what they are compared with."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqprop import Box, Layer, Logistic, Network, Ramp, Training, fit, layered, symmetric
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
    SpikingPropagation,
    SurrogateBackpropagation,
    Threshold,
)
from eqprop.spiking.activity import warn_if_unmoved
from eqprop.thermal import Enumeration, Phases, Thermal, finite_nudge
from eqprop.thermal.as_spins import TEMPERATURE, GibbsContrast, as_spins
from eqprop.training import Dataset, Optimiser, Split, rivals
from eqprop.training.figures.run import draw_run
from helpers import systems
from helpers.command import is_png
from helpers.spiking import KEY, dense, distance

FREE, NUDGED = Spiking(0.3, 12, Probabilities(6)), Spiking(0.3, 8, Probabilities(4))
LEARNER = SpikingPropagation(FREE, symmetric(0.5), NUDGED)


def spots(count, seed, side=3):
    """Images whose class is the row that is bright, but for noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, side, count).astype(np.int32)
    x = rng.uniform(0.0, 0.5, (count, side, side, 1))
    x[np.arange(count), y] += 0.5
    return Split(x, y)


SPOTS = Dataset("spots", spots(260, 0), spots(60, 1), 3)


def training(estimator=LEARNER):
    model = layered((9, 6, 3), KEY, Logistic(), Logistic())
    optimiser = Optimiser(0.03)
    return Training(model, estimator, SPOTS, optimiser, 2, 20, validation=60, test_seeds=3)


# --- training ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(as_trained, tmp_path_factory):
    return fit(training(), tmp_path_factory.mktemp("spiking") / "run", audit=True)


def test_spikes_are_trained_and_counted(trained):
    result, rows = trained.result, trained.rows
    accuracies = result["test_accuracy_by_noise"]
    assert len(accuracies) == 3 and len(set(accuracies)) > 1
    assert result["test_accuracy"] == pytest.approx(np.mean(accuracies))
    assert result["test_error_std_over_noise"] == pytest.approx(100 * np.std(accuracies, ddof=1))
    assert result["test_accuracy"] > 0.6
    spikes = result["spikes"]
    assert list(spikes["rates"]) == ["free", "beta = -0.5", "beta = 0.5"]
    assert spikes["draws"] == (12 + 2 * 8) * 9
    assert 0 < spikes["synaptic_operations"] < spikes["dense_operations"]
    assert spikes["microjoules"] == pytest.approx(0.9e-6 * spikes["synaptic_operations"])
    assert all(0 < row["rate"] < 1 and 0 <= row["silent"] < 1 for row in rows)
    cosine = next(row["cosine"] for row in result["audit"] if row["name"] == "all parameters")
    assert cosine > 0.5 and result["against"] == "implicit differentiation"


def test_a_spiking_run_is_drawn(trained):
    paths = draw_run(trained.folder, SPOTS)
    names = ("learning", "agreement", "activity", "raster", "rates", "weights")
    assert sorted(path.stem for path in paths) == sorted(names)
    assert all(is_png(path) for path in paths)


@pytest.mark.usefixtures("as_trained")
def test_a_spiking_network_learns_by_surrogate_gradients_too():
    run = fit(training().by(rivals.surrogate))
    assert run.history["loss"][-1] < run.history["loss"][0]
    assert 0 < run.history["rate"][-1] < 1


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

        def step(u, _):
            s = {name: p(v) for name, v in u.items()}
            g = {
                "h1": x @ w[0] + s["h2"] @ w[1].T,
                "h2": s["h1"] @ w[1] + s["out"] @ w[2].T,
                "out": s["h2"] @ w[2],
            }
            return {n: (1 - leak) * u[n] + leak * (g[n] + layers[n].bias) for n in names}, None

        u, _ = jax.lax.scan(step, u, None, steps)
        return 0.5 * jnp.sum((p(u["out"]) - y) ** 2) / len(x)

    exact = systems.quickly(eqx.filter_grad(loss))(model)
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
    read = [SurrogateBackpropagation(Spiking(0.6, 1, kind(1))) for kind in (Probabilities, Rates)]
    found, spiked = systems.quickly(lambda: [e(model, x, y, model.rest(x), KEY) for e in read])()

    def loss(model):
        u = 0.6 * (x @ model.energy.edges["x-out"].op.weight + model.energy.layers["out"].bias)
        return 0.5 * jnp.sum((jax.nn.sigmoid(4 * (u - 0.5)) - y) ** 2) / 4

    exact = systems.quickly(eqx.filter_grad(loss))(model)
    assert compare(found.gradient, exact)[-1].relative_error < 1e-12
    scored = np.asarray(spiked.state["out"])
    fired = np.asarray(Logistic().embed(jnp.asarray(scored))).round(6)
    assert set(np.unique(fired)) <= {0.0, 1.0}
    assert np.any(np.asarray(spiked.gradient.energy.edges["x-out"].op.weight) != 0)


# --- firing -----------------------------------------------------------------------------------


def constant_currents(currents, solver):
    """The spikes of neurons without neighbours: (neurons, steps)."""
    layer = Layer(len(currents), Box(), jnp.asarray(currents))
    model = Model(Network(1, {"out": layer}, []), SquaredError())

    @systems.quickly
    def run():
        phase = model.free(jnp.zeros(1))
        start = solver.start(phase, model.energy.rest(jnp.float64), KEY)
        return solver.run(lambda key: phase, start, lambda c: c.spikes["out"])[1]

    return np.asarray(run()).T


def test_a_threshold_fires_at_the_rate_of_its_charging_time():
    leak, threshold, currents = 0.2, 0.5, (0.3, 0.55, 0.8, 2.0)
    solver = Spiking(leak, 200, Rates(1), Threshold(threshold))
    silent, *firing = constant_currents(currents, solver)
    assert not silent.any()
    for current, spikes in zip(currents[1:], firing, strict=True):
        period = int(np.ceil(np.log(1 - threshold / current) / np.log(1 - leak)))
        np.testing.assert_array_equal(np.diff(np.flatnonzero(spikes)), period)


def test_sigma_delta_is_within_one_spike_of_its_rate():
    rates = np.array([0.0, 0.13, 0.5, 1.0])
    spikes = constant_currents(rates, Spiking(1.0, 100, Rates(1), SigmaDelta()))
    wanted = rates[:, None] * np.arange(1, 101)
    assert np.all(abs(np.cumsum(spikes, 1) - wanted) <= 1.0 + 1e-9)


def test_bernoulli_fires_at_its_rate():
    spikes = constant_currents((0.3,), Spiking(1.0, 4000, Rates(1), Drawn()))
    np.testing.assert_allclose(spikes.mean(), 0.3, atol=4 * (0.21 / 4000) ** 0.5)


def test_half_slopes_have_no_bias_in_their_linear_range():
    model = layered((6, 8, 3), jax.random.key(1), Ramp(), Ramp(), 0.3)
    model = eqx.tree_at(
        lambda m: [layer.bias for layer in m.energy.layers.values()],
        model,
        [jnp.full_like(layer.bias, 0.9) for layer in model.energy.layers.values()],
    )
    x = jax.random.uniform(KEY, (1, 6))
    gap, error = distance(model, x, Spiking(0.5, 100, Probabilities(50)))
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
    model, x, y = dense(sizes=(4, 3, 2))
    exact = GibbsContrast(Thermal(Enumeration(TEMPERATURE), finite_nudge(0.5)))
    drawn = GibbsContrast.init(finite_nudge(0.5), chains=256, burn=10, samples=10)
    estimate = systems.quickly(lambda e: e(model, x, y, model.rest(x), KEY))
    truth = estimate(exact)

    def free_energies(bias):
        """Differentiated: the exact gradient, by another way."""
        moved = eqx.tree_at(lambda m: m.energy.layers["h1"].bias, as_spins(model), bias)
        phases = Phases(moved, x, y, jnp.array([0.0, 0.5]))
        found = Enumeration(TEMPERATURE).free_energy(phases)
        return jnp.mean(found[1] - found[0]) / 0.5

    slope = systems.quickly(jax.grad(free_energies))(as_spins(model).energy.layers["h1"].bias)
    np.testing.assert_allclose(truth.gradient.energy.layers["h1"].bias, slope, atol=1e-12)
    found = estimate(drawn)
    assert compare(found.gradient, truth.gradient)[-1].cosine > 0.99
    assert drawn.scores(model, found.state).shape == (4, 2)
    assert isinstance(found.gradient.energy.layers["h1"].unit, Logistic | type(None))


def test_what_has_no_gibbs_law_is_refused():
    with pytest.raises(ValueError, match="expected Logistic layers"):
        as_spins(layered((3, 4, 2), KEY, Box(), Box()))
    with pytest.raises(ValueError, match=r"at T = 0\.25"):
        GibbsContrast(Thermal(Enumeration(1.0), finite_nudge(0.5)))
    read_out = systems.read_out().model
    with pytest.raises(ValueError, match="expected Logistic layers"):
        as_spins(read_out)
