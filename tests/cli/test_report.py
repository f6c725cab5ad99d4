"""`eqprop report`: a page of one run and of several, alone and in a browser."""

import json
import re
import shlex
import shutil

import jax
import numpy as np
import pytest

import eqprop
from eqprop.cli import options, words
from eqprop.cli.main import _joined, _parse
from eqprop.energies.architectures import layered
from eqprop.papers.call import Call
from eqprop.papers.foundation.recipes import digits, mnist_conv
from eqprop.papers.oim.recipes import mnist_oscillators
from eqprop.solvers import Blockwise, Momentum
from eqprop.training.data.datasets import load_dataset
from eqprop.training.data.own import save_dataset
from eqprop.training.files import read_json, write_json
from eqprop.training.rivals import bptt
from helpers.browser import needs_chromium, rendered
from helpers.command import call, one_line, refusal

TITLES = ("Warnings", "Learning", "Audit of the gradient", "Relaxation", "Activity", "Answers")


def told(page):
    """The data in a page."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(found[1])


@pytest.fixture(scope="module")
def page(digits_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "one.html"
    done = call("report", digits_run, "--out", path)
    assert done.code == 0 and str(path) in done.err
    return path


def changed(run, folder, seed, error, **arguments):
    """A copy of a run with another seed, arguments and test error."""
    shutil.copytree(run, folder)
    config, result = read_json(run / "config.json"), read_json(run / "result.json")
    config["arguments"] |= {**arguments, "seed": seed}
    write_json(folder / "config.json", config | {"seed": seed})
    right = {"test_error_percent": error, "test_accuracy": 1 - error / 100}
    write_json(folder / "result.json", result | right | {"seed": seed})
    return folder


@pytest.fixture
def several(digits_run, here):
    """Three seeds by each of two nudges; of the second, errors are larger by 1, 2 and 3."""
    return [
        changed(digits_run, here / f"{beta}-{seed}", seed, seed + extra, beta=beta)
        for beta, more in ((0.1, (0, 0, 0)), (0.5, (1, 2, 3)))
        for seed, extra in zip((0, 1, 2), more, strict=True)
    ]


def test_a_page_needs_nothing_but_itself(page):
    text = page.read_text("utf-8")
    outside = re.findall(
        r'(?:src|href)="(?!data:)|@import|fetch\(|https?://(?!www\.w3\.org/2000/svg)', text
    )
    assert outside == []


def test_a_page_says_what_the_run_says(page, digits_run):
    (run,) = told(page.read_text("utf-8"))["runs"]
    result = read_json(digits_run / "result.json")
    assert run["command"] == "eqprop train digits --hidden 16 --epochs 2"
    assert run["summary"]["test_accuracy"] == result["test_accuracy"]
    assert run["audit"] == result["audit"]
    assert run["warnings"] == result["warnings"] == []
    assert run["made"]["jax"] == result["versions"]["jax"]
    test = load_dataset("digits").test
    said = eqprop.load(digits_run).predict(test.x)
    answers = run["looks"]["answers"]
    assert answers["wrong"] == np.sum(said != test.y) and answers["of"] == len(test.y)
    counts = np.array(answers["confusion"])
    assert counts.sum() == len(test.y) and np.trace(counts) == np.sum(said == test.y)
    for one in answers["missed"]:
        assert (one["truth"], one["said"]) == (test.y[one["index"]], said[one["index"]])
    film = run["looks"]["film"]
    assert set(film["layers"]) == {"h1", "out"}
    assert list(film["phases"]) == ["free", "nudged, β = 0.1"]


MOVE = """
const slider = document.getElementById("film"), at = slider.parentElement.querySelector("output");
const rod = document.querySelector('svg[aria-label="values of layer out"] rect');
const states = [0, slider.max].map((value) => {
  slider.value = value; slider.dispatchEvent(new Event("input"));
  return at.textContent + " / " + rod.getAttribute("height");
});
const svg = document.querySelector("svg"), box = svg.getBoundingClientRect();
const middle = { clientX: box.left + box.width / 2, clientY: box.top + 20 };
svg.dispatchEvent(new PointerEvent("pointermove", middle));
document.body.append(element("pre", { id: "seen" }, [...states, tip.textContent].join(" | ")));
"""


@needs_chromium
def test_a_page_draws_itself_and_its_slider_moves(page):
    document, said = rendered(page, MOVE)
    assert said == []
    assert re.findall(r"<h2>(.*?)</h2>", document)[: len(TITLES)] == list(TITLES)
    assert document.count("<svg") >= 10
    first, last, tip = re.search(r'id="seen">(.*?)</pre>', document, re.S)[1].split(" | ")
    assert first.startswith("free phase, step 0 / ") and "nudged, β = 0.1 phase" in last
    assert first.split(" / ")[1] != last.split(" / ")[1]
    assert tip.startswith("epoch ") and "validation: " in tip


@needs_chromium
def test_a_page_that_is_broken_is_seen_to_be(page, here):
    (here / "bad.html").write_text(
        page.read_text("utf-8").replace("    tiles(run),", "    tyles(run),"), "utf-8"
    )
    assert any("tyles is not defined" in line for line in rendered(here / "bad.html")[1])


def test_several_runs_are_compared_over_their_seeds(several, here):
    found = one_line(call("report", *several, "--json").out)["comparison"]
    assert found["settings"]["beta"] == ["0.1"] * 3 + ["0.5"] * 3
    assert found["settings"]["seed"] == ["0", "1", "2"] * 2
    assert set(found["settings"]) == {"beta", "seed"}
    first, second = found["groups"]
    assert (first["name"], first["n"], first["mean"], first["std"]) == ("beta = 0.1", 3, 1.0, 1.0)
    assert (second["mean"], second["std"]) == (3.0, 2.0)
    (test,) = found["tests"]
    assert (test["n"], test["mean"], test["std"]) == (3, -2.0, 1.0)
    # t = -2 / (1 / sqrt 3) with 2 degrees of freedom: p = 1 - t / sqrt(2 + t^2)
    assert test["p"] == pytest.approx(1 - np.sqrt(12 / 14))


@needs_chromium
def test_the_page_of_several_draws_itself(several, here):
    call("report", *several)
    document, said = rendered(here / "report.html")
    assert said == []
    assert "-2 ± 1" in document and "0.07418" in document


def test_a_run_without_its_data_or_its_end_has_a_page(here):
    x, y = np.random.default_rng(0).random((40, 6)), np.arange(40) % 2
    split = eqprop.training.Split(x[:30], y[:30])
    data = eqprop.training.Dataset("own", split, eqprop.training.Split(x[30:], y[30:]), 2)
    model = layered((6, 4, 2), jax.random.key(0))
    learner = eqprop.EquilibriumPropagation(Blockwise(1e-3), eqprop.symmetric(0.1))
    training = eqprop.Training(model, learner, data, epochs=1, batch_size=10, validation=10)
    with jax.numpy_dtype_promotion("standard"):
        eqprop.fit(training, "run", progress=False)
    (here / "run" / "result.json").unlink()
    done = call("report", "run")
    assert done.code == 0 and "expected the data set 'own'" in done.err
    (run,) = told((here / "run" / "report.html").read_text("utf-8"))["runs"]
    assert "expected the data set" in run["no_looks"] and not run["finished"]
    assert run["command"] is None and "looks" not in run
    save_dataset(data, "own.npz")
    done = call("report", "run", "--data-dir", "own.npz")
    (run,) = told((here / "run" / "report.html").read_text("utf-8"))["runs"]
    assert done.code == 0 and run["looks"]["answers"]["of"] == 10 and "no_looks" not in run
    assert call("plot", "run", "--data-dir", "own.npz").code == 0
    assert (here / "run" / "activity.png").exists()
    save_dataset(data._replace(name="other", scale=2.0), "other.npz")
    said = refusal(call("plot", "run", "--data-dir", "other.npz"))
    assert "expected the data set 'own' (2 classes, scale 1.0, " in said
    assert "got another, 'other' (2 classes, scale 2.0, " in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none"], "none/config.json"),
        (["RUN", "--out", "a.txt"], "ending in .html"),
        ([], "RUN: expected a run folder or several, got none"),
        (["RUNS"], "it holds 1 runs, the last of them"),
    ],
)
def test_what_cannot_be_reported_is_one_line(arguments, says, digits_run, here):
    known = {"RUN": digits_run, "RUNS": digits_run.parent}
    given = [known.get(word, word) for word in arguments]
    assert says in refusal(call("report", *given))


@pytest.mark.parametrize(
    "made",
    [
        Call(digits),
        Call(digits, {"hidden": (8, 8), "beta": -0.5, "solver": Blockwise(1e-2, 60)}),
        Call(digits, {"solver": Momentum(1e-3, 50), "epochs": 3}),
        Call(mnist_conv, {"channels": (4, 8), "shift": 0}, bptt),
        Call(mnist_oscillators, {"hidden": (30,)}),
    ],
    ids=lambda made: made.recipe.__name__,
)
def test_the_command_of_a_run_is_parsed_to_its_arguments(made):
    command = shlex.split(words.command_of(made.told()))
    assert command[:2] == ["eqprop", "train"]
    job = _parse(_joined(made.recipe, options.Train), "", command[3:])
    again = Call(made.recipe, {name: getattr(job, name) for name in made.arguments})
    assert again.told()["arguments"] == made.told()["arguments"]
    assert (job.every_run.estimator is None) == (made.by is None)
