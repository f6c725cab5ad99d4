"""How many steps are enough."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from eqprop import (
    Blockwise,
    DeltaPropagation,
    EquilibriumPropagation,
    ImplicitDifferentiation,
    Linear,
    layered,
    one_sided,
    symmetric,
    with_weak_feedback,
)
from eqprop.energies.feedback import nudge_scale
from eqprop.energies.network import one_by_one
from eqprop.estimators.audit import compare, estimate
from eqprop.estimators.steps import counted, fewest_steps, with_steps
from helpers.systems import normal

KEY = jax.random.key(0)
MODEL = layered((4, 6, 6, 3), KEY, Linear(), gain=1.2)
MOST = 8
X, Y = normal(1, (8, 4)), normal(2, (8, 3))


def learner(free, nudged, model=MODEL, beta=1e-3):
    order = tuple(model.energy.shapes)
    up, down = (one_by_one(names) for names in (order, order[::-1]))
    return DeltaPropagation(
        Blockwise(None, free, up), one_sided(beta), Blockwise(None, nudged, down)
    )


def worst(estimator, model, reference):
    *rows, _ = compare(estimate(model, X, Y, estimator, KEY).gradient, reference)
    return min(row.cosine for row in rows)


@pytest.fixture(scope="module")
def found():
    return fewest_steps(MODEL, X, Y, learner(1, 1), cosine=0.99, most=MOST)


def test_the_fewest_steps_do_and_one_less_does_not(found):
    reference = estimate(MODEL, X, Y, learner(MOST, MOST), KEY).gradient
    assert found.free > 1 and found.nudged > 1
    assert found.worst == pytest.approx(worst(learner(found.free, found.nudged), MODEL, reference))
    assert found.worst >= 0.99 and found.cosine >= 0.99
    assert worst(learner(found.free - 1, MOST), MODEL, reference) < 0.99
    assert worst(learner(found.free, found.nudged - 1), MODEL, reference) < 0.99


def test_weak_feedback_needs_fewer(found):
    weak = with_weak_feedback(MODEL, 0.01)
    beta = 1e-3 * nudge_scale(0.01, 3)
    fewer = fewest_steps(weak, X, Y, learner(1, 1, weak, beta), cosine=0.99, most=MOST)
    assert (fewer.free, fewer.nudged) < (found.free, found.nudged)
    assert fewer.nudged == 1


def test_steps_are_counted_where_phases_do_not_settle():
    free, nudged = Blockwise(None, 3), Blockwise(None, 2)
    both = EquilibriumPropagation(free, symmetric(0.1), nudged)
    assert counted(both) == (3, 2)
    assert counted(dataclasses.replace(both, nudged_solver=None)) == (3, 3)
    assert counted(dataclasses.replace(both, solver=Blockwise(1e-3))) is None
    assert counted(ImplicitDifferentiation(free)) is None
    assert counted(with_steps(both, 7, 5)) == (7, 5)


def test_what_has_no_count_or_none_that_does_is_refused():
    settling = EquilibriumPropagation(Blockwise(1e-3), symmetric(0.1))
    with pytest.raises(ValueError, match=r"fewest_steps: expected .* whose phases settle"):
        fewest_steps(MODEL, X, Y, settling)
    with pytest.raises(RuntimeError, match=r"fewer than 3 steps to reach a cosine of 0\.999"):
        fewest_steps(MODEL, X, Y, learner(1, 1), most=3)
    with pytest.raises(ValueError, match="most"):
        fewest_steps(MODEL, X, Y, learner(1, 1), most=0)


def test_a_parameter_without_a_gradient_has_no_say():
    x = jnp.zeros_like(X)  # the first weights learn nothing of it
    assert fewest_steps(MODEL, x, Y, learner(1, 1), cosine=0.5, most=4).worst >= 0.5
