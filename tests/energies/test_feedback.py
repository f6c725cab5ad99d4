"""Weak feedback: the same parameters between the usual energy and the forward pass."""

from functools import cache
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import eqprop as eq
from eqprop.energies.feedback import nudge_scale, with_stiff_layers, with_weak_feedback
from eqprop.energies.ops import Chain, Dense, Lateral, cast
from eqprop.energies.parameters import parameter_names
from eqprop.estimators.backpropagation import FeedForward, forward
from eqprop.estimators.differences import DeltaPropagation
from eqprop.papers.hopfield_resnet.parts import Architecture, Ordered
from eqprop.papers.hopfield_resnet.recipes import cifar_10_hopfield_resnet_narrow
from eqprop.thermal import Gibbs
from eqprop.thermal.chains import Chains
from eqprop.thermal.estimator import Thermal
from eqprop.thermal.rules import finite_nudge
from helpers.systems import normal, quickly

KEY = jax.random.key(0)
MANY = eq.Blockwise(None, 200)
estimate = quickly(lambda estimator, *arguments: estimator(*arguments))
settled = quickly(lambda model, x, solver=MANY: eq.relax(model, x, model.rest(x), solver))


def residual(widths=(2,)):
    """Blocks with skips, on six images; and its number of layers."""
    model = eq.hopfield_resnet((8, 8, 3), 3, KEY, widths, gain=1.0)
    model = eq.with_biases(model, jax.random.key(1), 0.5)
    return model, normal(0, (6, 8, 8, 3)), jnp.eye(3)[jnp.arange(6) % 3], 1 + 2 * len(widths)


def flat(found):
    return np.asarray(ravel_pytree(found.gradient)[0])


def gradient(estimator, model, x, y):
    return flat(estimate(estimator, model, x, y, model.rest(x), KEY))


def apart(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


@cache
def estimated(feedback, precision="float64"):
    """By equilibrium propagation in the residual network."""
    model, x, y, layers = residual()
    weak = with_weak_feedback(model, feedback)
    contrast = eq.symmetric(1e-3 * nudge_scale(feedback, layers))
    given = (cast(part, jnp.dtype(precision)) for part in (weak, x, y, weak.rest(x)))
    return estimate(DeltaPropagation(MANY, contrast), *given, KEY)


def learned(feedback):
    return flat(estimated(feedback))


def test_the_gradient_is_that_of_the_equilibrium():
    """Where that is not yet the one of back-propagation."""
    model, x, y, _ = residual()
    weak = with_weak_feedback(model, 1e-2)
    exact = gradient(eq.ImplicitDifferentiation(MANY, 1e-13), weak, x, y)
    assert apart(learned(1e-2), exact) < 1e-5


def test_no_layers_answer_is_lost_in_single_precision():
    """The first layer's is 1e-15 of its state, and the last one's 1e-3."""
    single, double = (estimated(1e-6, dtype).gradient for dtype in ("float32", "float64"))
    for one, other in zip(jax.tree.leaves(single), jax.tree.leaves(double), strict=True):
        assert apart(np.asarray(one, float), np.asarray(other)) < 1e-5


@pytest.mark.long
def test_no_oscillators_answer_is_lost_in_single_precision():
    """In convolutions of stiff layers, one sweep down from a few sweeps up; states as a whole lose
    a thousand times as much."""
    unit = eq.Oscillator(0.0, 1.0)
    model, feedback = eq.convolutional((8, 8, 1), (4,), 3, KEY, unit, unit, gain=3.0), 1e-4
    weak, x, y = (
        with_stiff_layers(model, feedback),
        normal(0, (6, 8, 8, 1)),
        jnp.eye(3)[jnp.arange(6) % 3],
    )
    up, down = (
        eq.Blockwise(None, n, tuple((name,) for name in order))
        for n, order in ((3, model.energy.order), (1, model.energy.order[::-1]))
    )
    contrast = eq.symmetric(0.1 * nudge_scale(feedback, 2))

    def leaves(propagation, precision):
        given = (cast(part, jnp.dtype(precision)) for part in (weak, x, y, weak.rest(x)))
        return jax.tree.leaves(estimate(propagation(up, contrast, down), *given, KEY).gradient)

    double = leaves(DeltaPropagation, "float64")

    def worst(propagation):
        pairs = zip(leaves(propagation, "float32"), double, strict=True)
        return max(apart(np.asarray(one, float), np.asarray(other)) for one, other in pairs)

    assert worst(DeltaPropagation) < 1e-5
    assert worst(eq.EquilibriumPropagation) > 0.01


def test_towards_none_it_is_back_propagation():
    """At a distance in proportion to the feedback; the forward pass is that of the model as it was."""
    model, x, y, _ = residual()
    passed = gradient(FeedForward(), model, x, y)
    weak = with_weak_feedback(model, 1e-2)
    np.testing.assert_allclose(gradient(FeedForward(), weak, x, y), passed, rtol=1e-9)
    far, near = (apart(learned(feedback), passed) for feedback in (1e-2, 1e-5))
    assert far > 1e-3
    assert near == pytest.approx(far / 1000, rel=0.2)


def test_equilibria_obey_the_equation():
    feedback = 0.2
    layers = {name: eq.Layer(4, eq.Box(0.0, 2.0), normal(i, 4)) for i, name in enumerate("abc")}
    ends = (("x", "a"), ("a", "b"), ("b", "c"), ("a", "c"))
    edges = [(*pair, eq.ops.Dense(normal(10 + i, (4, 4)))) for i, pair in enumerate(ends)]
    model = eq.Model(eq.Network(4, layers, edges), eq.SquaredError("c"))
    x = normal(20, (5, 4))
    weak = with_weak_feedback(model, feedback)
    names = model.energy.order
    kept, _ = settled(weak, x)
    z = {name: kept[name] / feedback ** (i / 2) for i, name in enumerate(names)}
    for i, name in enumerate(names):
        layer = model.energy.layers[name]
        heard = jnp.broadcast_to(layer.bias, z[name].shape)
        for edge in model.energy.edges.values():
            if edge.target == name:
                below = x if edge.source == "x" else z[edge.source]
                heard = heard + jax.vmap(edge.op)(below)
            if edge.source == name:
                above = names.index(edge.target)
                back = jax.vmap(lambda z, v, op=edge.op: jax.vjp(op, z)[1](v)[0])
                heard = heard + feedback ** (above - i) * back(z[name], z[edge.target])
        np.testing.assert_allclose(z[name], layer.unit.retract(heard), atol=1e-12)


def test_weaker_still_is_weaker_by_the_product():
    model, x, *_ = residual()
    twice = with_weak_feedback(with_weak_feedback(model, 0.2), 0.5)
    once = with_weak_feedback(model, 0.1)
    scores = [jax.vmap(m.predict)(settled(m, x)[0]) for m in (twice, once)]
    np.testing.assert_allclose(*scores, rtol=1e-9)


def test_full_feedback_is_the_usual_energy():
    model, x, *_ = residual()
    full = with_weak_feedback(model, 1.0)
    state = jax.tree.map(lambda z: normal(4, z.shape), model.rest(x))
    energies = [jax.jit(jax.vmap(m.energy))(state, x) for m in (full, model)]
    np.testing.assert_allclose(*energies, rtol=1e-13)
    assert nudge_scale(1.0, 5) == 1.0


def test_parameters_keep_their_names():
    model, *_ = residual()
    names = [jax.tree.leaves(parameter_names(m)) for m in (with_weak_feedback(model, 0.1), model)]
    assert names[0] == names[1]
    read = eq.with_read_out(model, 3, KEY)
    assert "cost.weight" in jax.tree.leaves(parameter_names(with_weak_feedback(read, 0.1)))


def test_one_ordered_sweep_is_the_forward_pass_and_one_goes_all_the_way_back():
    model, x, y, layers = residual()
    weak, order = with_weak_feedback(model, 1e-6), model.energy.order
    up, down = Ordered(1, 1).solvers(order)
    assert up.blocks == tuple((name,) for name in order) and down.blocks == up.blocks[::-1]
    learner = DeltaPropagation(up, eq.symmetric(1e-3 * nudge_scale(1e-6, layers)), down)
    found = estimate(learner, weak, x, y, weak.rest(x), KEY)
    for name, z in quickly(jax.vmap(lambda x: forward(weak, x)))(x).items():
        np.testing.assert_allclose(found.state[name], z, rtol=1e-4)
    assert found.report.metrics()["nudge_reached"] == 1.0


def test_stiff_layers_have_the_equilibrium_of_layers_that_are_kept_small():
    feedback, sizes = 0.1, [4, 6, 5, 3]
    model = eq.layered(sizes, KEY, eq.relu6(), eq.Linear(), 2.0)
    model = eq.with_biases(model, jax.random.key(1), 0.4)
    x, y = normal(2, (5, 4)), jnp.eye(3)[jnp.arange(5) % 3]
    contrast = eq.symmetric(1e-2 * nudge_scale(feedback, 3))
    found = []
    learner = eq.EquilibriumPropagation(MANY, contrast)
    for weak in (with_stiff_layers(model, feedback), with_weak_feedback(model, feedback)):
        mine = estimate(learner, weak, x, y, weak.rest(x), KEY)
        assert np.all(mine.report.free.residual < 1e-12)
        energy = jax.jit(jax.vmap(weak.energy))(mine.state, x)
        found.append((energy, jax.vmap(weak.predict)(mine.state), flat(mine)))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)


def test_stiff_layers_hear_those_above_as_softly_as_asked():
    """Of every unit that is soft; and their gradient is that of the equilibrium."""
    feedback, sizes = 0.2, {"h1": 6, "h2": 5, "h3": 4, "out": 3}
    units = dict(zip(sizes, (eq.Logistic(), eq.Tanh(), eq.Ramp(), eq.Logistic()), strict=True))
    layers = {
        name: eq.Layer(size, units[name], normal(size, size, 0.2)) for name, size in sizes.items()
    }
    pairs = list(pairwise(("x", *sizes)))
    weights = [
        normal(10 + above, (below, above), below**-0.5)
        for below, above in pairwise((4, *sizes.values()))
    ]
    edges = [(*pair, Dense(weight)) for pair, weight in zip(pairs, weights, strict=True)]
    weak = with_stiff_layers(eq.Model(eq.Network(4, layers, edges), eq.SquaredError()), feedback)
    x, y = normal(2, (5, 4)), jnp.eye(3)[jnp.arange(5) % 3]
    contrast = eq.symmetric(1e-3 * nudge_scale(feedback, 4))
    learned = estimate(eq.EquilibriumPropagation(MANY, contrast), weak, x, y, weak.rest(x), KEY)
    state = learned.state
    assert np.all(learned.report.free.residual < 1e-12)
    u = {"x": x} | jax.vmap(lambda z: eq.energies.units.unit.embed(weak.energy.units, z))(state)
    heard = {
        name: u[below] @ weight + layers[name].bias
        for (below, name), weight in zip(pairs, weights, strict=True)
    }
    for (name, above), weight in zip(pairs[1:], weights[1:], strict=True):
        heard[name] = heard[name] + feedback * u[above] @ weight.T
    for name, unit in units.items():
        np.testing.assert_allclose(u[name], unit.embed(unit.retract(heard[name])), atol=1e-10)
        assert jnp.std(u[name]) > 0.01
    assert apart(flat(learned), gradient(eq.ImplicitDifferentiation(MANY), weak, x, y)) < 1e-5


@pytest.mark.long
def test_stiff_oscillators_follow_the_gradient_of_their_equilibrium():
    feedback, unit = 0.2, eq.Oscillator(-1.0, 0.3)
    model = eq.with_biases(eq.layered([4, 6, 5, 3], KEY, unit, unit, 1.0), jax.random.key(1), 0.4)
    weak, x, y = (
        with_stiff_layers(model, feedback),
        normal(2, (5, 4)),
        jnp.eye(3)[jnp.arange(5) % 3],
    )
    seen = [layer.unit.injection for layer in weak.energy.layers.values()]
    np.testing.assert_allclose(seen, [-1, -0.2, -0.04])
    quadratures = [layer.unit.quadrature for layer in weak.energy.layers.values()]
    np.testing.assert_allclose(quadratures, [0.3, 0.06, 0.012])
    contrast = eq.symmetric(1e-3 * nudge_scale(feedback, 3))
    learned = estimate(eq.EquilibriumPropagation(MANY, contrast), weak, x, y, weak.rest(x), KEY)
    assert np.all(learned.report.free.residual < 1e-10)
    for z in learned.state.values():
        np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, rtol=1e-12)
    assert apart(flat(learned), gradient(eq.ImplicitDifferentiation(MANY), weak, x, y)) < 1e-4


def test_stiff_layers_back_propagate_at_last():
    model = eq.layered([4, 6, 5, 3], KEY, eq.Logistic(), eq.Logistic(), 2.0)
    x, y = normal(2, (5, 4)), jnp.eye(3)[jnp.arange(5) % 3]
    exact, feedback = gradient(FeedForward(), model, x, y), 1e-4
    contrast = eq.symmetric(1e-3 * nudge_scale(feedback, 3))
    learner = eq.EquilibriumPropagation(MANY, contrast)
    learned = gradient(learner, with_stiff_layers(model, feedback), x, y)
    assert apart(learned, exact) < 3 * feedback


def test_a_stiff_unit_at_a_temperature_is_its_unit_at_a_lower_one():
    """The law of a linear one is known: a field over the stiffness, and ``T`` over it."""
    c, temperature, field, dt = 0.3, 0.06, 0.4, 0.02
    unit = eq.Stiff(eq.Linear(), c)
    z, fields = jnp.zeros(4000), jnp.full(4000, field)

    @quickly
    def both_ways(z, fields, temperature):
        def step(z, key):
            noise = jax.random.normal(key, z.shape)
            return unit.diffuse(z, fields, dt, temperature, noise), None

        drawn = unit.sample(KEY, z, fields, jnp.zeros(()), temperature)
        diffused, _ = jax.lax.scan(step, z, jax.random.split(KEY, 600))
        return unit.embed(drawn), unit.embed(diffused)

    for seen in both_ways(z, fields, jnp.asarray(temperature)):
        error = (temperature / c / len(z)) ** 0.5
        assert abs(jnp.mean(seen) - field / c) < 4 * error
        assert abs(jnp.var(seen) / (temperature / c) - 1) < 4 * (2 / len(z)) ** 0.5 + dt
    box = eq.Stiff(eq.Box(), c)
    mean = quickly(box.mean)(z[:1], fields[:1], jnp.zeros(()), jnp.asarray(temperature)) / c
    grid = jnp.linspace(0, 1, 20001)
    density = jnp.exp(-(c * grid**2 / 2 - field * grid) / temperature)
    np.testing.assert_allclose(mean, jnp.sum(grid * density) / jnp.sum(density), rtol=1e-4)


def weakened(way, feedback=0.1):
    """Three layers of units that both ways take."""
    return way(eq.layered((4, 5, 5, 3), KEY, eq.Box(), eq.Box()), feedback)


SWEEPS, FAINT = eq.Blockwise(None, 4), eq.symmetric(1e-3)
LOOSE = eq.Blockwise(1e-3, 60)


def check(estimator, model):
    x, y = jnp.ones((2, 4)), jnp.eye(3)[:2]
    estimator.check(model, x, y)


@pytest.mark.parametrize(
    ("estimator", "way", "words"),
    [
        (DeltaPropagation(LOOSE, FAINT, SWEEPS), with_weak_feedback, "a tolerance of None"),
        (DeltaPropagation(SWEEPS, FAINT, LOOSE), with_weak_feedback, "got a tolerance of 0.001"),
        (eq.EquilibriumPropagation(LOOSE, FAINT), with_stiff_layers, "got a tolerance of 0.001"),
        (
            eq.EquilibriumPropagation(eq.Reduced(eq.Blockwise(0.1, 9)), FAINT),
            with_stiff_layers,
            "got a tolerance of 0.1",
        ),
        (
            eq.EquilibriumPropagation(SWEEPS, FAINT),
            with_weak_feedback,
            r"expected differences \(DeltaPropagation.* got phases as a whole",
        ),
        (
            DeltaPropagation(SWEEPS, eq.symmetric(1e-31)),
            with_weak_feedback,
            "expected nudges of 1e-30 or more.* got 1e-31",
        ),
    ],
)
def test_phases_that_would_learn_from_rounding_are_refused(estimator, way, words):
    check(estimator, weakened(way, 1.0))
    with pytest.raises(ValueError, match=f"feedback: .*{words}"):
        check(estimator, weakened(way))


def test_what_answers_above_rounding_is_not_refused():
    check(DeltaPropagation(SWEEPS, FAINT), weakened(with_weak_feedback))
    check(eq.EquilibriumPropagation(SWEEPS, FAINT), weakened(with_stiff_layers))


def test_noise_drowns_faint_answers():
    thermal = Thermal(Chains(0.1, Gibbs()), finite_nudge(0.1))
    for way in (with_weak_feedback, with_stiff_layers):
        with pytest.raises(ValueError, match="expected a feedback of 1, since noise would drown"):
            check(thermal, weakened(way))


@pytest.mark.parametrize("way", [with_weak_feedback, with_stiff_layers])
def test_nudges_have_their_lower_end_where_the_last_layer_feels_minus_one(way):
    model, scale = weakened(way, 0.1), nudge_scale(0.1, 3)
    propagation = DeltaPropagation if way is with_weak_feedback else eq.EquilibriumPropagation
    check(propagation(SWEEPS, eq.symmetric(0.9 * scale)), model)
    with pytest.raises(ValueError, match=r"nudges above -1 with a squared error, got -1\.1, in"):
        check(propagation(SWEEPS, eq.symmetric(1.1 * scale)), model)


def test_the_recipes_nudge_is_what_the_last_layer_feels():
    tiny = Architecture(1, 1, gain=(1.0, 1.0, 1.0), bias_gain=0.0)
    betas, _ = cifar_10_hopfield_resnet_narrow(tiny, beta=0.01).estimator.contrast.draw(KEY)
    np.testing.assert_allclose(betas, 0.01 * 0.003 * np.array([0, 1]))


class Gate(eqx.Module):
    """What it calls linear is a part of it."""

    linear: Dense

    def __call__(self, u):
        return jnp.tanh(self.linear(u))


def refusal(model, feedback=0.1):
    with pytest.raises(ValueError) as error:
        with_weak_feedback(model, feedback)
    return str(error.value)


def test_refused():
    model, *_ = residual()
    for feedback in (0.0, 2.0):
        assert refusal(model, feedback).startswith("feedback: expected a number in (0, 1]")
    smooth = eq.layered([4, 3, 2], KEY, eq.Logistic(), eq.Logistic())
    assert "layer 'h1' expected a Box or Linear unit" in refusal(smooth)
    assert refusal(smooth).endswith("got Logistic; use with_stiff_layers.")
    with pytest.raises(ValueError, match="Stiff: expected a finite stiffness > 0, got 0"):
        eq.Stiff(eq.Logistic(), 0.0)
    with pytest.raises(ValueError, match="Stiff: expected a unit of one number a neuron, got Osc"):
        eq.Stiff(eq.Oscillator(), 0.1)
    layers = {"h": eq.Layer(3, eq.Box()), "out": eq.Layer(3, eq.Linear())}
    dense = [eq.ops.Dense(jnp.ones((3, 3))) for _ in range(2)]
    edges = [("x", "h", dense[0]), ("h", "out", dense[1]), ("h", "h", Lateral(jnp.ones((3, 3))))]
    lateral = eq.Model(eq.Network(3, layers, edges), eq.SquaredError())
    assert "edge 'h-h' expected a target above its source" in refusal(lateral)
    down = eq.Network(3, layers, [("x", "h", dense[0]), ("out", "h", dense[1])])
    for feedback in (0.1, 1.0):
        assert "edge 'out-h' expected a target above" in refusal(
            eq.Model(down, eq.SquaredError()), feedback
        )
    for op in (Chain((dense[1], jnp.tanh)), lambda u: u + 1.0, Gate(dense[1])):
        curved = eq.Network(3, layers, [("x", "h", dense[0]), ("h", "out", op)])
        assert "edge 'h-out' expected an operator that is linear" in refusal(
            eq.Model(curved, eq.SquaredError())
        )
    assert "expected a cost of the last layer, 'out'" in refusal(
        eq.Model(eq.layered([2, 3, 1], KEY).energy, eq.SquaredError("h1"))
    )
    assert "whose 8th power is above 0" in refusal(eq.layered([3] * 10, KEY), 1e-90)
    with pytest.raises(ValueError, match="expected the model before with_weak_feedback"):
        eq.with_read_out(with_weak_feedback(eq.layered([2, 3, 1], KEY), 0.1), 3, KEY)
    other = eq.FunctionEnergy(lambda p, z, x: p * jnp.sum(z["a"] ** 2), 1.0, {"a": 2})
    assert "expected a Network" in refusal(eq.Model(other, eq.SquaredError("a")))
