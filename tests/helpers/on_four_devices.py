"""Run by test_devices.py in a process that has four devices: they do what one does."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqprop import EquilibriumPropagation, Langevin, Momentum, symmetric
from eqprop.training import epoch as train
from eqprop.training.assemble import make_estimator, make_optimiser
from eqprop.training.chain_recipes import ConvRecipe, DenseRecipe, ThermalRecipe
from eqprop.training.data.augment import random_shift
from eqprop.training.data.datasets import Dataset
from eqprop.training.data.sources import Split
from eqprop.training.devices import ONE, over
from eqprop.training.epoch import Examples, evaluate, start, train_epoch
from eqprop.training.recipe_fit import load_best
from eqprop.training.runs import read_rows
from eqprop.training.task import prepare
from helpers import shared_run, systems

KEY = jax.random.key(5)


@pytest.fixture(autouse=True)
def promotion():
    """Optax's schedules mix integers and floats, which strict promotion forbids."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def arrays(tree):
    return [np.asarray(a) for a in jax.tree.leaves(eqx.filter(tree, eqx.is_array))]


def close(one, other, tolerance=1e-10):
    for a, b in zip(arrays(one), arrays(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def images(examples, devices, size=4):
    data = shared_run.data(examples, size)
    x, y = devices.place((jnp.asarray(data.train.x), jnp.asarray(data.train.y)))
    return Examples(x, y, data.scale, data.classes, devices=devices)


def trained(recipe, devices, examples=24):
    """One epoch of a recipe: the last state and progress."""
    split = Split(*(np.asarray(a) for a in images(examples, ONE)[:2]))
    model = recipe.build(Dataset("toy", split, split, 3, 255.0))
    optimiser = make_optimiser(recipe, model, 10)
    state = devices.place(start(model, optimiser))
    augment = random_shift(recipe.shift) if recipe.shift else None
    estimator, shown = make_estimator(recipe), images(examples, devices)
    *_, last = train_epoch(state, shown, estimator, optimiser, recipe.batch_size, KEY, augment)
    return last


SHIFTED = DenseRecipe(hidden=(5,), batch_size=8, shift=1, cost="cross-entropy", state_bits=6)
RECIPES = {
    "dense": SHIFTED,
    "conv": ConvRecipe(
        channels=(2,), kernel=(3,), batch_size=8, solver="momentum", differences=True
    ),
    "thermal": ThermalRecipe(
        hidden=(5,), unit="hard-tanh", batch_size=8, persistent=True, burn=3, reading="draws"
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_training_is_that_of_one_device(name, monkeypatch):
    """In three compiled calls, between which states that are split pass on."""
    monkeypatch.setattr(train, "STEPS_A_CALL", 1)
    one, before = trained(RECIPES[name], ONE)
    many, after = trained(RECIPES[name], over(4))
    close((one.model, one.optimiser), (many.model, many.optimiser))
    assert after.metrics == pytest.approx(before.metrics, rel=1e-9)
    moved = zip(arrays(one.model), arrays(RECIPES[name].build(shared_run.data())), strict=True)
    assert all(np.any(a != b) for a, b in moved)


def test_evaluation_of_batches_that_four_does_not_divide():
    """Of 5, 5 and 3 examples, with random numbers."""
    solver = Langevin.phase_noise(0.3, 0.3, 9)
    model = DenseRecipe(hidden=(5,)).build(shared_run.data())
    one = evaluate(model, images(13, ONE), solver, 5)
    many = evaluate(over(4).place(model), images(13, over(4)), solver, 5)
    np.testing.assert_allclose(many[:2], one[:2], rtol=1e-10)
    assert many.metrics == pytest.approx(one.metrics, rel=1e-8)


def test_a_step_of_relaxation_exchanges_one_bit():
    """No device waits for states of another: the loops ask whether all have settled, and no more."""
    _, model, x, y = systems.strided()
    devices = over(4)
    x, y = (jnp.concatenate([a] * 8)[:8] for a in (x, y))
    estimator = EquilibriumPropagation(Momentum(1e-5, 50), symmetric(0.1))

    @jax.jit
    def step(x, y):
        x, y = devices.split((x, y))
        return devices.copied(estimator(model, x, y, model.rest(x), KEY).gradient)

    text = step.lower(*devices.place((x, y))).compile().as_text()
    assert not re.search(r" (all-gather|all-to-all|collective-permute)(-start)?\(", text)
    reductions = re.findall(r"= (.*?) all-reduce(?:-start)?\(.*op_name=\"([^\"]*)", text)
    looped = [shape for shape, name in reductions if "while" in name]
    assert looped
    assert all(shape.startswith("pred[]") for shape in looped)
    assert any(shape not in looped for shape, _ in reductions)


def test_a_run_goes_on_with_another_number_of_devices(tmp_path):
    """An epoch each on one device, on four, on two and on one again."""
    whole, folder = shared_run.run(tmp_path / "whole"), tmp_path / "parts"
    for epoch, count in enumerate((1, 4, 2), 1):
        with pytest.raises(shared_run.Killed):
            shared_run.run(folder, over(count), resume=epoch > 1, until=epoch)
    result = shared_run.run(folder, ONE, resume=True)
    assert result["test_accuracy"] == pytest.approx(whole["test_accuracy"])
    for a, b in zip(read_rows(folder), read_rows(tmp_path / "whole"), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-10)
    task = prepare(shared_run.RECIPE, shared_run.data())
    close(load_best(task, folder), load_best(task, tmp_path / "whole"))


def test_a_batch_that_devices_do_not_divide_is_refused():
    with pytest.raises(ValueError, match=r"multiple of the 4 devices, got 6; use 4 or 8"):
        trained(DenseRecipe(batch_size=6), over(4))
    with pytest.raises(ValueError, match=r"multiple of the 3 devices, got 2; use 3, or"):
        prepare(DenseRecipe(batch_size=2), shared_run.data(), over(3))


def test_more_devices_than_there_are_is_refused():
    for count in (5, -1):
        with pytest.raises(ValueError, match=rf"from 0 to 4, .* here \(cpu\), got {count}; XLA"):
            over(count)
    assert over() == over(1) == ONE
    assert (over(3).count, ONE.count) == (3, 1)
