"""Run folders: nothing is half written, and a run that was killed goes on as if it never was."""

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
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import eqprop as eq
from eqprop import layered
from eqprop.training import Callback, checkpoints, runs
from eqprop.training import surroundings as surroundings_module
from eqprop.training.epoch import start
from eqprop.training.files import RunError, read_json, write_json
from eqprop.training.runs import Folder, read_rows
from helpers.later import later
from helpers.small import A_CALL, EPOCHS, Cut, Killed, identical, training

pytestmark = pytest.mark.usefixtures("as_trained")
CONFIG = {"name": "tiny", "hidden": [3], "beta": 0.5}
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# --- files ------------------------------------------------------------------------------------


def test_json_round_trip(tmp_path):
    path = tmp_path / "deep" / "down" / "file.json"
    content = {"a": np.float64(0.1), "b": np.arange(2), "c": Path("x"), "d": (1, None, "β")}
    assert write_json(path, content) == path
    assert read_json(path) == {"a": 0.1, "b": [0, 1], "c": "x", "d": [1, None, "β"]}
    assert os.listdir(path.parent) == ["file.json"]


def test_json_is_strict(tmp_path):
    path = write_json(tmp_path / "a.json", {"x": [np.nan, 1.0], "y": np.float32(np.inf)})
    assert "NaN" not in path.read_text() and "Infinity" not in path.read_text()
    assert read_json(path) == {"x": [None, 1.0], "y": None}


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
        ({"name": "other"}, "name: tiny there, other here"),
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


@pytest.mark.parametrize("damage", [truncate, later(flip), later(overwrite), later(remove)])
@refuses
def test_a_damaged_file_is_named_before_it_is_read(damage, copied, capfd):
    run, _ = copied
    for name in data_files(newest(run)):
        content = (newest(run) / name).read_bytes()
        damage(newest(run) / name)
        with pytest.raises(RunError, match=rf"{newest(run)}: .*{name}: expected sha256 .*, got "):
            run.restore(some_state(7))
        (newest(run) / name).write_bytes(content)
    assert capfd.readouterr() == ("", "")


def test_digests_are_kept_of_the_checkpoints_that_are(copied):
    run, _ = copied
    assert sorted(read_json(run.folder / "checkpoints.json")) == ["2", "3"]
    run.save(4, some_state(4))
    assert sorted(read_json(run.folder / "checkpoints.json")) == ["3", "4"]


def test_a_kill_before_the_digests_leaves_none_of_a_checkpoint_that_is_gone(copied, monkeypatch):
    run, _ = copied
    shutil.rmtree(newest(run))

    def killed(where):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "_files", killed)
        with pytest.raises(Killed):
            run.save(3, some_state(5))
    assert identical(run.restore(some_state(7)), some_state(5))


@pytest.mark.parametrize("damage", [truncate, flip, later(overwrite), later(remove)])
@refuses
def test_without_digests_a_damaged_file_is_an_error_or_does_no_harm(damage, copied):
    run, states = copied
    (run.folder / "checkpoints.json").unlink()
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


@pytest.mark.parametrize("damage", [truncate, later(overwrite), later(remove)])
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
        later(lambda: some_state(1).model),
        later(lambda: (some_state(1), jnp.zeros(2))),
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


def untimed(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def after_epoch(patch, folder):
    """Killed once epoch 1 is on disk."""
    eq.fit(training(), folder, callbacks=[Cut(1)])


def in_epoch(patch, folder):
    """Killed in the middle of epoch 2."""
    eq.fit(training(), folder, callbacks=[Cut(2, A_CALL)])


def in_first_epoch(patch, folder):
    """Killed before there is any checkpoint."""
    eq.fit(training(), folder, callbacks=[Cut(1, A_CALL)])


def before_checkpoint(patch, folder):
    """Killed when the row of epoch 2 is on disk, and half of another, but not its checkpoint."""

    def save(run, epoch, state, save=Folder.save):
        if epoch == 2:
            with run.metrics.open("a") as file:
                file.write('{"epoch": 3, "lo')
            raise Killed
        save(run, epoch, state)

    patch.setattr(Folder, "save", save)
    eq.fit(training(), folder)


SCRIPT = """
    import os, signal, sys
    import jax
    jax.config.update("jax_enable_x64", True)
    import eqprop as eq
    from eqprop.training import epoch
    from helpers.small import A_CALL, Cut, training

    class Shot(Cut):
        def step(self, progress):
            if self.at == (progress.epoch + 1, progress.step):
                os.kill(os.getpid(), signal.SIGKILL)

    epoch.STEPS_A_CALL = A_CALL
    eq.fit(training(), sys.argv[1], callbacks=[Shot(2, A_CALL)])
"""


def by_the_system(patch, folder):
    """Killed by SIGKILL in a process of its own."""
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(folder)]
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    patch.setenv("PYTHONPATH", path)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    raise Killed


@pytest.mark.parametrize(
    ("kill", "left"),
    [
        (after_epoch, 1),
        (in_epoch, 1),
        (in_first_epoch, 0),
        (before_checkpoint, 2),
        (by_the_system, 1),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_killed_run_resumes_as_if_it_never_was(kill, left, finished, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill(patch, folder)
    assert len(read_rows(folder)) == left
    assert not (folder / "result.json").exists()
    steps = Steps()
    resumed = eq.fit(training(), folder, resume=True, callbacks=[steps])
    assert sorted(steps.epochs) == [*range(min(left, 1) + 1, EPOCHS + 1)]
    for key in ("test_accuracy", "validation_accuracy", "best_epoch", "epochs", "relaxation"):
        assert resumed.result[key] == finished.result[key], key
    assert untimed(resumed.rows) == untimed(read_rows(folder)) == untimed(finished.rows)
    seconds = [row["seconds"] for row in resumed.rows]
    assert seconds == sorted(seconds)
    assert identical(eq.load(folder).model, finished.model)


@pytest.mark.parametrize(
    ("cut", "epochs_kept", "taken_up"), [((4, A_CALL), [1, 3], 4), ((2, None), [1], 2)]
)
def test_checkpoints_of_some_epochs(cut, epochs_kept, taken_up, tmp_path, monkeypatch):
    """A run goes on from the latest of the first and every third epoch."""
    kept, save = [], Folder.save

    def counted(folder, epoch, state):
        kept.append(epoch)
        save(folder, epoch, state)

    monkeypatch.setattr(Folder, "save", counted)
    whole = eq.fit(training(5))
    with pytest.raises(Killed):
        eq.fit(training(5), tmp_path / "run", callbacks=[Cut(*cut)], checkpoint_every=3)
    assert kept == epochs_kept
    steps = Steps()
    resumed = eq.fit(training(5), tmp_path / "run", True, [steps], checkpoint_every=3)
    assert min(steps.epochs) == taken_up and kept[-1] == 5
    assert untimed(resumed.rows) == untimed(whole.rows)


class Steps(Callback):
    """The epochs of which a run took steps."""

    def __init__(self):
        self.epochs = set()

    def step(self, progress):
        self.epochs.add(progress.epoch + 1)


@pytest.fixture
def taken(finished, tmp_path):
    """A copy of the finished run, to be damaged."""
    return Path(shutil.copytree(finished.folder, tmp_path / "run"))


def test_a_finished_run_resumes_to_the_same_result(finished, taken):
    again = eq.fit(training(), taken, resume=True)
    assert again.result == finished.result
    assert again.rows == finished.rows


def test_a_folder_with_pieces_of_a_run_is_refused(taken):
    (taken / "notes.txt").write_text("mine")
    (taken / "config.json").unlink()
    with pytest.raises(
        RunError, match=r"got metrics.jsonl, checkpoints, checkpoints.json, result.json of one"
    ):
        eq.fit(training(), taken)


def test_metrics_without_their_checkpoint_are_not_thrown_away(taken):
    (taken / "result.json").unlink()
    shutil.rmtree(taken / "checkpoints")
    before = (taken / "metrics.jsonl").read_text()
    with pytest.raises(RunError, match=r"expected a checkpoint of the epochs in .*, got none"):
        eq.fit(training(), taken, resume=True)
    assert (taken / "metrics.jsonl").read_text() == before


def test_a_checkpoint_without_its_metrics_is_refused(taken):
    (taken / "result.json").unlink()
    (taken / "metrics.jsonl").write_text("")
    with pytest.raises(
        RunError, match=r"a row for each of the .* epochs of the latest checkpoint, got 0"
    ):
        eq.fit(training(), taken, resume=True)


def test_a_kill_between_the_first_row_and_its_checkpoint(finished, taken):
    (taken / "result.json").unlink()
    shutil.rmtree(taken / "checkpoints")
    rows = (taken / "metrics.jsonl").read_text().splitlines()
    (taken / "metrics.jsonl").write_text(rows[0] + "\n")
    again = eq.fit(training(), taken, resume=True)
    assert again.accuracy == finished.accuracy
    assert untimed(again.rows) == untimed(finished.rows)


def test_a_run_without_an_epoch_is_not_loaded(tmp_path):
    Folder(tmp_path / "run", training().config(), resume=False).close()
    with pytest.raises(RunError, match="expected at least one finished epoch, got none; train"):
        eq.load(tmp_path / "run")


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
