"""Samples of an energy without a cost, against enumeration and a closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import eqprop as eq
from eqprop.energies import grid, on_graph

KEY = jax.random.key(0)
RING = np.array([(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)])
WEIGHTS = jnp.array([0.5, -0.8, 0.3, 1.0, 0.2])
MACHINE = on_graph(RING, WEIGHTS, 0.3 * jnp.arange(5.0), eq.Spin())


def test_spins_are_drawn_from_their_law():
    found = MACHINE.values(eq.thermal.sample(MACHINE.network, 0.8, KEY, samples=400))
    assert found.shape == (400, 64, 5)
    states = 2.0 * ((np.arange(32)[:, None] >> np.arange(5)) & 1) - 1
    energies = -(states[:, RING[:, 0]] * states[:, RING[:, 1]]) @ WEIGHTS
    energies -= states @ (0.3 * np.arange(5.0))
    law = np.exp(-energies / 0.8) / np.sum(np.exp(-energies / 0.8))
    np.testing.assert_allclose(np.mean(found, (0, 1)), law @ states, atol=0.04)
    seconds = jnp.einsum("sci,scj->ij", found, found) / found[..., 0].size
    np.testing.assert_allclose(seconds, np.einsum("s,si,sj->ij", law, states, states), atol=0.04)


def test_another_key_draws_others_and_traces_nothing(monkeypatch):
    traced, phases = [], eq.thermal.Phases
    energies = phases.energies
    monkeypatch.setattr(phases, "energies", lambda *given: traced.append(1) or energies(*given))
    first, second = (
        eq.thermal.sample(MACHINE.network, 0.8, jax.random.key(seed), chains=32) for seed in (1, 2)
    )
    assert len(traced) == 1
    assert np.any(MACHINE.values(first) != MACHINE.values(second))


def test_chains_that_are_stuck_are_warned_of():
    edges = grid(4, 4)
    glass = on_graph(edges, jax.random.normal(KEY, (len(edges),)), jnp.zeros(16), eq.Spin())
    with pytest.warns(UserWarning, match="have not mixed: expected a split R-hat below"):
        eq.thermal.sample(glass.network, 0.05, KEY, samples=50)


def well(params, state, x):
    return 0.5 * params["k"] * jnp.sum(state["v"] ** 2) - x @ state["v"]


def test_any_energy_is_sampled_by_a_sampler_that_can():
    energy = eq.FunctionEnergy(well, {"k": jnp.array(2.0)}, {"v": 2})
    with pytest.raises(ValueError, match="sample: expected an input x"):
        eq.thermal.sample(energy, 1.0, KEY)
    x = jnp.array([1.0, -2.0])
    with pytest.raises(ValueError, match="Gibbs: expected an energy with `blocks`"):
        eq.thermal.sample(energy, 1.0, KEY, x)
    walk = eq.thermal.Mala(0.5)
    found = eq.thermal.sample(energy, 0.5, KEY, x, walk, chains=200, samples=100)["v"]
    np.testing.assert_allclose(np.mean(found, (0, 1)), x / 2, atol=0.03)
    np.testing.assert_allclose(np.var(found, (0, 1)), 0.25, atol=0.02)
