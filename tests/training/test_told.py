"""What a run says while it goes on, and what it keeps of its warnings."""

import io
import time
import warnings

import jax
import numpy as np
import pytest
from rich.console import Console

import eqprop as eq
from eqprop.training import Dataset, Split, terminal
from eqprop.training.alarms import noted
from eqprop.training.callbacks import Callback
from eqprop.training.epoch import StepReport
from eqprop.training.files import read_json

RNG = np.random.default_rng(0)
X, Y = RNG.random((60, 6)), np.arange(60) % 3


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=200)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(terminal, "PATIENCE", 0.02)


def waits_for(text, console):
    """Until the text is said, for ten seconds at most."""
    end = time.perf_counter() + 10
    while text not in console.file.getvalue() and time.perf_counter() < end:
        time.sleep(0.01)
    return text in console.file.getvalue()


def test_what_is_slow_is_said_and_what_is_quick_is_not(console, impatient, monkeypatch):
    with terminal.doing("settling", console=console):
        assert waits_for("settling ...\n", console)
    with terminal.doing("hiding", False, console):
        time.sleep(0.1)
    monkeypatch.setattr(terminal, "PATIENCE", 60.0)
    with terminal.doing("blinking", console=console):
        pass
    assert console.file.getvalue() == "settling ...\n"


def test_a_run_says_that_it_compiles_and_what_comes_after_the_last_epoch(console, impatient):
    with terminal.TrainingBar(1, console=console) as bar:
        assert waits_for("compiling ...", console)
        bar.step(StepReport(0, 100, 100, {"loss": 1.0}))
        with bar.doing("testing"):
            assert waits_for("testing ...", console)


def test_within_a_long_epoch_a_line_now_and_then(console, monkeypatch):
    monkeypatch.setattr(terminal, "QUIET", 0.05)
    with terminal.TrainingBar(2, console=console) as bar:
        bar.step(StepReport(0, 100, 300, {"loss": 0.5}))
        time.sleep(0.06)
        for at in (200, 201):
            bar.step(StepReport(0, at, 300, {"loss": 0.25}))
    assert console.file.getvalue() == "epoch 1/2, step 200 of 300  loss 0.2500\n"


@pytest.mark.filterwarnings("default")
def test_warnings_are_noted_once_and_shown_still():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with noted(["before"]) as told:
            for text in ("before", "mind", "mind"):
                warnings.warn(text, stacklevel=1)
    assert told == ["before", "mind"]
    assert [str(each.message) for each in shown] == ["before", "mind", "mind"]


class Warns(Callback):
    """Warns after an epoch, and is killed in the next one."""

    def __init__(self, text, killed=False):
        self.text, self.killed = text, killed

    def epoch(self, row):
        if row["epoch"] == 2 and self.killed:
            raise KeyboardInterrupt
        warnings.warn(f"{self.text} {row['epoch']}", stacklevel=2)


@pytest.mark.filterwarnings("always")
def test_warnings_of_before_a_kill_are_kept(tmp_path):
    data = Dataset("own", Split(X[:40], Y[:40]), Split(X[40:], Y[40:]), 3)
    model = eq.layered((6, 5, 3), jax.random.key(0))
    learner = eq.EquilibriumPropagation(eq.Blockwise(1e-3), eq.symmetric(0.1))
    training = eq.Training(model, learner, data, epochs=3, batch_size=10, validation=10)
    with jax.numpy_dtype_promotion("standard"):
        with pytest.raises(KeyboardInterrupt):
            eq.fit(training, tmp_path, callbacks=[Warns("first", killed=True)], progress=False)
        run = eq.fit(training, tmp_path, resume=True, callbacks=[Warns("then")], progress=False)
    assert run.result["warnings"][0] == "first 1"
    assert run.result["warnings"][-1] == "then 3"
    assert read_json(tmp_path / "warnings.json")["warnings"] == run.result["warnings"]
