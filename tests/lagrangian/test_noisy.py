"""Onsager-Machlup and Freidlin-Wentzell actions: noisy paths of given start, sampled and nudged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqprop import EquilibriumPropagation, Model, symmetric
from eqprop.lagrangian import (
    Action,
    FreeEnd,
    Newton,
    PathError,
    freidlin_wentzell,
    midpoint,
    onsager_machlup,
)
from eqprop.thermal import Chains, Gaussian, Hmc, Thermal, finite_nudge
from helpers.paths import KEY, PARAMS, apply, flat, potential, quickly, refused

TEMPERATURE, DT = 0.5, 0.05


def downhill(q, params, t, x):
    """The overdamped motion of the coupled oscillators, under a drive."""
    push = x * jnp.stack([jnp.cos(t), jnp.zeros_like(t), jnp.sin(t)])
    return -jax.grad(potential)(q, params) + push


def test_the_path_of_least_action_is_the_motion_without_noise():
    """Implicit midpoint integration, with the gradient of back-propagation through it."""
    steps, dt, start = 40, 0.05, (0.8, -0.5, 0.3)
    density = freidlin_wentzell(downhill)
    action = Action(
        density, PARAMS, size=3, steps=steps, dt=dt, boundary=FreeEnd(start), rule=midpoint
    )
    model = Model(action, PathError(at=(-1, 20)))
    x, y = jnp.full((1, 1), 0.7), jnp.ones((1, 2, 3))
    got = apply(EquilibriumPropagation(Newton(), symmetric(1e-4)), (model, x, y))

    @quickly
    @jax.value_and_grad
    def integrated(params):
        def step(q, n):
            def nearer(_, after):
                return q + dt * downhill(0.5 * (q + after), params, (n + 0.5) * dt, x[0])

            after = jax.lax.fori_loop(0, 12, nearer, q)
            return after, after

        _, path = jax.lax.scan(step, jnp.asarray(start), jnp.arange(float(steps)))
        return 0.5 * jnp.sum((path[jnp.array([-1, 20])] - y[0]) ** 2)

    value, gradient = integrated(PARAMS)
    np.testing.assert_allclose(got.value, value, rtol=1e-8)
    np.testing.assert_allclose(flat(got.gradient), flat(gradient), rtol=1e-5, atol=1e-8)
    assert got.report.free.index == 0


def test_bad_drifts_are_refused():
    with refused(ValueError, "temperature > 0"):
        onsager_machlup(downhill, 0.0)
    with refused(ValueError, "of 2 arguments"):
        freidlin_wentzell(lambda q, params: -q)
    density = freidlin_wentzell(lambda q, params, t: -jnp.sum(params * q))
    options = {"size": 3, "steps": 8, "dt": DT, "boundary": FreeEnd([0.1, 0.2, 0.3])}
    with refused(ValueError, r"numbers of shape \(3,\), one number a coordinate, got \(\)"):
        Action(density, 1.0, **options).clamp(jnp.zeros(1))


def back(q, params, t):
    return -params * q


def noisy(density, params, steps, start=0.8):
    """One coordinate, from a given start, with a cost at the end."""
    options = {"size": 1, "steps": steps, "dt": DT, "rule": midpoint}
    action = Action(density, params, boundary=FreeEnd([start]), **options)
    return Model(action, PathError(at=(-1,))), jnp.zeros((1, 1)), jnp.full((1, 1, 1), 0.3)


@pytest.mark.parametrize("beta", [0.1, 2.0])
def test_finite_nudges_of_an_ornstein_uhlenbeck_path(beta):
    """``dq = -k q dt + sqrt(2 T) dW`` ends in a Gaussian, whose ``J_beta`` is known; so is its slope in
    ``k``, to second order in the time step."""
    steps, rate = 8, 1.2

    def objective(k, temperature=TEMPERATURE, start=0.8, y=0.3):
        decay = jnp.exp(-k * steps * DT)
        mean, variance = start * decay, temperature / k * (1 - decay**2)
        spread = 1 + beta * variance / temperature
        return 0.5 * temperature / beta * jnp.log(spread) + 0.5 * (mean - y) ** 2 / spread

    density = onsager_machlup(back, TEMPERATURE)
    exact, slope = jax.value_and_grad(objective)(rate)
    found = apply(Thermal(Gaussian(TEMPERATURE), finite_nudge(beta)), noisy(density, rate, steps))
    np.testing.assert_allclose(found.gradient.energy.params, slope, rtol=4e-3)
    np.testing.assert_allclose(found.value, exact, rtol=4e-3)


def hills(q, params, t):
    """Down ``q^4 / 4 - params q^2 / 2``, two wells."""
    return params * q - q**3


@pytest.mark.long
def test_sampled_paths_end_as_simulated_ones():
    """From the hill between two wells: the mean of ``(q - 0.3)^2 / 2`` at the end, and its slope in the
    depth of the wells, by Hamiltonian Monte Carlo over paths and by many simulations with small steps.
    Without the divergence the mean is wrong."""
    steps, depth, paths, substeps = 20, 1.5, 50_000, 5

    @quickly
    @jax.jit
    def simulated(key):
        def rates(q, slope):
            return hills(q, depth, 0.0), q + (depth - 3 * q * q) * slope

        def step(carry, key):
            q, slope = carry
            h = DT / substeps
            kick = jnp.sqrt(2 * TEMPERATURE * h) * jax.random.normal(key, q.shape)
            now = rates(q, slope)
            ahead = q + h * now[0] + kick
            later = rates(ahead, slope + h * now[1])
            half = [0.5 * h * (a + b) for a, b in zip(now, later, strict=True)]
            return (q + half[0] + kick, slope + half[1]), None

        start = jnp.full(paths, 0.1), jnp.zeros(paths)
        (q, slope), _ = jax.lax.scan(step, start, jax.random.split(key, steps * substeps))
        return jnp.mean(0.5 * (q - 0.3) ** 2), jnp.mean((q - 0.3) * slope)

    mean, slope = simulated(KEY)
    chains = Chains(TEMPERATURE, Hmc(0.1, 16), chains=400, burn=60, samples=40, thinning=2)

    def sampled(density):
        learner = Thermal(chains, finite_nudge(0.02))
        found = apply(learner, noisy(density, depth, steps, 0.1))
        return found.report.costs[0], found.gradient.energy.params

    cost, gradient = sampled(onsager_machlup(hills, TEMPERATURE))
    np.testing.assert_allclose(cost, mean, rtol=0.06)
    np.testing.assert_allclose(gradient, slope, rtol=0.06)
    wrong, _ = sampled(freidlin_wentzell(hills))
    assert abs(wrong - mean) > 0.2 * mean
