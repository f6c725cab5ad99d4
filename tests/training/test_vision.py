"""Recipes of image classifiers: what they build, how they step, where their phases begin."""

import dataclasses
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import eqprop as eq
from eqprop.estimators.backpropagation import FeedForward
from eqprop.estimators.warm_start import WarmStart
from eqprop.papers.catalogue import EXPERIMENTS, GROUPS, resized
from eqprop.papers.study import command
from eqprop.training.assemble import (
    make_augment,
    make_estimator,
    make_optimiser,
    make_solver,
    make_source,
)
from eqprop.training.data.augment import Compose, Flip, RandomCrop
from eqprop.training.data.datasets import Dataset
from eqprop.training.data.randaugment import RandAugment
from eqprop.training.data.sources import Split
from eqprop.training.epoch import Examples
from eqprop.training.figures.run import draw_run
from eqprop.training.files import RunError
from eqprop.training.predict import longest
from eqprop.training.recipe_fit import fit
from eqprop.training.recipes import RECIPES, from_config, to_config
from eqprop.training.runs import read_rows
from eqprop.training.task import prepare
from eqprop.training.vision import VisionRecipe
from helpers.systems import dense, normal, quickly, skip

KEY = jax.random.key(0)
FULL, NARROW = (RECIPES[f"cifar-10-hopfield-resnet{name}"] for name in ("", "-narrow"))
TINY = dataclasses.replace(
    FULL,
    width=1,
    blocks=2,
    epochs=2,
    batch_size=8,
    validation=8,
    learning_rate=0.05,
    warmup=0.2,
    clip_norm=0.1,
    tolerance=1e-4,
    max_steps=6,
    nudged_steps=3,
    randaugment=(1, 9),
)


def colours(count=40, side=6, channels=3, seed=0):
    """Images whose class is their brightest channel."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, channels, count).astype(np.int32)
    x = rng.integers(0, 100, (count, side, side, channels))
    x[np.arange(count), :, :, y] += 150
    return Split(x.astype(np.uint8), y)


OWN = Dataset("colours", colours(), colours(seed=1), 3, 255.0)


@pytest.fixture
def standard():
    with jax.numpy_dtype_promotion("standard"):
        yield


def count(recipe, shape, classes):
    split = Split(np.zeros((1, *shape), np.uint8), np.zeros(1, np.int32))
    data = recipe.framed(Dataset("own", split, split, classes, 255.0))
    leaves = jax.tree.leaves(eqx.filter_eval_shape(lambda: recipe.build(data)))
    return sum(leaf.size for leaf in leaves), sum(leaf.ndim > 1 for leaf in leaves)


def test_published_recipe():
    assert count(FULL, (32, 32, 3), 10) == (9_742_858, 13)
    assert (FULL.learning_rate, FULL.beta, FULL.weight_decay) == (0.03, 0.1, 2.5e-4)
    assert (FULL.epochs, FULL.batch_size, FULL.final_rate) == (300, 128, 2e-6)
    augment = make_augment(FULL)
    assert augment == Compose((Flip(), RandAugment(3, 9), RandomCrop(4)))
    for recipe in (r for r in RECIPES.values() if isinstance(r, VisionRecipe)):
        recipe.check()


def test_vgg5():
    recipe = dataclasses.replace(FULL, architecture="vgg", gain=(0.4, 0.7, 0.6, 0.3, 0.6))
    kernels = 9 * (3 * 128 + 128 * 256 + 256 * 512 + 512 * 512)
    biases = 128 + 256 + 512 + 512 + 10
    assert count(recipe, (32, 32, 3), 10) == (kernels + 4 * 512 * 10 + biases, 5)
    assert recipe.order == ("c1", "c2", "c3", "c4", "out")


def test_images_of_28_pixels_are_framed():
    recipe = RECIPES["fashion-mnist-hopfield-resnet"]
    assert count(recipe, (28, 28, 1), 10)[1] == 13
    split = Split(np.ones((1, 28, 28, 1), np.uint8), np.zeros(1, np.int32))
    framed = recipe.framed(Dataset("own", split, split, 10, 255.0))
    assert framed.image_shape == (32, 32, 1)


def test_normalisation_is_by_channel():
    x = jnp.asarray(OWN.train.x[:4])
    images = Examples(x, jnp.asarray(OWN.train.y[:4]), 255.0, 3, (0.1, 0.2, 0.3), (0.5, 1.0, 2.0))
    got, _ = images.batch(x, images.y, (6, 6, 3))
    wanted = (np.asarray(x) / 255 - [0.1, 0.2, 0.3]) / [0.5, 1.0, 2.0]
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_steps_clip_then_decay_then_gain_momentum(standard):
    """Three steps against SGD written out; the rate ends at its floor."""
    recipe = dataclasses.replace(
        TINY, clip_norm=1.0, weight_decay=0.1, learning_rate=0.5, final_rate=0.05, warmup=0.0
    )
    model = eq.layered((2, 3), KEY)
    optimiser = make_optimiser(recipe, model, 2)
    w = np.asarray(model.energy.edges["x-out"].op.weight)
    state, velocity = optimiser.init(eqx.filter(model, eqx.is_inexact_array)), np.zeros((2, 3))
    for step, rate in enumerate((0.5, 0.275, 0.05)):
        gradient = normal(step, (2, 3), 3.0 if step != 1 else 0.01)
        tree = eqx.tree_at(
            lambda m: (m.energy.edges["x-out"].op.weight, m.energy.layers["out"].bias),
            model,
            (gradient, jnp.zeros(3)),
        )
        updates, state = optimiser.update(tree, state, model)
        model = eqx.apply_updates(model, updates)
        g = np.asarray(gradient)
        g = g / max(1.0, np.linalg.norm(g)) + 0.1 * w
        velocity = 0.9 * velocity + g
        w = w - rate * (g + 0.9 * velocity)
        np.testing.assert_allclose(model.energy.edges["x-out"].op.weight, w, rtol=1e-6)


def test_decoupled_decay_gains_no_momentum(standard):
    change = {"learning_rate": 0.03, "schedule": "constant", "warmup": 0.0}
    recipe = dataclasses.replace(TINY, decoupled_decay=True, weight_decay=0.1, **change)
    model = eq.layered((2, 3), KEY)
    optimiser = make_optimiser(recipe, model, 10)
    parameters = eqx.filter(model, eqx.is_inexact_array)
    still = jax.tree.map(jnp.zeros_like, parameters)
    state = optimiser.init(parameters)
    wanted = jax.tree.map(lambda p: -0.03 * 0.1 * p, parameters)
    for _ in range(2):
        updates, state = optimiser.update(still, state, parameters)
        assert optax.tree.norm(jax.tree.map(jnp.subtract, updates, wanted)) < 1e-8


def test_warm_starts():
    """From rest first; then from the last free state, or the last phase's, whose nudge is positive."""
    system = dense("box", eq.Box(), eq.Linear(), 10)
    model, x, y = system.model, system.x, system.y
    solver = eq.Blockwise(None, 60)
    learner = eq.EquilibriumPropagation(solver, eq.symmetric(0.3))
    plain = quickly(learner)(model, x, y, model.rest(x), KEY)
    for nudged in (False, True):
        warm, beta = WarmStart(learner, nudged), jnp.asarray(0.3 * nudged)
        found = quickly(warm)(model, x, y, warm.start(model, x), KEY)
        scores = learner.scores(model, plain.state)
        np.testing.assert_array_equal(warm.scores(model, found.state), scores)
        begin = warm.start(model, x, found.state)

        def missed(beta, begin):
            one = lambda x, y, z: eq.energies.residual(model.nudged(x, y, beta), z)  # noqa: E731
            return float(jnp.max(jax.vmap(one)(x, y, begin)))

        assert missed(beta, begin) < 1e-9
        assert (missed(0.0 * beta, begin) > 1e-3) == nudged
        apart = jax.tree.map(jnp.subtract, found.gradient, plain.gradient)
        assert optax.tree.norm(apart) < 1e-12


def test_feed_forward_is_one_sweep_of_one_hidden_layer():
    model = eq.layered((4, 5, 3), KEY)
    x, y = normal(1, (6, 4)), jax.nn.one_hot(jnp.arange(6) % 3, 3)
    unrolled = eq.Backpropagation(eq.Blockwise(None, 1), 1)(model, x, y, model.rest(x), KEY)
    passed = FeedForward()(model, x, y, model.rest(x), KEY)
    assert passed.value == unrolled.value
    for mine, theirs in zip(
        *map(jax.tree.leaves, (passed.gradient, unrolled.gradient)), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-14)
    seen = FeedForward().forecast(model, x, y, KEY)
    np.testing.assert_array_equal(seen.scores, passed.state["out"])
    np.testing.assert_allclose(jnp.mean(seen.costs), passed.value)


def test_feed_forward_adds_skips():
    model, x = skip().model, skip().x[0]
    weight = {name: np.asarray(e.op.weight) for name, e in model.energy.edges.items()}
    bias = {name: np.asarray(layer.bias) for name, layer in model.energy.layers.items()}
    h1 = np.asarray(x) @ weight["x-h1"] + bias["h1"]
    h2 = np.tanh(h1) @ weight["h1-h2"] + bias["h2"]
    h3 = np.tanh(h2) @ weight["h2-h3"] + np.tanh(h1) @ weight["h1-h3"] + bias["h3"]
    wanted = np.tanh(h3) @ weight["h3-out"] + bias["out"]
    got = FeedForward()(model, x[None], jnp.zeros((1, 3)), {}, KEY).state["out"][0]
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_feed_forward_refuses_what_leads_back():
    ops = [eq.ops.Dense(jnp.ones(s)) for s in ((2, 3), (3, 3), (3, 3))]
    layers = {"h": eq.Layer(3, eq.Box()), "out": eq.Layer(3, eq.Linear())}
    edges = [("x", "h", ops[0]), ("out", "h", ops[1])]
    model = eq.Model(eq.Network(2, layers, edges), eq.SquaredError())
    with pytest.raises(ValueError, match="edge from 'out' to 'h'"):
        FeedForward()(model, jnp.ones((1, 2)), jnp.ones((1, 3)), {}, KEY)


def test_alternating_solver_has_the_recipes_layers():
    solver = make_solver(dataclasses.replace(FULL, solver="alternating"))
    assert solver.blocks == (("z1", "z3", "z5", "z7", "out"), ("z2", "z4", "z6", "z8"))
    assert isinstance(make_source(dataclasses.replace(TINY, estimator="backprop")), FeedForward)
    warm = make_estimator(dataclasses.replace(TINY, warm_start="nudged"))
    assert isinstance(warm, WarmStart) and warm.nudged


REFUSED = [
    ({"width": 0}, "width: expected a number >= 1, got 0"),
    ({"clip_norm": -1.0}, "clip_norm: expected a number >= 0"),
    ({"randaugment": (2, 31)}, "magnitude of 0 to 30"),
    ({"std": (0.5, 0.0, 0.5)}, "std: expected numbers > 0"),
    ({"architecture": "vgg", "no_skips": True}, "no_skips: expected the architecture resnet"),
    ({"warm_start": "free", "estimator": "implicit", "nudged_steps": 0}, "warm_start: expected"),
    ({"estimator": "backprop", "unit": "oscillator", "nudged_steps": 0}, "units that are numbers"),
]


@pytest.mark.parametrize("change, message", REFUSED)
def test_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **change).check()


def test_refused_with_the_data():
    with pytest.raises(ValueError, match="mean: expected 1 numbers, one a channel of own"):
        count(NARROW, (32, 32, 1), 10)


def test_config_round_trip():
    stored = json.loads(json.dumps(to_config("narrow", NARROW)))
    assert from_config(stored) == NARROW


def trained(folder, monkeypatch, **change):
    """The tiny recipe on images of one's own, to its end; and whether it drew."""
    recipe = dataclasses.replace(TINY, learning_rate=0.1, epochs=3, gain=(1.5,), **change)
    monkeypatch.setattr("eqprop.training.recipe_fit.audit_recipe", lambda task, model: [])
    result = fit("own", recipe, folder, OWN)
    assert prepare(recipe, OWN).data.image_shape == (8, 8, 3)
    losses = [row["loss"] for row in read_rows(folder)]
    assert losses[-1] < 0.9 * losses[0]
    return result


def test_trains_from_warm_starts_on_augmented_images(tmp_path, monkeypatch, standard):
    change = {"warm_start": "nudged", "randaugment": (1, 9)}
    result = trained(tmp_path / "run", monkeypatch, **change)
    assert 0 < result["relaxation"]["nudged_steps"] <= 3


def test_trains_and_draws_a_feed_forward_network(tmp_path, monkeypatch, standard):
    change = {"estimator": "backprop", "nudged_steps": 0, "randaugment": (0, 9)}
    trained(tmp_path / "run", monkeypatch, **change)
    drawn = {path.stem for path in draw_run(tmp_path / "run", OWN)}
    assert drawn == {"learning", "activity", "weights"}
    for other in (None, OWN._replace(name="another")):
        with pytest.raises(RunError, match="the data set 'colours' on which it was trained"):
            draw_run(tmp_path / "run", other)


def test_predicts_more_for_more(standard):
    few = longest(dataclasses.replace(TINY, width=2, mean=(), std=()), TINY.framed(OWN))
    assert 0 < few < 60


def test_experiments_come_in_other_sizes():
    assert GROUPS["hopfield-resnet"] == tuple(
        f"hopfield-resnet-{name}" for name in ("cifar-10", "vgg5", "ablation")
    )
    study = EXPERIMENTS["hopfield-resnet-ablation"]
    other = resized(study, width=8, epochs=0)
    assert other.recipe == dataclasses.replace(study.recipe, width=8)
    wanted = "eqprop reproduce hopfield-resnet-ablation --width 8 --quick"
    assert command(other.name, True) == wanted
    assert resized(study, width=0, epochs=0) is study
    with pytest.raises(ValueError, match=r"digits: expected an experiment whose recipe has width"):
        resized(EXPERIMENTS["digits"], width=8)


@pytest.mark.parametrize("name", GROUPS["hopfield-resnet"])
def test_every_way_is_a_recipe(name):
    study = EXPERIMENTS[name]
    for change in study.ways.values():
        recipe = dataclasses.replace(study.recipe, **change)
        recipe.check()
        assert change == {} or recipe != study.recipe
        assert count(recipe, (32, 32, 3), 10)[1] in (5, 9, 13)
