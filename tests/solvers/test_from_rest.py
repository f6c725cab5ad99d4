"""Counted sweeps from rest: the states of any sweeps, without the products with layers that show zeros."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqprop import (
    Blockwise,
    Box,
    DeltaPropagation,
    Layer,
    Linear,
    Logistic,
    Model,
    Network,
    SquaredError,
    hard_tanh,
    layered,
    one_sided,
    relax,
)
from eqprop.energies.network import one_by_one
from eqprop.energies.ops import Dense
from eqprop.estimators.contrast import Fixed, RandomSign, Rescaled, finite_difference, symmetric
from eqprop.solvers.blockwise import sweep
from helpers import systems
from helpers.systems import normal, quickly

KEY = jax.random.key(0)


def shifted():
    """A layer that rests away from zero, one that shows 1/2 there, and one that is silent."""
    layers = {
        "a": Layer(4, Box(0.5, 1.0), normal(0, 4)),
        "b": Layer(3, Logistic(), normal(1, 3)),
        "c": Layer(5, Linear(), normal(2, 5)),
    }
    pairs = [("x", "a"), ("a", "b"), ("b", "c"), ("a", "c")]
    shapes = {"x": 2, "a": 4, "b": 3, "c": 5}
    edges = [
        (s, t, Dense(normal(10 + i, (shapes[s], shapes[t]), 0.3))) for i, (s, t) in enumerate(pairs)
    ]
    return Model(Network(2, layers, edges), SquaredError("c")), normal(3, (3, 2))


def affine():
    """A coupling that is not zero at zero."""
    layers = {"h": Layer(3, Linear()), "out": Layer(3, Linear(), normal(4, 3))}
    edges = [("x", "h", Dense(normal(5, (2, 3)))), ("h", "out", lambda u: 0.3 * u + 1.0)]
    return Model(Network(2, layers, edges), SquaredError()), normal(6, (3, 2))


def of(system):
    return system.model, system.x


@pytest.mark.parametrize(
    ("build", "steps"),
    [
        (shifted, 1),
        (shifted, 3),
        (affine, 3),
        (lambda: of(systems.kinked()), 3),
        (lambda: of(systems.oscillators()), 3),
    ],
)
def test_the_states_are_those_of_any_sweeps(build, steps):
    """From the output down: each layer hears of those below it before their turn has come."""
    model, x = build()
    solver = Blockwise(None, steps, one_by_one(model.energy.order[::-1]))
    quick, plain = (quickly(relax)(model, x, state, solver) for state in (None, model.rest(x)))
    for a, b in zip(jax.tree.leaves(quick), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14, atol=1e-15)
    assert np.all(quick[1].steps == steps)


def test_who_is_silent():
    model, x = shifted()
    assert model.free(x[0]).silent == {"c"}
    model, x = affine()
    assert model.free(x[0]).silent == frozenset()
    assert not Box(0.5, 1.0).silent and hard_tanh().silent


def products(function, state):
    """How many products of matrices are left in the compiled program."""
    return jax.jit(function).lower(state).compile().as_text().count(" dot(")


def test_the_first_sweep_does_half_the_products():
    """Of three couplings between four layers, each layer in turn: three up, and none down."""
    model = layered((6, 5, 4, 3, 2), KEY, Box(), Linear())
    phase, state = model.free(jnp.ones(6)), model.energy.rest(jnp.float64)
    up = tuple((name,) for name in model.energy.order)

    def swept(silent):
        return lambda state: sweep(phase, state, up, silent)[0]

    assert products(swept(frozenset()), state) == 6
    assert products(swept(phase.silent), state) == 3


@pytest.mark.parametrize(
    ("contrast", "begins"),
    [
        (one_sided(0.1), True),
        (finite_difference([0.0, 0.1, 0.2]), True),
        (RandomSign(0.1), True),
        (Rescaled(one_sided(0.1), 2.0), True),
        (symmetric(0.1), False),
        (Rescaled(symmetric(0.1), 2.0), False),
        (finite_difference([-0.1, 0.0, 0.1]), False),
    ],
)
def test_contrasts_say_whether_they_begin_at_the_free_phase(contrast, begins):
    assert contrast.from_free == begins
    assert (contrast.draw(KEY)[0][0] == 0) == begins


def test_of_one_sided_differences_the_free_phase_costs_nothing():
    """The gradient is that of both phases, of which one is not there."""
    _, model, x, y = systems.kinked()
    contrast = one_sided(1e-4)
    both = Fixed(contrast.betas, contrast.coefficients, contrast.order)
    found, whole = (
        quickly(lambda *given, c=c: DeltaPropagation(Blockwise(None, 40), c)(*given))(
            model, x, y, None, KEY
        )
        for c in (contrast, both)
    )
    for a, b in zip(*(jax.tree.leaves(f.gradient) for f in (found, whole)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    assert found.report.nudged.steps.shape[0] == 1 and whole.report.nudged.steps.shape[0] == 2
