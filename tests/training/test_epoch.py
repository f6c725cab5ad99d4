"""Training: what an epoch shows the estimator, what a step changes, and what is kept."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from eqprop import (
    Backpropagation,
    Blockwise,
    DeltaPropagation,
    FunctionEnergy,
    ImplicitDifferentiation,
    Model,
    Oscillator,
    Solver,
    SquaredError,
    Tanh,
    convolutional,
    layered,
    relax,
    symmetric,
    with_read_out,
)
from eqprop.energies.architectures import with_injections
from eqprop.energies.parameters import parameter_names
from eqprop.estimators.estimator import Estimate, Estimator, Report
from eqprop.estimators.warm_start import WarmStart
from eqprop.hardware import Ranges
from eqprop.solvers import Info
from eqprop.training import epoch as train
from eqprop.training.data.augment import random_shift
from eqprop.training.data.datasets import Dataset
from eqprop.training.data.sources import Split
from eqprop.training.epoch import (
    DivergedError,
    Examples,
    epoch_length,
    evaluate,
    keep_best,
    require_finite,
    scale_layers,
    start,
    train_epoch,
)
from eqprop.training.optimisers import (
    AtLeast,
    Constant,
    Cosine,
    Optimiser,
    Sgd,
    SgdMomentum,
    Writing,
)
from helpers.systems import normal

KEY = jax.random.key(5)
IDENTITY, SGD = optax.identity(), optax.sgd(0.1)


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
def test_an_epoch_is_divided_into_calls_of_one_length(
    examples, batch, a_call, calls, length, monkeypatch
):
    monkeypatch.setattr(train, "STEPS_A_CALL", a_call)
    assert epoch_length(examples, batch) == (calls, length)


@pytest.mark.parametrize(
    ("examples", "batch", "a_call", "calls", "length"), [(12, 3, 100, 1, 4), (13, 4, 2, 2, 1)]
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


def test_normalisation_is_by_channel():
    x = jnp.asarray(np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), np.uint8))
    y = jnp.zeros(4, jnp.int32)
    images = Examples(x, y, 255.0, 3, (0.1, 0.2, 0.3), (0.5, 1.0, 2.0))
    got, _ = images.batch(x, y, (6, 6, 3))
    wanted = (np.asarray(x) / 255 - [0.1, 0.2, 0.3]) / [0.5, 1.0, 2.0]
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


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


def of(hidden=(5, 4), **units):
    return layered((16, *hidden, 3), KEY, **units)


def by_name(optimiser, model, steps=1, epochs=10):
    """The updates of the first ``steps`` of 10 steps, of gradients of 1, by name."""
    parameters = eqx.filter(model, eqx.is_inexact_array)
    optimiser = optimiser.transform(model, 10, epochs)
    ones, state = jax.tree.map(jnp.ones_like, parameters), optimiser.init(parameters)
    for _ in range(steps):
        updates, state = optimiser.update(ones, state, parameters)
        yield named(updates)


PLAIN = Optimiser(0.1, Sgd(), Constant())


@pytest.mark.parametrize(
    ("model", "edges"),
    [
        (of(), ["x-h1", "h1-h2", "h2-out"]),
        (with_read_out(of(), 3, KEY), ["x-h1", "h1-h2", "cost"]),
        (convolutional((4, 4, 1), (2, 3), 3, KEY), ["x-c1", "c1-c2", "c2-out"]),
    ],
    ids=["dense", "read-out", "conv"],
)
def test_a_rate_belongs_to_its_edge_and_to_the_bias_behind_it(model, edges):
    rates = (3.0, 0.0, 0.5)
    optimiser = dataclasses.replace(PLAIN, layer_rates=rates, bias_rate=2.0)
    (updates,) = by_name(optimiser, model)
    wanted = dict(zip(edges, rates, strict=True))
    wanted |= {edge.split("-")[-1]: 2 * rate for edge, rate in wanted.items() if "-" in edge}
    for name, update in updates.items():
        rate = wanted[name.rsplit(".", 1)[0]] * (2 if name == "cost.bias" else 1)
        np.testing.assert_allclose(update, -0.1 * rate, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("rates", [(1.0,), (1.0, 1.0, 1.0, 1.0)])
def test_a_wrong_number_of_rates_is_refused(rates):
    optimiser = Optimiser(layer_rates=rates)
    with pytest.raises(ValueError, match=r"layer_rates: expected 3 .*'x-h1', 'h1-h2', 'h2-out'"):
        optimiser.transform(of(), 10, 1)


@pytest.mark.usefixtures("promotion")
def test_the_rate_rises_over_the_warmup():
    optimiser = dataclasses.replace(PLAIN, warmup=2.0)
    rates = [float(seen["h1.bias"][0]) for seen in by_name(optimiser, of((5,)), 6, epochs=5)]
    np.testing.assert_allclose(rates, [0, -0.025, -0.05, -0.075, -0.1, -0.1], rtol=1e-6)
    with pytest.raises(ValueError, match=r"warmup: expected fewer than the 2 epochs, got 2.0"):
        optimiser.transform(of(), 10, 2)


def test_injections_do_not_decay():
    optimiser = dataclasses.replace(PLAIN, weight_decay=0.5, injection_rate=3.0)
    model = with_injections(layered((3, 2), KEY, Oscillator(), Oscillator()), -0.7)
    (seen,) = by_name(optimiser, model)
    np.testing.assert_allclose(seen["out.injection"], -0.3)
    weight = model.energy.edges["x-out"].op.weight
    np.testing.assert_allclose(seen["x-out.weight"], -0.1 * (1 + 0.5 * weight), rtol=1e-6)


def parameters(seed):
    """Of a model of one weight and bias, drawn."""
    model = layered((2, 3), KEY)
    where = lambda m: (m.energy.edges["x-out"].op.weight, m.energy.layers["out"].bias)  # noqa: E731
    return eqx.tree_at(where, model, (normal(seed, (2, 3)), jnp.zeros(3)))


@pytest.mark.usefixtures("promotion")
def test_steps_clip_then_decay_then_gain_momentum():
    """Three steps against SGD written out; the rate ends at its floor."""
    optimiser = Optimiser(
        0.5, SgdMomentum(), Cosine(0.05), weight_decay=0.1, coupled=True, clip_norm=1.0
    )
    model = layered((2, 3), KEY)
    optimiser = optimiser.transform(model, 2, 1)
    w = np.asarray(model.energy.edges["x-out"].op.weight)
    state, velocity = optimiser.init(eqx.filter(model, eqx.is_inexact_array)), np.zeros((2, 3))
    for step, rate in enumerate((0.5, 0.275, 0.05)):
        gradient = parameters(step)
        g = np.asarray(gradient.energy.edges["x-out"].op.weight)
        updates, state = optimiser.update(gradient, state, model)
        model = eqx.apply_updates(model, updates)
        g = g / max(1.0, np.linalg.norm(g)) + 0.1 * w
        velocity = 0.9 * velocity + g
        w = w - rate * (g + 0.9 * velocity)
        np.testing.assert_allclose(model.energy.edges["x-out"].op.weight, w, rtol=1e-6)


def test_decoupled_decay_gains_no_momentum():
    optimiser = Optimiser(0.03, SgdMomentum(), Constant(), weight_decay=0.1)
    model = layered((2, 3), KEY)
    optimiser = optimiser.transform(model, 10, 1)
    parameters = eqx.filter(model, eqx.is_inexact_array)
    still = jax.tree.map(jnp.zeros_like, parameters)
    state = optimiser.init(parameters)
    wanted = jax.tree.map(lambda p: -0.03 * 0.1 * p, parameters)
    for _ in range(2):
        updates, state = optimiser.update(still, state, parameters)
        assert optax.tree.norm(jax.tree.map(jnp.subtract, updates, wanted)) < 1e-8


def test_a_rate_that_would_rise_is_refused():
    with pytest.raises(ValueError, match=r"at most the learning rate, 0\.1, got 1"):
        Optimiser(0.1, schedule=Cosine(1.0)).transform(layered((2, 3), KEY), 10, 2)


def test_trainings_that_differ_in_their_weights_share_what_is_compiled():
    def optimiser(seed=1, **change):
        model = layered((4, 5, 3), jax.random.key(seed))
        return Optimiser(**({"layer_rates": (1.0, 2.0)} | change)).transform(model, 10, 2)

    assert optimiser(1) == optimiser(2)
    assert optimiser() != optimiser(learning_rate=0.1)
    assert optimiser() != optimiser(layer_rates=(2.0, 1.0))
    device = Writing(4, Ranges(1.0))
    assert optimiser(1, writing=device) == optimiser(2, writing=device)
    others = [Writing(4, Ranges(1.0), stochastic=True, seed=seed) for seed in (1, 2)]
    assert (
        len({optimiser(), optimiser(writing=device), *(optimiser(writing=w) for w in others)}) == 4
    )


def test_rate_zero_freezes_exactly_one_edge_and_its_bias():
    optimiser = dataclasses.replace(PLAIN, layer_rates=(1.0, 0.0, 1.0), weight_decay=0.1)
    (updates,) = by_name(optimiser, of())
    changed = {name for name, update in updates.items() if np.any(update != 0)}
    assert changed == {"x-h1.weight", "h1.bias", "h2-out.weight", "out.bias"}


def test_weights_stay_at_or_above_their_least_and_biases_are_free():
    optimiser = dataclasses.replace(PLAIN, learning_rate=10.0, writing=AtLeast(0.05))
    model = layered((2, 3, 2), KEY)
    held = eqx.filter(model, eqx.is_inexact_array)
    rule = optimiser.transform(model, 10, 2)
    gradient = jax.tree.map(jnp.ones_like, held)
    updates, _ = rule.update(gradient, rule.init(held), held)
    after = jax.tree.map(jnp.add, held, updates).energy
    for edge in after.edges.values():
        np.testing.assert_allclose(edge.op.weight, 0.05)
    assert all(jnp.all(layer.bias < -1) for layer in after.layers.values())


def test_a_read_out_is_no_conductance_and_where_there_is_none_it_is_told():
    rule = AtLeast(0.0).transform()
    model = eqx.filter(with_read_out(of(), 3, KEY), eqx.is_inexact_array)
    asked = jax.tree.map(lambda leaf: -jnp.ones_like(leaf), model)
    updates, _ = rule.update(asked, rule.init(model), model)
    assert jnp.all(updates.cost.weight == -1)
    assert all(jnp.all(u.op.weight > -1) for u in updates.energy.edges.values())
    held = {"g": jnp.ones(1)}
    with pytest.raises(
        ValueError, match=r"parameters that end in .*got \['g'\]; give their `names`"
    ):
        rule.update(held, rule.init(held), held)
    kept, _ = AtLeast(0.0, names=("g",)).transform().update({"g": jnp.array([-3.0])}, (), held)
    assert kept["g"].tolist() == [-1.0]


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
    """Of five examples and of three, against all at once."""
    data, solver = toy(examples=8), Blockwise(1e-6, 500)
    model, images = layered((4, 5, 3), KEY, gain=2.0), on_device(data)
    found = evaluate(model, images, solver, 5)
    x, y = data.train.x.reshape(8, 4) / 255, np.eye(3)[data.train.y]
    states, info = jax.jit(lambda x: relax(model, x, model.rest(x), solver))(jnp.asarray(x))
    out = np.asarray(states["out"])
    assert found.accuracy == pytest.approx(np.mean(out.argmax(1) == data.train.y))
    assert found.loss == pytest.approx(0.5 * np.sum((out - y) ** 2) / 8)
    assert found.metrics["steps"] == pytest.approx(np.mean(info.steps))
    assert found.metrics["residual"] == pytest.approx(np.mean(info.residual))
    assert found.metrics["converged"] == 1.0
    hasty = evaluate(model, images, Blockwise(1e-15, 2), 8).metrics
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


# --- divergence --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["loss", "gradient_norm"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_named(name, value):
    metrics = {"loss": 1.0, "gradient_norm": 1.0}
    require_finite(metrics, "in epoch 1, step 4")
    with pytest.raises(
        DivergedError,
        match=rf"epoch 1, step 4: .*finite {name}, got {value}.*Lower the learning rate.*start anew\.",
    ):
        require_finite(metrics | {name: value}, "in epoch 1, step 4")
    with pytest.raises(DivergedError, match=r"another --out\. The last checkpoint is kept\."):
        require_finite(metrics | {name: value}, "in epoch 1, step 4", kept=True)


# --- every estimator ---------------------------------------------------------------------------

BLOCKS, NUDGES = Blockwise(None, 3), symmetric(0.3)
EVERY = {
    "differences": (WarmStart(DeltaPropagation(BLOCKS, NUDGES), nudged=True), {}),
    "implicit": (ImplicitDifferentiation(BLOCKS), {"unit": Tanh()}),
    "bptt": (Backpropagation(BLOCKS, 3), {"unit": Tanh()}),
}


@pytest.mark.parametrize("name", EVERY)
def test_an_epoch_of_every_estimator_and_its_forecast(name):
    """Two steps, between which its state passes on; chains and spikes are trained elsewhere."""
    estimator, units = EVERY[name]
    model, images = of((3,), **units), on_device(toy(size=4))
    *_, (state, progress) = train_epoch(start(model, SGD), images, estimator, SGD, 6, KEY)
    require_finite(progress.metrics, "here")
    assert progress.metrics.keys() >= {"loss", "accuracy", "gradient_norm", "saturated"}
    before, after = named(model), named(state.model)
    assert all(np.isfinite(value).all() for value in after.values())
    assert any(np.any(before[name] != value) for name, value in after.items())
    seen = evaluate(state.model, images, estimator, 12)
    assert np.isfinite(seen.loss) and 0 <= seen.accuracy <= 1
