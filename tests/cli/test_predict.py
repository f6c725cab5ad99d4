"""`eqprop predict`: labels and scores of a file, and clear words for a file that the run does not take."""

import csv
import importlib
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import eqprop
from eqprop.training.data.datasets import load_dataset
from helpers.command import call, one_line, refusal

IMAGES = load_dataset("digits").test.x


@pytest.fixture
def files(here):
    """Files of digits, right and wrong."""
    grey = (IMAGES[0, ..., 0] * (255 / 16)).round().astype(np.uint8)
    Image.fromarray(grey).save("grey.png")
    Image.fromarray(np.stack([grey, grey // 2, grey], -1)).save("colour.png")
    np.save("many.npy", IMAGES[:50])
    np.save("one.npy", IMAGES[0, ..., 0])
    np.save("flat.npy", IMAGES[:3].reshape(3, 64))
    np.save("wide.npy", np.zeros((3, 28, 28)))
    np.save("bright.npy", IMAGES[:3].astype(float) * 15)
    np.save("fractions.npy", IMAGES[:3] / 16)
    np.save("nan.npy", np.full((8, 8), np.nan))
    np.save("words.npy", np.array(["a"]))
    np.save("objects.npy", np.array([{}], object), allow_pickle=True)
    (here / "cut.npy").write_bytes((here / "many.npy").read_bytes()[:200])
    (here / "cut.png").write_bytes((here / "grey.png").read_bytes()[:60])
    (here / "labels-idx1-ubyte").write_bytes(bytes((0, 0, 8, 1, 0, 0, 0, 2, 3, 4)))
    head = bytes((0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 8, 0, 0, 0, 8))
    (here / "images-idx3-ubyte").write_bytes(head + IMAGES[:2].tobytes())
    (here / "text.txt").write_text("hello")
    return here


@pytest.mark.parametrize(
    ("name", "count"),
    [("many.npy", 50), ("one.npy", 1), ("flat.npy", 3), ("images-idx3-ubyte", 2), ("grey.png", 1)],
)
def test_labels_and_scores_are_those_of_the_loaded_run(name, count, digits_run, files):
    told = one_line(call("predict", digits_run, name, "--json").out)
    run = eqprop.load(digits_run)
    assert told["labels"] == np.argmax(told["scores"], 1).tolist()
    near = 2e-2 if name == "grey.png" else 1e-12
    np.testing.assert_allclose(told["scores"], run.best.scores(IMAGES[:count]), atol=near)


def test_the_table_shows_the_highest_scores(digits_run, files):
    done = call("predict", digits_run, "many.npy", "--top", "2")
    assert done.code == 0
    scores = eqprop.load(digits_run).best.scores(IMAGES[:1])[0]
    first, second = np.argsort(-scores)[:2]
    (line,) = [line for line in done.out.splitlines() if line.startswith("│       0 ")]
    assert line.split("│")[2:4] == [
        f"{first:6d} ",
        f" {first}: {scores[first]:.3f}  {second}: {scores[second]:.3f} ",
    ]
    assert "the first 40 of 50" in done.err


def test_files_hold_every_score(digits_run, files):
    told = one_line(call("predict", digits_run, "many.npy", "--json", "--out", "all.npz").out)
    call("predict", digits_run, "many.npy", "--out", "all.csv")
    with np.load("all.npz", allow_pickle=False) as kept, open("all.csv") as text:
        rows = list(csv.reader(text))
        np.testing.assert_array_equal(kept["scores"], told["scores"])
        np.testing.assert_array_equal(kept["label"], told["labels"])
    assert rows[0] == ["example", "label", *(f"score_{i}" for i in range(10))]
    np.testing.assert_array_equal(np.array(rows[1:], float)[:, 2:], told["scores"])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("none.npy", "none.npy: expected a file of examples, got nothing"),
        ("colour.png", r"expected grey images \(8, 8, 1\), got colour ones \(8, 8, 3\)"),
        ("wide.npy", r"expected one example of shape \(8, 8, 1\) or many .* got \(3, 28, 28\)"),
        ("bright.npy", "values from 0 to 16, .* got 0 to 240. .* multiply by 0.0667"),
        ("fractions.npy", "values from 0 to 16, .* got 0 to 1. .* multiply by 16"),
        ("nan.npy", "finite values, got 64"),
        ("words.npy", "real numbers, got dtype <U1"),
        ("objects.npy", "whole .npy file of numbers"),
        ("cut.npy", "whole .npy file of numbers"),
        ("cut.png", "whole PNG image"),
        ("labels-idx1-ubyte", "Is it the file of the labels"),
        ("text.txt", "begins with 68 65 6c 6c"),
    ],
)
def test_what_the_run_cannot_take_is_one_line(name, says, digits_run, files):
    done = call("predict", digits_run, name)
    line = refusal(done)
    assert re.search(says, line), line


def test_a_run_that_is_not_there_is_named(files):
    assert "runs/none/config.json" in refusal(call("predict", "runs/none", "one.npy"))
    told = refusal(call("predict", "digist", "one.npy"))
    assert "a run folder, or a network that comes with eqprop (" in told
    assert "got 'digist'. Did you mean 'digits'?" in told


@pytest.mark.parametrize(
    ("option", "says"), [(("--out", "a.txt"), ".npz or .csv"), (("--top", "0"), ">= 1, got 0")]
)
def test_options_are_checked_before_the_work(option, says, digits_run, files):
    assert says in refusal(call("predict", digits_run, "one.npy", *option))


OWN = """
import jax.numpy as jnp

def energy(params, state, x):
    return 0.5 * jnp.sum(state["u"] ** 2) - jnp.sum(state["u"] * (x @ params["w"]))
"""


def test_a_run_of_a_module_beside_it_predicts(here, monkeypatch):
    """What is installed as a command does not look for modules where one stands."""
    (here / "standing_beside.py").write_text(OWN)
    with monkeypatch.context() as path:
        path.syspath_prepend(here)
        own = importlib.import_module("standing_beside")
        energy = eqprop.FunctionEnergy(own.energy, {"w": jnp.ones((6, 2))}, {"u": (2,)})
        x, y = np.random.default_rng(0).random((40, 6)), np.arange(40) % 2
        split = eqprop.training.Split(x, y)
        model = eqprop.Model(energy, eqprop.SquaredError("u"))
        learner = eqprop.EquilibriumPropagation(eqprop.GradientDescent(1e-3), eqprop.symmetric(0.1))
        data = eqprop.training.Dataset("own", split, split, 2)
        training = eqprop.Training(model, learner, data, epochs=1, batch_size=10, validation=10)
        with jax.numpy_dtype_promotion("standard"):
            eqprop.fit(training, "run", progress=False)
        del sys.modules["standing_beside"]
    np.save("x.npy", x[:3])
    with jax.numpy_dtype_promotion("standard"):
        done = call("predict", "run", "x.npy", "--json")
    assert done.code == 0 and len(one_line(done.out)["labels"]) == 3
