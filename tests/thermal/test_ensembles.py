"""Rules and free energies on exact ensembles: all states of spins, and the law of a quadratic energy."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from eqprop import (
    Box,
    FunctionEnergy,
    Layer,
    Linear,
    Logistic,
    Model,
    Network,
    SquaredError,
    hard_tanh,
    layered,
    with_read_out,
)
from eqprop.energies.units.spin import Bernoulli, Spin
from eqprop.thermal import UnadjustedLangevin
from eqprop.thermal.chains import Chains
from eqprop.thermal.ensemble import Phases, no_statistic, require_confining
from eqprop.thermal.estimator import Thermal
from eqprop.thermal.exact import Enumeration, Gaussian
from eqprop.thermal.free_energy import acceptance_ratio, bounds, integrate, log_mean_exp
from eqprop.thermal.readings import ConditionalMeans, Draws
from eqprop.thermal.rules import (
    Reweighting,
    finite_nudge,
    free_covariance,
    path_integral,
    symmetric_nudge,
)
from helpers import systems
from helpers.systems import SIGNS, by_free_energies, exact, gaussian, lateral_op, normal, spins
from helpers.thermal import KEY, found

BETAS = jnp.array([0.01, 0.1, 1.0, 10.0])


@systems.quickly
def along(source, rules, readings, model, x, y, betas):
    """Values and flat gradients at each nudge: the exact ones, and those of every rule and reading."""

    def one(beta):
        yield by_free_energies(source, model, x, y, beta)
        for rule in rules:
            for reading in readings:
                learner = Thermal(source, rule(beta), reading)
                seen = learner(model, x, y, model.rest(x), KEY)
                yield seen.value, ravel_pytree(seen.gradient)[0]

    return jax.vmap(lambda beta: tuple(one(beta)))(betas)


def fine(beta):
    return path_integral(beta, 64)


@pytest.mark.parametrize(("unit", "temperature"), [(Spin, 0.5), (Bernoulli, 1.0)])
def test_rules_equal_the_derivative_of_the_free_energy(unit, temperature):
    """To rounding: a contrast divides its rounding by beta."""
    rules = finite_nudge, fine, Reweighting
    (value, gradient), *others = along(
        Enumeration(temperature), rules, (Draws(),), *spins(unit), BETAS
    )
    for got in others:
        np.testing.assert_allclose(got[1], gradient, atol=1e-12)
        np.testing.assert_allclose(got[0], value, atol=1e-9)
    assert np.all(np.linalg.norm(gradient, axis=1) > 1e-2)


def test_rules_teach_a_read_out_as_well():
    """Parameters of the cost, whose gradient needs the mean over the nudged phases."""
    net = layered((3, 5, 4, 2), jax.random.key(3), Spin(), Spin(), 2.0)
    model = with_read_out(net, 3, jax.random.key(4), 2.0)
    x, y = normal(5, (2, 3)), jax.nn.one_hot(jnp.arange(2), 3)
    rules, betas = (finite_nudge, fine, Reweighting), jnp.array([0.7])
    exact, *others = along(Enumeration(0.8), rules, (Draws(),), model, x, y, betas)
    for got in others:
        np.testing.assert_allclose(got[1], exact[1], atol=1e-12)


def test_rules_on_a_gaussian():
    (value, gradient), *others = along(
        Gaussian(0.4), (finite_nudge, fine), (Draws(),), *gaussian(), BETAS
    )
    for got in others:
        np.testing.assert_allclose(got[1], gradient, atol=1e-12)
        np.testing.assert_allclose(got[0], value, rtol=1e-9)


def test_the_gaussian_free_energy_is_its_closed_form():
    """``A = (T/2) log det P - r'P^-1 r / 2 + b y'y / 2`` with ``P = A + b Q`` and ``r = Bx + b y``."""
    system = systems.quadratic()
    model, x, y, beta, t = system.model, system.x, system.y, 0.7, 0.3
    a, drive, bias = (np.asarray(model.energy.params[k]) for k in "ABb")
    phases = Phases(model, x, y, jnp.array([0.0, beta]))
    got = systems.quickly(Gaussian(t).free_energy)(phases)
    for b, row in zip((0.0, beta), got, strict=True):
        p = a + b * np.eye(4)
        for i, value in enumerate(row):
            r = drive @ x[i] + bias + b * y[i]
            closed = 0.5 * t * np.linalg.slogdet(p)[1] - 0.5 * r @ np.linalg.solve(p, r)
            np.testing.assert_allclose(value, closed + 0.5 * b * y[i] @ y[i], rtol=1e-12)


def test_quadrature_error_falls_fast():
    """Four Gauss-Legendre nodes are enough where beta is about T; the error falls geometrically."""
    rules = [partial(path_integral, nodes=nodes) for nodes in (1, 2, 3, 4)]
    exact, *others = along(Enumeration(1.0), rules, (Draws(),), *spins(), jnp.ones(1))
    errors = np.array([np.linalg.norm(got[1] - exact[1]) for got in others])
    errors /= np.linalg.norm(exact[1])
    assert errors[3] < 1e-4
    assert np.all(errors[1:] < 0.2 * errors[:-1])


def test_the_free_covariance_is_the_slope_at_zero():
    rules, betas = (free_covariance, symmetric_nudge), jnp.array([1e-5, 0.2, 0.1])
    exact, free, both = along(Enumeration(0.7), rules, (Draws(),), *spins(), betas)
    np.testing.assert_allclose(free[1][0], exact[1][0], atol=1e-3)
    _, coarse, fine = np.linalg.norm(both[1] - free[1], axis=1)
    np.testing.assert_allclose(np.log2(coarse / fine), 2, atol=0.3)


def test_the_objective_four_ways_and_its_bounds():
    """Every estimate of J from its exact phases, and the sandwich with its divergence."""
    source, beta, t, nodes = Enumeration(0.8), 0.9, 0.8, path_integral(0.9, 12)
    value, _ = exact(source, spins(), beta)

    @systems.quickly
    def estimates(model, x, y):
        def phases(betas):
            given = Phases(model, x, y, jnp.asarray(betas))
            out = source.average(given, model.rest(x), KEY, no_statistic)
            return out.costs, out.weights

        ends = jnp.array([0.0, beta])
        costs, weights = phases(ends)
        once = log_mean_exp(costs, weights, beta, t)
        free, nudged = jnp.sum(costs[0] * weights, -1)
        return (
            acceptance_ratio(costs, weights, ends, t)[1] / beta,
            once,
            integrate(*phases(nodes.betas), nodes.quadrature),
            bounds(once, free, nudged, beta, t),
            jnp.sum(weights[1] * (jnp.log(weights[1]) - jnp.log(weights[0])), -1),
        )

    ratio, once, integral, both, divergence = estimates(*spins())
    np.testing.assert_allclose(jnp.mean(ratio), value, rtol=1e-9)
    np.testing.assert_allclose(once, ratio, rtol=1e-9)
    np.testing.assert_allclose(integral, once, rtol=1e-9)
    assert np.all(both.nudged < once) and np.all(once < both.free)
    np.testing.assert_allclose(both.divergence, divergence, rtol=1e-9)


def test_the_objective_of_phases_that_hardly_overlap():
    """In float32, at a work far beyond what its exponential holds."""
    costs = jnp.asarray([[[[1.5, 1.5]], [[1.5, 1.5]]]], jnp.float32)
    weights = jnp.full((2, 1, 2), 0.5, jnp.float32)
    far = jnp.asarray(costs + jnp.asarray([[0.0], [-0.5]], jnp.float32)[None, :, None])
    betas = jnp.asarray([0.0, 1.0], jnp.float32)
    _, nudged = systems.quickly(acceptance_ratio)(far, weights, betas, 1e-3)
    assert float(nudged[0]) == pytest.approx(1.25, rel=1e-3)


def test_lateral_couplings_of_spins_are_enumerated():
    layers = {"out": Layer(5, Spin())}
    model = Model(Network(1, layers, [("out", "out", lateral_op(1, 5, 2.0))]), SIGNS)
    x, y = jnp.zeros((1, 1)), jnp.ones((1, 5))
    _, gradient = exact(Enumeration(0.7), (model, x, y), 1.0)
    _, got = found(Enumeration(0.7), finite_nudge(1.0), (model, x, y))
    np.testing.assert_allclose(got, gradient, atol=1e-12)


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


def test_bounded_networks_confine_and_soft_directions_are_found():
    x, y = normal(5, (1, 3)), normal(6, (1, 2))
    for hidden, output in ((Box(), Box()), (hard_tanh(), Logistic()), (Spin(), hard_tanh())):
        bounded = layered((3, 4, 2), KEY, hidden, output, 3.0)
        phase = bounded.nudged(x[0], y[0], jnp.ones(()))
        require_confining(phase, bounded.energy.rest(x.dtype), jnp.ones(()))
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


@pytest.mark.parametrize("unit", [Spin, Bernoulli])
def test_conditional_means_leave_the_gradient_exact(unit):
    """At every nudge, of two phases and of a path."""
    rules, system = (finite_nudge, fine), spins(unit)
    exact, *averaged = along(Enumeration(0.7), rules, (ConditionalMeans(),), *system, BETAS)
    for got in averaged:
        np.testing.assert_allclose(got[1], exact[1], atol=1e-12)
