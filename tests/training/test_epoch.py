"""Training: what an epoch shows the estimator, what a step changes, and what is kept."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from eqprop import (
    Blockwise,
    FunctionEnergy,
    Model,
    Oscillator,
    Solver,
    SquaredError,
    layered,
    relax,
)
from eqprop.energies.architectures import with_injections
from eqprop.energies.parameters import parameter_names
from eqprop.estimators.estimator import Estimate, Estimator, Report
from eqprop.solvers import Info
from eqprop.training import epoch as train
from eqprop.training.assemble import (
    CONTRASTS,
    ESTIMATORS,
    RULES_OF_MOMENTUM,
    SOLVERS,
    make_estimator,
    make_optimiser,
    make_solver,
)
from eqprop.training.chain_recipes import ConvRecipe, DenseRecipe, ThermalRecipe
from eqprop.training.choices import UNITS
from eqprop.training.data.augment import random_shift
from eqprop.training.data.datasets import Dataset
from eqprop.training.data.sources import Split
from eqprop.training.epoch import (
    DivergedError,
    Examples,
    evaluate,
    keep_best,
    require_finite,
    scale_layers,
    start,
    train_epoch,
)
from eqprop.training.recipes import RECIPES
from eqprop.training.spiking_recipes import SpikingRecipe
from eqprop.training.task import prepare

KEY = jax.random.key(5)
IDENTITY = optax.identity()


@pytest.fixture
def promotion():
    """Optax's Adam and schedules mix integers and floats, which strict promotion forbids."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def toy(seed=0, examples=12, size=2, classes=3):
    """Random images of ``size`` by ``size`` bytes, and labels."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (examples, size, size, 1), np.uint8)
    split = Split(x, rng.integers(0, classes, examples).astype(np.int32))
    return Dataset("toy", split, split, classes, 255.0)


def on_device(data):
    return Examples(jnp.asarray(data.train.x), jnp.asarray(data.train.y), data.scale, data.classes)


def named(tree):
    """Parameters by the name that people write."""
    names = jax.tree.leaves(parameter_names(tree))
    leaves = jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))
    return dict(zip(names, map(np.asarray, leaves), strict=True))


# --- an epoch: which examples, in which order -------------------------------------------------


class Count(Estimator):
    """Its gradient is 1 at each example of the batch; its value is the step's random number."""

    def __call__(self, model, x, y, state, key):
        seen = x[:, 0].astype(jnp.int32)
        gradient = eqx.filter_grad(lambda m: jnp.sum(m.energy.params[seen]))(model)
        return Estimate(jax.random.uniform(key), gradient, state, Report())


def nothing(params, state, x):
    return 0.5 * jnp.sum(state["out"] ** 2) + 0.0 * params[0] * x[0]


def count(examples, batch, key=KEY, epoch=0):
    """Each compiled call of an epoch: how often every example was seen in it, and its progress."""
    model = Model(FunctionEnergy(nothing, jnp.zeros(examples), {"out": (2,)}), SquaredError())
    begin = start(model, IDENTITY)._replace(epoch=jnp.asarray(epoch, jnp.int32))
    images = Examples(jnp.arange(examples)[:, None], jnp.zeros(examples, jnp.int32), 1.0, 2)
    before, calls = np.zeros(examples), []
    for state, progress in train_epoch(begin, images, Count(), IDENTITY, batch, key):
        after = np.asarray(state.model.energy.params)
        calls.append((after - before, progress))
        before = after
    return calls


def order(examples, **kwargs):
    """The order in which an epoch of single examples shows them."""
    return [int(np.argmax(seen)) for seen, _ in count(examples, 1, **kwargs)]


@pytest.mark.parametrize(
    ("examples", "batch", "a_call", "calls", "length"),
    [(12, 3, 100, 1, 4), (23, 2, 3, 4, 2), (23, 2, 5, 3, 3), (7, 7, 1, 1, 1), (13, 4, 2, 2, 1)],
)
def test_an_epoch_shows_each_example_once_at_most(
    examples, batch, a_call, calls, length, monkeypatch
):
    monkeypatch.setattr(train, "STEPS_A_CALL", a_call)
    found = count(examples, batch, epoch=3)
    assert len(found) == calls
    assert [seen.sum() for seen, _ in found] == [length * batch] * calls
    total = sum(seen for seen, _ in found)
    assert set(total) <= {0, 1}
    assert total.sum() == calls * length * batch
    assert [p.step for _, p in found] == [length * (i + 1) for i in range(calls)]
    assert {(p.epoch, p.steps) for _, p in found} == {(3, calls * length)}


def test_an_epoch_repeats_and_the_next_is_shuffled_anew(monkeypatch):
    monkeypatch.setattr(train, "STEPS_A_CALL", 1)
    first = order(9)
    assert sorted(first) == list(range(9))
    assert first != sorted(first)
    assert order(9) == first
    assert order(9, epoch=1) != first
    assert order(9, key=jax.random.key(6)) != first


def test_every_step_has_random_numbers_of_its_own(monkeypatch):
    monkeypatch.setattr(train, "STEPS_A_CALL", 2)

    def drawn(**kwargs):
        return [progress.metrics["loss"] for _, progress in count(16, 2, **kwargs)]

    assert len({*drawn(), *drawn(epoch=1)}) == 8
    assert drawn() == drawn()


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(ValueError, match=r"at least one batch of 13 examples, got 12.*batch_size"):
        count(12, 13)


def test_a_batch_is_scaled_shaped_and_one_hot():
    images = on_device(toy())
    x, y = images.batch(images.x, images.y, (4,))
    np.testing.assert_allclose(x, np.asarray(images.x).reshape(12, 4) / 255)
    np.testing.assert_array_equal(y, np.eye(3)[np.asarray(images.y)])
    assert images.batch(images.x, images.y, None)[0].shape == (12, 2, 2, 1)


# --- augmentation -----------------------------------------------------------------------------


def moved(image, down, right):
    """numpy.roll, with zeros for what comes in over the edge."""
    out = np.roll(image, (down, right), (0, 1))
    rows, columns = np.indices(image.shape[:2])
    inside = (rows - down >= 0) & (rows - down < len(image))
    inside &= (columns - right >= 0) & (columns - right < image.shape[1])
    return np.where(inside[..., None], out, 0)


def shapes(batch):
    return np.random.default_rng(1).integers(1, 256, (batch, 5, 4, 2), np.uint8)


def test_no_shift_changes_nothing():
    images = shapes(3)
    np.testing.assert_array_equal(random_shift(0)(jnp.asarray(images), KEY), images)


def test_a_shift_moves_the_content_and_fills_with_zeros(monkeypatch):
    corners = jnp.asarray([[0, 0], [2, 2], [4, 4], [0, 4], [3, 2]])
    monkeypatch.setattr(jax.random, "randint", lambda *unused: corners)
    images = shapes(5)
    got = random_shift(2)(jnp.asarray(images), KEY)
    offsets = [(2, 2), (0, 0), (-2, -2), (2, -2), (-1, 0)]
    assert got.dtype == images.dtype
    np.testing.assert_array_equal(
        got, [moved(image, *offset) for image, offset in zip(images, offsets, strict=True)]
    )


def test_shifts_are_all_those_allowed_and_no_others():
    images = shapes(200)
    got = np.asarray(random_shift(1)(jnp.asarray(images), KEY))
    offsets = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    found = [
        next(offset for offset in offsets if np.array_equal(moved(image, *offset), after))
        for image, after in zip(images, got, strict=True)
    ]
    assert set(found) == set(offsets)


# --- rates ------------------------------------------------------------------------------------


def test_scale_layers_multiplies_each_update():
    updates = {"a": jnp.asarray([1.0, -2.0]), "b": jnp.asarray(3.0)}
    optimiser = scale_layers({"a": 0.5, "b": 0.0})
    scaled, _ = optimiser.update(updates, optimiser.init(updates))
    np.testing.assert_array_equal(scaled["a"], [0.5, -1.0])
    np.testing.assert_array_equal(scaled["b"], 0.0)


DENSE = DenseRecipe(hidden=(5, 4), optimiser="sgd", learning_rate=0.1)
CONV = ConvRecipe(channels=(2, 3), optimiser="sgd", learning_rate=0.1)


@pytest.mark.usefixtures("promotion")
@pytest.mark.parametrize(
    ("recipe", "edges"),
    [
        (DENSE, ["x-h1", "h1-h2", "h2-out"]),
        (dataclasses.replace(DENSE, cost="cross-entropy"), ["x-h1", "h1-h2", "cost"]),
        (CONV, ["x-c1", "c1-c2", "c2-out"]),
    ],
    ids=["dense", "read-out", "conv"],
)
def test_a_rate_belongs_to_its_edge_and_to_the_bias_behind_it(recipe, edges):
    rates = (3.0, 0.0, 0.5)
    recipe = dataclasses.replace(recipe, layer_rates=rates)
    model = recipe.build(toy(size=4))
    optimiser = make_optimiser(recipe, model, 10)
    parameters = eqx.filter(model, eqx.is_inexact_array)
    ones = jax.tree.map(jnp.ones_like, parameters)
    updates, _ = optimiser.update(ones, optimiser.init(parameters), parameters)
    wanted = dict(zip(edges, rates, strict=True))
    wanted |= {edge.split("-")[-1]: rate for edge, rate in wanted.items()}
    for name, update in named(updates).items():
        np.testing.assert_allclose(
            update, -0.1 * wanted[name.rsplit(".", 1)[0]], rtol=1e-6, err_msg=name
        )


@pytest.mark.usefixtures("promotion")
@pytest.mark.parametrize("rates", [(1.0,), (1.0, 1.0, 1.0, 1.0)])
def test_a_wrong_number_of_rates_is_refused(rates):
    recipe = dataclasses.replace(DENSE, layer_rates=rates)
    with pytest.raises(ValueError, match=r"layer_rates: expected 3 .*'x-h1', 'h1-h2', 'h2-out'"):
        make_optimiser(recipe, recipe.build(toy()), 10)


def rated(recipe, model, steps):
    """The updates of ``steps`` steps of gradients of 1, by name."""
    optimiser, parameters = (
        make_optimiser(recipe, model, 10),
        eqx.filter(model, eqx.is_inexact_array),
    )
    ones, state = jax.tree.map(jnp.ones_like, parameters), optimiser.init(parameters)
    for _ in range(steps):
        updates, state = optimiser.update(ones, state, parameters)
        yield named(updates)


@pytest.mark.usefixtures("promotion")
def test_the_rate_rises_over_the_warmup():
    recipe = dataclasses.replace(DENSE, epochs=5, warmup=2.0, schedule="constant")
    rates = [float(seen["h1.bias"][0]) for seen in rated(recipe, recipe.build(toy()), 6)]
    np.testing.assert_allclose(rates, [0, -0.025, -0.05, -0.075, -0.1, -0.1], rtol=1e-6)


@pytest.mark.usefixtures("promotion")
def test_injections_do_not_decay():
    recipe = dataclasses.replace(DENSE, weight_decay=0.5, schedule="constant")
    model = with_injections(layered((3, 2), KEY, Oscillator(), Oscillator()), -0.7)
    (seen,) = rated(recipe, model, 1)
    np.testing.assert_allclose(seen["out.injection"], -0.1)
    weight = model.energy.edges["x-out"].op.weight
    np.testing.assert_allclose(seen["x-out.weight"], -0.1 * (1 + 0.5 * weight), rtol=1e-6)


def test_runs_that_differ_in_their_seed_share_what_is_compiled():
    recipe = DenseRecipe(hidden=(5,), layer_rates=(1.0, 2.0), epochs=2)

    def optimiser(**change):
        changed = dataclasses.replace(recipe, **change)
        return make_optimiser(changed, changed.build(toy()), 10)

    assert optimiser(seed=1) == optimiser(seed=2)
    assert optimiser(seed=1) != optimiser(learning_rate=0.1)
    assert optimiser(seed=1) != optimiser(layer_rates=(2.0, 1.0))
    device = {"parameter_bits": 4, "without_master": True}
    assert optimiser(seed=1, **device) == optimiser(seed=2, **device)
    device["stochastic_rounding"] = True
    assert optimiser(seed=1, **device) != optimiser(seed=2, **device)


@pytest.mark.usefixtures("promotion")
def test_rate_zero_freezes_exactly_one_edge_and_its_bias():
    recipe = DenseRecipe(
        hidden=(5, 4), unit="tanh", layer_rates=(1.0, 0.0, 1.0), weight_decay=0.1, batch_size=4
    )
    data = toy()
    model = recipe.build(data)
    after = step(recipe, model, data)[0].model
    changed = {name for name, w in named(model).items() if np.any(w != named(after)[name])}
    assert changed == {"x-h1.weight", "h1.bias", "h2-out.weight", "out.bias"}


# --- the best epoch ---------------------------------------------------------------------------


def tag(state, value):
    """The state with a model that can be recognised."""
    return state._replace(model=jax.tree.map(lambda a: jnp.full_like(a, value), state.model))


# 0.9 and 57/200 are less in float32 than in float64, 0.6 and 0.7 are more.
@pytest.mark.parametrize("tie", [0.9, 57 / 200, 0.6, 0.7, 0.5])
def test_the_best_epoch_is_the_first_of_its_accuracy(tie):
    state = start(layered((2, 2), KEY), IDENTITY)
    accuracies = [0.0, tie, tie, tie - 0.05, tie]
    for epoch, accuracy in enumerate(accuracies):
        assert int(state.epoch) == epoch
        state = keep_best(tag(state, float(epoch)), accuracy)
    assert int(state.epoch) == len(accuracies)
    assert int(state.best_epoch) == 1
    assert float(state.best_score) == pytest.approx(tie)
    assert {float(np.ravel(w)[0]) for w in named(state.best_model).values()} == {1.0}
    assert {float(np.ravel(w)[0]) for w in named(state.model).values()} == {4.0}


def test_the_last_epoch_is_kept_where_asked():
    state = start(layered((2, 2), KEY), IDENTITY)
    for epoch, accuracy in enumerate([0.5, 0.9, 0.7]):
        state = keep_best(tag(state, float(epoch)), accuracy, always=True)
    assert int(state.best_epoch) == 2
    assert float(state.best_score) == pytest.approx(0.7)
    assert {float(np.ravel(w)[0]) for w in named(state.best_model).values()} == {2.0}


# --- evaluation -------------------------------------------------------------------------------


def test_evaluation_does_not_depend_on_its_batches():
    data, solver = toy(examples=13), Blockwise(1e-6, 500)
    model, images = layered((4, 5, 3), KEY, gain=2.0), on_device(data)
    whole = evaluate(model, images, solver, 13)
    for batch in (5, 500):
        parts = evaluate(model, images, solver, batch)
        np.testing.assert_allclose((parts.accuracy, parts.loss), whole[:2], rtol=1e-12)
        assert parts.metrics == pytest.approx(whole.metrics, rel=1e-12)
    x, y = data.train.x.reshape(13, 4) / 255, np.eye(3)[data.train.y]
    states, info = jax.jit(lambda x: relax(model, x, model.rest(x), solver))(jnp.asarray(x))
    out = np.asarray(states["out"])
    assert whole.accuracy == pytest.approx(np.mean(out.argmax(1) == data.train.y))
    assert whole.loss == pytest.approx(0.5 * np.sum((out - y) ** 2) / 13)
    assert whole.metrics["steps"] == pytest.approx(np.mean(info.steps))
    assert whole.metrics["residual"] == pytest.approx(np.mean(info.residual))
    assert whole.metrics["converged"] == 1.0
    hasty = evaluate(model, images, Blockwise(1e-15, 2), 13).metrics
    assert (hasty["steps"], hasty["converged"]) == (2.0, 0.0)


class Chance(Solver):
    """What settles is drawn from the key."""

    def settle(self, phase, state, key=None):
        zero = jnp.zeros((), jnp.int8)
        drawn = {name: jax.random.normal(key, z.shape, z.dtype) for name, z in state.items()}
        return drawn, Info(jnp.zeros(()), zero, zero)


def test_every_batch_of_an_evaluation_has_random_numbers_of_its_own():
    """Alike batches of a noisy solver cost differently; the same key gives the same again."""
    model = layered((4, 3), KEY)
    images = on_device(toy(examples=4))
    twice = images._replace(x=jnp.tile(images.x, (2, 1, 1, 1)), y=jnp.tile(images.y, 2))
    once, both, again, other = (
        evaluate(model, of, Chance(), 4, key).loss
        for of, key in ((images, KEY), (twice, KEY), (twice, KEY), (twice, jax.random.key(6)))
    )
    assert both == again
    assert abs(both - once) > 1e-3 and abs(both - other) > 1e-3


class Looks(Estimator):
    """Its value is the first pixel that it sees, its gradient 0."""

    def __call__(self, model, x, y, state, key):
        noise = jax.random.uniform(key)
        gradient = jax.tree.map(jnp.zeros_like, eqx.filter(model, eqx.is_inexact_array))
        return Estimate(x[0, 0] - noise, gradient, state, Report())


def test_a_step_augments_by_other_numbers_than_it_draws():
    """And the estimator sees what was augmented."""

    def augment(x, key):
        return jnp.full_like(x, 2.0 + jax.random.uniform(key))

    model = layered((4, 3), KEY)
    images = on_device(toy())._replace(x=jnp.zeros((12, 4)), scale=1.0)
    epoch = train_epoch(start(model, IDENTITY), images, Looks(), IDENTITY, 12, KEY, augment)
    (_, progress), *_ = epoch
    assert 1e-6 < abs(progress.metrics["loss"] - 2.0) < 1


# --- divergence and learning ------------------------------------------------------------------


def step(recipe, model, data):
    """One epoch of ``recipe`` on all of ``data``: the last state and progress."""
    optimiser = make_optimiser(recipe, model, 10)
    state, estimator = start(model, optimiser), make_estimator(recipe)
    *_, last = train_epoch(state, on_device(data), estimator, optimiser, recipe.batch_size, KEY)
    return last


@pytest.mark.usefixtures("promotion")
def test_a_huge_learning_rate_diverges_and_says_so():
    recipe = DenseRecipe(hidden=(4,), optimiser="sgd", learning_rate=1e200, batch_size=3)
    data = toy()
    _, progress = step(recipe, recipe.build(data), data)
    with pytest.raises(DivergedError, match=r"epoch 1, step 4: .*finite loss.*learning rate"):
        require_finite({"loss": progress.metrics["loss"]}, "in epoch 1, step 4")


@pytest.mark.usefixtures("promotion")
@pytest.mark.parametrize("name", ["loss", "gradient_norm"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_named(name, value):
    metrics = {"loss": 1.0, "gradient_norm": 1.0}
    require_finite(metrics, "here")
    with pytest.raises(DivergedError, match=rf"here: .*finite {name}, got {value}"):
        require_finite(metrics | {name: value}, "here")


@pytest.mark.usefixtures("promotion")
def test_three_epochs_on_digits():
    changes = {"hidden": (64,), "gain": (0.5,), "learning_rate": 1e-2, "epochs": 3}
    recipe = dataclasses.replace(RECIPES["digits"], **changes)
    task = prepare(recipe)
    model = recipe.build(task.data)
    steps = recipe.epochs * (len(task.train.y) // recipe.batch_size)
    optimiser, solver = make_optimiser(recipe, model, steps), make_solver(recipe)
    state = start(model, optimiser)
    accuracies = []
    for _ in range(recipe.epochs):
        epoch = train_epoch(
            state, task.train, make_estimator(recipe), optimiser, recipe.batch_size, KEY
        )
        state = [state for state, _ in epoch][-1]
        accuracies.append(evaluate(state.model, task.validation, solver).accuracy)
        state = keep_best(state, accuracies[-1])
    assert evaluate(model, task.validation, solver).accuracy < 0.3
    assert accuracies[-1] > 0.85


# --- everything a recipe can name -------------------------------------------------------------

# estimator, contrast, solver, unit, output, cost, optimiser
CASES = [
    ("ep", "symmetric", "blockwise", "clip", "linear", "squared-error", "adam"),
    ("ep", "one-sided", "momentum", "relu6", "clip", "squared-error", "momentum"),
    ("ep", "random-sign", "gradient", "hard-tanh", "relu6", "squared-error", "sgd"),
    ("ep", "n-point", "flow", "tanh", "hard-tanh", "squared-error", "sgd"),
    ("ep", "holomorphic", "momentum", "logistic", "tanh", "squared-error", "sgd"),
    ("ep", "holomorphic", "blockwise", "tanh", "linear", "cross-entropy", "sgd"),
    ("ep", "symmetric", "langevin", "oscillator", "oscillator", "squared-error", "sgd"),
    ("ep", "symmetric", "momentum", "relu", "relu", "squared-error", "sgd"),
    ("implicit", "symmetric", "spectral", "linear", "linear", "cross-entropy", "adam"),
    ("bptt", "symmetric", "momentum", "clip", "logistic", "squared-error", "sgd"),
    ("thermal", "symmetric", "blockwise", "spin", "bernoulli", "squared-error", "sgd"),
    ("thermal", "symmetric", "blockwise", "bernoulli", "spin", "squared-error", "sgd"),
    ("backprop", "symmetric", "blockwise", "relu6", "linear", "squared-error", "heavy-ball"),
    ("spiking", "symmetric", "blockwise", "half-clip", "clip", "squared-error", "sgd"),
    ("surrogate", "symmetric", "blockwise", "clip", "half-clip", "squared-error", "sgd"),
]
KINDS = {"thermal": ThermalRecipe, "spiking": SpikingRecipe, "surrogate": SpikingRecipe}
NEEDS_LAYERS = {"alternating", "ordered"}
FIELDS = ("estimator", "contrast", "solver", "unit", "output", "cost", "optimiser")


def test_the_cases_name_everything():
    estimators, contrasts, solvers, units, outputs, costs, optimisers = zip(*CASES, strict=True)
    for names, known in (
        (estimators, ESTIMATORS),
        (contrasts, CONTRASTS),
        (solvers, set(SOLVERS) - NEEDS_LAYERS),
        (units, UNITS),
        ([o for o, cost in zip(outputs, costs, strict=True) if cost == "squared-error"], UNITS),
        (costs, ("squared-error", "cross-entropy")),
        (optimisers, RULES_OF_MOMENTUM),
    ):
        assert set(names) == set(known)


@pytest.mark.usefixtures("promotion")
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_one_step_of_everything(case):
    choice = dict(zip(FIELDS, case, strict=True))
    kind = KINDS.get(choice["estimator"], DenseRecipe)
    recipe = kind(**choice, hidden=(3,), beta=0.3, max_steps=16, batch_size=6, shift=1)
    data = toy(examples=6)
    model = recipe.build(data)
    state, progress = step(recipe, model, data)
    known = {name: value for name, value in progress.metrics.items() if name != "drift"}
    require_finite(
        known, "here"
    )  # six examples of three spins may not move, and have no drift then
    before, after = named(model), named(state.model)
    for name, value in after.items():
        assert np.isfinite(value).all(), name
    assert any(np.any(before[name] != value) for name, value in after.items())


@pytest.mark.parametrize(
    ("choice", "pattern"),
    [
        ({"unit": "clipp"}, "unit: expected one of clip, .*got 'clipp'. Did you mean 'clip'"),
        ({"hidden": 8}, r"hidden: expected a tuple, such as \(8,\), got 8"),
    ],
)
def test_a_value_of_another_kind_is_refused(choice, pattern):
    recipe = DenseRecipe()
    for name, value in choice.items():
        object.__setattr__(recipe, name, value)  # past the type checker of the tests
    with pytest.raises(ValueError, match=pattern):
        recipe.check()


def test_every_recipe_is_of_its_own_kinds():
    for recipe in RECIPES.values():
        recipe.check()


@pytest.mark.parametrize(
    ("choice", "pattern"),
    [
        ({"estimator": "bptt", "solver": "flow"}, "bptt unrolls .* got flow"),
        ({"contrast": "holomorphic"}, r"complex nudges need smooth units.*\['h1'\] are clipped"),
        ({"contrast": "holomorphic", "unit": "tanh", "solver": "flow"}, "Flow: .*real state"),
        ({"contrast": "n-point", "points": 3}, "n_point: expected an even number"),
        ({"tolerance": 1e-17}, "tolerance of at least"),
    ],
)
@pytest.mark.usefixtures("promotion")
def test_what_does_not_go_together_is_refused(choice, pattern):
    recipe = DenseRecipe(**choice, hidden=(3,), batch_size=6)
    data = toy(examples=6)
    with pytest.raises(ValueError, match=pattern):
        step(recipe, recipe.build(data), data)
