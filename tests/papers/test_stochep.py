"""The studies of spiking networks, at a small size, as `eqprop reproduce` runs them."""

import jax
import numpy as np
import pytest

from eqprop import Logistic, Model, SquaredError, Training, layered
from eqprop.estimators.audit import ALL
from eqprop.papers.call import Call
from eqprop.papers.catalogue import EXPERIMENTS, GROUPS
from eqprop.papers.stochep import gradients
from eqprop.papers.stochep.baselines import Baselines
from eqprop.papers.stochep.gradients import SpikingGradients
from eqprop.papers.stochep.mean_field import MeanField
from eqprop.papers.stochep.memory import Memory
from eqprop.papers.stochep.recipes import mnist_spiking, mnist_spiking_conv
from eqprop.papers.stochep.spikes import Spikes
from eqprop.training import DIGITS, Optimiser
from eqprop.training.files import read_json
from eqprop.training.rivals import ep
from helpers.command import call, is_png, one_line

SPIKES = Spikes(free_steps=12, predicted=6)


def tiny(spikes: Spikes = SPIKES, test_seeds: int = 1, seed: int = 0) -> Training:
    """64-24-10 on a few digits."""
    model = layered((64, 24, 10), jax.random.key(seed), Logistic(), Logistic())
    learner = spikes.learner(("h1", "out"), 0.5)
    return Training(
        Model(model.energy, SquaredError()),
        learner,
        DIGITS,
        Optimiser(5e-3),
        1,
        20,
        validation=100,
        examples=400,
        test_seeds=test_seeds,
        seed=seed,
    )


TINY = Call(tiny, {"spikes": SPIKES})


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
    assert len(GROUPS["stochep"]) == 9


@pytest.mark.long
def test_gradients_by_what_is_read(here, monkeypatch):
    monkeypatch.setattr(gradients, "mnist_spiking", tiny)
    study = SpikingGradients("gradients", "", SPIKES, repeats=4)
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


@pytest.mark.long
def test_the_mean_field_by_leak_and_width(here, monkeypatch):
    study = MeanField("fields", "", (1.0, 0.1), (16,), (1, 16, 128), chains=16)
    rows = reproduced(monkeypatch, study)["rows"]
    found = {(row["leak"], row["width"]): row for row in rows}
    assert set(found) == {(1.0, 128), (0.1, 128), (0.3, 16)}
    for row in rows:
        assert row["error"][0] > row["error"][1] > row["error"][2] > 0
        assert row["bias"] < row["error"][2]
    assert found[0.1, 128]["error"][0] < 0.5 * found[1.0, 128]["error"][0]
    assert found[0.1, 128]["bias"] < 0.3 * found[1.0, 128]["bias"]
    assert is_png(here / "results" / "fields" / "mean_field.png")


@pytest.mark.long
def test_memory_is_flat_by_ep_and_grows_by_bptt(here, monkeypatch):
    result = reproduced(monkeypatch, Memory("memory", "", TINY, (12, 48)))
    kept, grown = result["megabytes"]["spiking EP"], result["megabytes"]["surrogate BPTT"]
    assert kept[1] < 1.05 * kept[0]
    assert grown[1] > 2.5 * grown[0] > 0
    assert is_png(here / "results" / "memory" / "memory.png")


@pytest.mark.long
def test_baselines_are_tested_with_and_without_spikes(here, monkeypatch):
    ways = {"with": TINY, "by rates": TINY, "without": TINY.but(by=ep)}
    study = Baselines("baselines", "", ways, steps=(1, 2, 12))
    (row,) = reproduced(monkeypatch, study, "--quick")["cases"]
    settled, (early, late) = row["accuracy_without_spikes"], row["accuracy_by_steps"]
    assert settled["mean"] > late["mean"] > early["mean"] > 5
    tested = 100 - row["test_error_percent"]["mean"]
    assert tested == pytest.approx(settled["mean"], abs=3)
    assert row["line"] == "without" and np.isfinite(row["seconds"])
    assert is_png(here / "results" / "baselines-quick" / "steps.png")


@pytest.mark.parametrize(
    "recipe",
    [Call(mnist_spiking, {"hidden": (4,)}), Call(mnist_spiking_conv, {"channels": (1, 1)})],
)
def test_quick_spiking_recipes_are_short(recipe):
    short = recipe.in_short()
    free, nudged = short.estimator.solver, short.estimator.nudged_solver
    assert free.steps + 2 * nudged.steps < 20 and short.test_seeds == short.epochs == 1
