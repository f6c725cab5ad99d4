"""The studies of dynamical systems, at a small size, as `eqprop reproduce` runs them."""

import shutil

import equinox as eqx
import jax
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from eqprop.lagrangian import evolve, unroll
from eqprop.papers.catalogue import EXPERIMENTS, GROUPS
from eqprop.papers.lagrangian import duffing as chain
from eqprop.papers.lagrangian import sequential_mnist as mnist
from eqprop.papers.lagrangian.classify import ResponseLearning
from eqprop.papers.lagrangian.gradients import (
    DT,
    LENGTH,
    GradientTable,
    duffing,
    nudged_motion,
    through_time,
)
from eqprop.papers.lagrangian.learning import TASKS, PathLearning
from eqprop.papers.lagrangian.resources import CostStudy
from eqprop.papers.lagrangian.semiclassical import Semiclassics
from eqprop.papers.lagrangian.sequences import (
    Classifier,
    Images,
    SequenceState,
    optimiser_of,
    run_epoch,
)
from eqprop.papers.lagrangian.sequential_mnist import SequenceLearning, SequenceSetup
from eqprop.training.data import datasets as data
from eqprop.training.epoch import DivergedError
from eqprop.training.files import read_json
from eqprop.training.runs import read_rows
from helpers.command import call, is_png, one_line


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_group_holds_every_study():
    assert GROUPS["lagrangian"] == tuple(n for n in EXPERIMENTS if n.startswith("lagrangian-"))
    assert "lagrangian-gradient" in GROUPS["lagrangian"]


def test_gradients_of_dynamical_systems(here, monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "table", GradientTable("table", "gradients", (1e-3, 1e-2)))
    with jax.enable_x64(False):  # as the command runs: the study asks for float64 itself
        result = one_line(call("reproduce", "table", "--json").out)
    assert result == read_json(here / "results" / "table" / "result.json")
    assert is_png(here / "results" / "table" / "errors.png")
    assert len(result["rows"]) == 27
    for row in result["rows"]:
        if "wrong" in row["check"]:
            assert row["error"] > 0.5
        else:
            assert row["error"] <= (row["reported"] or 1e-6), row
    orders = {name: line["order"] for name, line in result["lines"].items()}
    for name, order in orders.items():
        assert order == pytest.approx(1 if "one-sided" in name else 2, abs=0.1), name


def test_what_the_damped_echo_gets_wrong_is_right_without_damping():
    """Up to the first order in the time step of the hand-made sum."""
    inputs = chain.inputs(LENGTH, DT)
    echo, naive = (ravel_pytree(nudged_motion(inputs, 0.0, back))[0] for back in (True, False))
    exact = ravel_pytree(through_time(unroll, duffing()))[0]
    wrong = [float(np.linalg.norm(g - exact) / np.linalg.norm(exact)) for g in (echo, naive)]
    assert wrong[0] < 0.05 < 0.5 < wrong[1]


def test_paths_learn_by_nudging_as_by_the_adjoint(here, monkeypatch):
    study = PathLearning("paths", "paths", {"potential": TASKS["potential"]})
    monkeypatch.setitem(EXPERIMENTS, "paths", study)
    with jax.enable_x64(False):
        result = one_line(call("reproduce", "paths", "--quick", "--json").out)
    assert result == read_json(here / "results" / "paths-quick" / "result.json")
    found = result["tasks"]["potential"]
    assert len(found["losses"]["EP"]) == len(found["losses"]["adjoint"]) == 6
    assert found["losses"]["EP"][-1] < found["losses"]["EP"][0]
    np.testing.assert_allclose(*found["losses"].values(), rtol=1e-4)
    np.testing.assert_allclose(*found["parameters"].values(), atol=1e-4)
    assert 0 < found["parameters_apart"] < 1e-3
    folder = here / "results" / "paths-quick"
    assert is_png(folder / "potential.png") and is_png(folder / "potential-losses.png")
    assert (folder / "potential.gif").read_bytes().startswith(b"GIF89a")


def test_orbits_tend_to_stationary_states(here, monkeypatch):
    """In energy, in its slopes, and in what a nudge tells: as the square of the quantum number."""
    study = Semiclassics("levels", "levels", (2, 4, 8), steps=800)
    monkeypatch.setitem(EXPERIMENTS, "levels", study)
    with jax.enable_x64(False):
        result = one_line(call("reproduce", "levels", "--json").out)
    assert result == read_json(here / "results" / "levels" / "result.json")
    assert is_png(here / "results" / "levels" / "levels.png")
    assert len(result["lines"]) == 4
    for line in result["lines"].values():
        assert line["order"] < -1.7
        assert max(line["error"]) < 0.02 and line["error"][-1] < 1e-3


@pytest.fixture(scope="module")
def digits():
    return data.load_dataset("digits")


def test_images_are_read_in_the_unit_of_their_data_set(digits):
    images = Images.of(digits.train, digits.scale)
    rows, pixels = images.sequence(8), images.some(slice(3, 5)).sequence(1)
    assert rows.shape == (8, len(images.y), 8) and pixels.shape == (64, 2, 1)
    assert rows.min() == 0 and rows.max() == 1
    np.testing.assert_array_equal(rows[2, 3], digits.train.x[3, 2, :, 0] / 16)
    np.testing.assert_array_equal(pixels[20, 0, 0], rows[2, 3, 4])


def sequences():
    readings = {"row-wise": SequenceSetup(8, (8, 8), (0.1, 1.0), 2, 50, 0.03, validation=200)}
    return SequenceLearning("sequences", "digits as sequences", readings)


def test_sequences_are_learnt_and_resumed(here, monkeypatch, digits):
    """Stopped after the first epoch and resumed, a run ends as one that was never stopped."""
    monkeypatch.setattr(data, "load_dataset", lambda *unused: digits)
    monkeypatch.setitem(EXPERIMENTS, "sequences", sequences())
    result = one_line(call("reproduce", "sequences", "--json").out)
    assert result == read_json(here / "results" / "sequences" / "result.json")
    echo, tape = result["cases"]
    assert [case["line"] for case in (echo, tape)] == ["row-wise, echo", "row-wise, BPTT"]
    assert echo["test_error_percent"]["mean"] < 50
    assert abs(echo["test_error_percent"]["mean"] - tape["test_error_percent"]["mean"]) < 5
    assert echo["runs"][0]["gradient_error"] < 1e-4
    assert is_png(here / "runs" / "sequences" / "accuracies.png")

    folder = here / "runs" / "sequences" / "row-wise-echo" / "seed-0"
    for file in (folder / "result.json", folder / "checkpoints" / "2"):
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    again = one_line(call("reproduce", "sequences", "--json").out)["cases"][0]
    assert again["runs"][0]["test_error_percent"] == echo["runs"][0]["test_error_percent"]
    assert again["validation_accuracy"] == echo["validation_accuracy"]
    monkeypatch.setattr(mnist, "run_epoch", None)
    assert one_line(call("reproduce", "sequences", "--json").out)["cases"][0] == again


def test_a_sequence_that_diverges_is_refused():
    model = Classifier(jax.random.key(0), 2, (3,), (0.1, 0.2), evolve)
    model = eqx.tree_at(lambda m: m.head.bias, model, np.full(10, np.nan))
    optimiser = optax.sgd(0.1)
    images = Images(np.zeros((4, 2, 2, 1), np.uint8), np.zeros(4, np.int32), 255.0)
    with pytest.raises(DivergedError, match="lower the learning rate"):
        run_epoch(SequenceState.start(model, optimiser), optimiser, images, 4, 2, 0)


def test_rates_learn_ten_times_slower_than_weights():
    layer = Classifier(jax.random.key(0), 2, (3,), (0.1, 0.2), evolve).layers[0]
    ones = jax.tree.map(np.ones_like, eqx.filter(layer, eqx.is_inexact_array))
    optimiser = optimiser_of(0.01, 10)
    with jax.numpy_dtype_promotion("standard"):
        updates, _ = optimiser.update(ones, optimiser.init(ones))
    np.testing.assert_allclose(updates.weight, -0.01, rtol=1e-5)
    np.testing.assert_allclose(updates.bias, -0.01, rtol=1e-5)
    np.testing.assert_allclose(updates.log_rate, -0.001, rtol=1e-5)
    np.testing.assert_allclose(updates.log_stiffness, -0.001, rtol=1e-5)


def test_a_driven_network_learns_digits_by_its_response(here, monkeypatch):
    """By EP as by the adjoint, and a run stopped after an epoch ends as one that was not."""
    study = ResponseLearning("driven", "driven", hidden=4, epochs=2, examples=200, validation=50)
    monkeypatch.setitem(EXPERIMENTS, "driven", study)
    with jax.enable_x64(False):
        result = one_line(call("reproduce", "driven", "--json").out)
    assert result == read_json(here / "results" / "driven" / "result.json")
    ep, adjoint = result["cases"]
    assert [case["line"] for case in (ep, adjoint)] == ["EP", "adjoint"]
    assert ep["test_error_percent"]["mean"] == pytest.approx(
        adjoint["test_error_percent"]["mean"], abs=1
    )
    assert 0 < ep["runs"][0]["gradient_error"] < 1e-3
    assert is_png(here / "results" / "driven" / "accuracies.png")
    rows = read_rows(here / "runs" / "driven" / "EP" / "seed-0")
    assert rows[1]["loss"] < rows[0]["loss"]

    folder = here / "runs" / "driven" / "EP" / "seed-0"
    for file in (folder / "result.json", folder / "checkpoints" / "2"):
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    with jax.enable_x64(False):
        call("reproduce", "driven")
    assert read_rows(folder)[1]["loss"] == rows[1]["loss"]


def test_costs_of_paths_and_echoes(here, monkeypatch):
    study = CostStudy("cost", "cost", (20, 40), (3, 4), (50, 500), width=8, repeats=1)
    monkeypatch.setitem(EXPERIMENTS, "cost", study)
    with jax.enable_x64(False):
        result = one_line(call("reproduce", "cost", "--json").out)
    assert result == read_json(here / "results" / "cost" / "result.json")
    echo, tape = (result["memory"]["bytes"][way] for way in ("echo", "BPTT"))
    assert echo[1] == echo[0] < tape[0]
    assert tape[1] == pytest.approx(10 * tape[0], rel=0.1)
    assert all(t > 0 for key in ("by_steps", "by_size") for t in result[key]["step_seconds"])
    assert is_png(here / "results" / "cost" / "cost.png")
