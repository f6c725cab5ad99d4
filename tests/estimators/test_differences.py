"""Few bits: what differences and refinement keep of small nudges."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import eqprop as eq
from eqprop import (
    Backpropagation,
    Blockwise,
    Box,
    DeltaPropagation,
    EquilibriumPropagation,
    Flow,
    GradientDescent,
    ImplicitDifferentiation,
    Langevin,
    Layer,
    Linear,
    Model,
    Momentum,
    Network,
    Oscillator,
    Reduced,
    Refined,
    SquaredError,
    holomorphic,
    layered,
    n_point,
    one_sided,
    relax,
    symmetric,
    with_read_out,
)
from eqprop.energies import residual
from eqprop.energies.displaced import about
from eqprop.energies.energy import field
from eqprop.energies.ops import AveragePool, Chain, Dense, cast
from eqprop.solvers import MatmulPrecision
from eqprop.spiking import Spiking, SpikingPropagation, SurrogateBackpropagation
from eqprop.thermal import Gibbs
from eqprop.thermal.chains import Chains
from eqprop.thermal.estimator import Thermal
from eqprop.thermal.rules import finite_nudge
from eqprop.training import rivals
from eqprop.training.rounding import smallest_nudge, warn_of_rounding
from helpers import systems
from helpers.later import later

KEY = jax.random.key(0)
TIGHT = Blockwise(None, 200)
BF16 = "bfloat16"
ROUNDING = 2.0**-8
"""Of bfloat16."""
COARSE = Blockwise(0.04, 100)
apply = systems.quickly(lambda e, model, x, y: e(model, x, y, model.rest(x), KEY))
settle = systems.quickly(lambda model, x, solver: relax(model, x, model.rest(x), solver))


def flat(gradient):
    return np.asarray(ravel_pytree(gradient)[0], np.float64)


def cosine(one, other):
    a, b = flat(one), flat(other)
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def oscillating():
    """Held apart by quadratures, with pooling between them and a coupling inside a layer."""
    unit = Oscillator(-0.3, 1.0)
    layers = {"c1": Layer((4, 2, 2), unit), "h": Layer(5, unit), "out": Layer(3, unit)}
    edges = [
        ("x", "c1", Chain((systems.conv_op(60, 1, 2, 1), AveragePool(2)))),
        ("c1", "h", systems.dense_op(61, 16, 5)),
        ("h", "h", systems.lateral_op(62, 5, 0.7)),
        ("h", "out", systems.dense_op(63, 5, 3)),
    ]
    model = Model(Network((8, 4, 1), layers, edges), SquaredError())
    return systems.with_data("oscillating", model, 60)


def curved():
    """An edge that no line goes through."""
    layers = {"h1": Layer(4, Box()), "out": Layer(2, Linear())}
    first, second = (Dense(systems.normal(i, shape)) for i, shape in enumerate([(3, 4), (4, 2)]))
    edges = [("x", "h1", first), ("h1", "out", Chain((second, jnp.tanh)))]
    return systems.with_data("curved", Model(Network(3, layers, edges), SquaredError()), 1)


def narrow(seed=0):
    """A batch and a model in float32."""
    model = layered((16, 24, 12, 4), jax.random.key(seed))
    x = 0.5 + 0.2 * systems.normal(seed, (8, 16))
    return cast((model, x, jnp.eye(4)[jnp.arange(8) % 4]), np.dtype(np.float32))


# --- differences ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("builder", "contrast"),
    [
        (systems.box, symmetric(0.1)),
        (systems.kinked, one_sided(0.01)),
        later(oscillating, n_point(4, 0.3)),
    ],
)
def test_differences_are_the_plain_contrast(builder, contrast):
    _, model, x, y = builder()
    plain = apply(EquilibriumPropagation(TIGHT, contrast), model, x, y)
    delta = apply(DeltaPropagation(TIGHT, contrast), model, x, y)
    np.testing.assert_allclose(flat(delta.gradient), flat(plain.gradient), atol=1e-10)
    assert np.linalg.norm(flat(plain.gradient)) > 0.1
    np.testing.assert_allclose(delta.value, plain.value, rtol=1e-12)
    assert np.max(delta.report.nudged.residual) < 1e-6


def test_differences_of_a_read_out():
    """A cost that is not quadratic, with parameters of its own."""
    model = with_read_out(systems.box().model, 3, KEY, gain=2.0)
    x, y = systems.box().x, jnp.eye(3)
    plain = apply(EquilibriumPropagation(TIGHT, symmetric(0.1)), model, x, y)
    delta = apply(DeltaPropagation(TIGHT, symmetric(0.1)), model, x, y)
    np.testing.assert_allclose(flat(delta.gradient), flat(plain.gradient), atol=1e-10)


@pytest.mark.parametrize("nudge", [1e-100, 1e-190])
def test_of_a_class_that_is_certain_a_tiny_nudge_keeps_its_digits(nudge):
    """``nudge slope^2`` is below the smallest number, where the compiler divides by it."""
    model = with_read_out(systems.box().model, 3, KEY, gain=2.0)
    x, y = systems.box().x, jnp.eye(3)
    model = eqx.tree_at(lambda m: m.cost.bias, model, jnp.array([0.0, 140.0, 0.0]))
    x, y = x[:1], y[1:2]  # right by a margin of 140
    plain, tiny = (
        apply(DeltaPropagation(TIGHT, one_sided(beta), TIGHT), model, x, y)
        for beta in (1e-3, nudge)
    )
    assert 0 < np.linalg.norm(flat(plain.gradient)) < 1e-55
    np.testing.assert_allclose(
        1e60 * flat(tiny.gradient), 1e60 * flat(plain.gradient), rtol=1e-9, atol=1e-12
    )
    assert np.isfinite(tiny.report.nudged.residual).all()


def test_a_loose_free_phase_costs_its_tolerance_and_not_that_over_beta():
    _, model, x, y = systems.box()
    sharp = apply(DeltaPropagation(TIGHT, symmetric(1e-4)), model, x, y).gradient
    loose = Blockwise(1e-3, 200)
    delta = apply(DeltaPropagation(loose, symmetric(1e-4), TIGHT), model, x, y).gradient
    plain = apply(EquilibriumPropagation(loose, symmetric(1e-4)), model, x, y).gradient
    off = [
        np.linalg.norm(flat(g) - flat(sharp)) / np.linalg.norm(flat(sharp)) for g in (delta, plain)
    ]
    assert off[0] < 0.01
    assert off[1] > 0.3


def test_a_perfect_output_has_no_difference():
    _, model, x, _ = systems.box()
    y = settle(model, x, TIGHT)[0]["out"]
    got = apply(DeltaPropagation(TIGHT, symmetric(0.1)), model, x, y).gradient
    np.testing.assert_allclose(flat(got), 0.0, atol=1e-12)


def test_small_nudges_in_bfloat16():
    """As whole states they drown; as differences they do not, nor does it matter how small they are."""
    model, x, y = narrow()
    wide = cast((model, x, y), np.dtype(np.float64))
    exact = apply(ImplicitDifferentiation(Blockwise(1e-10, 500)), *wide).gradient

    def both(beta):
        contrast = symmetric(beta)
        plain = EquilibriumPropagation(Reduced(Blockwise(None, 30), BF16), contrast)
        free = Refined(COARSE, 1e-4, dtype=BF16)
        delta = DeltaPropagation(free, contrast, COARSE, BF16)
        return [cosine(apply(e, model, x, y).gradient, exact) for e in (plain, delta)]

    least = smallest_nudge(model, x, y, Momentum(1e-6, 500), ROUNDING)
    found = {beta: both(beta) for beta in (1e-4, 1e-3, 0.01, 2 * least.beta)}
    assert 0.01 < least.beta < 0.3
    assert least.layer in ("h1", "h2") and least.unmoved == ()
    assert found[1e-4][0] < 0.7
    assert found[2 * least.beta][0] > 0.95
    assert all(delta > 0.99 for beta, (_, delta) in found.items() if beta <= 0.01)


@pytest.mark.parametrize(
    ("builder", "words"),
    [
        (systems.tanh, "layer 'h1' expected a Box,? .*Linear.* unit, got Tanh"),
        (curved, "edge 'h1-out' expected a linear operator"),
        (systems.quadratic, "expected the free phase of a Network.*got _ClampedFunction"),
    ],
)
def test_what_is_not_quadratic_is_refused(builder, words):
    _, model, x, y = builder()
    descent = GradientDescent(0.04)
    for estimator in (
        DeltaPropagation(descent, symmetric(0.1)),
        EquilibriumPropagation(Refined(descent), symmetric(0.1)),
    ):
        with pytest.raises(ValueError, match=words):
            eqx.filter_eval_shape(estimator, model, x, y, model.rest(x), KEY)


@pytest.mark.parametrize(
    ("builder", "words"),
    [
        (systems.max_pooled, "edge 'c1-c2' expected a linear operator"),
        (oscillating, "layer 'c1' expected a Box or Linear unit.*got Oscillator"),
    ],
)
def test_refinement_needs_fields_that_are_affine_everywhere(builder, words):
    _, model, x, _ = builder()
    with pytest.raises(ValueError, match=words):
        eqx.filter_eval_shape(settle, model, x, Refined(COARSE))


@pytest.mark.long
@pytest.mark.parametrize("solver", [GradientDescent(1e-12, 4000, 0.3), Momentum(1e-12, 400)])
def test_differences_of_oscillators_relax_by_any_solver(solver):
    """By small steps and by extrapolated sweeps as by blocks."""
    _, model, x, y = oscillating()
    contrast = n_point(4, 0.3)
    blocks = apply(DeltaPropagation(TIGHT, contrast), model, x, y)
    other = apply(DeltaPropagation(TIGHT, contrast, solver), model, x, y)
    np.testing.assert_allclose(flat(other.gradient), flat(blocks.gradient), atol=1e-9)
    assert other.report.nudged.converged.all()


@pytest.mark.long
def test_nearly_locked_oscillators_keep_their_digits():
    """Of nudges that turn them by a thousandth of a thousandth."""
    unit = Oscillator(0.0, 1.0)
    model = layered((4, 5, 3), jax.random.key(7), unit, unit)
    _, model, x, y = systems.with_data("locked", model, 7)
    model = systems.excited(model, 9, 30.0)
    delta = DeltaPropagation(TIGHT, symmetric(0.1))
    wide, free = (found := apply(delta, model, x, y)).gradient, found.state
    single = np.dtype(np.float32)
    narrow = apply(delta, *(cast(part, single) for part in (model, x, y))).gradient
    bits = apply(dataclasses.replace(delta, dtype=BF16), model, x, y).gradient
    assert np.abs(free["out"][:, 1]).min() < 0.05
    for a, *rounded in zip(*map(jax.tree.leaves, (wide, narrow, bits)), strict=True):
        for b, least in zip(rounded, (1e-4, 0.1), strict=True):
            assert np.linalg.norm(np.asarray(b, np.float64) - a) < least * np.linalg.norm(a)


def test_differences_know_nothing_of_what_the_free_phase_missed():
    """Nudged phases that go on relaxing make up for a short free phase; differences do not."""
    _, model, x, y = systems.quadratic_network()
    down = GradientDescent(None, 40, 0.5)
    exact = flat(apply(ImplicitDifferentiation(TIGHT), model, x, y).gradient)

    def off(estimator, steps):
        short = GradientDescent(None, steps, 0.5)
        found = flat(apply(estimator(short, symmetric(0.01), down), model, x, y).gradient)
        return np.linalg.norm(found - exact) / np.linalg.norm(exact)

    assert off(DeltaPropagation, 1) > 0.1 > 3 * off(EquilibriumPropagation, 1)
    assert off(DeltaPropagation, 40) < 0.01


def test_the_energy_of_a_difference_is_the_difference_of_energies():
    _, model, x, _ = oscillating()
    free, _ = settle(model, x[:1], TIGHT)
    origin, scale, single = jax.tree.map(lambda a: a[0], free), 0.3, np.dtype(np.float32)

    @systems.quickly
    def energies(origin):
        phase, e = model.free(x[0]), {}
        fields = field(phase, origin, tuple(origin))
        wide, tiny = (
            about(phase, origin, fields, jnp.asarray(by), x.dtype) for by in (scale, 1e-9)
        )
        for i, (name, z) in enumerate(origin.items()):
            e[name] = wide.units[name].retract(systems.normal(i, z.shape))
        moved = {name: origin[name] + scale * e[name] for name in origin}
        apart = (phase(moved) - phase(origin)) / scale**2
        return moved, (wide(e), apart), (cast(tiny, single)(cast(e, single)), tiny(e))

    moved, of_differences, of_few_bits = energies(origin)
    for z in moved.values():
        np.testing.assert_allclose(np.sum(z**2, 0), 1.0, atol=1e-12)
    np.testing.assert_allclose(*of_differences, rtol=1e-6)
    np.testing.assert_allclose(*of_few_bits, rtol=1e-5)


def test_complex_nudges_and_noise_are_refused():
    _, model, x, y = systems.quadratic_network()
    with pytest.raises(ValueError, match="expected real nudges"):
        eqx.filter_eval_shape(
            DeltaPropagation(TIGHT, holomorphic(4, 0.1)), model, x, y, model.rest(x), KEY
        )
    with pytest.raises(ValueError, match="expected a solver without noise"):
        eqx.filter_eval_shape(
            DeltaPropagation(Langevin(0.1), symmetric(0.1)), model, x, y, model.rest(x), KEY
        )


# --- solvers ----------------------------------------------------------------------------------


def loops(closed, depth=0):
    """The equations of every loop's body in a jaxpr, with how deep they lie."""
    for equation in closed.eqns:
        inner = depth + (equation.primitive.name in ("while", "scan"))
        if depth:
            yield depth, equation
        for value in jax.tree.leaves(
            list(equation.params.values()),
            is_leaf=lambda v: hasattr(v, "eqns") or hasattr(v, "jaxpr"),
        ):
            body = getattr(value, "jaxpr", value)
            if hasattr(body, "eqns"):
                yield from loops(body, inner)


def products(solver):
    """The products in the innermost loop of a free phase."""
    model, x, _ = narrow()
    traced = jax.make_jaxpr(lambda x: relax(model, x, model.rest(x), solver)[0])(x)
    found = [(d, e) for d, e in loops(traced.jaxpr) if e.primitive.name == "dot_general"]
    most = max(depth for depth, _ in found)
    return [equation for depth, equation in found if depth == most]


def test_refinement_reaches_full_precision_by_loops_of_few_bits():
    model, x, _ = narrow()
    refined = Refined(COARSE, 1e-6, dtype=BF16)
    state, info = settle(model, x, refined)
    sharp, _ = settle(model, x, Blockwise(1e-6, 500))
    assert np.max(info.residual) <= 1e-6
    assert info.converged == 1.0
    assert state["h1"].dtype == jnp.float32
    for name, z in state.items():
        np.testing.assert_allclose(z, sharp[name], atol=1e-5)
    innermost = products(refined)
    assert {v.aval.dtype for e in innermost for v in e.invars} == {jnp.dtype(BF16)}
    hasty = Refined(COARSE, 1e-6, 1, BF16)
    _, info = settle(model, x, hasty)
    assert info.converged == 0.0


def test_a_reduced_loop_reports_what_the_full_landscape_says():
    model, x, _ = narrow()
    solver = Reduced(Blockwise(0.04, 50), BF16)
    state, info = settle(model, x, solver)
    true = systems.quickly(jax.vmap(lambda x, z: residual(model.free(x), z)))(x, state)
    np.testing.assert_allclose(info.residual, true, rtol=1e-4)
    assert np.all(info.steps < 50)
    for z in state.values():
        assert z.dtype == jnp.float32
        np.testing.assert_array_equal(z, z.astype(BF16).astype(jnp.float32))
    assert {v.aval.dtype for e in products(solver) for v in e.invars} == {jnp.dtype(BF16)}
    with pytest.raises(
        ValueError, match=r"tolerance of at least 3\.1e-02 for bfloat16, got 0\.001"
    ):
        eqx.filter_eval_shape(settle, model, x, Reduced(Blockwise(1e-3, 50), BF16))


def test_products_at_a_precision_of_jax():
    model, x, _ = narrow()
    solver = MatmulPrecision(Blockwise(1e-4, 50), "tensorfloat32")
    inside = {str(e.params["precision"]) for e in products(solver)}
    outside = {str(e.params["precision"]) for e in products(Blockwise(1e-4, 50))}
    assert len(inside) == 1
    assert inside != outside
    _, info = settle(model, x, solver)
    assert info.converged == 1.0


# --- other precisions, other estimators -------------------------------------------------------

LOOSE, SHARP = Blockwise(0.04, 60), Blockwise(1e-3, 60)


def test_an_estimator_at_a_precision():
    """That such an estimator learns, small nudges in bfloat16 show."""

    def kinds(learner, precision):
        made = learner.reduced(precision)
        return type(made.solver), type(made.nudged_solver), getattr(made, "dtype", None)

    plain = EquilibriumPropagation(LOOSE, symmetric(1e-3), LOOSE)
    assert kinds(plain, "tf32") == (MatmulPrecision, MatmulPrecision, None)
    assert kinds(plain, BF16) == (Reduced, Reduced, None)
    few = rivals.differences(EquilibriumPropagation(SHARP, symmetric(1e-3)))
    assert kinds(few, "tf32") == (MatmulPrecision, MatmulPrecision, None)
    assert kinds(few, BF16) == (Refined, Blockwise, BF16)
    assert kinds(few, "float16") == (Refined, Blockwise, "float16")
    assert few.reduced(BF16).solver.tolerance == 1e-3


@pytest.mark.parametrize(
    ("estimator", "precision", "words"),
    [
        (Backpropagation(SHARP, 9), BF16, "precision: expected an estimator whose phases relax"),
        (
            EquilibriumPropagation(Blockwise(0.03, 60), symmetric(0.1)),
            BF16,
            "tolerance: expected at least 0.031 for loops in bf",
        ),
        (
            EquilibriumPropagation(Flow(), symmetric(0.1)),
            "tf32",
            "precision: expected an iterative solver",
        ),
        (DeltaPropagation(TIGHT, symmetric(0.1)), BF16, "tolerance: expected a number > 0"),
    ],
)
def test_precisions_that_make_no_sense_are_refused(estimator, precision, words):
    with pytest.raises(ValueError, match=words):
        estimator.reduced(precision)


SPIKES = SpikingPropagation(Spiking(steps=20), symmetric(0.5))


@pytest.mark.parametrize(
    ("estimator", "rival", "made"),
    [
        (DeltaPropagation(SHARP, symmetric(0.1), SHARP), "bptt", Backpropagation(SHARP, 60)),
        (DeltaPropagation(SHARP, symmetric(0.1)), "implicit", ImplicitDifferentiation(SHARP)),
        (
            EquilibriumPropagation(SHARP, symmetric(0.1), LOOSE),
            "differences",
            DeltaPropagation(SHARP, symmetric(0.1), LOOSE),
        ),
        (SPIKES, "surrogate", SurrogateBackpropagation(SPIKES.solver, SPIKES.coding)),
        (SPIKES, "ep", EquilibriumPropagation(Blockwise(None, 20), symmetric(0.5))),
        (SPIKES, "implicit", ImplicitDifferentiation(rivals.SETTLED)),
        (
            Thermal(Chains(0.1, Gibbs()), finite_nudge(0.2)),
            "differences",
            DeltaPropagation(rivals.SETTLED, symmetric(0.2)),
        ),
    ],
)
def test_one_option_swaps_the_estimator(estimator, rival, made):
    assert eqx.tree_equal(estimator.by(rivals.named(rival)), made)


def test_a_nudge_that_rounding_swallows_is_warned_of():
    model, x, y = narrow()
    words = (
        r"0\.001 moves layer 'h\d' by less than bfloat16 rounds: expected beta of at least 0\.\d+"
    )
    lost = EquilibriumPropagation(Reduced(LOOSE, BF16), symmetric(1e-3))
    with pytest.warns(UserWarning, match=words):
        warn_of_rounding(lost, model, x, y)
    for fine in (
        rivals.differences(EquilibriumPropagation(SHARP, symmetric(1e-3))).reduced(BF16),
        EquilibriumPropagation(Reduced(LOOSE, BF16), symmetric(0.5)),
        EquilibriumPropagation(LOOSE, symmetric(1e-3)),
    ):
        warn_of_rounding(fine, model, x, y)


def test_layers_that_answer_no_nudge_are_named():
    """Driven to the end of their interval, by a large bias."""
    model, x, y = narrow()

    def stuck(*names):
        def biases(model):
            return [model.energy.layers[name].bias for name in names]

        return eqx.tree_at(biases, model, replace_fn=lambda b: b + 100.0)

    def found(model):
        return smallest_nudge(model, x, y, solver, ROUNDING)

    solver = Blockwise(1e-5, 1000)
    one = found(stuck("h1"))
    assert one.unmoved == ("h1",) and one.layer != "h1" and 0 < one.beta < np.inf
    coarse = EquilibriumPropagation(Reduced(LOOSE, BF16), symmetric(0.5))
    with pytest.warns(UserWarning, match=r"move no neuron of the layers h1, .* lower the gain"):
        warn_of_rounding(coarse, stuck("h1"), x, y)


def test_one_nudge_is_told_apart_from_the_free_phase():
    model = eq.layered((3, 4, 2), jax.random.key(0), eq.Linear())
    x, y = jax.random.uniform(jax.random.key(1), (2, 3)), jnp.eye(2)
    learner = eq.DeltaPropagation(eq.Blockwise(None, 9), eq.one_sided(1e-3))
    answer = systems.quickly(learner)(model, x, y, None, KEY).report.answer
    assert answer.reached == 1.0 and answer.response > 0.5
