"""`eqprop sweep`: a product of numbers over seeds, chosen by validation accuracy."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from eqprop.cli import several, sweep
from eqprop.papers.call import Call
from eqprop.papers.finite_nudge.recipes import digits_thermal
from eqprop.papers.foundation.recipes import digits
from eqprop.training import fit as fit_module
from eqprop.training.epoch import DivergedError, StepReport
from eqprop.training.files import read_json
from helpers.command import call, is_png, one_line, refusal

TINY = ("sweep", "digits", "--hidden", "16", "--epochs", "2", "--seeds", "2")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_numbers_are_multiplied_and_other_words_are_kept():
    words = [
        "--hidden",
        "8",
        "4",
        "--beta",
        "0.1",
        "0.2",
        "solver:momentum",
        "--solver.max-steps",
        "20",
        "30",
        "--epochs",
        "2",
    ]
    found = several.lines(digits, words)
    assert [line.values for line in found] == [
        {"beta": beta, "solver.max-steps": steps} for beta in (0.1, 0.2) for steps in (20, 30)
    ]
    assert (
        " ".join(found[1].words)
        == "--hidden 8 4 --beta 0.1 solver:momentum --solver.max-steps 30 --epochs 2"
    )


@pytest.mark.parametrize(
    ("recipe", "option", "number"),
    [
        (digits, "beta", True),
        (digits, "hidden", False),
        (digits, "solver.max-steps", True),
        (digits, "solver", False),
        (digits_thermal, "nodes", True),
        (digits_thermal, "source.temperature", True),
        (digits_thermal, "source.sampler", False),
        (digits, "nosuch", False),
    ],
)
def test_an_option_that_is_one_number_is_told_from_others(recipe, option, number):
    assert several.is_number(recipe, option) == number


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--beta", "0.1"], "expected an option with several numbers, .* got none"),
        (["--seed", "1", "2"], "expected --seeds N"),
        (["--beta", "0.1", "0.10"], "expected different numbers for --beta, got 0.1 0.10"),
        (["--beta", "0.1", "0.2", "--seeds", "0"], "seeds: expected 1 or more, got 0"),
    ],
)
def test_what_is_no_sweep_is_refused(words, says, here):
    done = call("sweep", "digits", *words)
    assert says.split(",")[0] in refusal(done)
    assert not list(here.iterdir())


def test_a_sweep_is_one_table_a_figure_and_a_result_and_is_not_trained_twice(here, monkeypatch):
    done = call(*TINY, "--beta", "0.1", "0.2", "--json")
    assert done.code == 0, done.err
    result = one_line(done.out)
    assert result == read_json(here / "runs" / "sweep-digits" / "result.json")
    assert [case["values"] for case in result["cases"]] == [{"beta": 0.1}, {"beta": 0.2}]
    for case in result["cases"]:
        name = (
            "hidden-16+epochs-2" if case["values"]["beta"] == 0.1 else "hidden-16+beta-0.2+epochs-2"
        )
        runs = here / "runs" / "sweep-digits" / name
        seen = [read_json(runs / f"seed-{seed}" / "result.json") for seed in (0, 1)]
        assert [run["arguments"]["beta"] for run in seen] == [case["values"]["beta"]] * 2
        each = [100 * run["validation_accuracy"] for run in seen]
        assert case["validation_accuracy_percent"]["each"] == each
        assert case["validation_accuracy_percent"]["mean"] == pytest.approx(np.mean(each))
    best = max(result["cases"], key=lambda case: case["validation_accuracy_percent"]["mean"])
    assert result["best"] == best["values"]
    assert is_png(here / "runs" / "sweep-digits" / "sweep.png")
    assert "4 runs, 4 to train" in done.err and "more, by the first epochs" in done.err
    monkeypatch.setattr(fit_module, "train_epoch", lambda *unused: pytest.fail("it trains"))
    again = call(*TINY, "--beta", "0.1", "0.2", "--json")
    assert one_line(again.out)["cases"] == result["cases"]
    assert "4 runs, 0 to train" in again.err
    assert "sweep-digits/config.json, got nothing" in refusal(call("plot", "runs/sweep-digits"))


def test_a_run_that_diverges_is_told_and_not_chosen(here, monkeypatch):
    def trained(label, call, seed, *unused, **named):
        if call.arguments["beta"] == 0.5:
            raise DivergedError("it rose")
        return SimpleNamespace(result={"validation_accuracy": 0.25, "seconds": 1.0})

    monkeypatch.setattr(sweep, "train_seed", trained)
    done = call(*TINY, "--beta", "0.5", "0.1", "--json")
    result = one_line(done.out)
    assert [case["diverged"] for case in result["cases"]] == [2, 0]
    assert result["cases"][0]["validation_accuracy_percent"]["mean"] is None
    assert result["best"] == {"beta": 0.1}
    assert "it rose" in done.err and "2 diverged" in done.err


@pytest.mark.parametrize(("calls", "told"), [(4, [1]), (1, [2])])
def test_the_time_is_predicted_without_the_compilation(calls, told, monkeypatch):
    """The first call takes 100 seconds, the others 1; an epoch is told when it is known."""
    now, said = [0.0], []
    monkeypatch.setattr(sweep.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(sweep, "tell", lambda text: said.append((epoch, text)))
    clock = sweep.Clock(runs=3, epochs=5)
    for epoch in (1, 2, 3):
        for at in range(calls):
            now[0] += 1.0 if now[0] else 100.0
            clock.step(StepReport(epoch - 1, at + 1, calls, {}))
        clock.epoch({"epoch": epoch, "seconds": now[0]})
    ((epoch_told, text),) = said
    assert [epoch_told] == told
    left = (15 - epoch_told) * calls
    assert f"about {left} seconds more" in text


def test_folders_are_named_by_what_is_not_as_usual():
    assert sweep.slug(Call(digits)) == "as-it-is"
    assert sweep.slug(Call(digits, {"beta": 0.2, "hidden": (8, 4)})) == "hidden-8-4+beta-0.2"


def test_help_of_a_sweep_has_the_recipes_options_and_its_own():
    done = call("sweep", "digits", "--help")
    assert done.code == 0
    assert all(word in done.out for word in ("--seeds", "--beta", "--epochs"))
    assert "--resume" not in done.out


def test_two_options_are_a_line_for_each_of_the_smaller():
    def case(beta, epochs):
        measure = {"mean": 1.0, "std": 0.0, "each": [1.0]}
        values = {"beta": beta, "epochs": epochs}
        return {"values": values, "validation_accuracy_percent": measure, "diverged": 0}

    rows = [case(beta, epochs) for beta in (0.1, 0.2, 0.3) for epochs in (1.0, 2.0)]
    lines = sweep._lines(json.loads(json.dumps(rows)))
    assert [(line["line"], line["value"]) for line in lines[:3]] == [
        ("epochs = 1", 0.1),
        ("epochs = 2", 0.1),
        ("epochs = 1", 0.2),
    ]
