"""What would be silently wrong is refused, or seen: by estimators, solvers, audits and training."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqprop import (
    Backpropagation,
    Blockwise,
    Box,
    Cost,
    EquilibriumPropagation,
    Flow,
    FunctionEnergy,
    GradientDescent,
    ImplicitDifferentiation,
    Linear,
    Model,
    Momentum,
    SquaredError,
    layered,
    n_point,
    one_sided,
    relax,
    symmetric,
)
from eqprop.energies.ops import cast
from eqprop.energies.units.spin import Spin
from eqprop.estimators.answer import asked, asymmetry, bend, reached, warn_of_answer
from eqprop.estimators.audit import exact_gradient
from eqprop.estimators.backpropagation import FeedForward
from eqprop.estimators.differences import DeltaPropagation
from eqprop.estimators.health import not_finite
from eqprop.solvers import DIVERGED, Langevin, Reduced, Refined, Spectral
from eqprop.spiking import Spiking, SpikingPropagation, SurrogateBackpropagation
from eqprop.thermal import UnadjustedLangevin
from eqprop.thermal.chains import Chains
from eqprop.thermal.estimator import Thermal
from eqprop.thermal.exact import Enumeration
from eqprop.thermal.rules import finite_nudge, free_covariance
from eqprop.training.epoch import _hits
from helpers import systems

KEY = jax.random.key(0)
SWEEPS = Blockwise(None, 3)
ESTIMATORS = (
    EquilibriumPropagation(SWEEPS, symmetric(0.1)),
    DeltaPropagation(SWEEPS, symmetric(0.1)),
    ImplicitDifferentiation(SWEEPS),
    Backpropagation(SWEEPS, 3),
    FeedForward(),
    SpikingPropagation(Spiking(steps=20), symmetric(0.1)),
    SurrogateBackpropagation(Spiking(steps=20)),
    Thermal(Chains(1.0, UnadjustedLangevin(), 2, 2, 2), finite_nudge()),
)
THROUGH = (ImplicitDifferentiation, Backpropagation, FeedForward)


estimate = systems.quickly(lambda estimator, *arguments: estimator(*arguments))


def trace(estimator, model, x, y):
    """The estimator without its numbers, as under ``jit``."""
    return eqx.filter_eval_shape(estimator, model, x, y, model.rest(x), KEY)


# --- derivatives that are zero everywhere -----------------------------------------------------


class Steps(Cost):
    """How many outputs are wrong, or another function of that kind."""

    function: object = eqx.field(static=True)
    output: str = eqx.field(default="out", static=True)

    def __call__(self, shown, y):
        return self.function(shown[self.output], y)

    def predict(self, shown):
        return shown[self.output]

    def curvature(self, beta):
        return 0.0 * beta


def small(cost):
    return Model(layered((2, 2, 2), KEY).energy, cost), jnp.ones((1, 2)), jnp.ones((1, 2))


def wrong_class(u, y):
    return (jnp.argmax(u) != jnp.argmax(y)).astype(u.dtype)


def whole(u, y):
    return jnp.sum(u > y)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("function", [wrong_class, whole])
def test_a_cost_without_a_gradient_is_refused(estimator, function):
    model, x, y = small(Steps(function))
    with pytest.raises(ValueError, match=r"cost: expected (a gradient in the output|one floating)"):
        trace(estimator, model, x, y)


def test_a_law_needs_no_gradient_of_the_cost():
    """That every state is weighed by its energy, or that no nudge enters."""
    model, x, y = small(Steps(wrong_class))
    spins = layered((2, 2, 2), KEY, Spin(), Spin()).energy
    trace(Thermal(Enumeration(1.0), finite_nudge()), Model(spins, model.cost), x, y)
    trace(Thermal(ESTIMATORS[-1].source, free_covariance()), model, x, y)


@pytest.mark.parametrize("estimator", [e for e in ESTIMATORS if isinstance(e, THROUGH)])
def test_nothing_is_differentiated_through_spins(estimator):
    model, x, y = small(SquaredError())
    spins = layered((2, 2, 2), KEY, Spin(), Linear()).energy
    with pytest.raises(ValueError, match=r"\['h1'\] are spins; use a thermal rule"):
        trace(estimator, Model(spins, model.cost), x, y)


def of_steps(function, params=0.5):
    energy = FunctionEnergy(function, params, {"h": (2,), "out": (2,)})
    return Model(energy, SquaredError()), jnp.ones((2, 2)), jnp.ones((2, 2))


def smooth(p, s, x):
    return 0.5 * (s["h"] @ s["h"] + s["out"] @ s["out"]) - p * s["out"] @ (s["h"] + x)


@pytest.mark.parametrize(
    ("function", "params", "match"),
    [
        (lambda p, s, x: jnp.sum(s["h"] > p), 0.5, "energy: expected one floating-point number"),
        (lambda p, s, x: p * s["out"], 0.5, r"energy: .* got float64 of shape \(2,\); sum"),
        (
            lambda p, s, x: smooth(p, s | {"h": jnp.round(s["h"])}, x),
            0.5,
            r"energy: expected a gradient in every layer, got none in \['h'\]; comparisons",
        ),
        (lambda p, s, x: smooth(jnp.round(p), s, x), 0.5, "parameters: expected a gradient in at"),
        (
            lambda p, s, x: smooth(p[0] / 2, s, x),
            np.array([2]),
            "parameters: expected .* arrays of whole numbers do not learn",
        ),
    ],
    ids=["whole", "not-summed", "rounded", "rounded-parameters", "whole-parameters"],
)
@pytest.mark.filterwarnings("ignore:params. expected arrays of floats:UserWarning")
def test_an_energy_without_a_gradient_is_refused(function, params, match):
    model, x, y = of_steps(function, params)
    for estimator in (ImplicitDifferentiation(GradientDescent(None, 3)), ESTIMATORS[-1]):
        with pytest.raises(ValueError, match=match):
            trace(estimator, model, x, y)


def test_python_numbers_learn_whole_ones_too():
    model, x, y = of_steps(smooth, 2)
    found = trace(EquilibriumPropagation(GradientDescent(None, 3), symmetric(0.1)), model, x, y)
    assert found.gradient.energy.params.dtype == jnp.float64


# --- numbers that are not finite --------------------------------------------------------------

EVERY_SOLVER = (
    Blockwise(max_steps=9),
    Blockwise(None, 9),
    Momentum(max_steps=9),
    Spectral(max_steps=9),
    GradientDescent(max_steps=9),
    Flow(max_steps=9),
    Langevin(0.0, steps=9),
    Refined(Blockwise(0.05, 9)),
    Reduced(Blockwise(None, 9)),
)


@pytest.mark.parametrize("solver", EVERY_SOLVER, ids=lambda s: type(s).__name__)
def test_an_input_that_is_not_finite_is_a_divergence(solver):
    """Intervals hide an infinite field: their states are finite, and do not move."""
    model, *_ = small(SquaredError())
    x = jnp.ones((3, 2)).at[1:, 0].set(jnp.array([np.inf, np.nan]))
    run = systems.quickly(lambda: relax(model, x, model.rest(x), solver, KEY)[1])
    lost = np.asarray(run().outcome) == DIVERGED
    assert lost.tolist() == [False, True, True]


@pytest.mark.parametrize("propagation", [EquilibriumPropagation, DeltaPropagation])
def test_both_phases_of_an_infinite_input_diverge(propagation):
    model, x, y = small(SquaredError())
    learner = propagation(Blockwise(1e-6, 50), symmetric(0.1))
    seen = estimate(learner, model, x.at[0, 0].set(jnp.inf), y, model.rest(x), KEY).report
    assert np.all(seen.free.outcome == DIVERGED) and np.all(seen.nudged.outcome == DIVERGED)


def test_what_is_not_finite_is_named():
    model, x, y = small(SquaredError())
    assert not_finite(model, x) is None
    assert not_finite(model, x.at[0].set(jnp.nan)) == "inputs x: examples [0] of 1"
    broken = jax.tree.map(lambda w: w + jnp.inf if w.ndim == 2 else w, model)
    assert not_finite(broken, x) == "parameters ['h1-out.weight', 'x-h1.weight']"
    rest = model.rest(x)
    assert "states of layers ['h1']" in not_finite(model, x, rest | {"h1": rest["h1"] + jnp.nan})

    def cone(p, s, x):
        return p * jnp.sqrt(s["out"] @ s["out"]) + 0.5 * s["h"] @ s["h"]

    model, x, y = of_steps(cone)
    assert "gradient of the energy in layers ['out']" in not_finite(model, x)
    with pytest.raises(RuntimeError, match=r"not finite are the gradient of the energy.*\['out'\]"):
        exact_gradient(model, x, y)


def test_scores_that_are_not_finite_hit_no_class():
    scores = jnp.array([[jnp.nan, jnp.nan], [1.0, 0.0]])
    assert _hits(scores, jnp.zeros(2, jnp.int32)).tolist() == [False, True]


# --- answers to nudges ------------------------------------------------------------------------


def double_well(p, s, x):
    """Minima near -1 and 1, tilted by ``p x``."""
    return jnp.sum(0.25 * (s["out"] ** 2 - 1.0) ** 2 - p * x * s["out"])


def in_the_left_well(contrast, dtype=jnp.float64):
    """The report of one example that is asked to lie at 3, and the error of its gradient."""
    one = jnp.ones((1, 1))
    model = Model(FunctionEnergy(double_well, jnp.array(0.2), {"out": (1,)}), SquaredError())
    model, *given = cast((model, one, 3 * one, {"out": -0.9 * one}), np.dtype(dtype))
    learner = EquilibriumPropagation(GradientDescent(1e-6, 2000, 0.3), contrast)
    found = estimate(learner, model, *given, KEY)
    z = float(found.state["out"][0, 0])
    exact = (z - 3.0) / (3.0 * z * z - 1.0)
    seen = {name: float(value) for name, value in found.report.metrics().items()}
    return seen, abs(found.gradient.energy.params / exact - 1)


@pytest.mark.parametrize(
    ("contrast", "beta"),
    [
        (symmetric, 0.1),
        (partial(n_point, 4), 0.1),
        (one_sided, 0.1),
        (one_sided, 0.2),
        (one_sided, 0.3),
    ],
)
def test_phases_in_different_basins_are_warned_of(contrast, beta):
    """They are settled, each, and the gradient is wrong by more than half."""
    seen, error = in_the_left_well(contrast(beta))
    assert seen["free_converged"] == seen["nudged_converged"] == 1 and error > 0.5
    with pytest.warns(UserWarning, match="different basins, each well and together wrong"):
        warn_of_answer(seen)
    seen, error = in_the_left_well(contrast(1e-3))
    assert error < 0.01
    warn_of_answer(seen)


def test_an_answer_is_bent_where_its_forces_are_no_straight_line():
    """From -1 to 2 a double well pulls by 0, 0.375 and -6; an interval ends what is straight."""
    one, betas, bent = jnp.ones((1, 1)), jnp.array([0.0, 1.0]), systems.quickly(bend)

    def of(model, *ends):
        states = {"out": jnp.stack([end * one for end in ends])}
        return bent(model, one, betas, {"out": -one}, states)

    def linear(p, s, x):
        return 0.5 * jnp.sum(s["out"] ** 2) + 2.0 * s["out"][0]

    well, line, wall = (
        Model(FunctionEnergy(energy, jnp.zeros(()), {"out": (1,)}, {"out": unit}), SquaredError())
        for energy, unit in ((double_well, Linear()), (linear, Linear()), (linear, Box(-1.0, 9.0)))
    )
    assert of(well, -1.0, 2.0) == pytest.approx(6.75 / 6)
    assert of(well, 0.5, 2.0) == pytest.approx(6.75 / 6)
    assert of(line, -1.0, 2.0) == of(wall, -1.0, 2.0) == of(well, -1.0, -1.0) == 0
    assert bent(well, one, -betas[::-1], {"out": -one}, {"out": jnp.stack([2 * one, -one])}) > 1


def test_a_healthy_answer_is_hardly_bent():
    model = layered((6, 20, 3), KEY)
    x, y = systems.normal(0, (9, 6)), jnp.eye(3)[jnp.arange(9) % 3]
    for contrast in (symmetric(0.3), one_sided(3.0)):
        learner = EquilibriumPropagation(Blockwise(1e-6, 200), contrast)
        seen = estimate(learner, model, x, y, model.rest(x), KEY).report.metrics()
        assert 0 <= seen["nudge_bend"] < 0.1


def test_a_nudge_that_is_lost_in_rounding_reaches_nothing():
    for beta, share in ((1e-12, 0.0), (1e-3, 1.0)):
        seen, _ = in_the_left_well(symmetric(beta), jnp.float32)
        assert seen["nudge_reached"] == share


def test_no_nudge_is_asked_of_an_example_without_a_slope():
    model, x, y = small(SquaredError())
    free, _ = systems.quickly(relax)(model, x, model.rest(x), Blockwise(None, 9))
    slopes = systems.quickly(asked)
    assert slopes(model, free["out"], free).tolist() == [False]
    assert slopes(model, y, free).tolist() == [True]
    still = jax.tree.map(lambda z: jnp.stack([z, z]), free)
    assert reached(still, jnp.array([True])) == 0 and reached(still, jnp.array([False])) == 1


def test_displacements_are_compared_by_their_lengths():
    """A drift of both phases is no jump of one."""
    away = {"h": jnp.array([[[-1.0, 0.0]], [[1.0, 0.0]]])}
    assert asymmetry(away) == 0
    assert asymmetry({"h": away["h"] + jnp.array([0.0, 5.0])}) == 0
    assert asymmetry({"h": away["h"].at[1].mul(3.0)}) == pytest.approx(0.5)
    assert asymmetry({"h": 0.0 * away["h"]}) == 0
