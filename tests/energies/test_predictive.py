"""Predictive coding: free states are a forward pass, small nudges back-propagate."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from eqprop import (
    EquilibriumPropagation,
    GradientDescent,
    ImplicitDifferentiation,
    Layer,
    Linear,
    Model,
    Network,
    Oscillator,
    PredictiveCoding,
    SquaredError,
    Tanh,
    holomorphic,
    layered,
    one_sided,
    predictive,
    predictive_residual,
    relax,
    symmetric,
    with_read_out,
)
from eqprop.energies.ops import Dense
from eqprop.estimators.answer import warn_of_answer
from eqprop.estimators.backpropagation import FeedForward, forward
from eqprop.papers.predictive_coding.recipes import clamped
from eqprop.solvers import ErrorDescent
from helpers import systems
from helpers.systems import normal

KEY = jax.random.key(0)
TIGHT = ErrorDescent(1e-13, 5000)
apply = systems.quickly(lambda e, model, x, y: e(model, x, y, model.rest(x), KEY))
settle = systems.quickly(lambda solver, phase, state: solver.settle(phase, state))


def chain(depth=2, gain=1.5, output=None):
    model = layered((4, *[5] * depth, 3), KEY, Tanh(), output or Linear(), gain)
    model = systems.excited(model, 5)
    return model, predictive(model, 1.0), normal(1, (3, 4)), normal(2, (3, 3))


def flat(gradient):
    return np.asarray(ravel_pytree(eqx.filter(gradient, eqx.is_inexact_array))[0])


def distance(found, reference):
    return np.linalg.norm(flat(found) - flat(reference)) / np.linalg.norm(flat(reference))


def two(precision):
    """x -> h -> out, of one number each: weights 2 and 3."""
    ops = [Dense(jnp.array([[w]])) for w in (2.0, 3.0)]
    layers = {"h": Layer(1, Linear()), "out": Layer(1, Linear())}
    network = Network(1, layers, [("x", "h", ops[0]), ("h", "out", ops[1])])
    return Model(PredictiveCoding(network, precision), SquaredError())


def test_energy_by_hand():
    phase = two({"out": 4.0}).energy.clamp(jnp.ones(1))
    state = {"h": jnp.array([2.5]), "out": jnp.array([7.0])}
    errors = {name: e.tolist() for name, e in phase.errors(state).items()}
    assert errors == {"h": [0.5], "out": [-0.5]}
    assert float(phase(state)) == 0.5 * 0.25 + 0.5 * 4.0 * 0.25


def test_states_of_errors_have_these_errors():
    _, model, x, _ = systems.predictions()
    phase = model.free(x[0])
    errors = {name: normal(i, z.shape) for i, (name, z) in enumerate(model.energy.rest().items())}
    found = phase.errors(phase.states(errors))
    for name, e in errors.items():
        np.testing.assert_allclose(found[name], e, atol=1e-14)


def test_a_free_network_ends_where_a_forward_pass_does():
    below, model, x, _ = chain()
    expected = jax.vmap(lambda x: forward(below, x))(x)
    from_rest, info = relax(model, x, None, TIGHT)
    descended, _ = relax(model, x, model.rest(x), GradientDescent(1e-13, 5000))
    assert np.all(info.steps <= 1)
    for name, z in expected.items():
        shown = jnp.tanh(z) if name != "out" else z
        np.testing.assert_allclose(from_rest[name], shown, atol=1e-14)
        np.testing.assert_allclose(descended[name], shown, atol=1e-12)


def test_small_nudges_back_propagate():
    below, model, x, y = chain(depth=4)
    exact = apply(FeedForward(), below, x, y)
    found = [
        apply(EquilibriumPropagation(TIGHT, symmetric(beta), TIGHT), model, x, y)
        for beta in (4e-3, 1e-3)
    ]
    errors = [distance(one.gradient.energy, exact.gradient.energy) for one in found]
    assert errors[1] < 1e-3
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.1)
    np.testing.assert_allclose(found[0].value, exact.value, rtol=1e-13)


def test_of_a_read_out_too():
    below, _, x, _ = chain()
    below = with_read_out(below, 3, KEY, gain=2.0)
    model, y = predictive(below), jnp.eye(3)
    exact = apply(FeedForward(), below, x, y)
    found = apply(EquilibriumPropagation(TIGHT, symmetric(1e-3), TIGHT), model, x, y)
    assert distance(found.gradient.energy, exact.gradient.energy) < 1e-4
    assert distance(found.gradient.cost, exact.gradient.cost) < 1e-4


def test_one_step_of_the_errors_is_back_propagation():
    below, model, x, y = chain(depth=4)
    exact = apply(FeedForward(), below, x, y)
    once = ErrorDescent(None, 1, 1.0)
    errors = [
        distance(
            apply(EquilibriumPropagation(once, one_sided(beta), once), model, x, y).gradient.energy,
            exact.gradient.energy,
        )
        for beta in (1e-4, 1e-6)
    ]
    assert errors[1] < 1e-5
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.1)


def test_states_and_errors_settle_alike():
    _, model, x, y = chain()
    phase = model.nudged(x[0], y[0], 0.7)
    begin = model.energy.rest(x.dtype)
    by_states, first = settle(GradientDescent(1e-13, 5000), phase, begin)
    by_errors, second = settle(TIGHT, phase, begin)
    assert max(float(first.residual), float(second.residual)) < 1e-12
    for name, z in by_states.items():
        np.testing.assert_allclose(by_errors[name], z, atol=1e-10)


@pytest.mark.parametrize(("precision", "beta"), [(1.0, 1.0), (2.0, 2 / 3)])
def test_a_nudge_is_a_clamped_output_of_less_precision(precision, beta):
    """Of precision ``pi beta / (pi + beta)``, here 1/2, which of large nudges is ``pi``: the usual rule of
    predictive coding."""
    model, rest = two({"out": precision}), {"h": jnp.zeros(1), "out": jnp.zeros(1)}
    slowly = ErrorDescent(1e-13, 5000, 0.1)
    found, _ = settle(slowly, model.nudged(jnp.ones(1), jnp.array([2.0]), beta), rest)
    # held at 2, h minimises (h - 2)^2 / 2 + 1/2 (2 - 3 h)^2 / 2
    assert float(found["h"][0]) == pytest.approx((2.0 + 0.5 * 3.0 * 2.0) / (1.0 + 0.5 * 9.0))


def test_holomorphic_nudges():
    below, model, x, y = chain()
    exact = apply(FeedForward(), below, x, y)
    found = apply(EquilibriumPropagation(TIGHT, holomorphic(4, 1e-2), TIGHT), model, x, y)
    assert distance(found.gradient.energy, exact.gradient.energy) < 1e-6


def test_answers_that_grow_on_the_way_are_no_other_basin():
    _, model, x, y = chain(depth=2, gain=5.0)
    metrics = apply(EquilibriumPropagation(TIGHT, symmetric(1e-4)), model, x, y).report.metrics()
    assert "nudge_response" not in metrics and metrics["nudge_bend"] < 1
    lost = {"nudge_asymmetry": float("nan")}  # whatever the energy, what is no number is told
    with pytest.warns(UserWarning, match="asymmetry nan"):
        warn_of_answer(lost)


@pytest.mark.parametrize(("precision", "beta", "held"), [(0.5, 0.7, False), (4.0, 2.0, True)])
def test_an_output_is_held_by_its_precision(precision, beta, held):
    _, model, x, y = chain()
    model = Model(PredictiveCoding(model.energy.network, {"out": precision}), model.cost)
    rule = EquilibriumPropagation(TIGHT, symmetric(beta), TIGHT)
    if held:
        return rule.check(model, x, y)
    with pytest.raises(ValueError, match=r"nudges above -1 with a squared error, got -1\.4"):
        rule.check(model, x, y)


def test_a_pass_through_the_same_layers_is_back_propagated_through():
    below, model, x, y = chain()
    expected, found = (apply(FeedForward(), one, x, y) for one in (below, model))
    assert found.value == expected.value
    assert distance(found.gradient, expected.gradient) < 1e-14


def residual(depth, unit=None):
    model = predictive_residual(4, 6, depth, 3, KEY, unit)
    model = systems.excited(Model(model.energy.network, model.cost), 5)
    return predictive(model), normal(1, (3, 4)), normal(2, (3, 3))


def test_residual_layers_by_hand():
    model, x, _ = residual(4)
    network = model.energy.network
    names = ("x-h1", "h1-h2", "h2-h3", "h3-out")
    first, *inner, last = (jax.tree.leaves(network.edges[name])[0] for name in names)
    biases = [network.layers[name].bias for name in network.order]
    z = (x @ first + biases[0]) / 2.0
    for weight, bias in zip(inner, biases[1:-1], strict=True):
        z = z + (jnp.maximum(z, 0) @ weight + bias) / 24**0.5
    out = (jnp.maximum(z, 0) @ last + biases[-1]) / 6.0
    found, _ = relax(model, x, None, TIGHT)
    np.testing.assert_allclose(found["h3"], z, atol=1e-14)
    np.testing.assert_allclose(found["out"], out, atol=1e-14)


def test_states_of_residual_layers_keep_their_size():
    x = normal(1, (16, 4))

    @systems.quickly
    def size(depth):
        model = predictive_residual(4, 64, depth, 3, KEY)
        found, _ = relax(model, x, None, ErrorDescent(None, 1))
        return jnp.std(found[f"h{depth - 1}"])

    sizes = [float(size(depth)) for depth in (4, 24)]
    assert 0.7 < sizes[0] < 1.5 and sizes[1] / sizes[0] == pytest.approx(1, abs=0.3)


def test_the_gradient_through_residual_layers_is_that_of_implicit_differentiation():
    model, x, y = residual(6, Tanh())
    learner = EquilibriumPropagation(TIGHT, symmetric(1e-3), TIGHT)
    found, implicit, backward = (
        apply(rule, model, x, y).gradient
        for rule in (learner, ImplicitDifferentiation(TIGHT, tolerance=1e-12), FeedForward())
    )
    assert distance(implicit, backward) < 1e-11
    assert distance(found, backward) < 1e-4


def test_the_rule_of_a_held_output_is_the_gradient_of_what_is_then_missed():
    below, _, x, _ = chain(depth=1)
    below = with_read_out(below, 3, KEY, gain=2.0)
    model, y = predictive(below), jnp.eye(3)
    (first,), bias = jax.tree.leaves(below.energy.edges), below.energy.layers["h1"].bias
    parameters = first, bias, below.cost.weight, below.cost.bias

    def missed(parameters, h):
        w, b, v, c = parameters
        scores = jax.nn.log_softmax(h @ v + c)
        return jnp.mean(0.5 * jnp.sum((h - jnp.tanh(x @ w + b)) ** 2, 1) - jnp.sum(y * scores, 1))

    def descend(_, h):
        return h - 0.3 * len(x) * jax.grad(missed, 1)(parameters, h)

    settled = jax.lax.fori_loop(0, 2000, descend, jnp.tanh(x @ first + bias))
    expected = jax.grad(missed)(parameters, settled)
    held = dataclasses.replace(clamped(FeedForward()), solver=TIGHT, nudged_solver=TIGHT)
    found = apply(held, model, x, y)
    (edge,), layer = (
        jax.tree.leaves(found.gradient.energy.network.edges),
        found.gradient.energy.network,
    )
    got = edge, layer.layers["h1"].bias, found.gradient.cost.weight, found.gradient.cost.bias
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_what_cannot_be_predicted_is_refused():
    layers = {"h": Layer(2, Linear()), "out": Layer(2, Linear())}
    dense = Dense(jnp.eye(2))
    back = Network(2, layers, [("x", "out", dense), ("out", "h", dense)])
    with pytest.raises(ValueError, match=r"edges from earlier layers to later ones, got 'out-h'"):
        PredictiveCoding(back)
    turning = Network(2, {"out": Layer(2, Oscillator(-0.5))}, [("x", "out", dense)])
    with pytest.raises(ValueError, match=r"layer .out. expected a unit .*, got Oscillator"):
        PredictiveCoding(turning)
    network = layered((2, 2), KEY).energy
    with pytest.raises(ValueError, match=r"precision: expected layers among .*'out'.*, got .*'h9'"):
        PredictiveCoding(network, {"h9": 1.0})
    with pytest.raises(ValueError, match=r"expected precision.*> 0.*-1|precision.*-1"):
        PredictiveCoding(network, -1.0)
    with pytest.raises(ValueError, match="predictive: expected a model whose energy is a Network"):
        predictive(systems.scalar().model)
    model = layered((2, 2), KEY)
    with pytest.raises(ValueError, match="ErrorDescent: expected a model of predictive coding"):
        relax(model, jnp.ones((1, 2)), None, ErrorDescent())
