"""Audits: what agreement means, the exact gradient, and the order of a contrast's error."""

import io
import json
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from eqprop import (
    Backpropagation,
    Blockwise,
    EquilibriumPropagation,
    FunctionEnergy,
    GradientDescent,
    ImplicitDifferentiation,
    Linear,
    Model,
    Momentum,
    SquaredError,
    convolutional,
    holomorphic,
    layered,
    one_sided,
    relax,
    symmetric,
)
from eqprop.energies.ops import cast
from eqprop.energies.parameters import parameter_names
from eqprop.estimators.audit import (
    ALL,
    Agreement,
    audit,
    compare,
    estimate,
    exact_gradient,
    sweep_beta,
)
from eqprop.estimators.estimator import mean_loss
from eqprop.training.examined import audited
from eqprop.training.files import dumps
from eqprop.training.terminal import agreement_table, tell_verdict
from helpers.systems import box, read_out, tanh

KEY = jax.random.key(3)
SHARP = Blockwise(1e-14, 5000)


def gradient_like(model, seed=0):
    """Random numbers in the structure of the model's gradient."""
    rng = np.random.default_rng(seed)
    parameters = eqx.filter(model, eqx.is_inexact_array)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), parameters)


def scaled(gradient, factor):
    return jax.tree.map(lambda g: factor * g, gradient)


# --- compare ----------------------------------------------------------------------------------


def test_a_gradient_agrees_with_itself():
    gradient = gradient_like(tanh().model)
    norms = [np.linalg.norm(g) for g in jax.tree.leaves(gradient)]
    rows = compare(gradient, gradient)
    assert rows[-1].name == ALL
    np.testing.assert_allclose([row.norm for row in rows], [*norms, np.linalg.norm(norms)])
    for row in rows:
        assert row.cosine == pytest.approx(1, abs=1e-12)
        assert row.relative_error == 0


@pytest.mark.parametrize("factor", [3.0, 0.25, -1.0])
def test_a_scaled_gradient_has_its_direction_and_not_its_length(factor):
    gradient = gradient_like(tanh().model)
    for row in compare(scaled(gradient, factor), gradient):
        assert row.cosine == pytest.approx(np.sign(factor), abs=1e-12)
        assert row.relative_error == pytest.approx(abs(factor - 1))


def test_agreement_of_what_is_neither_parallel_nor_equal():
    one, other = (gradient_like(tanh().model, seed) for seed in (1, 2))
    for row, g, r in zip(
        compare(one, other), jax.tree.leaves(one), jax.tree.leaves(other), strict=False
    ):
        g, r = np.ravel(g), np.ravel(r)
        assert row.cosine == pytest.approx(g @ r / np.sqrt((g @ g) * (r @ r)))
        assert row.relative_error == pytest.approx(np.sqrt((g - r) @ (g - r) / (r @ r)))


def test_a_gradient_of_zero_has_no_direction():
    """It was said to agree with itself by a cosine of 1."""
    gradient = gradient_like(tanh().model)
    nothing = scaled(gradient, 0.0)
    for row in compare(nothing, nothing):
        np.testing.assert_equal(row[1:], (np.nan, np.nan, 0.0))
    for row in compare(nothing, gradient):
        np.testing.assert_equal(row[1:3], (np.nan, 1.0))
    for row in compare(gradient, nothing):
        np.testing.assert_equal(row[1:], (np.nan, np.nan, 0.0))
    kept = json.loads(dumps([row._asdict() for row in compare(nothing, gradient)]))
    np.testing.assert_equal([Agreement.read(row) for row in kept], compare(nothing, gradient))
    shown = Console(record=True, file=io.StringIO())
    shown.print(agreement_table(compare(nothing, nothing), "dead"))
    assert "1.000000" not in (text := shown.export_text()) and "–" in text


def test_an_audit_names_dead_parameters():
    model = layered((2, 2, 2), KEY, Linear(), Linear())
    dead = eqx.tree_at(lambda m: m.energy.edges["h1-out"].op.weight, model, jnp.zeros((2, 2)))
    unrolled = Backpropagation(Blockwise(None, 3), 3)
    with pytest.warns(UserWarning, match=r"got others for \['h1.bias', 'x-h1.weight'\]"):
        audit(dead, jnp.ones((1, 2)), jnp.ones((1, 2)), unrolled, unrolled, KEY)


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (
            lambda: tanh().model,
            "h1.bias h2.bias out.bias x-h1.weight h1-h2.weight h2-out.weight",
        ),
        (
            lambda: read_out().model,
            "h1.bias h2.bias x-h1.weight h1-h2.weight cost.weight cost.bias",
        ),
        (
            lambda: convolutional((4, 4, 1), (2, 3), 2, KEY),
            "c1.bias c2.bias out.bias x-c1.kernel c1-c2.kernel c2-out.weight",
        ),
    ],
    ids=["dense", "read-out", "conv"],
)
def test_names_are_as_people_write_them(model, names):
    gradient = gradient_like(model())
    assert sorted(jax.tree.leaves(parameter_names(model()))) == sorted(names.split())
    rows = compare(gradient, gradient)
    assert sorted(row.name for row in rows[:-1]) == sorted(names.split())


def test_names_point_at_their_parameters():
    model = tanh().model
    parameters = eqx.filter(model, eqx.is_inexact_array)
    names = parameter_names(model)
    found = dict(zip(jax.tree.leaves(names), jax.tree.leaves(parameters), strict=True))
    assert found["x-h1.weight"] is model.energy.edges["x-h1"].op.weight
    assert found["h2.bias"] is model.energy.layers["h2"].bias


# --- the exact gradient -----------------------------------------------------------------------


def finite_differences(model, x, y, step=1e-5):
    """The derivative of the mean cost at equilibrium, one parameter at a time."""
    parameters, static = eqx.partition(model, eqx.is_inexact_array)
    flat, unflatten = jax.flatten_util.ravel_pytree(parameters)

    @jax.jit
    def cost(flat):
        model = eqx.combine(unflatten(flat), static)
        states, _ = relax(model, x, model.rest(x), SHARP)
        return mean_loss(model, states, y)

    def slope(direction):
        return (cost(flat + step * direction) - cost(flat - step * direction)) / (2 * step)

    return unflatten(jnp.stack([slope(direction) for direction in jnp.eye(len(flat))]))


def test_the_exact_gradient_is_that_of_the_settled_cost():
    """Of a float32 model, to far more digits than float32 has."""
    _, model, x, y = box()
    single = cast((model, x, y), np.dtype(np.float32))
    found = exact_gradient(*single)
    wanted = finite_differences(*cast(single, np.dtype(np.float64)))
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {np.dtype(np.float64)}
    for row in compare(found, wanted):
        assert row.relative_error < 2e-8, row


def test_a_model_that_does_not_settle_has_no_exact_gradient():
    """Linear layers coupled so strongly that the energy has no minimum."""
    model = layered((3, 4, 4, 2), KEY, Linear(), Linear(), gain=8.0)
    x, y = jnp.ones((2, 3)), jnp.zeros((2, 2))
    with pytest.raises(RuntimeError, match=r"residual below 1e-8.*does not settle"):
        exact_gradient(model, x, y)


def test_audit_compares_two_estimators_on_one_batch():
    _, model, x, y = tanh()
    exact = ImplicitDifferentiation(Momentum(1e-11, 5000), tolerance=1e-10)
    assert max(row.relative_error for row in audit(model, x, y, exact, exact, KEY)) == 0
    rough = EquilibriumPropagation(SHARP, one_sided(0.5))
    mine, theirs = (estimate(model, x, y, e, KEY).gradient for e in (rough, exact))
    rows = audit(model, x, y, rough, exact, KEY)
    assert rows == compare(mine, theirs)
    assert 0.01 < rows[-1].relative_error < 0.5


@pytest.mark.parametrize("solver", [Blockwise(1e-6, 2), Blockwise(0.1)], ids=["few", "loose"])
def test_a_reference_that_has_not_settled_is_said_to_be_none(solver):
    _, model, x, y = tanh()
    with pytest.warns(UserWarning, match="audit: expected a reference whose free phases settle"):
        audit(model, x, y, ImplicitDifferentiation(SHARP), ImplicitDifferentiation(solver), KEY)


def test_an_audit_of_the_exact_gradient_against_another_is_told():
    _, model, x, y = tanh()
    exact, learner = ImplicitDifferentiation(SHARP), EquilibriumPropagation(SHARP, symmetric(0.1))
    with pytest.warns(
        UserWarning, match="exact gradient last, got ImplicitDifferentiation.*exchange"
    ):
        audit(model, x, y, exact, learner, KEY)
    with pytest.warns(UserWarning, match="got ImplicitDifferentiation audited against Equilibrium"):
        audit(model, x, y, eqx.filter_jit(exact), eqx.filter_jit(learner), KEY)
    assert audit(model, x, y, exact, eqx.filter_jit(exact), KEY)[-1].relative_error == 0


# --- the nudge --------------------------------------------------------------------------------


def sweep(contrast, betas, solver=SHARP):
    _, model, x, y = tanh()
    exact = exact_gradient(model, x, y)
    return sweep_beta(model, x, y, solver, contrast, betas, exact, KEY)


@pytest.mark.parametrize(
    ("contrast", "order", "smallest"),
    [(one_sided, 1, 1e-5), (symmetric, 2, 1e-4), (partial(holomorphic, 4), 4, 2e-3)],
    ids=["one-sided", "symmetric", "holomorphic"],
)
def test_the_order_is_that_of_the_contrast(contrast, order, smallest):
    betas = tuple(float(smallest * 2**i) for i in range(6))
    found = sweep(contrast, betas)
    assert found.order == pytest.approx(order, rel=0.01)
    assert tuple(found.betas) == betas
    assert found.best == betas[0]
    ratios = found.errors[1:] / found.errors[:-1]
    np.testing.assert_allclose(ratios, 2.0**order, rtol=0.02 * order)


def test_the_best_nudge_is_where_the_error_is_smallest():
    """A loose solver forbids small nudges, the contrast large ones; the order is from between."""
    betas = (1.5, 1e-6, 0.1, 1e-4, 1e-2, 0.05)
    found = sweep(symmetric, betas, Blockwise(1e-6, 500))
    assert found.order == pytest.approx(2, abs=0.1)
    assert list(found.betas) == sorted(betas)
    assert found.best == found.betas[np.argmin(found.errors)]
    assert 1e-4 < found.best < 0.05
    assert found.errors[0] > 3 * found.errors.min() < found.errors[-1]


def test_an_order_needs_two_nudges():
    assert np.isnan(sweep(symmetric, (0.01,)).order)


@pytest.mark.parametrize(
    ("cosine", "said"), [(0.995, "good: cosine 0.9950"), (0.9, "rough: cosine 0.900"), (np.nan, "")]
)
def test_what_an_audit_means_is_said(cosine, said):
    console = Console(file=io.StringIO(), width=200)
    tell_verdict([Agreement("w", 0.1, 1.0, 1.0), Agreement(ALL, cosine, 0.1, 1.0)], console)
    assert console.file.getvalue().startswith(said) and bool(said) == bool(console.file.getvalue())


def test_an_energy_without_blocks_is_audited_by_the_steps_that_its_learner_takes():
    """Steps of one half overshoot in this well, and those of a hundredth settle."""

    def energy(params, state, x):
        return (
            10 * jnp.sum(state["v"] ** 2)
            + jnp.sum(state["v"] ** 4)
            - params["w"] @ x * state["v"].sum()
        )

    model = Model(FunctionEnergy(energy, {"w": jnp.ones(2)}, {"v": 1}), SquaredError("v"))
    x, y = jnp.ones((3, 2)), jnp.ones((3, 1))
    with pytest.raises(RuntimeError, match="expected a relative residual below"):
        exact_gradient(model, x, y)
    learner = EquilibriumPropagation(GradientDescent(1e-6, 500, 0.01), symmetric(0.01))
    found = audited(learner, model, x, y)
    assert found["not_audited"] is None and found["audit"][-1]["cosine"] > 0.999
