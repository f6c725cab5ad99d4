"""Estimators: the gradient of the relaxed loss, whichever way it is taken."""

import dataclasses
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from eqprop import (
    Backpropagation,
    Blockwise,
    Box,
    Contrast,
    EquilibriumPropagation,
    FunctionEnergy,
    GradientDescent,
    ImplicitDifferentiation,
    Linear,
    Model,
    Momentum,
    RandomSign,
    SquaredError,
    holomorphic,
    layered,
    n_point,
    one_sided,
    relax,
    symmetric,
)
from eqprop.estimators.differences import DeltaPropagation
from eqprop.estimators.estimator import Report
from eqprop.solvers import Info
from eqprop.solvers.relax import krylov
from helpers import systems
from helpers.later import later
from helpers.systems import normal

KEY = jax.random.key(0)
TIGHT = Blockwise(None, 200)
DESCENT = GradientDescent(None, 200)
TIGHT_EP = EquilibriumPropagation(TIGHT, symmetric(0.1))

estimate = systems.quickly(lambda estimator, *arguments: estimator(*arguments))
settle = systems.quickly(relax)
predict = systems.quickly(lambda model, state: jax.vmap(model.predict)(state))


NETWORKS = systems.medley, systems.quadratic_network, systems.oscillators, systems.kinked
"""Every unit, operator and cost once or more."""
EACH = *NETWORKS, *systems.FUNCTIONS
SMOOTH = tuple(builder for builder in EACH if builder is not systems.kinked)
UNROLLED = systems.medley, systems.kinked, systems.scalar
COMPLEX = systems.medley, systems.quadratic_network, systems.scalar
"""What else there is of a network, real nudges try."""


def label(value):
    return value if isinstance(value, str) else getattr(value, "__name__", type(value).__name__)


def every(*builders):
    return pytest.mark.parametrize("builder", builders, ids=label)


def tight(builder):
    """The solver for a system: more steps than any here needs in float64."""
    return DESCENT if builder in systems.FUNCTIONS else TIGHT


def apply(estimator, system, key=KEY):
    _, model, x, y = system
    return estimate(estimator, model, x, y, model.rest(x), key)


def flat(gradient):
    return np.asarray(ravel_pytree(gradient)[0])


def distance(gradient, reference):
    """Relative Euclidean distance of two gradients."""
    return np.linalg.norm(flat(gradient) - flat(reference)) / np.linalg.norm(flat(reference))


def implicit(builder):
    return ImplicitDifferentiation(tight(builder), 1e-13)


@cache
def exact(builder):
    return apply(implicit(builder), builder())


def slope(builder, direction, step):
    """Central difference of the relaxed loss, four points, along one direction in all parameters."""
    _, model, x, y = builder()
    parameters, static = eqx.partition(model, eqx.is_inexact_array)

    def loss(steps):
        moved = jax.tree.map(lambda a, d: np.asarray(a) + steps * step * d, parameters, direction)
        moved = systems.System("moved", eqx.combine(moved, static), x, y)
        return float(apply(implicit(builder), moved).value)

    losses = [loss(steps) for steps in (-2.0, -1.0, 1.0, 2.0)]
    return np.dot(losses, [1.0, -8.0, 8.0, -1.0]) / (12 * step)


class Padded(Contrast):
    """Another contrast's nudges as data, filled up to four phases: one compilation for all."""

    betas: Array
    coefficients: Array

    def __init__(self, contrast):
        parts = contrast.draw(KEY)
        self.betas, self.coefficients = (jnp.pad(p, (0, 4 - len(p))) for p in parts)

    def draw(self, key):
        return self.betas, self.coefficients


def error(builder, contrast):
    """Relative distance of a contrast's gradient from the exact one."""
    estimator = EquilibriumPropagation(tight(builder), Padded(contrast))
    return distance(apply(estimator, builder()).gradient, exact(builder).gradient)


@every(*EACH)
def test_implicit_equals_finite_differences(builder):
    """Along a random direction in every parameter array, and along the gradient itself."""
    gradient = jax.tree.map(np.asarray, exact(builder).gradient)
    leaves, structure = jax.tree.flatten(gradient)
    assert all(np.linalg.norm(leaf) > 1e-6 for leaf in leaves)
    size = np.linalg.norm([np.linalg.norm(leaf) for leaf in leaves])
    ways = [[g / size for g in leaves]]
    for i, leaf in enumerate(leaves):
        way = np.asarray(normal(i, leaf.shape))
        alone = [np.zeros_like(g) for g in leaves]
        ways.append([*alone[:i], way / np.linalg.norm(way), *alone[i + 1 :]])
    for way in ways:
        found = slope(builder, jax.tree.unflatten(structure, way), 1e-4)
        wanted = sum(np.vdot(g, d) for g, d in zip(leaves, way, strict=True))
        np.testing.assert_allclose(found, wanted, atol=1e-7 * size)


@every(*EACH)
def test_implicit_report(builder):
    report = exact(builder).report
    assert report.nudged is None
    assert report.adjoint.shape == (systems.BATCH,)
    assert np.all(report.adjoint < 1e-11)
    assert np.all(report.free.residual < 1e-13)


def test_the_adjoint_residual_is_relative():
    """Of an equation too stiff for one cycle: what that leaves of the slope, in any unit."""
    stiffness, units = jnp.logspace(-4, 0, 200), jnp.array([1e-25, 1e-6, 1.0, 1e6])
    energy = FunctionEnergy(lambda p, s, x: 0.5 * p @ s["out"] ** 2, stiffness, {"out": 200})
    phase = Model(energy, SquaredError()).free(jnp.zeros(1))

    def solved(unit):
        return krylov(phase, {"out": jnp.zeros(200)}, {"out": unit * jnp.ones(200)}, 1e-12, 2)

    multipliers, defects = systems.quickly(jax.vmap(solved))(units)
    left = stiffness * multipliers["out"] / units[:, None] + 1.0
    assert np.all((defects > 1e-3) & (defects < 0.5))
    np.testing.assert_allclose(defects, np.linalg.norm(left, axis=1) / 200**0.5)


@every(*UNROLLED)
def test_backpropagation_equals_implicit(builder):
    estimator = Backpropagation(tight(builder), 150)
    got = apply(estimator, builder())
    assert distance(got.gradient, exact(builder).gradient) < 1e-9
    np.testing.assert_allclose(got.value, exact(builder).value, rtol=1e-10)


@pytest.mark.parametrize(
    ("solver", "builder"),
    [(Momentum(), systems.box), (GradientDescent(), systems.quadratic_network)],
    ids=label,
)
def test_backpropagation_through_other_solvers(solver, builder):
    got = apply(Backpropagation(solver, 250), builder())
    assert distance(got.gradient, exact(builder).gradient) < 1e-9


@pytest.mark.parametrize("solver", [TIGHT, Momentum(), GradientDescent(step_size=1.0)], ids=label)
def test_backpropagation_where_nothing_moves(solver):
    """A saturated network reaches its equilibrium to the last bit; gradients stay numbers."""
    model = systems.excited(layered((2, 3, 2), KEY, Box(), Box()), 0, scale=20.0)
    x, y = normal(1, (2, 2)), normal(2, (2, 2))
    got = estimate(Backpropagation(solver, 10), model, x, y, model.rest(x), KEY)
    assert np.all(np.isfinite(flat(got.gradient)))


@every(*EACH)
def test_symmetric_equals_implicit(builder):
    assert error(builder, symmetric(1e-4)) < 1e-6


@every(*SMOOTH)
@pytest.mark.parametrize(
    "contrast, betas, order",
    [
        (one_sided, (0.02, 0.01), 1),
        (symmetric, (0.1, 0.05), 2),
        (lambda beta: n_point(4, beta), (0.2, 0.1), 4),
    ],
    ids=["one_sided", "symmetric", "n_point_4"],
)
def test_error_falls_with_the_order(contrast, betas, order, builder):
    coarse, fine = (error(builder, contrast(beta)) for beta in betas)
    np.testing.assert_allclose(np.log2(coarse / fine), order, atol=0.3)


@every(later(systems.medley), systems.scalar)
@pytest.mark.parametrize("points, radii", [(2, (0.1, 0.05)), (4, (0.2, 0.1))])
def test_holomorphic_error_falls_with_the_points(points, radii, builder):
    coarse, fine = (error(builder, holomorphic(points, radius)) for radius in radii)
    np.testing.assert_allclose(np.log2(coarse / fine), points, atol=0.3)


@every(later(systems.medley), *COMPLEX[1:])
def test_holomorphic_equals_implicit(builder):
    assert error(builder, holomorphic(8, 0.02)) < 1e-8


@every(systems.box, systems.max_pooled, systems.clipped_lateral)
def test_complex_nudges_need_smooth_units(builder):
    _, model, x, y = builder()
    estimator = EquilibriumPropagation(TIGHT, holomorphic(4, 0.1))
    with pytest.raises(ValueError, match="complex nudges need smooth units"):
        eqx.filter_eval_shape(estimator, model, x, y, model.rest(x), KEY)


def test_nudged_phases_may_begin_at_rest():
    """Settled, it makes no difference; of few steps, each is what it is from rest."""
    _, model, x, y = system = systems.box()
    settled = EquilibriumPropagation(Blockwise(1e-12), symmetric(0.1))
    anew = dataclasses.replace(settled, from_rest=True)
    np.testing.assert_allclose(
        *(flat(apply(e, system).gradient) for e in (settled, anew)), atol=1e-9
    )
    steps = Blockwise(None, 2)
    few = EquilibriumPropagation(settled.solver, symmetric(0.1), steps, from_rest=True)
    found = systems.quickly(few.phases)(model, x, y, model.rest(x), KEY).nudged

    @systems.quickly
    def expected(beta):
        def one(x, y, z):
            return steps.settle(model.nudged(x, y, beta), z)[0]

        return jax.vmap(one)(x, y, model.rest(x))

    for at, beta in enumerate((-0.1, 0.1)):
        for name, z in expected(jnp.asarray(beta)).items():
            np.testing.assert_allclose(found[name][at], z, atol=1e-14)


def test_random_sign_averages_to_symmetric():
    estimator, system = EquilibriumPropagation(TIGHT, RandomSign(0.3)), systems.lateral()
    gradients = {}
    for key in jax.random.split(KEY, 16):
        betas, _ = RandomSign(0.3).draw(key)
        gradients[float(betas[1])] = flat(apply(estimator, system, key).gradient)
    assert set(gradients) == {-0.3, 0.3}
    assert np.max(np.abs(gradients[0.3] - gradients[-0.3])) > 1e-4
    both = apply(EquilibriumPropagation(TIGHT, Padded(symmetric(0.3))), system)
    np.testing.assert_allclose(sum(gradients.values()) / 2, flat(both.gradient), atol=1e-12)


@every(systems.quadratic, systems.quadratic_network)
def test_linear_gradient_in_closed_form(builder):
    system = builder()
    s, value, (matrix, drive, bias) = systems.linear_answer(system)
    got = exact(builder)
    np.testing.assert_allclose(got.value, value, rtol=1e-11)
    np.testing.assert_allclose(got.state["out"], s, atol=1e-11)
    energy = got.gradient.energy
    symmetrised = 0.5 * (matrix + matrix.T)
    if builder is systems.quadratic:
        parts = energy.params["A"], energy.params["B"], energy.params["b"]
    else:
        symmetrised = np.diag(np.diag(symmetrised)) - symmetrised
        edges = energy.edges
        parts = edges["out-out"].op.weight, edges["x-out"].op.weight.T, energy.layers["out"].bias
    for part, wanted in zip(parts, (symmetrised, drive, bias), strict=True):
        np.testing.assert_allclose(part, wanted, atol=1e-11)


def test_scalar_gradient_in_closed_form():
    s, value, slope = systems.scalar_answer(systems.scalar())
    got = exact(systems.scalar)
    np.testing.assert_allclose(got.value, value, rtol=1e-11)
    np.testing.assert_allclose(got.state["out"], s, atol=1e-12)
    np.testing.assert_allclose(got.gradient.energy.params, slope, rtol=1e-11)


ESTIMATORS = {
    "equilibrium": EquilibriumPropagation(TIGHT, Padded(symmetric(0.2))),
    "implicit": ImplicitDifferentiation(TIGHT, 1e-13),
    "backpropagation": Backpropagation(TIGHT, 150),
}
each_estimator = pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)


@each_estimator
def test_value_is_the_mean_cost_of_the_free_state(estimator):
    _, model, x, y = system = systems.medley()
    got = apply(estimator, system)
    free, _ = settle(model, x, model.rest(x), TIGHT)
    for name in free:
        np.testing.assert_allclose(got.state[name], free[name], atol=1e-12)
    scores = np.asarray(predict(model, free))
    likelihood = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    surprise = -np.mean(np.log(np.sum(likelihood * np.asarray(y), axis=1)))
    np.testing.assert_allclose(got.value, surprise, rtol=1e-11)


@each_estimator
def test_gradient_has_the_structure_of_the_model(estimator):
    system = systems.medley()
    got = apply(estimator, system).gradient
    parameters = eqx.filter(system.model, eqx.is_inexact_array)
    assert jax.tree.structure(got) == jax.tree.structure(parameters)
    assert jax.tree.map(jnp.shape, got) == jax.tree.map(jnp.shape, parameters)
    assert np.linalg.norm(got.cost.weight) > 1e-3
    assert np.linalg.norm(got.cost.bias) > 1e-3


@each_estimator
def test_batch_gradient_is_the_mean_over_examples(estimator):
    name, model, x, y = system = systems.quadratic_network()
    whole = flat(apply(estimator, system).gradient)
    parts = [
        flat(apply(estimator, systems.System(name, model, x[i : i + 1], y[i : i + 1])).gradient)
        for i in range(len(x))
    ]
    np.testing.assert_allclose(np.mean(parts, axis=0), whole, atol=1e-11)
    assert np.linalg.norm(parts[0] - parts[1]) > 1e-2


@each_estimator
def test_perfect_output_has_no_gradient(estimator):
    name, model, x, _ = systems.kinked()
    y = predict(model, exact(systems.kinked).state)
    got = apply(estimator, systems.System(name, model, x, y))
    np.testing.assert_allclose(flat(got.gradient), 0.0, atol=1e-12)


def test_equilibrium_report():
    got = apply(EquilibriumPropagation(TIGHT, symmetric(0.2), Blockwise(1e-4, 7)), systems.tanh())
    assert got.report.adjoint is None
    assert got.report.free.steps.shape == (systems.BATCH,)
    assert np.all(got.report.free.residual < 1e-13)
    assert got.report.nudged.steps.shape == (2, systems.BATCH)
    assert np.all(got.report.nudged.steps <= 7)
    assert np.all(got.report.nudged.residual > 1e-10)
    assert got.report.metrics()["nudge_reached"] == 1.0


LOOSE = Blockwise(1e-5, 300)


SINGLE = {
    "symmetric": EquilibriumPropagation(LOOSE, symmetric(0.05)),
    "holomorphic": EquilibriumPropagation(LOOSE, holomorphic(4, 0.3)),
    "random_sign": EquilibriumPropagation(LOOSE, RandomSign(0.02)),
    "implicit": ImplicitDifferentiation(LOOSE),
    "backpropagation": Backpropagation(LOOSE, 60),
}


def narrow(builder):
    return jax.tree.map(lambda a: a.astype(jnp.float32), tuple(builder())[1:])


def single(gradient_of, name, builder):
    """An estimate in float32, of which every number is one."""
    model, x, y = narrow(builder)
    got = gradient_of(SINGLE[name], model, x, y, model.rest(x), KEY)
    for leaf in jax.tree.leaves((got.value, got.gradient, got.state)):
        assert leaf.dtype == jnp.float32
    return got


@pytest.mark.parametrize("name", ["random_sign", "backpropagation"])
def test_single_precision_stays_single(name):
    single(eqx.filter_eval_shape, name, systems.read_out)


@pytest.mark.parametrize(
    "name, builder",
    [
        later("holomorphic", systems.read_out),
        ("implicit", systems.read_out),
        ("symmetric", systems.medley),
    ],
    ids=label,
)
def test_single_precision_stays_single_and_is_enough(name, builder):
    got = single(estimate, name, builder)
    assert distance(got.gradient, exact(builder).gradient) < 0.05


def test_logged_steps_are_those_of_the_slowest_examples():
    """What a batch costs: of the free phase, and the mean over the nudged ones."""

    def info(steps):
        steps = jnp.asarray(steps)
        return Info(jnp.ones(steps.shape), steps, jnp.zeros(steps.shape, jnp.int8))

    seen = Report(info([3, 9, 6]), info([[2, 1, 8], [4, 2, 2]])).metrics()
    assert (seen["free_steps"], seen["nudged_steps"]) == (9.0, 6.0)


def test_integers_are_refused_with_the_remedy():
    model = layered((8, 5, 3), jax.random.key(0))
    with pytest.raises(
        ValueError, match=r"floating-point inputs, .* got uint8; .*as in training.*`scale`"
    ):
        model.rest(jnp.zeros((2, 8), jnp.uint8))


def test_parts_of_different_batches_are_refused():
    model = layered((8, 5, 3), jax.random.key(0))
    x, y = jnp.ones((4, 8)), jnp.ones((4, 3))
    rest = model.rest(x)
    model.require_batch(x, rest, y)
    with pytest.raises(ValueError, match=r"one leading axis, .* y \(3, 3\)"):
        model.require_batch(x, rest, y[:3])
    with pytest.raises(ValueError, match=r"one leading axis, .* y \(\)"):
        model.require_batch(x, rest, jnp.ones(()))
    misspelt = {"hid": rest["h1"], "out": rest["out"]}
    for estimator in (TIGHT_EP, ImplicitDifferentiation(TIGHT), Backpropagation(TIGHT)):
        with pytest.raises(ValueError, match=r"expected the layers \['h1', 'out'\], got \['hid"):
            eqx.filter_eval_shape(estimator, model, x, y, misspelt, KEY)
    with pytest.raises(ValueError, match=r"one leading axis, .* state\['h1'\] \(4, 5\)"):
        eqx.filter_eval_shape(settle, model, x[:2], rest, TIGHT)


@pytest.mark.parametrize("propagation", [later(EquilibriumPropagation), DeltaPropagation])
def test_a_nudged_phase_that_ends_early_is_seen_not_to_reach_far_layers(propagation):
    """The output is in the second colour: one sweep moves it alone, each later one two layers more."""
    model = layered([8, 9, 9, 9, 3], KEY, Box(0.0, 6.0), Linear(), gain=0.7)
    x, y = normal(0, (5, 8)), jnp.eye(3)[jnp.arange(5) % 3]

    def fraction(steps):
        estimator = propagation(TIGHT, symmetric(0.1), Blockwise(None, steps))
        return estimate(estimator, model, x, y, model.rest(x), KEY).report.metrics()[
            "nudge_reached"
        ]

    assert fraction(1) == pytest.approx(1 / 4)
    assert fraction(2) == pytest.approx(3 / 4)
