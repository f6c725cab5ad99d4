"""What an audit compares with, and what evaluates a model: by the estimator itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import eqprop as eq
from eqprop.estimators.warm_start import WarmStart
from eqprop.hardware import Programmed, Quantise
from eqprop.training import rivals
from eqprop.training.examined import exact_of

KEY = jax.random.key(0)
X, Y = jax.random.uniform(KEY, (4, 5)), jnp.eye(3)[jnp.arange(4) % 3]
MODEL = eq.layered((5, 6, 3), KEY)
COARSE = Quantise(2, 0.5)
SETTLED = eq.EquilibriumPropagation(eq.Blockwise(1e-6, 100), eq.symmetric(0.1))
STEPPED = eq.EquilibriumPropagation(eq.Blockwise(None, 7), eq.symmetric(0.1))
CHAINS = eq.thermal.Chains(0.1, eq.thermal.Gibbs(), 2, 3, common_noise=False)


def test_a_model_is_evaluated_as_the_device_has_it():
    seen = Programmed(SETTLED, COARSE).forecast(MODEL, X, Y, KEY).scores
    there = SETTLED.forecast(COARSE(MODEL), X, Y, KEY).scores
    np.testing.assert_allclose(seen, there)
    assert not np.allclose(seen, SETTLED.forecast(MODEL, X, Y, KEY).scores)


def test_nudges_of_another_kind_keep_their_strength_and_phases():
    one = rivals.one_sided(STEPPED)
    assert one == eq.EquilibriumPropagation(STEPPED.solver, eq.one_sided(0.1))
    assert rivals.symmetric(one) == STEPPED


def test_a_pass_forward_is_said_to_have_no_read_out():
    read = eq.hardware.ReadBits(4)
    device = eq.EquilibriumPropagation(STEPPED.solver, STEPPED.contrast, read_out=read)
    with pytest.warns(UserWarning, match="backprop takes .* without the read-out of the device"):
        rivals.backprop(device)


def test_steps_are_compared_with_back_propagation_through_as_many():
    assert SETTLED.rival().estimator is None
    unrolled = STEPPED.rival().estimator
    assert unrolled == eq.Backpropagation(eq.Blockwise(None, 7), 7)
    assert Programmed(STEPPED, COARSE).rival().estimator == Programmed(unrolled, COARSE)


@pytest.mark.parametrize(
    ("rule", "betas"),
    [
        (eq.thermal.finite_nudge(0.7), [0, 0.7]),
        (eq.thermal.symmetric_nudge(0.7), [-0.7, 0.7]),
        (eq.thermal.path_integral(0.7, 3), [0, 0.7]),
        (eq.thermal.free_covariance(0.7), [0, 1e-3]),
        (eq.thermal.Reweighting(np.asarray(0.7)), [0, 0.7]),
    ],
)
def test_a_rule_is_compared_with_two_phases_of_its_objective(rule, betas):
    rival = eq.thermal.Thermal(CHAINS, rule).rival().estimator
    np.testing.assert_allclose(rival.rule.betas, betas)
    assert rival.source.chains == 16 * CHAINS.chains and rival.source.common_noise


@pytest.mark.parametrize("wrapped", [lambda e: Programmed(e, COARSE), WarmStart])
def test_a_wrapper_hands_on_what_it_wraps(wrapped):
    outer = wrapped(STEPPED)
    inner, met = outer.inside(MODEL)
    assert inner == STEPPED
    device = isinstance(outer, Programmed)
    wanted = COARSE(MODEL) if device else MODEL
    assert all(map(np.array_equal, jax.tree.leaves(met), jax.tree.leaves(wanted)))
    unrolled = rivals.bptt(STEPPED)
    assert outer.by(rivals.bptt) == (Programmed(unrolled, COARSE) if device else unrolled)
    assert outer.reduced("tf32").inside(MODEL)[0] == STEPPED.reduced("tf32")


def test_the_exact_gradient_is_of_the_model_on_its_device():
    name, there = exact_of(Programmed(SETTLED, COARSE), MODEL, X, Y)
    assert name == "implicit differentiation"
    for mine, theirs in zip(
        jax.tree.leaves(there),
        jax.tree.leaves(eq.exact_gradient(COARSE(MODEL), X, Y)),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, theirs)
