"""Costs of one's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import eqprop as eq
from helpers import systems

KEY = jax.random.key(0)


def half_square(u, y):
    return 0.5 * jnp.sum((u - y) ** 2)


@pytest.mark.parametrize("solver", [eq.Blockwise(1e-9, 500), eq.GradientDescent(1e-9, 2000)])
def test_a_plain_function_is_the_cost_that_it_computes(solver):
    model = eq.layered((3, 4, 2), KEY)
    own = eq.Model(model.energy, eq.FunctionCost(half_square, bound=1.0))
    x, y = jax.random.uniform(KEY, (5, 3)), jnp.eye(2)[jnp.arange(5) % 2]
    learner = eq.EquilibriumPropagation(solver, eq.symmetric(0.3))

    @systems.quickly
    def gradient(model):
        return learner(model, x, y, model.rest(x), KEY)

    mine, theirs = gradient(own), gradient(model)
    np.testing.assert_allclose(mine.value, theirs.value, rtol=1e-12)
    pairs = zip(jax.tree.leaves(mine.gradient), jax.tree.leaves(theirs.gradient), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, atol=1e-9)


def test_blocks_need_a_bound():
    model = eq.Model(eq.layered((3, 2), KEY).energy, eq.FunctionCost(half_square))
    x, y = jnp.ones((1, 3)), jnp.ones((1, 2))
    learner = eq.EquilibriumPropagation(eq.Blockwise(), eq.symmetric(0.1))
    with pytest.raises(ValueError, match="FunctionCost: expected a bound of its curvature"):
        jax.eval_shape(lambda: learner(model, x, y, model.rest(x), KEY).value)
