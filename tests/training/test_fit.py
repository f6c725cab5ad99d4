"""`fit`, `load` and what sees a run: one loop for any model, estimator and kind of data."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import eqprop as eq
from eqprop.training import (
    Callback,
    Constant,
    Dataset,
    EarlyStopping,
    Optimiser,
    Preprocessing,
    Split,
)
from eqprop.training.files import RunError
from eqprop.training.structure import StructureError, make, tell

pytestmark = pytest.mark.usefixtures("promoting")
KEY = jax.random.key(0)
EP = eq.EquilibriumPropagation(eq.Blockwise(1e-6, 60), eq.symmetric(0.1))


def moons(count, seed):
    """Two half-circles that reach into each other."""
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=count).astype(np.int32)
    angle = np.pi * rng.uniform(size=count)
    x = np.stack([np.cos(angle) + y, np.sin(angle) * (1 - 2 * y) + 0.5 * y], 1)
    return Split(x + 0.05 * rng.standard_normal(x.shape), y)


MOONS = Dataset("moons", moons(260, 0), moons(200, 1), 2)


def training(epochs=2, **change):
    model = eq.layered((2, 6, 2), KEY, gain=2.0)
    given = {"data": MOONS, "optimiser": Optimiser(0.03), "batch_size": 20, "validation": 60}
    return eq.Training(model, EP, epochs=epochs, **(given | change))


class Seen(Callback):
    """Counts what it is shown."""

    def __init__(self):
        self.steps, self.epochs = 0, []

    def step(self, progress):
        self.steps += 1

    def epoch(self, row):
        self.epochs.append(int(row["epoch"]))


@pytest.fixture(scope="module")
def promoting():
    """Optax's Adam mixes integers and floats."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="module")
def finished(promoting, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "moons"
    return eq.fit(training(), folder, audit=True), folder


def equal(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_without_a_folder_nothing_is_written_and_the_numbers_are_the_same(
    finished, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    run = eq.fit(training())
    assert list(tmp_path.iterdir()) == [] and run.folder is None
    assert run.history["loss"].tolist() == finished[0].history["loss"].tolist()
    assert equal(run.model, finished[0].model)


def test_a_loaded_run_predicts_as_it_did(finished):
    run, folder = finished
    again = eq.load(folder)
    x, y = MOONS.test
    assert equal(again.model, run.model)
    assert np.array_equal(again.predict(x), run.predict(x))
    assert again.accuracy == run.accuracy == pytest.approx(np.mean(run.predict(x) == y))
    assert again.result["audit"][-1]["cosine"] > 0.99
    assert again.history.keys() == run.history.keys()


def test_preprocessing_is_loaded_with_the_model(tmp_path):
    framing = Preprocessing((0.5,), (2.0,))
    run = eq.fit(training(1, preprocessing=framing), tmp_path / "run")
    again = eq.load(tmp_path / "run").best
    assert again.preprocessing == framing
    scaled = jnp.asarray((MOONS.test.x - 0.5) / 2.0)
    expected = EP.forecast(run.model, scaled, jnp.zeros((200, 2)), KEY).scores
    np.testing.assert_allclose(again.scores(MOONS.test.x), expected, atol=1e-6)


def test_a_finished_run_goes_on_for_more_epochs(finished, tmp_path):
    short, folder = training(1), tmp_path / "run"
    eq.fit(dataclasses.replace(short, optimiser=Optimiser(0.03, schedule=Constant())), folder)
    longer = training(2, optimiser=Optimiser(0.03, schedule=Constant()))
    seen = Seen()
    run = eq.fit(longer, folder, resume=True, callbacks=[seen])
    whole = eq.fit(longer)
    assert seen.epochs == [1, 2]
    assert equal(run.model, whole.model)
    assert len(eq.load(folder).history["loss"]) == 2


@pytest.mark.filterwarnings("ignore:Epoch")
def test_the_choice_is_made_on_examples_held_out(tmp_path):
    """Of a rate that grows without bound the first epochs are better; the model of the best is tested."""

    class Wild(Constant):
        def schedule(self, rate, steps):
            return lambda count: jnp.where(count < 20, rate, -rate)

    data = MOONS._replace(test=Split(MOONS.test.x[:3], MOONS.test.y[:3]))
    asked = training(3, optimiser=Optimiser(0.1, schedule=Wild()), data=data)
    run = eq.fit(asked, tmp_path / "run")
    best = int(run.result["best_epoch"])
    held_out = run.history["validation_accuracy"]
    assert held_out[best - 1] == max(held_out) > held_out[-1]
    assert run.result["validation_accuracy"] == pytest.approx(max(held_out))
    assert np.mean(run.predict(data.train.x) == data.train.y) > held_out[-1] + 0.1
    assert equal(eq.load(tmp_path / "run").model, run.model)


def test_a_run_warns_of_its_epochs(monkeypatch):
    monkeypatch.setattr("eqprop.training.alarms.LOCKED", -1.0)
    with pytest.warns(UserWarning, match="Epoch 1: .* neurons are saturated"):
        eq.fit(training(1))


class Killed(Exception):
    """A power cut."""


@pytest.mark.parametrize("at", ["epoch", "step"])
def test_a_killed_run_goes_on_bit_for_bit(at, finished, tmp_path):
    class Cut(Callback):
        def epoch(self, row):
            if at == "epoch":
                raise Killed

        def step(self, progress):
            if at == "step" and progress.epoch == 1:
                raise Killed

    with pytest.raises(Killed):
        eq.fit(training(), tmp_path / "run", callbacks=[Cut()])
    run = eq.fit(training(), tmp_path / "run", resume=True)
    assert equal(run.model, finished[0].model)
    assert run.history["loss"].tolist() == finished[0].history["loss"].tolist()
    assert run.accuracy == finished[0].accuracy


def test_another_training_is_refused_in_the_folder(finished):
    with pytest.raises(RunError, match="holds a run of another recipe"):
        eq.fit(training(batch_size=10), finished[1], resume=True)


def test_callbacks_see_all_and_may_end_a_run(tmp_path):
    seen = Seen()
    run = eq.fit(training(3), callbacks=[seen])
    assert seen.epochs == [1, 2, 3] and seen.steps == 3
    assert run.result["stopped"] is False

    class Enough(Callback):
        def epoch(self, row):
            return row["epoch"] == 1

    folder = tmp_path / "run"
    run = eq.fit(training(3), folder, callbacks=[Enough()])
    assert len(run.history["loss"]) == 1 and run.result["stopped"] is True
    assert len(eq.fit(training(3), folder, resume=True).rows) == 1
    assert len(eq.fit(training(4), folder, resume=True).rows) == 4


def test_progress_is_shown_unless_it_is_not_wanted(capsys):
    eq.fit(training(2))
    said = capsys.readouterr().err.splitlines()
    assert [line.split("loss")[0].strip() for line in said] == ["epoch   1/2", "epoch   2/2"]
    assert "validation" in said[0] and "settled" in said[0]
    eq.fit(training(1), progress=False)
    assert capsys.readouterr().err == ""


def test_early_stopping_waits_for_so_many_epochs():
    stop = EarlyStopping(2)
    assert [stop.epoch({"validation_accuracy": a}) for a in (0.5, 0.6, 0.6, 0.5)] == [
        False,
        False,
        False,
        True,
    ]
    falling = EarlyStopping(1, "validation_loss")
    assert [falling.epoch({"validation_loss": a}) for a in (2.0, 1.0, 1.5)] == [False, False, True]
    with pytest.raises(ValueError, match="expected a metric that is logged, one of loss"):
        EarlyStopping(1).epoch({"loss": 1.0})


def test_a_regression_is_chosen_by_its_loss(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (240, 2))
    y = x[:, :1] * 0.7 - x[:, 1:] * 0.2
    data = Dataset("plane", Split(x[:200], y[:200]), Split(x[200:], y[200:]), 0)
    model = eq.layered((2, 1), KEY)
    asked = eq.Training(model, EP, data, Optimiser(0.05), 6, 20, validation=40)
    run = eq.fit(asked, tmp_path / "run")
    assert np.isnan(run.accuracy) and "accuracy" not in run.history
    assert run.loss < 1e-2 * run.history["loss"][0]
    assert int(run.result["best_epoch"]) == np.argmin(run.history["validation_loss"]) + 1
    assert eq.load(tmp_path / "run").predict(x[:3]).shape == (3, 1)


def test_other_arrays_of_the_same_name_are_refused(finished):
    other = MOONS._replace(train=moons(260, 7))
    with pytest.raises(RunError, match="holds a run of another recipe"):
        eq.fit(training(data=other), finished[1], resume=True)


def test_nothing_is_resumed_without_a_folder():
    with pytest.raises(ValueError, match="expected a folder with resume"):
        eq.fit(training(), resume=True)


@pytest.mark.filterwarnings("ignore:Epoch")
def test_a_nudge_that_rounding_swallows_is_warned_of():
    coarse = eq.Reduced(eq.Blockwise(0.05, 20))
    learner = eq.EquilibriumPropagation(coarse, eq.symmetric(1e-4))
    with pytest.warns(UserWarning, match="A nudge of 0.0001 moves layer .* less than bfloat16"):
        eq.fit(dataclasses.replace(training(1), estimator=learner))


@pytest.mark.parametrize("name", ["epochs", "batch_size", "validation", "seed"])
def test_numbers_that_make_no_sense_are_refused(name):
    with pytest.raises(ValueError, match=f"Training: expected {name} .* whole number"):
        training(**{name: -1})


def test_what_a_module_is_made_of_is_told_and_made_again():
    model = eq.with_read_out(eq.convolutional((6, 6, 1), (2,), 3, KEY, eq.Oscillator(-0.1)), 3, KEY)
    again = make(tell(model))
    assert jax.tree.structure(again) == jax.tree.structure(model) and equal(again, model)
    solver = eq.Blockwise(None, 3, (("h1",), ("out",)))
    learner = eq.EquilibriumPropagation(
        eq.Reduced(eq.Momentum(0.05)), eq.holomorphic(4, 0.1), solver
    )
    assert make(tell(learner)) == learner


def test_what_has_no_name_is_not_made_again():
    with pytest.raises(StructureError, match="which has no name there"):
        make(tell(lambda x: x))
    with pytest.raises(StructureError, match="where Python finds it"):
        make({"is": "nowhere:Thing"})
    with pytest.raises(StructureError, match="expected a class"):
        make({"is": "os:system"})
    with pytest.raises(StructureError, match="expected a module or a dataclass"):
        make({"is": "subprocess:Popen", "args": "x"})
