"""The studies of dynamical systems, at a small size, as `eqprop reproduce` runs them."""

import shutil
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from eqprop.estimators.audit import estimate
from eqprop.estimators.contrast import symmetric
from eqprop.estimators.equilibrium import EquilibriumPropagation
from eqprop.lagrangian import unroll
from eqprop.papers.call import Call
from eqprop.papers.catalogue import EXPERIMENTS, GROUPS
from eqprop.papers.lagrangian import classify, pendulum
from eqprop.papers.lagrangian import duffing as chain
from eqprop.papers.lagrangian.classify import ResponseLearning, digits_driven
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
from eqprop.papers.lagrangian.sequences import Paced, ThroughTime, classifier
from eqprop.papers.lagrangian.sequential_mnist import SequenceLearning, oscillators_in_time
from eqprop.solvers import Blockwise
from eqprop.training import fit as fit_module
from eqprop.training.data.named import DIGITS
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


@pytest.mark.long
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
    echo = ravel_pytree(nudged_motion(chain.inputs(LENGTH, DT), 0.0, True))[0]
    exact = ravel_pytree(through_time(unroll, duffing()))[0]
    assert 0 < np.linalg.norm(echo - exact) < 0.05 * np.linalg.norm(exact)


def test_the_double_pendulum_is_two_weights_on_rods():
    """By their heights and velocities; a torque works on the angle of its joint, friction on its speed."""
    params = pendulum.parameters() | {"g": jnp.array([0.1, 0.2])}
    q, v, x = jnp.array([0.4, -0.7]), jnp.array([0.3, 0.9]), jnp.array([0.5, 0.3])

    def places(q):
        across, up = params["l"] * jnp.sin(q), -params["l"] * jnp.cos(q)
        return jnp.cumsum(across), jnp.cumsum(up)

    (_, heights), speeds = jax.jvp(places, (q,), (v,))
    moving = 0.5 * params["m"] @ (speeds[0] ** 2 + speeds[1] ** 2)
    torques = x * np.array([np.cos(0.6), np.sin(0.6)])
    drive = torques[0] * q[0] + torques[1] * (q[1] - q[0])
    found = pendulum.swung(q, v, params, jnp.array(0.2), x)
    np.testing.assert_allclose(found, moving - params["m"] @ heights + drive, rtol=1e-12)
    lost = 0.1 * 0.3**2 * (1 + 0.3**2) + 0.2 * 0.6**2 * (1 + 0.6**2)
    np.testing.assert_allclose(pendulum.joints(q, v, params) @ v, lost, rtol=1e-12)


def test_pendulums_on_a_spring_are_pulled_down_and_together():
    q, u = jnp.array([0.4, -0.7]), jnp.array([0.6, 0.0, 0.0])
    slope = jax.grad(pendulum.Pendulums(pendulum.springs()).potential)(q, u)
    pulled = 0.3 * (q[0] - q[1]) * np.array([1.0, -1.0]) - np.array([0.6, 0.0])
    np.testing.assert_allclose(slope, np.array([1.0, 1.4]) * np.sin(q) + pulled, rtol=1e-12)


@pytest.mark.parametrize("build", [pendulum.periodic, pendulum.fixed_ends, pendulum.launched])
def test_problems_of_the_double_pendulum_are_ready_to_be_solved(build):
    model, x, y = build()
    assert np.isfinite(jax.jit(jax.vmap(model.energy))(model.rest(x), x))
    assert jax.vmap(model.loss)(model.rest(x), y) > 0


@pytest.mark.long
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


@pytest.mark.long
def test_orbits_tend_to_stationary_states(here, monkeypatch):
    """In energy, in its slopes, and in what a nudge tells: as the square of the quantum number."""
    study = Semiclassics("levels", "levels", (2, 8), steps=800)
    monkeypatch.setitem(EXPERIMENTS, "levels", study)
    with jax.enable_x64(False):
        result = one_line(call("reproduce", "levels", "--json").out)
    assert result == read_json(here / "results" / "levels" / "result.json")
    assert is_png(here / "results" / "levels" / "levels.png")
    assert len(result["lines"]) == 4
    for line in result["lines"].values():
        assert line["order"] < -1.7
        assert max(line["error"]) < 0.02 and line["error"][-1] < 1e-3


SMALL = {"features": 8, "widths": (8, 8), "rates": (0.1, 1.0), "epochs": 2}
RATES = {"batch_size": 50, "learning_rate": 0.03, "validation": 200}


def never(*unused):
    raise AssertionError("it trains")


@pytest.mark.long
def test_sequences_are_learnt_and_resumed(here, monkeypatch):
    """Stopped after the first epoch and resumed, a run ends as one that was never stopped."""
    reading = Call(oscillators_in_time, {**SMALL, **RATES, "data": DIGITS})
    study = SequenceLearning("sequences", "digits as sequences", {"row-wise": reading})
    monkeypatch.setitem(EXPERIMENTS, "sequences", study)
    result = one_line(call("reproduce", "sequences", "--json").out)
    assert result == read_json(here / "results" / "sequences" / "result.json")
    echo, tape = result["cases"]
    assert [case["line"] for case in (echo, tape)] == ["row-wise, echo", "row-wise, BPTT"]
    assert echo["test_error_percent"]["mean"] < 50
    assert abs(echo["test_error_percent"]["mean"] - tape["test_error_percent"]["mean"]) < 5
    assert echo["runs"][0]["gradient_error"] < 1e-4
    assert is_png(here / "results" / "sequences" / "accuracies.png")

    folder = here / "runs" / "sequences" / "row-wise-echo" / "seed-0"
    for file in (folder / "result.json", folder / "checkpoints" / "2"):
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    again = one_line(call("reproduce", "sequences", "--json").out)["cases"][0]
    assert again["runs"][0]["test_error_percent"] == echo["runs"][0]["test_error_percent"]
    assert again["validation_accuracy"] == echo["validation_accuracy"]
    monkeypatch.setattr(fit_module, "train_epoch", never)
    assert one_line(call("reproduce", "sequences", "--json").out)["cases"][0] == again


def test_passages_through_time_have_one_gradient():
    """That of equilibrium propagation about the last state, too."""
    model = classifier(jax.random.key(0), 4, 2, (3, 3), (0.1, 0.5), 3)
    x, y = jax.random.normal(jax.random.key(1), (5, 4, 2)), jnp.eye(3)[jnp.arange(5) % 3]
    ways = {
        "echo": ThroughTime(),
        "tape": ThroughTime(unroll),
        "nudge": EquilibriumPropagation(Blockwise(1e-12, 60), symmetric(1e-3)),
    }
    gradients = {name: estimate(model, x, y, way, jax.random.key(2)) for name, way in ways.items()}
    echo, tape, nudge = (ravel_pytree(found.gradient)[0] for found in gradients.values())
    np.testing.assert_allclose(echo, tape, atol=1e-12)
    assert np.linalg.norm(nudge - tape) < 1e-5 * np.linalg.norm(tape)
    assert ways["echo"].rival().estimator == ways["tape"]
    with pytest.raises(RuntimeError, match="by a tape its gradient is the exact one"):
        ways["tape"].rival()


def test_rates_learn_ten_times_slower_than_weights():
    model = classifier(jax.random.key(0), 8, 2, (3,), (0.1, 0.2))
    ones = jax.tree.map(np.ones_like, eqx.filter(model, eqx.is_inexact_array))
    optimiser = Paced(0.01).transform(model, 10, 1)
    with jax.numpy_dtype_promotion("standard"):
        updates = optimiser.update(ones, optimiser.init(ones), ones)[0].energy.layers[0]
    np.testing.assert_allclose(updates.weight, -0.01, rtol=1e-5)
    np.testing.assert_allclose(updates.bias, -0.01, rtol=1e-5)
    np.testing.assert_allclose(updates.log_rate, -0.001, rtol=1e-5)
    np.testing.assert_allclose(updates.log_stiffness, -0.001, rtol=1e-5)


@pytest.mark.long
def test_a_driven_network_learns_digits_by_its_response(here, monkeypatch):
    """By the gradient of the adjoint; reproduced again, nothing is trained again."""
    size = {"hidden": 2, "epochs": 2, "examples": 100, "validation": 50}
    monkeypatch.setattr(classify, "WAYS", {"EP": None})
    study = ResponseLearning("driven", "driven", Call(digits_driven, size), audited=4)
    monkeypatch.setitem(EXPERIMENTS, "driven", study)
    with jax.enable_x64(False):
        result = one_line(call("reproduce", "driven", "--json").out)
    assert result == read_json(here / "results" / "driven" / "result.json")
    (ep,) = result["cases"]
    assert ep["line"] == "EP" and 0 < ep["test_error_percent"]["mean"] < 100
    assert 0 < ep["runs"][0]["gradient_error"] < 1e-3
    assert is_png(here / "results" / "driven" / "accuracies.png")
    rows = read_rows(here / "runs" / "driven" / "EP" / "seed-0")
    assert rows[1]["loss"] < rows[0]["loss"]

    monkeypatch.setattr(fit_module, "train_epoch", never)
    monkeypatch.setattr(classify, "audit", lambda *unused: [SimpleNamespace(relative_error=0.0)])
    with jax.enable_x64(False):
        call("reproduce", "driven")


@pytest.mark.long
def test_costs_of_paths_and_echoes(here, monkeypatch):
    study = CostStudy("cost", "cost", (20, 100), (3, 4), (50, 500), width=8)
    monkeypatch.setitem(EXPERIMENTS, "cost", study)
    with jax.enable_x64(False):
        result = one_line(call("reproduce", "cost", "--quick", "--json").out)
    assert result == read_json(here / "results" / "cost-quick" / "result.json")
    echo, tape = (result["memory"]["bytes"][way] for way in ("echo", "BPTT"))
    assert echo[1] == echo[0] < tape[0]
    assert tape[1] == pytest.approx(10 * tape[0], rel=0.1)
    assert all(t > 0 for key in ("by_steps", "by_size") for t in result[key]["step_seconds"])
    assert is_png(here / "results" / "cost-quick" / "cost.png")
