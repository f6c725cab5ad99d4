"""Networks that come with the package: loaded, they are what their result says."""

import jax
import numpy as np
import pytest

import eqprop as eq
from eqprop.papers.pretrained import folders
from eqprop.training.data.datasets import load_dataset
from helpers.command import call, one_line

LARGEST = 1_000_000


@pytest.fixture(autouse=True)
def float32_in_a_float64_process():
    with jax.numpy_dtype_promotion("standard"):
        yield


def test_digits_are_recognised_as_the_result_says():
    run = eq.pretrained("digits")
    test = load_dataset("digits").test
    right = np.mean(run.predict(test.x) == test.y)
    assert abs(right - run.result["test_accuracy"]) <= 1 / len(test.y)
    assert run.accuracy > 0.98 and len(run.rows) == run.result["epochs"]


@pytest.mark.parametrize("name", folders())
def test_every_network_is_small_and_says_what_it_shows(name):
    assert sum(path.stat().st_size for path in folders()[name].iterdir()) <= LARGEST
    run = eq.pretrained(name)
    images = np.zeros((2, *run.model.energy.input_shape), np.uint8)
    assert np.isfinite(run.best.scores(images)).all()


def test_a_name_that_there_is_not_suggests_one():
    with pytest.raises(
        ValueError,
        match=r"expected name to be one of .*digits.*, got 'digit'. Did you mean 'digits'",
    ):
        eq.pretrained("digit")


def test_the_command_predicts_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = load_dataset("digits").test.x[:5]
    np.save("x.npy", images)
    told = one_line(call("predict", "digits", "x.npy", "--json").out)
    assert told["labels"] == eq.pretrained("digits").predict(images).tolist()
