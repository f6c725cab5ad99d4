"""Noisy solvers against the laws they must tend to."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from eqprop import (
    Box,
    Diffusion,
    EquilibriumPropagation,
    Langevin,
    Layer,
    Linear,
    Model,
    Network,
    Oscillator,
    Solver,
    SquaredError,
    relax,
    symmetric,
)
from eqprop.solvers import Info
from helpers import systems

CHAINS, FEW = 20_000, 5_000
KEY = jax.random.key(0)

settle = eqx.filter_jit(relax)
estimate = systems.quickly(lambda estimator, *arguments: estimator(*arguments))


def single(unit, field, chains=CHAINS):
    """One neuron in a constant field, many times over."""
    layers = {"out": Layer(1, unit, jnp.asarray([field]))}
    cost = SquaredError()
    return Model(Network(1, layers, []), cost), jnp.zeros((chains, 1))


def samples(unit, field, solver, key=KEY, chains=CHAINS):
    model, x = single(unit, field, chains)
    state, _ = settle(model, x, model.rest(x), solver, key)
    return np.asarray(state["out"])[..., 0]


def agree(values, expected, slack=0.0):
    """The mean of independent samples, to five standard errors and the bias allowed."""
    error = 5 * np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values) - expected) < error + slack


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_a_linear_unit_tends_to_its_gaussian(temperature):
    z = samples(Linear(), 0.7, Langevin(temperature, 0.1, 200))
    agree(z, 0.7)
    agree((z - 0.7) ** 2, temperature / (1 - 0.1 / 2))


def test_an_interval_tends_to_a_truncated_gaussian():
    z = samples(Box(), 0.4, Langevin(0.3, 0.002, 1500), chains=FEW)
    law = stats.truncnorm((0 - 0.4) / 0.3**0.5, (1 - 0.4) / 0.3**0.5, 0.4, 0.3**0.5)
    agree(z, law.mean(), 2e-3)
    agree(z**2, law.moment(2), 2e-3)
    assert z.min() >= 0 and z.max() <= 1


@pytest.mark.parametrize(
    "solver",
    [Langevin(0.5, 0.02, 500), Diffusion(0.5, 10.0, 0.05)],
    ids=["Langevin", "Diffusion"],
)
def test_an_oscillator_tends_to_the_von_mises_law(solver):
    cos, sin = samples(Oscillator(), 0.8, solver, chains=FEW // 2).T
    np.testing.assert_allclose(cos**2 + sin**2, 1.0, rtol=1e-6)
    ratio = special.i1(0.8 / 0.5) / special.i0(0.8 / 0.5)
    agree(cos, ratio, 4e-3)
    agree(sin, 0.0)


@pytest.mark.parametrize("injection", [0.6, -0.6])
def test_injection_enters_the_law(injection):
    cos, _ = samples(Oscillator(injection), 0.3, Langevin(0.4, 0.02, 600), chains=FEW).T
    phi = np.linspace(-np.pi, np.pi, 4001)
    weight = np.exp((0.3 * np.cos(phi) + 0.5 * injection * np.cos(2 * phi)) / 0.4)
    agree(cos**2, np.sum(weight * np.cos(phi) ** 2) / np.sum(weight), 4e-3)


def test_the_bias_falls_with_the_step():
    """Euler-Maruyama on a Gaussian: variance ``T / (1 - dt / 2)``."""
    for step in (0.5, 0.25):
        z = samples(Linear(), 0.0, Langevin(1.0, step, 60))
        agree(z**2, 1 / (1 - step / 2))


def test_phase_noise_is_its_name():
    """Without a field, ``n`` steps of ``eps xi N(0, 1)`` have the variance ``n (eps xi)^2``."""
    solver = Langevin.phase_noise(0.2, step_size=0.1, steps=50)
    np.testing.assert_allclose(solver.temperature, 0.1 * 0.2**2 / 2)
    cos, sin = samples(Oscillator(), 0.0, solver).T
    phi = np.arctan2(sin, cos) - np.pi / 2
    agree(phi, 0.0)
    agree(phi**2, 50 * (0.1 * 0.2) ** 2, 1e-5)


def test_at_zero_temperature_it_is_gradient_descent():
    _, model, x, _ = systems.oscillators()
    cold, same = (
        systems.quickly(relax)(model, x, model.rest(x), solver, KEY)[0]
        for solver in (Langevin(0.0, 0.3, 200), Diffusion(0.0, 60.0, 0.1))
    )
    for name, z in cold.items():
        np.testing.assert_allclose(z, same[name], atol=1e-6)


def test_at_zero_temperature_an_interval_settles_at_its_wall():
    z = samples(Box(), 1.7, Langevin(0.0, 0.3, 60))
    np.testing.assert_array_equal(z, 1.0)


@pytest.mark.parametrize("low, high", [(-np.inf, 0.0), (0.0, np.inf), (-np.inf, np.inf), (0, 1)])
def test_walls_reflect(low, high):
    z = jnp.linspace(-0.9, 0.9, 7)
    inside = Box(low, high).reflect(z)
    np.testing.assert_array_equal(inside, Box(low, high).retract(inside))
    held = (z >= low) & (z <= high)
    np.testing.assert_allclose(inside[held], z[held])
    np.testing.assert_allclose(np.abs(inside), np.abs(z), atol=1e-12)


def test_noise_differs_by_example_and_key_and_repeats():
    solver = Langevin(0.5, 0.1, 10)
    once, again = (samples(Linear(), 0.0, solver) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert len(np.unique(once)) > CHAINS // 2
    assert not np.allclose(once, samples(Linear(), 0.0, solver, jax.random.key(1)))


def test_layers_have_noise_of_their_own():
    layers = {name: Layer(2, Linear()) for name in ("h", "out")}
    model, x = Model(Network(1, layers, []), SquaredError()), jnp.zeros((4000, 1))
    state, _ = settle(model, x, model.rest(x), Langevin(1.0, 0.3, 10), KEY)
    mixed = np.corrcoef(np.concatenate(list(state.values()), 1).T) - np.eye(4)
    assert np.max(np.abs(mixed)) < 5 / len(x) ** 0.5


class Dice(Solver):
    """What settles is drawn from the key."""

    def settle(self, phase, state, key=None):
        zero = jnp.zeros((), jnp.int8)
        drawn = {name: jax.random.normal(key, z.shape, z.dtype) for name, z in state.items()}
        return drawn, Info(jnp.zeros(()), zero, zero)


@pytest.mark.parametrize("common, different", [(True, 2), (False, 3)])
def test_examples_and_phases_have_random_numbers_of_their_own(common, different):
    """But for the nudged phases where these share them."""
    model = Model(Network(1, {"out": Layer(2, Linear())}, []), SquaredError())
    x, y = jnp.zeros((4, 1)), jnp.ones((4, 2))
    learner = EquilibriumPropagation(Dice(), symmetric(0.1), common_noise=common)
    phases = systems.quickly(learner.phases)(model, x, y, model.rest(x), KEY)
    drawn = np.concatenate([np.ravel(phases.free["out"]), np.ravel(phases.nudged["out"])])
    assert len(np.unique(drawn)) == different * 8


def test_phases_share_their_noise():
    """The nudged phases of a linear network differ by the nudge alone: a noisy gradient is exact."""
    layers = {"out": Layer(2, Linear(), jnp.asarray([0.3, -0.2]))}
    model = Model(Network(1, layers, []), SquaredError())
    x, y = jnp.zeros((4, 1)), jnp.ones((4, 2))
    noisy = EquilibriumPropagation(Langevin(0.5, 0.1, 300), symmetric(0.01))
    quiet = EquilibriumPropagation(Langevin(0.0, 0.1, 300), symmetric(0.01))
    apart = dataclasses.replace(noisy, common_noise=False)
    exact = np.array([0.3 - 1, -0.2 - 1])

    def off(learner):
        gradient = estimate(learner, model, x, y, model.rest(x), KEY).gradient
        return np.max(np.abs(gradient.energy.layers["out"].bias - exact))

    assert off(quiet) < 1e-3 < off(noisy) < 1.0
    assert off(apart) > 2.0


def test_errors_say_what_to_do():
    model, x = single(Linear(), 0.0)
    for solver in (Langevin(0.1), Diffusion(0.1)):
        with pytest.raises(ValueError, match="pass `key` to `relax`"):
            eqx.filter_eval_shape(relax, model, x, model.rest(x), solver)
    for solver in (Langevin, Diffusion):
        with pytest.raises(ValueError, match="temperature >= 0"):
            solver(-1.0)
    model, x = single(Box(), 0.0)
    with pytest.raises(ValueError, match="use Langevin"):
        eqx.filter_eval_shape(relax, model, x, model.rest(x), Diffusion(0.1), KEY)
