"""Run by test_devices.py in a process that has four devices: they do what one does."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import eqprop as eq
from eqprop.estimators.warm_start import WarmStart
from eqprop.thermal import Chains, Gibbs, Thermal, finite_nudge
from eqprop.training import epoch as train
from eqprop.training.data.augment import random_shift
from eqprop.training.devices import ONE, over
from eqprop.training.epoch import Examples, evaluate, start, train_epoch
from helpers import shared_run, systems
from helpers.small import STEADY, Killed, arrays

KEY = jax.random.key(5)


def close(one, other, tolerance=1e-10):
    for a, b in zip(arrays(one), arrays(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def shown(examples, devices):
    x, y = devices.place(tuple(map(jnp.asarray, shared_run.images(examples))))
    return Examples(x, y, 255.0, 3, devices=devices)


def trained(model, estimator, devices, batch_size=8):
    """One epoch: the last state and progress."""
    state = devices.place(start(model, STEADY))
    shift = random_shift(1)
    *_, last = train_epoch(state, shown(16, devices), estimator, STEADY, batch_size, KEY, shift)
    return last


def dense():
    learner = eq.EquilibriumPropagation(eq.Blockwise(1e-2, 9), eq.symmetric(0.3))
    return eq.layered((16, 4, 3), KEY, eq.Tanh()), WarmStart(learner)


def thermal():
    chains = Chains(1.0, Gibbs(), 2, 2, 2, persistent=True)
    spins = eq.layered((16, 4, 3), KEY, eq.Spin(), eq.Spin())
    return eq.Model(spins.energy, systems.SIGNS), Thermal(chains, finite_nudge(0.5))


@pytest.mark.parametrize("make", [dense, thermal])
def test_training_is_that_of_one_device(make, monkeypatch):
    """In two compiled calls, between which states that are split pass on."""
    monkeypatch.setattr(train, "STEPS_A_CALL", 1)
    one, before = trained(*make(), ONE)
    many, after = trained(*make(), over(4))
    close((one.model, one.optimiser), (many.model, many.optimiser))
    assert after.metrics == pytest.approx(before.metrics, rel=1e-9)
    moved = zip(arrays(one.model), arrays(make()[0]), strict=True)
    assert all(np.any(a != b) for a, b in moved)


def test_evaluation_of_batches_that_four_does_not_divide():
    """Two of five examples, with random numbers."""
    solver, (model, _) = eq.Langevin.phase_noise(0.3, 0.3, 9), dense()
    one = evaluate(model, shown(10, ONE), solver, 5)
    many = evaluate(over(4).place(model), shown(10, over(4)), solver, 5)
    np.testing.assert_allclose(many[:2], one[:2], rtol=1e-10)
    assert many.metrics == pytest.approx(one.metrics, rel=1e-8)


@pytest.mark.parametrize(("examples", "filled"), [(1, 4), (3, 4), (4, 4), (5, 8)])
def test_a_batch_is_filled_with_its_own_examples(examples, filled):
    found = np.asarray(over(4).filled(jnp.arange(examples)))
    assert len(found) == filled
    np.testing.assert_array_equal(found, np.arange(filled) % examples)


def test_a_step_of_relaxation_exchanges_one_bit():
    """No device waits for states of another: the loops ask whether all have settled, and no more."""
    _, model, x, y = systems.strided()
    devices = over(4)
    x, y = (jnp.concatenate([a] * 8)[:8] for a in (x, y))
    estimator = eq.EquilibriumPropagation(eq.Momentum(1e-5, 50), eq.symmetric(0.1))

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
    """An epoch on four devices, and the others on one."""
    whole, folder = shared_run.run(tmp_path / "whole"), tmp_path / "parts"
    with pytest.raises(Killed):
        shared_run.run(folder, over(4), until=1)
    run = shared_run.run(folder, ONE, resume=True)
    assert run.accuracy == pytest.approx(whole.accuracy)
    for a, b in zip(run.rows, whole.rows, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-10)
    close(run.model, whole.model)


def test_a_batch_that_devices_do_not_divide_is_refused():
    with pytest.raises(ValueError, match=r"multiple of the 4 devices, got 6; use 4 or 8"):
        trained(*dense(), over(4), batch_size=6)
    with pytest.raises(ValueError, match=r"multiple of the 3 devices, got 8; use 6 or 9"):
        shared_run.run(None, over(3))
    with pytest.raises(ValueError, match=r"multiple of the 3 devices, got 2; use 3, or"):
        over(3).check_batch(2)


def test_more_devices_than_there_are_is_refused():
    for count in (5, -1):
        with pytest.raises(ValueError, match=rf"from 0 to 4, .* here \(cpu\), got {count}; XLA"):
            over(count)
    assert over() == over(1) == ONE
    assert (over(3).count, ONE.count) == (3, 1)
