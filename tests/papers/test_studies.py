"""What `eqprop reproduce` writes: runs over seeds, sweeps, comparisons, and studies of a gradient."""

import dataclasses
import shutil
from contextlib import chdir
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from eqprop.energies.architectures import OUTPUT, layered
from eqprop.energies.costs import SquaredError
from eqprop.energies.model import Model
from eqprop.energies.units.oscillator import Oscillator
from eqprop.hardware import Programmed, Quantise, Ranges
from eqprop.papers import study as reproduce
from eqprop.papers.call import Call
from eqprop.papers.catalogue import EXPERIMENTS
from eqprop.papers.comparison import Case, Comparison, Sweep
from eqprop.papers.finite_nudge.nudges import Nudges
from eqprop.papers.finite_nudge.recipes import SMALL, digits_thermal
from eqprop.papers.finite_nudge.studies import one_sweep
from eqprop.papers.foundation.recipes import digits
from eqprop.papers.oim import updates
from eqprop.papers.oim.machine import STEP, Machine
from eqprop.papers.oim.updates import Curves
from eqprop.solvers import GradientDescent
from eqprop.thermal.readings import Draws
from eqprop.training import fit as fit_module
from eqprop.training.data.named import DIGITS
from eqprop.training.files import read_json
from eqprop.training.runs import read_rows
from eqprop.training.training import Training
from helpers.command import call, is_png, one_line, refusal


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tiny_experiment(patch, **changes):
    """The experiment `digits` with a small network."""
    call = Call(digits, {"epochs": 2, "hidden": (16,), **changes})
    patch.setitem(EXPERIMENTS, "digits", dataclasses.replace(EXPERIMENTS["digits"], call=call))


def quick(out):
    return call("reproduce", "digits", "--quick", "--json", "--out", out)


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    """A folder where an experiment ran, and what the command printed."""
    folder = tmp_path_factory.mktemp("reproduced")
    with pytest.MonkeyPatch.context() as patch, chdir(folder):
        tiny_experiment(patch)
        return folder, quick("results")


@pytest.fixture
def there(reproduced, here, monkeypatch):
    """A copy of that folder, and in it."""
    shutil.copytree(reproduced[0], here / "there")
    monkeypatch.chdir(here / "there")
    return here / "there"


def test_reproduce_writes_a_result(reproduced):
    folder, done = reproduced
    assert done.code == 0
    result = one_line(done.out)
    assert result == read_json(folder / "results" / "digits-quick" / "result.json")
    assert result["command"] == "eqprop reproduce digits --quick"
    (run,) = result["runs"]
    assert result["test_error_percent"] == {"mean": run["test_error_percent"], "std": 0.0}
    assert (run["epochs"], run["seed"], result["seeds"]) == (1, 0, [0])
    assert run == read_json(folder / "runs" / "digits-quick" / "seed-0" / "result.json")
    assert (run["audit"], run["not_audited"]) == ([], "not asked for")


def never(*unused):
    raise AssertionError("it trains")


def test_reproduce_does_not_train_twice(there, reproduced, monkeypatch):
    tiny_experiment(monkeypatch)
    monkeypatch.setattr(fit_module, "train_epoch", never)
    assert one_line(quick("again").out)["runs"] == one_line(reproduced[1].out)["runs"]


def test_reproduce_does_not_pass_off_a_run_of_another_recipe(there, monkeypatch):
    tiny_experiment(monkeypatch, learning_rate=0.5)
    assert "learning_rate: 0.002 there, 0.5 here" in refusal(quick("again"))


def test_a_run_of_reproduce_can_be_plotted(there):
    done = call("plot", "runs/digits-quick/seed-0")
    assert done.code == 0, done.err
    assert is_png(there / "runs" / "digits-quick" / "seed-0" / "learning.png")


def test_figures_are_drawn_of_every_run_but_quick_ones(here, monkeypatch):
    drawn = []
    result = {"test_error_percent": 1.0, "seconds": 1.0}
    trained = SimpleNamespace(result=result, folder=here)
    monkeypatch.setattr(reproduce, "train_seed", lambda *arguments: trained)
    monkeypatch.setattr(reproduce, "draw_run", lambda folder, data_dir: drawn.append(folder))
    study = dataclasses.replace(EXPERIMENTS["digits"], seeds=(0, 1))
    study.reproduce(here, quick=True)
    assert not drawn
    study.reproduce(here)
    assert drawn == [here, here]


def tiny_machine(bits: int = 0, seed: int = 0) -> Training:
    """Digits by a device of few bits."""
    training = digits((16,), seed=seed)
    quantise = Quantise(bits, Ranges(0.5))
    return dataclasses.replace(training, estimator=Programmed(training.estimator, quantise))


def test_a_sweep_is_one_table_and_is_resumed(here, monkeypatch):
    cases = tuple(Case("β = 0.1", bits, Call(tiny_machine, {"bits": bits})) for bits in (3, 8, 4))
    sweep = Sweep("bits", "digits by few bits", "parameter bits", cases)
    monkeypatch.setitem(EXPERIMENTS, "bits", sweep)
    done = call("reproduce", "bits", "--quick", "--json")
    result = one_line(done.out)
    assert result == read_json(here / "results" / "bits-quick" / "result.json")
    ((row),) = result["cases"]
    assert (row["value"], row["arguments"]["bits"]) == (8, 8)
    run = here / "runs" / "bits-quick" / "beta-0.1-8" / "seed-0"
    error = read_json(run / "result.json")["test_error_percent"]
    assert error == pytest.approx(row["test_error_percent"]["mean"])
    assert is_png(here / "results" / "bits-quick" / "sweep.png")
    monkeypatch.setattr(fit_module, "train_epoch", never)
    assert one_line(call("reproduce", "bits", "--quick", "--json").out)["cases"] == result["cases"]


def tiny_oscillators(seed: int = 0) -> Training:
    """Digits by few oscillators, which a negative injection keeps from locking."""
    unit, key = Oscillator(-0.25), jax.random.key(seed)
    model = layered((64, 8, 10), key, unit, unit, (0.5, 0.25))
    model = Model(model.energy, SquaredError(OUTPUT, -1.0, 1.0))
    return Training(model, Machine().learner(0.01, ("h1", OUTPUT)), DIGITS, validation=200)


@pytest.mark.long
def test_update_curves_are_written(here, monkeypatch):
    monkeypatch.setattr(updates, "SETTLED", GradientDescent(1e-6, 500, STEP))
    curves = Curves("curves", "digits step by step", Call(tiny_oscillators))
    monkeypatch.setitem(EXPERIMENTS, "curves", curves)
    result = one_line(call("reproduce", "curves", "--quick", "--json").out)
    assert result == read_json(here / "results" / "curves-quick" / "result.json")
    assert [row["steps"] for row in result["curves"]] == [1, 2, 4]
    assert all(row["cosine"] > 0.99 for row in result["curves"])
    assert is_png(here / "results" / "curves-quick" / "updates.png")


def test_ways_are_compared_epoch_by_epoch(here, monkeypatch):
    tiny = Call(digits, {"hidden": (16,)})
    ways = {"β = 0.1, EP": tiny.but(beta=0.1), **{f"way {i}": tiny for i in range(3)}}
    ways["one sweep"] = tiny.but(by=one_sweep)
    comparison = Comparison("ways", "digits in several ways", ways)
    monkeypatch.setitem(EXPERIMENTS, "ways", comparison)
    done = call("reproduce", "ways", "--quick", "--json")
    result = one_line(done.out)
    assert "minutes a run are predicted" in done.err
    assert result == read_json(here / "results" / "ways-quick" / "result.json")
    assert [row["line"] for row in result["cases"]] == ["β = 0.1, EP", "one sweep"]
    run = here / "runs" / "ways-quick" / "beta-0.1-ep" / "seed-0"
    logged = [row["validation_accuracy"] for row in read_rows(run)]
    assert result["cases"][0]["validation_accuracy"] == [logged]
    assert is_png(here / "results" / "ways-quick" / "accuracies.png")


@pytest.mark.long
def test_sampled_gradients_are_compared_by_nudge(here, monkeypatch):
    tiny = Call(digits_thermal, {"hidden": (8,)})
    apart = tiny.but(reading=Draws(), source=dataclasses.replace(SMALL, common_noise=False))
    ways = {"draws": apart, "b": tiny, "c": tiny, "means": tiny}
    study = Nudges("nudges", "digits", ways, (0.1, 0.5, 0.7, 1.0), 4)
    monkeypatch.setitem(EXPERIMENTS, "nudges", study)
    result = one_line(call("reproduce", "nudges", "--quick", "--json").out)
    assert result == read_json(here / "results" / "nudges-quick" / "result.json")
    draws, means = result["lines"]["draws"], result["lines"]["means"]
    assert draws["beta"] == means["beta"] == [0.1, 1.0]
    assert min(result["agreement_of_two_references"]) > 0.95
    assert all(np.array(means["gradient_snr"]) > np.array(draws["gradient_snr"]))
    assert means["cosine"][1] > 0.9
    assert is_png(here / "results" / "nudges-quick" / "nudges.png")
