"""`fit`, `load` and what sees a run: one loop for any model, estimator and kind of data."""

import dataclasses
import importlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import eqprop as eq
from eqprop.estimators.answer import warn_of_answer
from eqprop.estimators.backpropagation import FeedForward
from eqprop.thermal.mixing import Mixing
from eqprop.training import Callback, Dataset, EarlyStopping, Optimiser, Split, rounding
from eqprop.training import epoch as train
from eqprop.training.alarms import warn_if_risen, warn_of_names
from eqprop.training.data.datasets import DataError
from eqprop.training.files import RunError
from eqprop.training.structure import StructureError, make, tell
from eqprop.training.training import prepare
from helpers.small import EPOCHS, HELD_OUT, MOONS, STEADY, identical, moons, training

loop = importlib.import_module("eqprop.training.fit")
pytestmark = pytest.mark.usefixtures("as_trained")
KEY = jax.random.key(0)
X, Y = jnp.asarray(MOONS.test.x[:8]), jnp.eye(2)[jnp.asarray(MOONS.test.y[:8])]


class Seen(Callback):
    """What it is shown."""

    def __init__(self):
        self.steps, self.epochs = [], []

    def step(self, progress):
        self.steps.append((progress.epoch, progress.step))

    def epoch(self, row):
        self.epochs.append(int(row["epoch"]))


# --- what a run gives --------------------------------------------------------------------------


def test_without_a_folder_nothing_is_written_and_the_numbers_are_the_same(
    finished, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    run = eq.fit(training())
    assert list(tmp_path.iterdir()) == [] and run.folder is None
    assert run.history["loss"].tolist() == finished.history["loss"].tolist()
    assert identical(run.model, finished.model)


def test_a_run_prints_in_one_line(finished):
    assert (
        repr(finished)
        == f"Run(moons, {EPOCHS} epochs, test {finished.accuracy:.2%}, in {finished.folder})"
    )


def test_a_run_learns_and_is_told_by_its_best_epoch(finished):
    result, held_out = finished.result, finished.history["validation_accuracy"]
    losses = finished.history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    assert finished.history["epoch"].tolist() == [*range(1, EPOCHS + 1)]
    assert result["best_epoch"] == np.argmax(held_out) + 1
    assert result["validation_accuracy"] == pytest.approx(max(held_out))
    assert result["test_error_percent"] == pytest.approx(100 - 100 * result["test_accuracy"])
    assert (result["epochs"], result["stopped"], result["data"]) == (EPOCHS, False, "moons")


def test_a_loaded_run_predicts_as_it_did(finished):
    """Examples enter as they did in training."""
    again = eq.load(finished.folder)
    x, y = MOONS.test
    assert identical(again.model, finished.model)
    assert np.array_equal(again.predict(x), finished.predict(x))
    assert again.accuracy == finished.accuracy == pytest.approx(np.mean(finished.predict(x) == y))
    assert again.result == finished.result and again.rows == finished.rows
    assert again.best.preprocessing == training().preprocessing
    scaled = jnp.asarray((x - 0.5) / 2.0)
    expected = FeedForward().forecast(finished.model, scaled, jnp.zeros((HELD_OUT, 2)), KEY).scores
    np.testing.assert_allclose(again.best.scores(x), expected, atol=1e-12)
    with pytest.raises(ValueError, match=r"each \(2,\) or of as many values, got \(1, 3\)"):
        again.predict(np.zeros((1, 3)))


@pytest.mark.parametrize(
    ("examples", "says"),
    [
        (np.full((3, 2), np.nan), "expected finite values, got 6"),
        (np.ones((3, 2), complex), "expected real numbers, got dtype complex128"),
        (["a", "b"], "expected real numbers, got dtype <U1"),
        (None, "expected real numbers, got dtype object"),
    ],
    ids=["nan", "complex", "text", "none"],
)
def test_what_is_no_number_has_no_label(examples, says, finished):
    with pytest.raises(DataError, match=says):
        finished.predict(examples)


def test_images_of_another_scale_have_no_label():
    digits = eq.pretrained("digits")
    images = eq.training.DIGITS.load().test.x[:4]
    assert len(digits.predict(images)) == 4
    with pytest.raises(DataError, match=r"expected values from 0 to 16.*got 0 to 1\. Scale them"):
        digits.predict(images / 16.0)


def test_where_there_is_no_other_exact_gradient_the_audit_says_so(finished):
    assert finished.result["audit"] == []
    assert "backprop: its gradient is the exact one" in finished.result["not_audited"]


def test_a_regression_is_chosen_by_its_loss(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (240, 2))
    y = x[:, :1] * 0.7 - x[:, 1:] * 0.2
    data = Dataset("plane", Split(x[:200], y[:200]), Split(x[200:], y[200:]), 0)
    asked = eq.Training(eq.layered((2, 1), KEY), FeedForward(), data, STEADY, 3, 20, validation=40)
    run = eq.fit(asked, tmp_path / "run")
    assert np.isnan(run.accuracy) and "accuracy" not in run.history
    assert run.loss < 1e-3 * np.var(y)
    assert int(run.result["best_epoch"]) == np.argmin(run.history["validation_loss"]) + 1
    assert eq.load(tmp_path / "run").predict(x[:3]).shape == (3, 1)


# --- going on ----------------------------------------------------------------------------------


def test_a_finished_run_goes_on_for_more_epochs_and_callbacks_see_all(tmp_path):
    folder, seen, all_seen = tmp_path / "run", Seen(), Seen()
    eq.fit(training(1, optimiser=STEADY), folder)
    run = eq.fit(training(2, optimiser=STEADY), folder, resume=True, callbacks=[seen])
    whole = eq.fit(training(2, optimiser=STEADY), callbacks=[all_seen])
    assert seen.epochs == all_seen.epochs == [1, 2]
    assert seen.steps == all_seen.steps[2:] == [(1, 5), (1, 10)]
    assert identical(run.model, whole.model)
    assert eq.load(folder).rows == run.rows


def test_a_callback_may_end_a_run(tmp_path):
    class Enough(Callback):
        def epoch(self, row):
            return row["epoch"] == 2

    folder, asked = tmp_path / "run", training(3, optimiser=STEADY)
    run = eq.fit(asked, folder, callbacks=[Enough()], checkpoint_every=3)
    assert len(run.rows) == 2 and run.result["stopped"] is True
    assert len(eq.fit(asked, folder, resume=True).rows) == 2
    assert len(eq.fit(dataclasses.replace(asked, epochs=4), folder, resume=True).rows) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 10},
        {"data": MOONS._replace(train=moons(260, 7))},
        {"model": eq.layered((2, 6, 2), jax.random.key(99), eq.Tanh(), gain=2.0)},
    ],
    ids=["steps", "data", "model"],
)
def test_another_training_is_refused_in_the_folder(change, finished):
    """And other arrays under the same name, and other initial parameters."""
    with pytest.raises(RunError, match="holds a run of another recipe"):
        eq.fit(training(**change), finished.folder, resume=True)


def test_nothing_is_resumed_without_a_folder():
    with pytest.raises(ValueError, match="expected a folder with resume"):
        eq.fit(training(), resume=True)


def test_resume_without_a_run_begins_one(tmp_path):
    asked = training(1, optimiser=STEADY)
    assert eq.fit(asked, tmp_path / "new", resume=True).result["epochs"] == 1


# --- which examples, which epoch ---------------------------------------------------------------


class Idle:
    """Epochs that take no steps: each logs its row, and its model's parameters are the epoch's number."""

    def __init__(self, patch, rows, accuracies=(), losses=()):
        self.rows, self.accuracies, self.losses = rows, accuracies, losses
        self.looked, self.data = [], None
        patch.setattr(loop, "train_epoch", self.train)
        patch.setattr(loop, "evaluate", self.evaluate)
        patch.setattr(loop, "prepare", self.prepare)

    def prepare(self, *arguments):
        self.data = prepare(*arguments)
        return self.data

    def train(self, state, *unused):
        at = int(state.epoch)
        model = jax.tree.map(lambda a: jnp.full_like(a, at) if eqx.is_array(a) else a, state.model)
        seen = {"loss": 1.0, "gradient_norm": 1.0, "saturated": 0.0} | self.rows[at]
        yield state._replace(model=model), train.StepReport(at, 1, 1, seen)

    def evaluate(self, model, images, *unused, **unused_too):
        at = int(jax.tree.leaves(eqx.filter(model, eqx.is_array))[0].ravel()[0])
        part = next(n for n in ("train", "validation", "test") if getattr(self.data, n) is images)
        self.looked.append((at, part))
        held_out = self.accuracies[at] if part == "validation" and self.accuracies else 0.6
        return train.Evaluation(held_out, self.losses[at] if self.losses else 1.0, {})


def test_the_choice_is_made_on_examples_held_out(tmp_path, monkeypatch):
    """The second of three is the best, and is tested once and kept."""
    idle = Idle(monkeypatch, [{}, {}, {}], [0.5, 0.9, 0.7])
    run = eq.fit(training(), tmp_path / "run")
    assert idle.looked == [*((i, "validation") for i in range(3)), (1, "validation"), (1, "test")]
    assert (run.accuracy, run.result["validation_accuracy"]) == (0.6, 0.9)
    assert run.result["test_error_percent"] == pytest.approx(40)
    for found in (run, eq.load(tmp_path / "run")):
        assert all(np.all(a == 1) for a in jax.tree.leaves(eqx.filter(found.model, eqx.is_array)))


@pytest.mark.parametrize(
    ("change", "watching", "epochs", "tested"),
    [
        ({"epochs": 9}, [EarlyStopping(2)], 3, 1),
        ({"epochs": 4, "test_last": True}, [], 4, 4),
    ],
    ids=["patience", "last"],
)
def test_what_ends_a_run_and_which_epoch_is_tested(monkeypatch, change, watching, epochs, tested):
    """Accuracies that never rise: the first epoch stays the best."""
    Idle(monkeypatch, [{}] * 9)
    result = eq.fit(training(**change), callbacks=watching).result
    assert (result["epochs"], result["best_epoch"]) == (epochs, tested)


def test_training_validation_and_test_examples_are_apart():
    whole, few = prepare(training()), prepare(training(examples=50))
    given = {tuple(x) for x in MOONS.train.x}
    parts = [
        [tuple(x) for x in np.asarray(part.x)]
        for part in (whole.train, whole.validation, whole.test)
    ]
    assert len(given) == len(MOONS.train.y)
    assert [len(part) for part in parts] == [200, 60, 60]
    assert {*parts[0], *parts[1]} == given
    np.testing.assert_array_equal(whole.test.x, MOONS.test.x)
    np.testing.assert_array_equal(few.train.x, whole.train.x[:50])
    np.testing.assert_array_equal(few.validation.x, whole.validation.x)


def test_audits_look_at_validation_examples(monkeypatch):
    looked = []
    idle = Idle(monkeypatch, [{}])
    monkeypatch.setattr(loop, "audited", lambda *seen: looked.extend(seen) or {})
    eq.fit(training(1), audit=True)
    _, _, x, y = looked
    held_out = idle.data.validation
    np.testing.assert_allclose(x, (held_out.x[: len(x)] - 0.5) / 2.0)
    np.testing.assert_array_equal(jnp.argmax(y, 1), held_out.y[: len(x)])


def test_a_run_is_evaluated_by_its_estimator():
    """After every epoch and at last, as a device is."""

    class Seven(FeedForward):
        def forecast(self, model, x, y, key):
            found = super().forecast(model, x, y, key)
            return found._replace(costs=jnp.full_like(found.costs, 7.0))

    run = eq.fit(training(1, estimator=Seven(), optimiser=STEADY))
    assert run.loss == run.result["validation_loss"] == run.rows[0]["validation_loss"] == 7.0


# --- what is said ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"saturated": 1.0}], "Epoch 1: 100.00% of all neurons are saturated"),
        ([{"nudge_reached": 0.2}], "a nudge reached 20% of the layers"),
        ([{"silent": 0.95}], "95.0% of the spiking neurons hardly ever fire"),
        ([{}, {"loss": 11.0}], "Epoch 2: the loss is 11, where that of epoch 1 was 1"),
        ([{"loss": 3e3}], r"Epoch 1: the loss is 3e\+03, where that of the state at rest was"),
    ],
    ids=lambda value: "-".join(value[-1]) if isinstance(value, list) else "",
)
def test_a_run_warns_of_what_its_epochs_show(rows, message, monkeypatch):
    Idle(monkeypatch, rows)
    with pytest.warns(UserWarning, match=message):
        eq.fit(training(len(rows)))


def test_a_loss_that_has_risen_is_warned_of():
    warn_if_risen(9.0, 1.0, 2)
    with pytest.warns(
        UserWarning, match=r"Epoch 2: the loss is 1.7e\+22, where .* was 1: training"
    ):
        warn_if_risen(1.7e22, 1.0, 2)


def test_a_nudge_that_does_not_reach_the_first_layers_is_warned_of():
    warn_of_answer({"nudge_reached": 0.95})
    warn_of_answer({})
    with pytest.warns(UserWarning, match=r"Epoch 2: a nudge reached 33% of the layers"):
        warn_of_answer({"nudge_reached": 0.33}, "Epoch 2: ")


def test_chains_that_have_not_mixed_are_warned_of_and_told(monkeypatch):
    mixed, stuck = Mixing(0.0, "cost", 1.01, 700.0, 800), Mixing(1.0, "cost", 1.7, 4.0, 800)
    monkeypatch.setattr("eqprop.thermal.estimator.mixing", lambda *unused: [mixed, stuck])
    chains = eq.thermal.Chains(1.0, eq.thermal.Gibbs(), 2, 1, 1, 1)
    thermal = eq.thermal.Thermal(chains, eq.thermal.finite_nudge(1.0))
    with pytest.warns(UserWarning, match=r"expected a split R-hat below 1.05, got 1.70"):
        found = thermal.examine(training().model, X, Y)
    assert found == {"mixing": [mixed._asdict(), stuck._asdict()]}


@pytest.mark.parametrize(
    ("solver", "message"),
    [
        (eq.GradientDescent(1e-3, 20, 3.0), "The energy rises in .* examples"),
        (eq.Reduced(eq.Blockwise(None, 20)), "A nudge of 1e-05 moves layer .* less than bfloat16"),
    ],
    ids=["rising", "unresolved"],
)
def test_a_run_warns_before_it_trains(solver, message, monkeypatch):
    Idle(monkeypatch, [{}])
    monkeypatch.setattr(rounding, "MANY", 30)
    learner = eq.EquilibriumPropagation(solver, eq.symmetric(1e-5))
    with pytest.warns(UserWarning, match=message):
        eq.fit(training(1, estimator=learner))


def test_a_long_run_of_too_few_steps_is_warned_of_before_it_begins(monkeypatch):
    deep = eq.layered((2, 6, 6, 6, 2), jax.random.key(0), eq.Tanh(), gain=0.8)
    monkeypatch.setattr(loop, "audited", lambda *unused: loop.NOT_AUDITED)

    def warnings_of(seconds, nudged):
        Idle(monkeypatch, [{}])
        monkeypatch.setattr(loop, "seconds_of", lambda *unused: seconds)
        phases = eq.Blockwise(None, 60), eq.symmetric(0.1), eq.Blockwise(None, nudged)
        learner = eq.EquilibriumPropagation(*phases)
        return eq.fit(training(1, model=deep, estimator=learner), audit=True).result["warnings"]

    with pytest.warns(UserWarning, match="a cosine of 0.* too few steps"):
        assert len(warnings_of(3600.0, 1)) == 1
    assert warnings_of(3600.0, 60) == warnings_of(60.0, 1) == []


def test_phases_that_are_counted_are_held_against_twice_as_many(monkeypatch):
    deep = eq.layered((2, 6, 6, 2), jax.random.key(0), eq.Tanh(), gain=0.8)
    monkeypatch.setattr(loop, "audited", lambda *unused: loop.NOT_AUDITED)

    def run_of(free, nudged, **asked):
        phases = eq.Blockwise(None, free), eq.symmetric(0.1), eq.Blockwise(None, nudged)
        learner = eq.EquilibriumPropagation(*phases)
        return eq.fit(training(2, model=deep, estimator=learner, optimiser=STEADY), **asked)

    with pytest.warns(UserWarning, match="Epoch 1: .* a cosine of 0.* twice as many steps") as told:
        short = run_of(2, 2, audit=True)
    assert sum("twice as many" in str(one.message) for one in told) == 1
    assert 0 < short.history["steps_cosine"][0] < 0.99
    whole = run_of(30, 30, audit=True)
    assert min(whole.history["steps_worst_cosine"]) > 0.999 and whole.result["warnings"] == []
    unseen = run_of(30, 30)
    assert "steps_cosine" not in unseen.history and identical(unseen.model, whole.model)


def test_progress_is_shown_unless_it_is_not_wanted(capsys, monkeypatch):
    settled = {"accuracy": 0.5, "free_converged": 1.0, "free_steps": 3.0, "free_residual": 1e-4}
    Idle(monkeypatch, [settled] * 2)
    eq.fit(training(2))
    said = capsys.readouterr().err.splitlines()
    assert [line.split("loss")[0].strip() for line in said] == ["epoch   1/2", "epoch   2/2"]
    assert "validation 60.00%" in said[0] and "residual 1e-04" in said[0]
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
    with pytest.raises(
        ValueError, match="expected patience >= 1, got 0; without it no run stops early"
    ):
        EarlyStopping(0)


# --- what cannot be trained --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["loss", "gradient_norm", "validation loss"])
def test_a_run_stops_where_a_number_is_not_finite(name, monkeypatch):
    lost = [np.nan] if name == "validation loss" else [1.0]
    Idle(monkeypatch, [{name: np.nan}], losses=lost)
    with pytest.raises(train.DivergedError, match=rf"epoch 1.*: expected a finite {name}, got nan"):
        eq.fit(training(1))


CLIPPED = eq.layered((2, 3, 2), KEY)
WEAK = eq.with_weak_feedback(CLIPPED, 0.1)


def ep(tolerance=1e-3, contrast=None):
    return eq.EquilibriumPropagation(eq.Blockwise(tolerance, 9), contrast or eq.symmetric(0.1))


def delta(tolerance, beta=0.1):
    return eq.DeltaPropagation(eq.Blockwise(tolerance, 9), eq.symmetric(beta))


REFUSED = {
    "batch": ({"batch_size": 201}, "at least one batch of 201 examples, got 200"),
    "rates": ({"optimiser": Optimiser(layer_rates=(1.0,))}, "layer_rates: expected 2 numbers"),
    "warmup": ({"optimiser": Optimiser(warmup=3.0)}, "warmup: expected fewer than the 3 epochs"),
    "smooth": (
        {"model": CLIPPED, "estimator": ep(contrast=eq.holomorphic(4, 0.1))},
        r"complex nudges need smooth units.*\['h1'\] are clipped",
    ),
    "convex": (
        {"estimator": ep(contrast=eq.symmetric(1.5))},
        "beta: expected nudges above -1 with a squared error, got -1.5",
    ),
    "fine": ({"estimator": ep(1e-17)}, "tolerance of at least"),
    "weak-residual": (
        {"model": WEAK, "estimator": delta(1e-3)},
        "feedback: expected a number of steps .* got a tolerance of 0.001",
    ),
    "weak-implicit": (
        {"model": WEAK, "estimator": eq.ImplicitDifferentiation(eq.Blockwise())},
        "feedback: expected a number of steps",
    ),
    "weak-states": ({"model": WEAK, "estimator": ep(None)}, "feedback: expected differences"),
    "weak-nudge": (
        {"model": WEAK, "estimator": delta(None, 1e-31)},
        "feedback: expected nudges of 1e-30 or more, whose answers floats still hold",
    ),
    "features": (
        {"model": eq.layered((4, 3, 2), KEY)},
        r"examples: expected N inputs of the model, each \(4,\) or of as many values, got \(32, 2\)",
    ),
    "classes": (
        {"model": eq.layered((2, 3, 5), KEY)},
        r"expected one target of shape \(5,\), the output's, got \(2,\); class labels go in one-hot",
    ),
    "labels": ({"data": MOONS._replace(classes=1)}, "labels"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_training_that_cannot_run_leaves_no_folder(case, tmp_path):
    change, message = REFUSED[case]
    with pytest.raises((ValueError, DataError), match=message):
        eq.fit(training(**change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# --- a training as JSON ------------------------------------------------------------------------


def test_what_a_module_is_made_of_is_told_and_made_again():
    model = eq.with_read_out(eq.layered((4, 3, 3), KEY, eq.Oscillator(-0.1)), 3, KEY)
    again = make(tell(model))
    assert jax.tree.structure(again) == jax.tree.structure(model) and identical(again, model)
    solver = eq.Blockwise(None, 3, (("h1",), ("out",)))
    learner = eq.EquilibriumPropagation(
        eq.Reduced(eq.Momentum(0.05)), eq.holomorphic(4, 0.1), solver
    )
    assert make(tell(learner)) == learner


def test_a_field_younger_than_the_run_is_what_it_usually_is():
    solver = eq.Blockwise(None, 3)
    told = tell(solver)
    assert make({key: part for key, part in told.items() if key != "blocks"}) == solver
    contrast = tell(eq.one_sided(0.1))
    with pytest.raises(StructureError, match="expected its fields"):
        make({key: part for key, part in contrast.items() if key != "betas"})


def test_a_field_younger_than_runs_is_told_where_it_says_something():
    """So that runs of before go on, and results of before are of the recipes that stand."""
    plain, damped = eq.Blockwise(None, 3), eq.Blockwise(None, 3, damping=0.5)
    assert "damping" not in tell(plain) and tell(damped)["damping"] == 0.5
    assert make(tell(plain)) == plain and make(tell(damped)) == damped


def test_a_run_that_this_process_alone_can_load_says_so():
    warn_of_names(tell(eq.Blockwise()), tell(eq.layered((2, 2), KEY)))
    with pytest.warns(UserWarning, match=r"names of modules .* got \['energy', .*<lambda>'\]"):
        warn_of_names({"model": [tell(lambda x: x)]}, {"is": "named", "name": "__main__:energy"})


def test_what_has_no_name_is_not_made_again():
    with pytest.raises(StructureError, match="which has no name there"):
        make(tell(lambda x: x))
    with pytest.raises(StructureError, match="where Python finds it"):
        make({"is": "nowhere:Thing"})
    with pytest.raises(StructureError, match="expected a class"):
        make({"is": "os:system"})
    with pytest.raises(StructureError, match="expected a module or a dataclass"):
        make({"is": "subprocess:Popen", "args": "x"})


def test_a_unit_without_an_end_is_loaded_without_one(tmp_path):
    """JSON has no infinity."""
    model = eq.layered((2, 6, 2), KEY, eq.relu(), eq.Linear())
    run = eq.fit(training(1, model=model), tmp_path / "run")
    loaded = eq.load(tmp_path / "run").model
    assert loaded.energy.layers["h1"].unit == run.model.energy.layers["h1"].unit
    assert loaded.energy.layers["h1"].unit.high == np.inf
