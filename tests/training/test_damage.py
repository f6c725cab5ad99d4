"""Run folders that were damaged, edited, or opened twice: one clear error, and never another number."""

import json
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import eqprop as eq
from eqprop.thermal.mixing import Mixing
from eqprop.training import claims
from eqprop.training import files as _files
from eqprop.training.claims import new_folder
from eqprop.training.figures.run import draw_run
from eqprop.training.files import RunError, read_json, write_json
from eqprop.training.results import read_result
from eqprop.training.runs import Folder, read_rows, require_same
from helpers.small import MOONS, training

FLIPS = 200
CONFIG = training().config()
ROWS = [
    {"epoch": i, "seconds": 0.1 * i, "loss": 1 / (3 * i), "odd": float("inf"), "tiny": 1e-300 / i}
    for i in range(1, 6)
]
RESULT = {
    "data": "moons",
    "test_loss": 0.1,
    "validation_loss": 0.2,
    "test_error_percent": 100 / 7,
    "seconds": 0.5,
    "audit": [{"name": "all", "cosine": 1 - 1e-9, "relative_error": 2e-5, "norm": None}],
    "epochs": 5,
    "commit": "0123456789ab",
}
READ = {
    "config.json": lambda folder: read_json(folder / "config.json"),
    "metrics.jsonl": read_rows,
    "result.json": lambda folder: read_json(folder / "result.json"),
}


@pytest.fixture
def folder(tmp_path):
    """A run folder as it is written, but for its checkpoints."""
    with Folder(tmp_path / "run", CONFIG, resume=False) as run:
        for row in ROWS:
            run.log(row)
    write_json(run.folder / "result.json", RESULT)
    return run.folder


@pytest.fixture
def taken(finished, tmp_path):
    """A copy of a finished run, to be damaged."""
    return Path(shutil.copytree(finished.folder, tmp_path / "taken"))


def go_on(folder):
    return eq.fit(training(), folder, resume=True)


def draw(folder):
    return draw_run(folder, MOONS)


# --- flipped bits -----------------------------------------------------------------------------


def holds(found, whole):
    """Whether nothing of the whole content is changed or missing."""
    if isinstance(whole, list):
        return len(found) == len(whole) and all(map(holds, found, whole))
    return whole.items() <= found.items()


@pytest.mark.parametrize("name", READ)
def test_a_flipped_bit_is_an_error_or_changes_nothing(name, folder):
    path, draw = folder / name, random.Random(name)
    content, whole, refused = path.read_bytes(), READ[name](folder), 0
    for _ in range(FLIPS):
        flipped = bytearray(content)
        flipped[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
        try:
            assert holds(READ[name](folder), whole), bytes(flipped)
        except RunError as error:
            refused += 1
            assert str(error).startswith(f"{path}:") and "\n" not in str(error)
    assert refused > 0.8 * FLIPS


# --- valid JSON, damaged meaning --------------------------------------------------------------

MEANINGLESS = {
    b"": "JSON, got 'Expecting value'",
    b"{": "JSON, got 'Expecting property name",
    b'{"a": 1,\n"b": x}': "JSON, got 'Expecting value'",
    b'{"a": "\xff"}': "JSON, got byte 0xff, which is not UTF-8",
    b"[" * 100_000: "JSON, got 'maximum recursion",
    b"1" * 5000: "JSON, got 'Exceeds the limit",
    b"null": "a JSON object, got null",
    b"[]": r"a JSON object, got \[\]",
    b"NaN": "a JSON object, got NaN",
    b'{"epoch": 1, "sha256": "0123"}': r"content of sha256 0123\.\.\., got ",
    b'{"epoch": 1, "sha256": 7}': r"content of sha256 7\.\.\., got ",
}


@pytest.mark.parametrize(("content", "says"), MEANINGLESS.items(), ids=range(len(MEANINGLESS)))
@pytest.mark.parametrize("name", READ)
def test_what_is_no_record_is_one_error_with_file_and_line(name, content, says, folder):
    if name == "metrics.jsonl":
        content = (folder / name).read_bytes() + content.replace(b"\n", b"") + b"\n"
    (folder / name).write_bytes(content)
    line = {"metrics.jsonl": 6}.get(name, 1 + content.count(b"\n"))
    with pytest.raises(RunError, match=rf"{folder / name}:{line}: expected {says}") as caught:
        READ[name](folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{}", "3: expected the columns .*epoch.*, got no epoch, loss, "),
        ('{"epoch": 3, "seconds": 1}', "3: expected the columns .*, got no loss, odd, tiny"),
        ('{"epoch": 3, "loss": null}', "3: expected numbers alone, got loss: None"),
        ('{"epoch": 3, "loss": "0.1"}', "3: expected numbers alone, got loss: '0.1'"),
        ('{"epoch": true}', "3: expected numbers alone, got epoch: True"),
        (None, "3: expected the row of epoch 3, got that of epoch 4"),
    ],
)
def test_a_row_that_lacks_something_is_named(line, says, folder):
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines()
    lines[2:3] = [] if line is None else [line]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(RunError, match=f"{path}:{says}"):
        read_rows(folder)


@pytest.mark.parametrize("name", READ)
def test_a_file_without_end_is_not_read_to_the_end(name, folder, monkeypatch):
    monkeypatch.setattr(_files, "LARGEST", 100)
    with pytest.raises(RunError, match=rf"{folder / name}: expected at most 100 bytes, got more"):
        READ[name](folder)


def test_columns_that_are_needed_are_named(folder):
    with pytest.raises(
        RunError, match=r"metrics.jsonl:1: expected the columns .*, got no accuracy"
    ):
        read_rows(folder, {"epoch", "accuracy"})


@pytest.mark.parametrize("use", [draw, eq.load, go_on])
@pytest.mark.parametrize("content", ["null", "[]", "{}", '{"name": "moons"}', "\udcff"])
def test_a_config_without_meaning_is_refused_wherever_it_is_read(use, content, taken):
    (taken / "config.json").write_text(content, errors="surrogateescape")
    with pytest.raises(RunError, match=r"config\.json:1: expected |another recipe"):
        use(taken)


@pytest.mark.parametrize("use", [draw, eq.load, go_on])
@pytest.mark.parametrize("content", ["null", "[]", "{}", "\udcff", '{"audit": null}'])
def test_a_result_without_meaning_is_refused_wherever_it_is_read(use, content, taken):
    (taken / "result.json").write_text(content, errors="surrogateescape")
    with pytest.raises(RunError, match=r"result\.json:1: expected "):
        use(taken)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"epochs": "5"}, "epochs to be a whole number, got '5'"),
        ({"seconds": None}, "seconds to be a number, got None"),
        ({"validation_accuracy": "0.9"}, "validation_accuracy to be a number, got '0.9'"),
        ({"stopped": "no"}, "stopped to be True or False, got 'no'"),
        ({"audit": [7]}, r"audit to be a sequence, .* got \[7\]"),
        ({"audit": [{"name": "all"}]}, "the key 'cosine'"),
        (
            {"audit": [RESULT["audit"][0] | {"cosine": "1"}]},
            "cosine to be a number or None, got '1'",
        ),
        ({"mixing": [{"beta": 0.0}]}, "the key 'quantity'"),
        ({"spikes": {"rates": {"free": 0.5}}}, "rates to be a dict"),
    ],
    ids=lambda part: next(iter(part)) if isinstance(part, dict) else "",
)
def test_a_result_with_values_of_another_type_is_refused(change, says, taken):
    """By hand, without a digest."""
    (taken / "result.json").write_text(json.dumps(RESULT | change))
    for use in (draw, eq.load, go_on):
        with pytest.raises(RunError, match=rf"result\.json:1: expected {says}"):
            use(taken)


def test_what_is_no_number_is_read_back_as_such(folder):
    """Chains that never moved have no R-hat."""
    row = Mixing(0.0, "cost", np.nan, 1.0, 8)
    write_json(folder / "result.json", RESULT | {"mixing": [row._asdict()]})
    (found,) = map(Mixing.read, read_result(folder / "result.json")["mixing"])
    assert np.isnan(found.r_hat) and found._replace(r_hat=0.0) == row._replace(r_hat=0.0)


@pytest.mark.parametrize(
    ("change", "uses"),
    [
        ({"epochs": None}, (go_on,)),
        ({"epochs": 1.5}, (go_on,)),
        ({"data": 3}, (go_on, eq.load, draw)),
        ({"validation": "60"}, (go_on, eq.load, draw)),
        ({"model": {"is": 7}}, (go_on, eq.load, draw)),
        ({"estimator": {"is": "nowhere:Thing"}}, (go_on, eq.load, draw)),
        ({"preprocessing": 7}, (go_on, eq.load, draw)),
    ],
    ids=lambda part: next(iter(part)) if isinstance(part, dict) else "",
)
def test_a_config_with_values_of_another_type_is_refused(change, uses, taken):
    write_json(taken / "config.json", CONFIG | change)
    for use in uses:
        with pytest.raises(RunError, match=r"config\.json|another recipe"):
            use(taken)


def test_folders_may_be_texts(finished, taken):
    text = str(taken)
    assert eq.fit(training(), text, resume=True).rows == eq.load(text).rows == read_rows(text)
    assert eq.load(text).result == read_json(f"{text}/result.json") == finished.result


def test_a_file_without_a_digest_is_read(folder):
    (folder / "result.json").write_text('{"a": 1}')
    assert read_json(str(folder / "result.json")) == {"a": 1}
    with pytest.raises(RunError, match=r"result.json:1: expected the key 'b', got only a"):
        read_json(folder / "result.json")["b"]


# --- what a checkpoint knows ------------------------------------------------------------------


def test_a_config_that_was_changed_between_two_halves_of_a_run_is_noticed(tmp_path):
    folder, state = tmp_path / "run", {"w": jnp.arange(3.0)}
    with Folder(folder, CONFIG, resume=False) as run:
        run.save(1, state)
    changed = CONFIG | {"seed": 1}
    write_json(folder / "config.json", changed)
    with (
        Folder(folder, changed, resume=True) as run,
        pytest.raises(RunError, match=r"checkpoints/1: .*another config .*; restore that file"),
    ):
        run.restore(state)


@pytest.mark.parametrize(("trained", "resumed"), [(0, 1), (1, 0)])
def test_another_precision_is_not_called_damage(trained, resumed, tmp_path):
    def state(wide):
        with jax.enable_x64(bool(wide)):
            return {"n": jnp.zeros((), jnp.int32), "w": jnp.arange(3) / 3}

    with Folder(tmp_path / "run", CONFIG, resume=False) as run:
        run.save(1, state(trained))
        with pytest.raises(
            RunError, match=f"precision .* set JAX_ENABLE_X64={trained} to"
        ) as caught:
            run.restore(state(resumed))
        assert "corrupt" not in str(caught.value) and "delete" not in str(caught.value)


# --- one process at a time --------------------------------------------------------------------


def race(racers, enter):
    """What each of some threads, let go together, got: what ``enter`` returned, or its `RunError`."""
    barrier, got = threading.Barrier(racers), [None] * racers

    def go(i):
        barrier.wait()
        try:
            got[i] = enter()
        except RunError as error:
            got[i] = error

    threads = [threading.Thread(target=go, args=(i,)) for i in range(racers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


@pytest.mark.parametrize("resume", [False, True])
def test_a_race_for_a_folder_is_won_by_one(resume, tmp_path):
    for i in range(10):
        if resume:
            Folder(tmp_path / f"{i}", CONFIG, resume=False).close()
        got = race(3, lambda i=i: Folder(tmp_path / f"{i}", CONFIG, resume))
        lost = [one for one in got if isinstance(one, RunError)]
        assert len(lost) == 2
        assert all("no other process in this run" in str(error) for error in lost)
        (won,) = (one for one in got if isinstance(one, Folder))
        won.close()


def test_runs_begun_in_the_same_second_have_folders_of_their_own(tmp_path):
    claimed = [new_folder(tmp_path / "runs", "now") for _ in range(6)]
    following = iter(claimed)
    got = race(6, lambda: next(following).__enter__())
    assert sorted(path.name for path in got) == ["now", *(f"now-{i}" for i in range(2, 7))]


def test_a_folder_into_which_nothing_came_is_taken_back(tmp_path):
    with new_folder(tmp_path / "runs" / "digits", "now") as folder:
        assert folder.is_dir()
    assert not (tmp_path / "runs").exists()
    tmp_path.mkdir(exist_ok=True)
    with new_folder(tmp_path, "now") as folder:
        (folder / "config.json").touch()
    assert (tmp_path / "now" / "config.json").exists()


HOLD = """
import sys
from eqprop.training.runs import Folder
run = Folder(sys.argv[1], {}, resume=False)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_folder_in_use_is_refused_and_a_killed_run_leaves_no_lock(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match=rf"{folder}: .*got process {other.pid} on .*; wait"):
            Folder(folder, {}, resume=True)
        require_same(folder, {})
        other.send_signal(signal.SIGKILL)
    Folder(folder, {}, resume=True).close()


def test_without_locks_a_run_goes_on_with_a_warning(tmp_path, monkeypatch):
    def no_locks(*unused):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(claims.fcntl, "flock", no_locks)
    with pytest.warns(UserWarning, match=r"file system with locks, got 'No locks available'"):
        Folder(tmp_path / "run", CONFIG, resume=False).close()
    monkeypatch.setattr(claims, "fcntl", None)
    Folder(tmp_path / "run", CONFIG, resume=True).close()


def test_rows_that_are_not_finite_are_read_as_they_were_written(tmp_path):
    with Folder(str(tmp_path / "run"), CONFIG, resume=False) as run:
        run.log({"epoch": 1, "loss": np.inf, "nan": np.nan})
    (row,) = read_rows(str(tmp_path / "run"))
    assert row["loss"] == np.inf and np.isnan(row["nan"])
