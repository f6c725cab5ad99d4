"""Samplers tend to their laws; chains have noise of their own, mix, and go on where others ended."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from eqprop import (
    Cost,
    Layer,
    Linear,
    Model,
    Network,
    SquaredError,
    layered,
)
from eqprop.energies.units.spin import Bernoulli, Spin
from eqprop.thermal import Gibbs, Hmc, Mala, Nuts, UnadjustedLangevin, Underdamped
from eqprop.thermal.chains import Chains, scatter
from eqprop.thermal.ensemble import Phases, no_statistic
from eqprop.thermal.estimator import Thermal
from eqprop.thermal.exact import Enumeration
from eqprop.thermal.free_energy import jarzynski
from eqprop.thermal.mixing import mixing, warn_if_unmixed
from eqprop.thermal.rules import (
    finite_nudge,
)
from eqprop.training.epoch import Examples, start, train_epoch
from helpers import systems
from helpers.later import later
from helpers.systems import SIGNS, exact, gaussian, normal, spins
from helpers.thermal import KEY, LAWS, estimate, found, law, repeated

GIBBS = {
    "plain": Chains(1.0, Gibbs(), 4000, 60, 1, 1),
    "hot": Chains(1.0, Gibbs(), 4000, 60, 1, 1, hot=4.0),
    "swap": Chains(1.0, Gibbs(), 4000, 30, 8, 3, common_noise=False, exchange=True),
}


@systems.quickly
def moments_of_spins(source, model, x, y):
    """Second and first, at three nudges."""

    def moments(states, weights):
        flat = jnp.concatenate(list(states.values()), -1)
        seconds = jnp.einsum("kbc,kbci,kbcj->kbij", weights, flat, flat)
        return seconds, jnp.sum(weights[..., None] * flat, 2)

    phases = Phases(model, x, y, jnp.array([0.0, 0.5, 1.0]))
    return source.average(phases, model.rest(x), KEY, moments).mean


@pytest.mark.parametrize(
    ("unit", "source"),
    [(Spin, "plain"), (Spin, "hot"), (Spin, "swap"), (Bernoulli, "plain")],
    ids=["Spin-plain", "Spin-hot", "Spin-swap", "Bernoulli-plain"],
)
def test_gibbs_tends_to_the_enumerated_law(unit, source):
    system = spins(unit, (2, 3, 3, 2))
    got, expected = (moments_of_spins(one, *system) for one in (GIBBS[source], Enumeration(1.0)))
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=0.07)


CONTINUOUS = {
    "gibbs": (Gibbs(), 1, 0.0),
    "langevin": (UnadjustedLangevin(0.01), 700, 0.01),
    "underdamped": (Underdamped(0.1), 120, 0.01),
    "mala": (Mala(0.05), 250, 0.0),
    "hmc": (Hmc(0.1, 5), 80, 0.0),
    "nuts": (Nuts(0.15, 4), 40, 0.0),
}
SHORT = dict.fromkeys(("hmc", "nuts"), ("linear", "box", "tanh"))
"""Of the laws, where a sampler compiles for long and knows units by their density alone, as Mala does."""


class Everywhere(Cost):
    """Half the squared distance of every layer from the target."""

    output: str = eqx.field(default="linear", static=True)

    def __call__(self, shown, y):
        return 0.5 * sum(jnp.sum((u - y) ** 2) for u in shown.values())

    def predict(self, shown):
        return shown[self.output]

    def curvature(self, beta):
        return beta


@pytest.mark.parametrize("name", ["gibbs", "langevin", "underdamped", "mala", "hmc", later("nuts")])
def test_samplers_tend_to_the_law_in_what_a_unit_shows(name):
    """Mean and variance of ``u`` against quadrature of ``exp(-(potential - a u + b C) / T) du``, for
    uncoupled units of every kind; Gibbs, which may nudge one layer, nudges the first."""
    (sampler, steps, bias), chains, t, beta, y = CONTINUOUS[name], 2000, 0.5, 0.6, 0.3
    laws = {n: LAWS[n] for n in SHORT.get(name, LAWS)}
    layers = {n: Layer(1, unit, jnp.asarray([field])) for n, (unit, field) in laws.items()}
    cost = SquaredError("linear") if name == "gibbs" else Everywhere()
    model, x = Model(Network(1, layers, []), cost), jnp.zeros((1, 1))
    source = Chains(t, sampler, chains, steps, 1, 1)

    def shown(states, weights):
        u = {n: unit.embed(states[n][0, 0, :, 0]) for n, (unit, _) in laws.items()}
        return {n: (jnp.mean(one), jnp.var(one)) for n, one in u.items()}

    @systems.quickly
    def run(y):
        start = scatter(model, x, chains, KEY)
        phases = Phases(model, x, y, jnp.array([beta]))
        return source.average(phases, start, KEY, shown).mean

    for n, (mean, variance) in run(jnp.full((1, 1), y)).items():
        nudge = beta if n == "linear" or name != "gibbs" else 0.0
        _, u, mass = law(*laws[n], nudge, y, t)
        expected = mass @ u
        spread = mass @ (u - expected) ** 2
        near = 5 * (spread / chains) ** 0.5 + bias
        np.testing.assert_allclose(mean, expected, atol=near, err_msg=n)
        np.testing.assert_allclose(variance, spread, rtol=0.12 + 4 * bias, err_msg=n)


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


def test_a_boltzmann_machine_of_single_spins():
    """Every spin a layer of its own: couplings among all, still exact by Gibbs."""
    names = [f"s{i}" for i in range(3)] + ["out"]
    layers = {name: Layer(1, Spin(), normal(i, (1,), 0.3)) for i, name in enumerate(names)}
    edges = [
        (a, b, systems.dense_op(10 * i + j, 1, 1))
        for i, a in enumerate(names)
        for j, b in enumerate(names)
        if i < j
    ]
    model = Model(Network(1, layers, edges), SIGNS)
    x, y = jnp.zeros((1, 1)), jnp.ones((1, 1))
    _, gradient = exact(Enumeration(1.0), (model, x, y), 1.0)
    source = Chains(1.0, Gibbs(), 4000, 40, 1, 1)
    _, got = found(source, finite_nudge(1.0), (model, x, y))
    np.testing.assert_allclose(got, gradient, atol=0.1)


def test_jarzynski_finds_the_objective():
    model, x, y = spins()
    value, _ = exact(Enumeration(1.0), (model, x, y), 1.0)
    source = Chains(1.0, Gibbs(), chains=4000, burn=50)

    @systems.quickly
    def ramp(model, x, y):
        return jarzynski(model, x, y, source, 1.0, model.rest(x), KEY, 20)

    got, effective = ramp(model, x, y)
    np.testing.assert_allclose(np.mean(got), value, atol=0.03)
    assert np.all((effective > 100) & (effective <= 4000))


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
    start, phases = model.rest(x), Phases(model, x, y, jnp.zeros(2))
    run = systems.quickly(lambda: source.average(phases, start, KEY, no_statistic).states)
    assert_unrelated(run())


def assert_unrelated(states):
    """Of (phases, batch, members, ...): no number twice, and no two columns that are correlated."""
    columns = [np.moveaxis(np.asarray(z), 1, 0).reshape(500, -1) for z in states.values()]
    table = np.concatenate(columns, 1)
    assert len(np.unique(table)) == table.size
    assert np.max(np.abs(np.corrcoef(table.T) - np.eye(table.shape[1]))) < 5 / 500**0.5


def test_scattered_starts_are_unrelated():
    model = lone_layers("h", "out")
    starts = systems.quickly(lambda: scatter(model, jnp.zeros((500, 1)), 3, KEY))()
    assert_unrelated({name: z[None] for name, z in starts.items()})


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


def test_chains_that_mix_and_chains_that_do_not():
    """Gibbs draws of one uncoupled layer are independent; a slow Langevin hardly moves."""
    edges = [("x", "out", systems.dense_op(1, 3, 2))]
    model = Model(Network(3, {"out": Layer(2, Linear())}, edges), SquaredError())
    phases = Phases(model, normal(5, (2, 3)), normal(6, (2, 2)), jnp.array([0.0, 1.0]))
    rows = mixing(phases, Chains(0.5, Gibbs(), chains=4, burn=1), KEY)
    assert [(row.beta, row.quantity) for row in rows] == [
        (beta, quantity) for quantity in ("cost", "energy") for beta in (0.0, 1.0)
    ]
    for row in rows:
        assert row.r_hat < 1.03
        assert 500 < row.effective <= 1.3 * row.draws == 1.3 * 800
    warn_if_unmixed(rows)
    slow = Chains(0.5, UnadjustedLangevin(1e-3), chains=4, burn=1)
    stuck = mixing(phases, slow, KEY)
    assert max(row.r_hat for row in stuck) > 1.2
    assert min(row.effective for row in stuck) < 30
    with pytest.warns(UserWarning, match=r"expected a split R-hat below 1.05, got .* Raise burn"):
        warn_if_unmixed(stuck)


def test_the_effective_sample_size_is_that_of_an_autoregression():
    """Langevin of one Gaussian number, step h, is an AR(1) of coefficient 1 - h; so is a cost far away."""
    step = 0.2
    edges = [("x", "out", systems.dense_op(1, 1, 1, 0.0))]
    model = Model(Network(1, {"out": Layer(1, Linear())}, edges), SquaredError())
    phases = Phases(model, jnp.zeros((1, 1)), jnp.full((1, 1), 1e3), jnp.zeros(1))
    source = Chains(1.0, UnadjustedLangevin(step), chains=16, burn=200)
    (row, _) = mixing(phases, source, KEY, samples=4000)
    assert row.effective / row.draws == pytest.approx(step / (2 - step), rel=0.1)


def test_common_noise_cancels():
    """At a small nudge the shared random numbers take most of the noise away."""

    def spread(common):
        source = Chains(1.0, Gibbs(), 16, 30, 2, 3, common_noise=common)
        learner = Thermal(source, finite_nudge(0.05))
        gradients = repeated(learner, *spins(), jax.random.split(KEY, 40))
        return np.std(gradients, 0).mean()

    assert spread(True) < 0.4 * spread(False)
