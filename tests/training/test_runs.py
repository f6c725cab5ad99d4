"""Run folders: nothing is half written, and a run that was killed goes on as if it never was."""

import dataclasses
import errno
import gc
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from eqprop import layered
from eqprop.estimators.answer import warn_of_answer
from eqprop.thermal.mixing import Mixing
from eqprop.training import epoch as train
from eqprop.training import examine as auditing
from eqprop.training import recipe_fit as fit_module
from eqprop.training import runs
from eqprop.training import surroundings as surroundings_module
from eqprop.training.alarms import warn_if_risen
from eqprop.training.assemble import make_optimiser
from eqprop.training.data import datasets as data
from eqprop.training.epoch import start
from eqprop.training.files import RunError, read_json, write_json
from eqprop.training.recipe_fit import fit, load_best
from eqprop.training.recipes import RECIPES
from eqprop.training.runs import Folder, read_rows
from eqprop.training.task import prepare

CONFIG = {"name": "tiny", "hidden": [3], "beta": 0.5}
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(autouse=True)
def promotion():
    """Optax's Adam and schedules mix integers and floats, which strict promotion forbids."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def arrays(tree):
    return [np.asarray(a) for a in jax.tree.leaves(eqx.filter(tree, eqx.is_array))]


def identical(one, other):
    """Bit for bit, types and shapes included."""
    pairs = zip(arrays(one), arrays(other), strict=True)
    return all((a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()) for a, b in pairs)


# --- files ------------------------------------------------------------------------------------


def test_json_round_trip(tmp_path):
    path = tmp_path / "deep" / "down" / "file.json"
    content = {"a": np.float64(0.1), "b": np.arange(2), "c": Path("x"), "d": (1, None, "β")}
    assert write_json(path, content) == path
    assert read_json(path) == {"a": 0.1, "b": [0, 1], "c": "x", "d": [1, None, "β"]}
    assert os.listdir(path.parent) == ["file.json"]


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_write_that_fails_leaves_the_old_file_alone(call, tmp_path, monkeypatch):
    path = write_json(tmp_path / "file.json", {"old": 1})

    def full(*unused):
        raise FULL

    monkeypatch.setattr(runs.os, call, full)
    pattern = rf"Cannot write {path}: No space left on device; free some space .*--out"
    with pytest.raises(OSError, match=pattern):
        write_json(path, {"new": 2})
    assert read_json(path) == {"old": 1}
    assert os.listdir(tmp_path) == ["file.json"]


def test_what_is_not_json_leaves_the_old_file_alone(tmp_path):
    path = write_json(tmp_path / "file.json", {"old": 1})
    with pytest.raises(TypeError, match="object is not JSON"):
        write_json(path, {"new": object()})
    assert read_json(path) == {"old": 1}
    assert os.listdir(tmp_path) == ["file.json"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=rf"Cannot write {tmp_path}/file/run: .*--out"):
        Folder(tmp_path / "file" / "run", CONFIG, resume=False)


def test_a_read_only_folder_is_named(tmp_path, monkeypatch):
    def denied(*unused, **unused_too):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(runs.Path, "open", denied)
    pattern = rf"Cannot write {tmp_path}/config.json: Permission denied; .*--out"
    with pytest.raises(OSError, match=pattern):
        Folder(tmp_path, CONFIG, resume=False)


@pytest.mark.parametrize("content", ["", "{", "not json"])
def test_a_corrupt_file_is_named(content, tmp_path):
    path = tmp_path / "result.json"
    path.write_text(content)
    with pytest.raises(RunError, match=rf"{path}:1: expected JSON, got .*delete"):
        read_json(path)


# --- the folder -------------------------------------------------------------------------------


def test_a_folder_with_a_run_needs_resume(tmp_path):
    Folder(tmp_path, CONFIG, resume=False)
    with pytest.raises(RunError, match=rf"{tmp_path} already holds a run; .*--resume .*--out"):
        Folder(tmp_path, CONFIG, resume=False)
    assert Folder(tmp_path, CONFIG, resume=True).rows() == []


def test_resume_needs_a_run(tmp_path):
    with pytest.raises(RunError, match=rf"Nothing to resume: expected {tmp_path}/none/config.json"):
        Folder(tmp_path / "none", CONFIG, resume=True)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"beta": 0.25}, r"beta: 0\.5 there, 0\.25 here"),
        ({"hidden": (3, 4)}, r"hidden: \[3\] there, \[3, 4\] here"),
        ({"name": "other"}, "name: 'tiny' there, 'other' here"),
        ({"new": 1}, "new: None there, 1 here"),
    ],
)
def test_resume_with_another_recipe_names_what_differs(change, named, tmp_path):
    Folder(tmp_path, CONFIG, resume=False)
    with pytest.raises(RunError, match=rf"{tmp_path} holds .* another recipe \({named}\)"):
        Folder(tmp_path, CONFIG | change, resume=True)
    assert Folder(tmp_path, CONFIG | {"hidden": (3,)}, resume=True)


# --- metrics ----------------------------------------------------------------------------------


def test_an_epoch_written_twice_counts_once(tmp_path):
    rows = [{"epoch": 1, "a": 1.0}, {"epoch": 2, "a": 2.0}, {"epoch": 1, "a": 3.0}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_rows(tmp_path) == rows[:2]


def test_rows_are_kept_up_to_an_epoch_and_without_a_torn_end(tmp_path):
    run = Folder(tmp_path, CONFIG, resume=False)
    assert run.rows() == []
    rows = [{"epoch": i, "loss": 1 / (3 * i), "odd": float("inf")} for i in (1, 2, 3)]
    for row in rows:
        run.log(row)
    whole = run.metrics.read_text()
    for cut in range(1, len(whole.splitlines()[-1])):
        run.metrics.write_text(whole[: -1 - cut])
        assert run.rows() == read_rows(tmp_path) == rows[:2]
    run.keep_rows(2)
    run.log(rows[2])
    assert run.rows() == rows
    run.keep_rows(1)
    assert run.rows() == rows[:1]
    run.keep_rows(0)
    assert run.rows() == []
    assert sorted(os.listdir(tmp_path)) == [".lock", "config.json", "metrics.jsonl"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="NO /dev/full: full disk not tested")
def test_a_row_that_does_not_fit_is_an_error_that_says_where(tmp_path):
    run = Folder(tmp_path, CONFIG, resume=False)
    run.metrics.symlink_to("/dev/full")
    with pytest.raises(OSError, match=rf"{run.metrics}: No space left on device; .*--out"):
        run.log({"epoch": 1})


# --- checkpoints ------------------------------------------------------------------------------


@pytest.fixture
def collected():
    """What Orbax leaves behind where it raises is collected here, and not in another test."""
    yield
    gc.collect()


def refuses(test):
    """For a test in which Orbax raises: its abandoned coroutines complain when collected."""
    ignored = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    return pytest.mark.usefixtures("collected")(ignored(test))


def some_state(seed, width=40):
    """A state with every kind of number in it, and large enough for files of its own."""
    state = start(layered((4, width, 2), jax.random.key(seed)), optax.scale_by_adam())
    odd = jnp.asarray([np.nan, -0.0])
    odd = odd.at[1].set(np.float64(5e-324)) if seed % 2 else odd
    model = eqx.tree_at(lambda m: m.energy.layers["out"].bias, state.model, odd)
    return state._replace(model=model, epoch=jnp.asarray(seed, jnp.int32))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run with three checkpoints, of which the last two are kept, as (folder, states)."""
    run = Folder(tmp_path_factory.mktemp("saved") / "run", CONFIG, resume=False)
    states = {epoch: some_state(epoch) for epoch in (1, 2, 3)}
    for epoch, state in states.items():
        run.save(epoch, state)
    return run.folder, states


@pytest.fixture
def copied(saved, tmp_path):
    """The same, to be damaged."""
    folder, states = saved
    shutil.copytree(folder, tmp_path / "run")
    return Folder(tmp_path / "run", CONFIG, resume=True), states


def test_without_a_checkpoint_a_run_starts_anew(tmp_path):
    state = some_state(1)
    assert Folder(tmp_path, CONFIG, resume=False).restore(state) is state


def test_checkpoints_round_trip_bit_for_bit(saved):
    folder, states = saved
    assert sorted(os.listdir(folder / "checkpoints")) == ["2", "3"]
    found = Folder(folder, CONFIG, resume=True).restore(some_state(7))
    assert identical(found, states[3])
    assert not identical(found, states[2])
    assert jax.tree.structure(found) == jax.tree.structure(states[3])


def overwrite(path):
    path.write_bytes(b"\x5a" * path.stat().st_size)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def remove(path):
    path.unlink()


def newest(run):
    return run.folder / "checkpoints" / "3"


def data_files(folder):
    """The files that hold the arrays, or say where they are."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size > 1]
    return sorted(path.relative_to(folder) for path in files)


@pytest.mark.parametrize("damage", [overwrite, truncate, flip, remove])
@refuses
def test_a_damaged_file_is_an_error_or_does_no_harm(damage, copied):
    run, states = copied
    whole = run.folder.with_name("whole")
    shutil.copytree(run.folder, whole)
    refused = 0
    for name in data_files(newest(run)):
        damage(newest(run) / name)
        try:
            found = run.restore(some_state(7))
        except RunError as error:
            refused += 1
            assert str(newest(run)) in str(error), name
            assert "delete that folder" in str(error), name
            assert "\n" not in str(error), name
        else:
            unharmed = identical(found, states[3]) or identical(found, states[2])
            assert unharmed, f"wrong numbers from a damaged {name}"
        shutil.rmtree(run.folder)
        shutil.copytree(whole, run.folder)
    assert refused


@pytest.mark.parametrize("damage", [overwrite, truncate, remove])
@refuses
def test_a_corrupt_checkpoint_is_named_and_the_one_before_serves(damage, copied):
    run, states = copied
    for name in data_files(newest(run)):
        damage(newest(run) / name)
    with pytest.raises(RunError, match=rf"{newest(run)}: .*delete that folder .*--out"):
        run.restore(some_state(7))
    shutil.rmtree(newest(run))
    assert identical(run.restore(some_state(7)), states[2])


def test_a_checkpoint_that_was_being_written_is_passed_over(copied):
    run, states = copied
    (run.folder / "checkpoints" / "4.orbax-checkpoint-tmp" / "default").mkdir(parents=True)
    assert identical(run.restore(some_state(7)), states[3])
    run.save(4, some_state(4))
    assert identical(run.restore(some_state(7)), some_state(4))


@pytest.mark.parametrize(
    "other",
    [
        lambda: some_state(1, width=41),
        lambda: some_state(1).model,
        lambda: (some_state(1), jnp.zeros(2)),
    ],
    ids=["width", "fewer", "more"],
)
@refuses
def test_a_checkpoint_of_another_model_is_refused(other, saved):
    folder, _ = saved
    with pytest.raises(RunError, match=rf"{folder}/checkpoints/3: .*another model") as caught:
        Folder(folder, CONFIG, resume=True).restore(other())
    assert "\n" not in str(caught.value)


def test_a_checkpoint_that_does_not_fit_the_disk_says_so(copied, monkeypatch):
    import orbax.checkpoint as ocp

    def full(*unused, **unused_too):
        raise FULL

    monkeypatch.setattr(ocp.CheckpointManager, "save", full)
    run, states = copied
    with pytest.raises(OSError, match=rf"{run.folder}: .*No space left .*Earlier checkpoints"):
        run.save(4, some_state(4))
    monkeypatch.undo()
    assert identical(run.restore(some_state(7)), states[3])


# --- resume equals never killed ---------------------------------------------------------------

CHANGES = {"epochs": 4, "hidden": (16,), "learning_rate": 1e-2, "shift": 1, "validation": 400}
TINY = dataclasses.replace(RECIPES["digits"], **CHANGES)
A_CALL = 10


class Killed(Exception):
    pass


@pytest.fixture(scope="module", autouse=True)
def short_calls():
    """Several calls an epoch, so that a run can end between two, one compilation, no audit."""

    @cache
    def optimiser(recipe, steps):
        return make_optimiser(recipe, recipe.build(prepare(recipe).data), steps)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "STEPS_A_CALL", A_CALL)
        patch.setattr(fit_module, "make_optimiser", lambda r, _, steps: optimiser(r, steps))
        patch.setattr(fit_module, "audit_recipe", lambda task, model: [])
        yield


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, short_calls):
    """The run that nothing happened to: its result and its folder."""
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    with jax.numpy_dtype_promotion("standard"):
        return fit("digits", TINY, folder), folder


def after_epoch(monkeypatch, folder):
    """Killed once epoch 2 is on disk."""

    def observe_epoch(row):
        if row["epoch"] == 2:
            raise Killed

    fit("digits", TINY, folder, observe_epoch=observe_epoch)


def in_epoch(monkeypatch, folder):
    """Killed in the middle of epoch 3."""

    def observe(progress):
        if progress.epoch == 2 and progress.step > A_CALL:
            raise Killed

    fit("digits", TINY, folder, observe=observe)


def in_first_epoch(monkeypatch, folder):
    """Killed before there is any checkpoint."""

    def observe(progress):
        raise Killed

    fit("digits", TINY, folder, observe=observe)


def before_checkpoint(monkeypatch, folder):
    """Killed when the row of epoch 3 is on disk, and half of another, but not its checkpoint."""

    def save(run, epoch, state, save=Folder.save):
        if epoch == 3:
            with run.metrics.open("a") as file:
                file.write('{"epoch": 4, "lo')
            raise Killed
        save(run, epoch, state)

    monkeypatch.setattr(Folder, "save", save)
    fit("digits", TINY, folder)


SCRIPT = f"""
    import dataclasses, os, signal, sys
    from pathlib import Path
    import jax
    jax.config.update("jax_enable_x64", True)
    from eqprop.training import epoch
    from eqprop.training.recipe_fit import fit
    from eqprop.training.recipes import RECIPES

    epoch.STEPS_A_CALL = {A_CALL}

    def observe(progress):
        if progress.epoch == 2 and progress.step > {A_CALL}:
            os.kill(os.getpid(), signal.SIGKILL)

    recipe = dataclasses.replace(RECIPES["digits"], **{CHANGES})
    fit("digits", recipe, Path(sys.argv[1]), observe=observe)
"""


def by_the_system(monkeypatch, folder):
    """Killed by SIGKILL in a process of its own."""
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    raise Killed


@pytest.mark.parametrize(
    ("kill", "left"),
    [
        (after_epoch, 2),
        (in_epoch, 2),
        (in_first_epoch, 0),
        (before_checkpoint, 3),
        (by_the_system, 2),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_killed_run_resumes_as_if_it_never_was(kill, left, unbroken, tmp_path, monkeypatch):
    result, whole = unbroken
    folder = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill(patch, folder)
    assert len(read_rows(folder)) == left
    assert not (folder / "result.json").exists()
    epochs = []
    resumed = fit("digits", TINY, folder, resume=True, observe_epoch=epochs.append)
    begun = min(left, 2)
    assert [row["epoch"] for row in epochs] == list(range(begun + 1, TINY.epochs + 1))
    for key in ("test_accuracy", "validation_accuracy", "best_epoch", "epochs", "relaxation"):
        assert resumed[key] == result[key], key
    assert untimed(folder) == untimed(whole)
    seconds = [row["seconds"] for row in read_rows(folder)]
    assert seconds == sorted(seconds)
    task = prepare(TINY)
    assert identical(load_best(task, folder), load_best(task, whole))


def untimed(folder):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read_rows(folder)]


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


def test_a_folder_with_pieces_of_a_run_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    fit("digits", dataclasses.replace(TINY, epochs=1), tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(RunError, match=r"got metrics.jsonl, checkpoints, result.json of one whose"):
        fit("digits", TINY, tmp_path)


def test_resume_without_a_run_begins_one(tmp_path):
    result = fit("digits", dataclasses.replace(TINY, epochs=1), tmp_path / "new", resume=True)
    assert result["epochs"] == 1


def test_a_finished_run_resumes_to_the_same_result(unbroken, tmp_path):
    result, whole = unbroken
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    again = fit("digits", TINY, folder, resume=True)
    volatile = ("hardware", "versions", "commit")
    assert {k: v for k, v in again.items() if k not in volatile} == {
        k: v for k, v in result.items() if k not in volatile
    }
    assert untimed(folder) == untimed(whole)


def test_the_result_is_that_of_the_best_epoch(unbroken):
    result, folder = unbroken
    rows = read_rows(folder)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    best = max(row["validation_accuracy"] for row in rows)
    assert result["validation_accuracy"] == pytest.approx(best)
    assert rows[result["best_epoch"] - 1]["validation_accuracy"] == best
    assert result["test_error_percent"] == pytest.approx(100 - 100 * result["test_accuracy"])
    assert read_json(folder / "config.json")["hidden"] == [16]
    assert read_json(folder / "result.json")["test_accuracy"] == result["test_accuracy"]


@pytest.mark.parametrize(
    ("change", "epochs", "tested"),
    [({"patience": 2, "epochs": 9}, 3, 1), ({"test_last": True, "epochs": 4}, 4, 4)],
    ids=["patience", "last"],
)
def test_what_ends_a_run_and_which_epoch_is_tested(tmp_path, monkeypatch, change, epochs, tested):
    """Accuracies that never rise: the first epoch stays the best."""

    metrics = {"loss": 1.0, "gradient_norm": 1.0, "saturated": 0.0}

    def idle(state, *unused):
        yield state, train.StepReport(int(state.epoch), 1, 1, metrics)

    def same(*unused):
        return train.Evaluation(0.9, 1.0, {})

    monkeypatch.setattr(fit_module, "train_epoch", idle)
    monkeypatch.setattr(fit_module, "evaluate", same)
    result = fit("digits", dataclasses.replace(TINY, **change), tmp_path / "run")
    assert (result["epochs"], result["best_epoch"]) == (epochs, tested)


def idle(rows):
    """Epochs that take no steps: each logs its row, and its model's parameters are the epoch's number."""

    def epoch(state, *unused):
        at = int(state.epoch)
        model = jax.tree.map(lambda a: jnp.full_like(a, at) if eqx.is_array(a) else a, state.model)
        seen = {"loss": 1.0, "gradient_norm": 1.0, "saturated": 0.0} | rows[at]
        yield state._replace(model=model), train.StepReport(at, 1, 1, seen)

    return epoch


def test_the_best_model_is_tested_once_on_the_test_set(tmp_path, monkeypatch):
    """The second of three; training sees neither the validation nor the test examples."""
    looked, accuracies = [], [0.5, 0.9, 0.7]

    def evaluated(model, images, *unused, **unused_too):
        epoch, task = int(jax.tree.leaves(eqx.filter(model, eqx.is_array))[0].ravel()[0]), tasks[0]
        name = next(n for n in ("train", "validation", "test") if getattr(task, n) is images)
        looked.append((epoch, name))
        return train.Evaluation(accuracies[epoch] if name == "validation" else 0.6, 1.0, {})

    tasks = []
    monkeypatch.setattr(fit_module, "prepare", lambda *a: tasks.append(prepare(*a)) or tasks[0])
    monkeypatch.setattr(fit_module, "train_epoch", idle([{}, {}, {}]))
    for module in (fit_module, auditing):
        monkeypatch.setattr(module, "evaluate", evaluated)
    result = fit("digits", dataclasses.replace(TINY, epochs=3), tmp_path / "run")
    assert looked == [*((i, "validation") for i in range(3)), (1, "validation"), (1, "test")]
    assert (result["test_accuracy"], result["validation_accuracy"]) == (0.6, 0.9)
    assert result["test_error_percent"] == pytest.approx(40)


def test_a_run_is_evaluated_on_its_device(tmp_path, monkeypatch):
    """After every epoch and at last, whatever the parameters beside it are."""
    levels = []

    def evaluated(model, *unused, **unused_too):
        weights = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
        levels.append(len(np.unique(np.concatenate([np.ravel(w) for w in weights]))))
        return train.Evaluation(0.9, 1.0, {})

    def still(state, *unused):
        yield (
            state,
            train.StepReport(0, 1, 1, dict.fromkeys(("loss", "gradient_norm", "saturated"), 0.0)),
        )

    monkeypatch.setattr(fit_module, "train_epoch", still)
    for module in (fit_module, auditing):
        monkeypatch.setattr(module, "evaluate", evaluated)
    device = dataclasses.replace(TINY, epochs=1, parameter_bits=2)
    fit("digits", device, tmp_path / "run", audited=False)
    assert len(levels) == 3 and max(levels) <= 4


def test_audits_look_at_validation_examples():
    task = prepare(TINY)
    x, y = auditing.audit_batch(task, TINY.build(task.data))
    wanted = np.asarray(task.validation.x[: len(x)]).reshape(len(x), -1) / 16
    np.testing.assert_allclose(x, wanted, rtol=1e-6)
    np.testing.assert_array_equal(jnp.argmax(y, 1), task.validation.y[: len(x)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"solver": "gradient", "step_size": 3.0}, "The energy rises in .* examples"),
        ({"precision": "bfloat16", "beta": 1e-5, "tolerance": 0.0}, "A nudge of 1e-05 moves layer"),
    ],
    ids=["rising", "unresolved"],
)
def test_a_run_warns_before_it_trains(change, message, tmp_path, monkeypatch):
    monkeypatch.setattr(fit_module, "train_epoch", idle([{}]))
    monkeypatch.setattr(fit_module, "evaluate", lambda *unused: train.Evaluation(0.9, 1.0, {}))
    recipe = dataclasses.replace(TINY, epochs=1, **change)
    with pytest.warns(UserWarning, match=message):
        fit("digits", recipe, tmp_path, audited=False)


def test_training_validation_and_test_examples_are_apart():
    task = prepare(dataclasses.replace(TINY, examples=300))
    whole = prepare(TINY)
    given = {tuple(image.ravel()) for image in np.asarray(whole.data.train.x)}
    parts = [
        [(*np.ravel(x), int(y)) for x, y in zip(part.x, part.y, strict=True)]
        for part in (whole.train, whole.validation, whole.test)
    ]
    assert len(given) == len(whole.data.train.y)
    assert [len(part) for part in parts] == [1037, 400, 360]
    assert {image[:-1] for image in parts[0] + parts[1]} == given
    np.testing.assert_array_equal(whole.test.x, whole.data.test.x)
    np.testing.assert_array_equal(task.train.x, whole.train.x[:300])
    np.testing.assert_array_equal(task.validation.x, whole.validation.x)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"saturated": 1.0}], "100.00% of all neurons are saturated"),
        ([{"nudge_reached": 0.2}], "a nudge reached 20% of the layers"),
        ([{"silent": 0.95}], "95.0% of the spiking neurons hardly ever fire"),
        ([{}, {"loss": 11.0}], "Epoch 2: the loss is 11, where that of epoch 1 was 1"),
    ],
    ids=lambda value: "-".join(value[-1]) if isinstance(value, list) else "",
)
def test_a_run_warns_of_what_its_epochs_show(rows, message, tmp_path, monkeypatch):
    monkeypatch.setattr(fit_module, "train_epoch", idle(rows))
    monkeypatch.setattr(fit_module, "evaluate", lambda *unused: train.Evaluation(0.9, 1.0, {}))
    with pytest.warns(UserWarning, match=message):
        fit("digits", dataclasses.replace(TINY, epochs=len(rows)), tmp_path, audited=False)


def test_a_run_warns_of_chains_that_have_not_mixed(tmp_path, monkeypatch):
    mixed, stuck = Mixing(0.0, "cost", 1.01, 700.0, 800), Mixing(1.0, "cost", 1.7, 4.0, 800)
    monkeypatch.setattr(fit_module, "train_epoch", idle([{}]))
    monkeypatch.setattr(fit_module, "mixing_of", lambda task, model: [mixed, stuck])
    with pytest.warns(UserWarning, match=r"expected a split R-hat below 1.05, got 1.70"):
        result = fit("digits", dataclasses.replace(TINY, epochs=1), tmp_path)
    assert result["mixing"] == [mixed._asdict(), stuck._asdict()]


@pytest.mark.parametrize("name", ["loss", "gradient_norm", "validation loss"])
def test_a_run_stops_where_a_number_is_not_finite(name, tmp_path, monkeypatch):
    monkeypatch.setattr(fit_module, "train_epoch", idle([{name: np.nan}]))
    loss = np.nan if name == "validation loss" else 1.0
    monkeypatch.setattr(fit_module, "evaluate", lambda *unused: train.Evaluation(0.9, loss, {}))
    with pytest.raises(train.DivergedError, match=rf"epoch 1.*: expected a finite {name}, got nan"):
        fit("digits", dataclasses.replace(TINY, epochs=1), tmp_path)


def test_patience_is_refused_where_the_last_epoch_is_tested():
    with pytest.raises(ValueError, match="test_last: expected patience of 0"):
        dataclasses.replace(TINY, test_last=True, patience=2).check()


def test_metrics_without_their_checkpoint_are_not_thrown_away(unbroken, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(unbroken[1], folder)
    (folder / "result.json").unlink()
    shutil.rmtree(folder / "checkpoints")
    before = (folder / "metrics.jsonl").read_text()
    with pytest.raises(RunError, match=r"expected a checkpoint of the epochs in .*, got none"):
        fit("digits", TINY, folder, resume=True)
    assert (folder / "metrics.jsonl").read_text() == before


def test_a_checkpoint_without_its_metrics_is_refused(unbroken, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(unbroken[1], folder)
    (folder / "result.json").unlink()
    (folder / "metrics.jsonl").write_text("")
    with pytest.raises(
        RunError, match=r"a row for each of the .* epochs of the latest checkpoint, got 0"
    ):
        fit("digits", TINY, folder, resume=True)


def test_a_recipe_that_cannot_run_leaves_no_folder(tmp_path):
    recipe = dataclasses.replace(TINY, contrast="holomorphic")
    with pytest.raises(ValueError, match="smooth units"):
        fit("digits", recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_json_is_strict(tmp_path):
    path = write_json(tmp_path / "a.json", {"x": [np.nan, 1.0], "y": np.float32(np.inf)})
    assert "NaN" not in path.read_text() and "Infinity" not in path.read_text()
    assert read_json(path) == {"x": [None, 1.0], "y": None}


def test_a_kill_between_the_first_row_and_its_checkpoint(unbroken, tmp_path):
    result, whole = unbroken
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(whole / "config.json", folder)
    (folder / "metrics.jsonl").write_text(
        (whole / "metrics.jsonl").read_text().splitlines()[0] + "\n"
    )
    again = fit("digits", TINY, folder, resume=True)
    assert again["test_accuracy"] == result["test_accuracy"]
    assert again["audit"] == result["audit"]
    assert len(read_rows(folder)) == TINY.epochs


def test_fewer_examples_and_data_of_ones_own():
    few = prepare(dataclasses.replace(TINY, examples=50))
    assert (len(few.train.y), len(few.validation.y)) == (50, TINY.validation)
    whole = prepare(TINY)
    assert np.array_equal(few.train.x, whole.train.x[:50])
    own = whole.data._replace(name="own", test=whole.data.train)
    assert len(prepare(TINY, own).test.y) == len(whole.data.train.y)
    with pytest.raises(data.DataError, match="labels"):
        prepare(TINY, own._replace(classes=3))


def test_the_commit_is_that_of_the_package_and_of_nothing_else(tmp_path, monkeypatch):
    git = shutil.which("git")
    if git is None:
        pytest.skip("GIT NOT TESTED: it is not installed")

    def ask(*words):
        asked = [git, "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path), *words]
        subprocess.run(asked, check=True, capture_output=True)

    package = tmp_path / "package"
    package.mkdir()
    (package / "surroundings.py").write_text("")
    (tmp_path / "results").write_text("")
    ask("init")
    ask("add", "results")
    ask("commit", "-m", "of another project")
    monkeypatch.setattr(surroundings_module, "__file__", str(package / "surroundings.py"))
    commit = surroundings_module._commit.__wrapped__
    assert commit() is None
    ask("add", ".")
    ask("commit", "-m", "ours")
    (tmp_path / "results").write_text("new")
    assert re.fullmatch("[0-9a-f]{12}", commit())
    (package / "surroundings.py").write_text("changed")
    assert re.fullmatch("[0-9a-f]{12}-dirty", commit())
