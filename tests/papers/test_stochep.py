"""The studies of spiking networks, at a small size, as `eqprop reproduce` runs them."""

import dataclasses

import numpy as np
import pytest

from eqprop.estimators.audit import ALL
from eqprop.papers.catalogue import EXPERIMENTS, GROUPS
from eqprop.papers.stochep.baselines import Baselines
from eqprop.papers.stochep.gradients import SpikingGradients
from eqprop.papers.stochep.mean_field import MeanField
from eqprop.papers.stochep.memory import Memory
from eqprop.training.files import read_json
from eqprop.training.recipes import RECIPES
from helpers.command import call, is_png, one_line

TINY = dataclasses.replace(
    RECIPES["mnist-spiking"],
    data="digits",
    hidden=(24,),
    max_steps=12,
    predicted=6,
    validation=100,
    examples=400,
    batch_size=20,
    epochs=1,
    learning_rate=5e-3,
    test_seeds=1,
)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def reproduced(monkeypatch, study, *options):
    monkeypatch.setitem(EXPERIMENTS, study.name, study)
    done = call("reproduce", study.name, "--json", *options)
    assert done.code == 0, done.err
    return one_line(done.out)


def test_the_group_holds_every_study():
    assert GROUPS["stochep"] == tuple(n for n in EXPERIMENTS if n.startswith("stochep-"))
    assert len(GROUPS["stochep"]) == 8


def test_gradients_by_what_is_read(here, monkeypatch):
    study = SpikingGradients("gradients", "", TINY, repeats=4)
    result = reproduced(monkeypatch, study, "--quick")
    assert result == read_json(here / "results" / "gradients-quick" / "result.json")
    assert is_png(here / "results" / "gradients-quick" / "gradient.png")
    cosines = {(row["rule"], row["noise"]): row["cosine"][ALL] for row in result["rows"]}
    assert len(cosines) == 5
    best = cosines["last probabilities", "common noise"]
    assert (
        cosines["last spikes", "independent noise"] < cosines["last spikes", "common noise"] < best
    )
    assert 0.5 < best <= 1 and cosines["surrogate BPTT", "–"] > 0.3
    assert set(result["rows"][0]["cosine"]) > {"x-h1.weight", "h1-out.weight"}


def test_the_mean_field_by_leak_and_width(here, monkeypatch):
    study = MeanField("fields", "", (1.0, 0.1), (16, 128), (1, 16, 128), chains=16)
    rows = reproduced(monkeypatch, study)["rows"]
    found = {(row["leak"], row["width"]): row for row in rows}
    assert set(found) == {(1.0, 128), (0.1, 128), (0.3, 16), (0.3, 128)}
    for row in rows:
        assert row["error"][0] > row["error"][1] > row["error"][2] > 0
        assert row["bias"] < row["error"][2]
    assert found[0.1, 128]["error"][0] < 0.5 * found[1.0, 128]["error"][0]
    assert found[0.1, 128]["bias"] < 0.3 * found[1.0, 128]["bias"]
    assert is_png(here / "results" / "fields" / "mean_field.png")


def test_memory_is_flat_by_ep_and_grows_by_bptt(here, monkeypatch):
    result = reproduced(monkeypatch, Memory("memory", "", TINY, (12, 48)))
    kept, grown = result["megabytes"]["spiking EP"], result["megabytes"]["surrogate BPTT"]
    assert kept[1] < 1.05 * kept[0]
    assert grown[1] > 2.5 * grown[0] > 0
    assert is_png(here / "results" / "memory" / "memory.png")


def test_baselines_are_tested_with_and_without_spikes(here, monkeypatch):
    ways = {"without": {"estimator": "ep", "nudged_steps": 0}}
    study = Baselines("baselines", "", TINY, ways, steps=(2, 12), seeds=(0,))
    (row,) = reproduced(monkeypatch, study)["cases"]
    settled, (early, late) = row["accuracy_without_spikes"], row["accuracy_by_steps"]
    assert settled["mean"] > late["mean"] > early["mean"] > 5
    tested = 100 - row["test_error_percent"]["mean"]
    assert tested == pytest.approx(settled["mean"], abs=3)
    assert row["line"] == "without" and np.isfinite(row["seconds"])
    assert is_png(here / "results" / "baselines" / "steps.png")


def test_quick_spiking_recipes_are_short():
    for name in ("mnist-spiking", "mnist-spiking-conv"):
        recipe = RECIPES[name]
        short = dataclasses.replace(recipe, **recipe.smaller)
        short.check()
        assert short.max_steps + 2 * short.nudged_steps < 20 and short.test_seeds == 1
