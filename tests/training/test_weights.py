"""A run in small: the same answers, and refusals of what is damaged or another's."""

import jax
import numpy as np
import pytest

import eqprop as eq
from eqprop.training import Dataset, Split
from eqprop.training.files import RunError, read_json, write_json
from eqprop.training.trained import Run
from eqprop.training.weights import WEIGHTS

RNG = np.random.default_rng(0)
X, Y = RNG.random((60, 6)), np.arange(60) % 3


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    data = Dataset("own", Split(X[:40], Y[:40]), Split(X[40:], Y[40:]), 3)
    model = eq.layered((6, 5, 3), jax.random.key(0))
    learner = eq.EquilibriumPropagation(eq.Blockwise(1e-6), eq.symmetric(0.1))
    training = eq.Training(model, learner, data, epochs=2, batch_size=10, validation=10)
    with jax.numpy_dtype_promotion("standard"):
        return eq.fit(training, tmp_path_factory.mktemp("run") / "run", progress=False)


def test_an_exported_run_is_loaded_as_the_run_is(run, tmp_path):
    folder = run.export(tmp_path / "small")
    small, whole = eq.load(folder), eq.load(run.folder)
    np.testing.assert_array_equal(small.best.scores(X), whole.best.scores(X))
    assert small.rows == whole.rows and small.result == whole.result
    names = {"config.json", "metrics.jsonl", "result.json", WEIGHTS}
    assert {path.name for path in folder.iterdir()} == names


def test_half_the_bytes_are_near_and_of_the_models_type(run, tmp_path):
    wide, half = run.export(tmp_path / "wide"), run.export(tmp_path / "half", np.float16)
    assert (half / WEIGHTS).stat().st_size < 0.8 * (wide / WEIGHTS).stat().st_size
    small = eq.load(half)
    for mine, theirs in zip(*map(jax.tree.leaves, (small.model, run.model)), strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, rtol=2**-10, atol=1e-7)
        np.testing.assert_array_equal(mine, np.asarray(mine).astype(np.float16))


@pytest.mark.parametrize("content", [b"", b"{}", b"\x08" + bytes(7) + b'{"a": 1}', bytes(100)])
def test_a_damaged_file_is_named(content, run, tmp_path):
    folder = run.export(tmp_path / "small")
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(RunError, match=r"model.safetensors: expected safetensors"):
        eq.load(folder)


def test_weights_of_another_config_are_refused(run, tmp_path):
    folder = run.export(tmp_path / "small")
    config = read_json(folder / "config.json")
    write_json(folder / "config.json", config | {"batch_size": 20})
    with pytest.raises(RunError, match="got those of another config"):
        eq.load(folder)


def test_a_run_in_memory_cannot_be_exported(run, tmp_path):
    with pytest.raises(RunError, match="expected a run with a folder"):
        Run(run.rows, run.best, run.result).export(tmp_path)
