"""The command: what it writes, what it prints where, and how it says that something is wrong."""

import importlib
import inspect
import io
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import eqprop
from eqprop.cli import audit as auditing
from eqprop.cli import commands, listing
from eqprop.cli.main import main, spell_out
from eqprop.estimators.audit import Agreement
from eqprop.papers import study as reproduce
from eqprop.papers.call import Call
from eqprop.papers.catalogue import EXPERIMENTS
from eqprop.papers.foundation.recipes import digits
from eqprop.thermal.mixing import Mixing
from eqprop.training import terminal as display
from eqprop.training.data import named
from eqprop.training.data.datasets import Dataset
from eqprop.training.data.sources import Split
from eqprop.training.epoch import StepReport
from eqprop.training.files import read_json
from eqprop.training.runs import read_rows
from eqprop.training.structure import tell
from helpers.command import HAS_TENSORBOARD, TINY, call, is_png, one_line, refusal

FIGURES = ("learning", "agreement", "activity", "relaxation", "weights")
needs_tensorboard = pytest.mark.skipif(
    not HAS_TENSORBOARD, reason="TENSORBOARD NOT TESTED: pip install tensorboardX"
)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder of its own, away from the user's data and cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EQPROP_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def finished(trained, here):
    """A copy of it, to be worked on."""
    shutil.copytree(trained[0], here / "run")
    return here / "run"


# --- train ------------------------------------------------------------------------------------


def test_train_prints_one_json_line_that_agrees_with_the_files(trained):
    folder, done = trained
    assert done.code == 0
    result = one_line(done.out)
    assert result.pop("folder") == str(folder)
    assert result == read_json(folder / "result.json")
    told = Call(digits, {"hidden": (16,), "epochs": 2}).told()
    for content in (result, read_json(folder / "config.json")):
        assert {key: content[key] for key in told} == told
        assert content["name"] == "digits"
    rows = read_rows(folder)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert result["epochs"] == 2
    assert result["seconds"] == rows[-1]["seconds"]
    assert max(row["validation_accuracy"] for row in rows) == result["validation_accuracy"]
    assert result["test_error_percent"] == pytest.approx(100 - 100 * result["test_accuracy"])
    assert sorted(path.stem for path in folder.glob("*.png")) == sorted(FIGURES)
    assert all(is_png(path) for path in folder.glob("*.png"))
    assert result["versions"]["eqprop"] == eqprop.__version__
    assert f"test {result['test_accuracy']:.2%}" in done.err


def test_without_a_terminal_each_epoch_is_one_line(trained):
    lines = [line for line in trained[1].err.splitlines() if re.match(r"epoch +\d+/2 ", line)]
    assert len(lines) == 2
    for line, row in zip(lines, read_rows(trained[0]), strict=True):
        assert f"validation {row['validation_accuracy']:.2%}" in line
        assert f"{min(row['free_converged'], row['nudged_converged']):.1%} settled" in line


@needs_tensorboard
def test_tensorboard_writes_events(trained):
    (events,) = trained[0].glob("events.out.tfevents.*")
    content = events.read_bytes()
    assert b"validation_accuracy" in content
    assert b"free_steps" in content


def test_resume_of_a_finished_run_changes_nothing(finished, trained, monkeypatch):
    monkeypatch.setattr(commands, "draw_run", lambda *unused: [])
    before = one_line(trained[1].out)
    done = call("train", *TINY, "--json", "--resume", "--out", finished)
    assert done.code == 0
    after = one_line(done.out)
    for key in ("arguments", "test_accuracy", "audit", "seconds", "best_epoch", "relaxation"):
        assert after[key] == before[key], key


# --- audit, plot, list, reproduce -------------------------------------------------------------


def test_audit_of_a_run_agrees_with_the_runs_own(finished, here):
    done = call("audit", *TINY, "--run", finished, "--out", "looked", "--json")
    assert done.code == 0
    result = one_line(done.out)
    assert result == read_json(here / "looked" / "audit.json")
    assert is_png(here / "looked" / "agreement.png")
    assert is_png(here / "looked" / "beta.png")
    assert result["audit"] == read_json(finished / "result.json")["audit"]
    assert [row["name"] for row in result["audit"]][-1] == "all parameters"
    assert result["cosine"] == result["audit"][-1]["cosine"]
    sweep = result["beta_sweep"]
    assert sweep["best"] == sweep["betas"][int(np.nanargmin(sweep["errors"]))]


def test_plot_draws_the_figures_again(finished):
    for path in finished.glob("*.png"):
        path.unlink()
    done = call("plot", finished)
    assert (done.code, done.out) == (0, "")
    assert all(is_png(finished / f"{name}.png") for name in FIGURES)


@pytest.mark.parametrize("arguments", [["list"], ["reproduce"]])
def test_recipes_and_experiments_are_listed(arguments):
    done = call(*arguments)
    assert done.code == 0
    words = set(done.out.split())
    assert set(listing.recipes()) | set(EXPERIMENTS) <= words


@pytest.mark.long
def test_an_audit_of_sampled_gradients_splits_bias_and_variance(here):
    arguments = ("--source.temperature", "0.5", "--out", here / "audit", "--json")
    done = call("audit", "digits-thermal", *arguments)
    result = one_line(done.out)
    assert set(result["spread"]) == {"cosine", "bias", "deviation", "snr"}
    assert result["spread"]["bias"] < 0.3
    assert len(result["mixing"]) == 4
    assert "split R-hat at most" in done.err
    assert "signal / noise" in done.err


# --- help -------------------------------------------------------------------------------------


OWN = {
    "train": "estimator precision patience out resume json tensorboard data-dir devices coordinator "
    "processes process",
    "audit": "estimator precision run out json data-dir",
}


@pytest.mark.parametrize("command", ["train", "audit"])
@pytest.mark.parametrize("name", ["digits", "mnist-100-oscillators", "digits-thermal"])
def test_help_is_of_the_recipe_and_of_every_run(command, name):
    done = call(command, name, "--help")
    assert (done.code, done.err) == (0, "")
    shown = unboxed(done.out)
    module = f"eqprop.papers.{listing.recipes()[name].paper}.recipes"
    recipe = getattr(importlib.import_module(module), name.replace("-", "_"))
    assert listing.recipes()[name].about[:40] in shown
    hints = inspect.signature(recipe).parameters
    plain = [n for n, p in hints.items() if isinstance(p.default, int | float | tuple)]
    flags = {"--" + flag.replace("_", "-") for flag in (*plain, *OWN[command].split())}
    found = set(re.findall(r"--(?:no-)?([a-z][a-z-]*)", shown))
    assert {flag.removeprefix("--") for flag in flags} <= found


@pytest.mark.parametrize("command", ["train", "audit"])
def test_help_without_a_recipe_lists_them(command):
    assert set(listing.recipes()) <= set(call(command, "--help").out.split())


def test_what_is_listed_as_text_is_what_there_is():
    """Names, order and words of the listing that loads no library."""
    told = {name: entry.about for name, entry in listing.studies().items()}
    assert told == {name: study.about for name, study in EXPERIMENTS.items()}
    assert list(told) == list(EXPERIMENTS)
    for name, entry in listing.recipes().items():
        module = importlib.import_module(f"eqprop.papers.{entry.paper}.recipes")
        assert inspect.getdoc(getattr(module, name.replace("-", "_"))).startswith(entry.about)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["list"], ["train", "--help"]])
def test_help_and_lists_load_no_jax(words):
    script = f"import sys; from eqprop.cli.main import main; main({words}); assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("plot", ["RUN", "--data-dir"]),
        ("reproduce", ["--quick", "--json", "--out", "--data-dir"]),
        ("list", ["eqprop list"]),
        ("", ["train", "audit", "sweep", "plot", "reproduce", "list"]),
    ],
)
def test_help_of_the_others(command, words):
    done = call(*command.split(), "--help")
    assert (done.code, done.err) == (0, "")
    assert all(word in done.out for word in words)


# --- errors -----------------------------------------------------------------------------------


def unboxed(text):
    """What the parser says, without the frame around it and its line breaks."""
    return " ".join(re.sub("[╭╮╰╯│─]", " ", text).split())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["train", "nosuch"],
            "digits mnist-dense .*recipe to train, one of those above; got 'nosuch'",
        ),
        (["train", "digit"], "Did you mean 'digits'"),
        (["train", "mnist"], "Did you mean 'mnist-dense' or 'mnist-"),
        (["train", "digits", "--nosuch", "1"], "Unrecognized options: --nosuch"),
        (["train", "digits", "--estimator", "nosuch"], "'nosuch' .*'--estimator'.*bptt"),
        (["train", "digits", "--beta", "0"], "finite nudge beta other than 0, got 0"),
        (["train", "digits", "--beta", "-1"], r"beta: expected nudges above -1 .* got -1"),
        (["train", "digits", "--beta", "nan"], "expected beta to be a number .* got nan"),
        (["train", "digits", "--epochs", "-3"], "expected epochs >= 1.*got -3"),
        (["train", "digits", "--lr", "1"], "no option --lr. Did you mean --learning-rate"),
        (
            ["train", "digits", "--solver", "momentum"],
            "--solver is chosen by one word, after all options: solver:blockwise, solver:momentum",
        ),
        (["train", "digits", "--epoch=1"], "no option --epoch. Did you mean --epochs"),
        (
            ["train", "digits", "--processes", "2", "--lr", "1"],
            r"^[^?]*no option --lr\. Did you mean --learning-rate\? All",
        ),
        (["train", "digits", "--resum"], "no option --resum. Did you mean --resume"),
        (["report", "run", "--data", "x"], "no option --data. Did you mean --data-dir"),
        (["train"], "digits .*recipe to train, one of those above; got none"),
        (
            [],
            "command, one of train, audit, sweep, predict, report, doctor, plot, list, reproduce; got none",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_parsed_is_refused(arguments, says, here):
    done = call(*arguments)
    text = unboxed(done.err)
    assert "╭" not in done.err or "Did you mean" not in done.err
    assert done.code != 0
    assert done.out == ""
    assert re.search(says, text)
    assert "Traceback" not in text
    assert "tyro" not in text
    assert os.listdir(here) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["train", *TINY, "solver:blockwise", "--solver.tolerance", "1e-16"],
            "tolerance of at least 8.9e-16 for float64",
        ),
        (["train", *TINY, "--estimator", "holomorphic"], "complex nudges need smooth units"),
        (["train", *TINY, "--estimator", "surrogate"], "network of spikes, as mnist-spiking"),
        (["train", *TINY, "--precision", "bfloat16"], "tolerance: expected at least 0.031"),
        (["train", *TINY, "--resume"], "Nothing to resume: runs/digits holds no run"),
        (["train", *TINY, "--resume", "--out", "none"], "Nothing to resume: .*none/config.json"),
        (["train", "mnist-dense", "--data-dir", "none"], "train-images-idx3-ubyte.* in none/mnist"),
        (["reproduce", "nosuch"], "experiment to reproduce, one of those above; got 'nosuch'"),
        (["reproduce", "digit"], "Did you mean 'digits'"),
        (["reproduce", "--quick", "digit"], "Did you mean 'digits'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_one_line(arguments, says):
    line = refusal(call(*arguments))
    assert re.search(says, line)


@pytest.mark.parametrize("arguments", [["audit", *TINY, "--run", "none"], ["plot", "none"]])
def test_a_run_that_is_not_there_is_named(arguments):
    line = refusal(call(*arguments))
    assert "none/config.json" in line
    assert "delete" not in line


def test_names_are_told_in_short_lines():
    said = call("reproduce", "nosuch").err.splitlines()
    assert set(EXPERIMENTS) <= {name for line in said[:-1] for name in line.split()}
    assert len(said) > 5 and max(map(len, said[:-1])) < 80


def test_an_audit_keeps_the_one_before(finished, here):
    words = ("audit", *TINY, "--run", finished, "--out", "looked")
    (here / "looked").mkdir()
    (here / "looked" / "audit.json").write_text("the first")
    assert f"looked-2{os.sep}audit.json" in call(*words).err
    assert (here / "looked" / "audit.json").read_text() == "the first"
    assert (here / "looked-2" / "audit.json").exists()


def test_a_recipe_that_cannot_train_leaves_the_folder_free(here):
    assert call("train", *TINY, "--estimator", "holomorphic", "--out", "run").code == 1
    assert not (here / "run" / "config.json").exists()


def test_an_existing_run_is_not_overwritten(finished):
    before = (finished / "result.json").read_bytes()
    line = refusal(call("train", *TINY, "--out", finished))
    assert re.search(rf"{finished} already holds a run; .*--resume .*another --out", line)
    assert (finished / "result.json").read_bytes() == before


def test_resume_with_another_recipe_names_the_field(finished):
    line = refusal(call("train", *TINY, "--beta", "0.25", "--resume", "--out", finished))
    assert re.search(r"another recipe \(beta: 0\.1 there, 0\.25 here\)", line)
    words = "solver:momentum", "--solver.max-steps", "60"
    line = refusal(call("train", *TINY, "--resume", "--out", finished, *words))
    assert re.search(r"\(solver: \S+:Blockwise there, \S+:Momentum here\)", line)


@pytest.mark.parametrize("name", ["result.json", "config.json"])
def test_a_corrupt_file_of_a_run_is_named(name, finished):
    whole = (finished / name).read_text()
    (finished / name).write_text(whole[: len(whole) // 2])
    assert str(finished / name) in refusal(call("plot", finished))


@pytest.mark.parametrize("content", [b"null", b"[]", b"{}", b'{"name": "\xff"}'])
@pytest.mark.parametrize("name", ["config.json", "result.json", "metrics.jsonl"])
def test_a_file_without_meaning_is_one_line_of_each_command(name, content, finished):
    if name == "metrics.jsonl":
        content = (finished / name).read_bytes() + content + b"\n"
    (finished / name).write_bytes(content)
    commands_that_read = {
        "plot": ["plot", finished],
        "audit": ["audit", *TINY, "--run", finished],
        "resume": ["train", *TINY, "--out", finished, "--resume"],
    }
    if name != "config.json":
        del commands_that_read["audit"]  # which reads neither
    if name == "metrics.jsonl":
        (finished / "result.json").unlink()
    for words in commands_that_read.values():
        assert re.search(rf"{name}:\d|another recipe", refusal(call(*words)))


@pytest.mark.parametrize("change", [{"model": {"is": "no.such:thing"}}, {"estimator": 1}])
def test_a_config_of_another_version_is_one_line(change, finished):
    config = read_json(finished / "config.json")
    (finished / "config.json").write_text(json.dumps(config | change))
    assert "config.json" in refusal(call("plot", finished))


def spoilt(x, y):
    """Digits with the first image or label replaced."""
    whole = named.load_dataset("digits")
    images, labels = whole.train.x.astype(np.float32), whole.train.y.copy()
    images[0, 0, 0, 0], labels[0] = x, y
    return Dataset("digits", Split(images, labels), whole.test, whole.classes, whole.scale)


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        (np.nan, 0, "images: expected finite values, got 1 that are not"),
        (np.inf, 0, "images: expected finite values, got 1 that are not"),
        (0, 10, r"labels: expected values in \[0, 10\), got 0 to 10"),
        (0, -1, r"labels: expected values in \[0, 10\), got -1 to 9"),
    ],
)
def test_data_that_are_not_numbers_or_labels_are_refused(x, y, says, here, monkeypatch):
    broken = spoilt(x, y)
    monkeypatch.setattr(named, "load_dataset", lambda *unused: broken)
    assert re.search(says, refusal(call("train", *TINY)))
    assert not (here / "runs").exists()


# --- interruptions and extras -----------------------------------------------------------------


def test_an_interrupt_exits_with_130(monkeypatch):
    def interrupted(*unused, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "fit", interrupted)
    done = call("train", *TINY)
    assert done.code == 130
    assert "--resume" in refusal(done)


def test_resume_takes_the_latest_run_of_train(here, monkeypatch):
    """And not one that `reproduce` left in runs/<name>/seed-<n>."""
    chosen = []

    def noted(training, folder, *unused, about, **named):
        chosen.append((folder, about["arguments"]))
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "fit", noted)
    begun = Call(digits, {"learning_rate": 0.7, "epochs": 3})
    for name in ("20260101-000000", "20260102-000000", "seed-0"):
        folder = here / "runs" / "digits" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(begun.told()))
    assert call("train", *TINY, "--resume").code == 130
    ((folder, arguments),) = chosen
    assert folder.name == "20260102-000000"
    assert arguments == begun.but(epochs=2, hidden=(16,)).told()["arguments"]


def test_a_run_by_another_gradient_is_resumed_as_it_was_asked_for(here, monkeypatch):
    """Its estimator and its precision are not asked for once more."""
    trained = []

    def noted(training, folder, *unused, about, **named):
        trained.append((tell(training.estimator), about))
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "fit", noted)
    words = ("--estimator", "differences", "--precision", "bfloat16", "--out", here / "run")
    call("train", *TINY, *words)
    (here / "run").mkdir()
    (here / "run" / "config.json").write_text(json.dumps(trained[0][1]))
    call("train", "digits", "--resume", "--out", here / "run")
    assert trained[0] == trained[1] and "bfloat16" in str(trained[0][0])


def test_an_audit_of_a_run_takes_other_options(finished, here):
    done = call(
        "audit", "digits", "--run", finished, "--out", "looked", "--json", "--estimator", "implicit"
    )
    assert done.code == 0, done.err
    by_ep = read_json(finished / "result.json")["audit"][-1]["cosine"]
    assert by_ep < 0.99999 < one_line(done.out)["cosine"]


def test_an_audit_of_a_run_of_another_recipe_names_it(finished):
    says = refusal(call("audit", "mnist-dense", "--run", finished))
    assert "holds a run of digits, not of mnist-dense; say digits" in says


@pytest.mark.parametrize("arguments", [("audit", "digits"), ("reproduce", "digits")])
def test_a_folder_that_cannot_be_written_is_found_before_the_work(arguments, here, monkeypatch):
    monkeypatch.setattr(auditing, "prepare", None)
    monkeypatch.setattr(reproduce, "fit", None)
    (here / "file").write_text("")
    says = refusal(call(*arguments, "--out", here / "file" / "inner"))
    assert "Cannot write" in says and "make it writable" in says


def test_version_and_a_reader_that_has_enough():
    assert call("--version").out == f"eqprop {eqprop.__version__}\n"
    command = f"{sys.executable} -m eqprop list | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("recipes")
    assert done.stderr == ""


def test_warnings_of_the_command_are_one_line(here):
    script = (
        "import warnings; from eqprop.cli import listing, main as cli; "
        "listing.lines = lambda: warnings.warn('mind the step') or []; cli.main(['list'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stderr == "eqprop: warning: mind the step\n"


def test_an_audit_needs_a_finished_epoch(finished):
    shutil.rmtree(finished / "checkpoints")
    (finished / "metrics.jsonl").unlink()
    assert "at least one finished epoch, got none" in refusal(
        call("audit", *TINY, "--run", finished)
    )


@pytest.mark.parametrize("over", [True, False])
def test_metrics_that_were_cut_between_two_lines_are_not_plotted(over, finished):
    path, result = finished / "metrics.jsonl", read_json(finished / "result.json")
    first, *others = path.read_text().splitlines()
    path.write_text(first + "\n")
    if not over:
        (finished / "result.json").unlink()
    assert len(others) == result["epochs"] - 1 > 0
    said = refusal(call("plot", finished))
    assert f"each of the {len(others) + 1} epochs" in said
    assert f"got 1, none of 2 to {len(others) + 1}; restore the file" in said


def test_mixing_of_chains_that_never_moved_is_told():
    rows = [Mixing(0.0, "cost", r_hat, 9.0, 8) for r_hat in (1.0, np.nan)]
    with redirect_stderr(Strict("ascii")) as err:
        commands.tell_examined({"mixing": [row._asdict() for row in rows]})
    assert "split R-hat at most nan, at least 9 effective of 8 draws" in err.text()


def test_an_unfinished_run_can_be_plotted(finished):
    (finished / "result.json").unlink()
    for path in finished.glob("*.png"):
        path.unlink()
    assert call("plot", finished).code == 0
    assert {path.stem for path in finished.glob("*.png")} == set(FIGURES) - {"agreement"}


def test_tensorboard_without_its_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    done = call("train", *TINY, "--tensorboard")
    assert done.code == 1
    assert "pip install tensorboardX" in refusal(done)


# --- as a user runs it ------------------------------------------------------------------------


def test_the_real_command_trains_in_float32(here):
    module = Path(eqprop.__file__).with_name("__main__.py")
    script = str(Path(sys.executable).with_name("eqprop"))
    command = [sys.executable, "-m", "eqprop"] if module.exists() else [script]
    arguments = ["train", *TINY, "--json", "--out", "run"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    folder = {"folder": "run"}
    assert one_line(done.stdout) == read_json(here / "run" / "result.json") | folder
    assert "Traceback" not in done.stderr
    assert "warning:" not in done.stderr


class Strict(io.TextIOWrapper):
    """A stream in an encoding that cannot say all, as stdout is in some locales."""

    def __init__(self, encoding):
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict")

    def text(self):
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
@pytest.mark.parametrize("arguments", [["list"], ["reproduce"], ["train", "digits", "--help"]])
def test_every_line_is_printed_whatever_the_encoding(encoding, arguments):
    out, err = Strict(encoding), Strict(encoding)
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as stop:
            assert not stop.code
    last = "--devices" if "--help" in arguments else list(EXPERIMENTS)[-1]
    assert last in out.text()


def test_progress_and_tables_are_printed_whatever_the_encoding():
    err = Strict("ascii")
    row = {"epoch": 1, "loss": 0.5, "accuracy": 0.5, "validation_accuracy": 0.25, "seconds": 1.0}
    with redirect_stderr(err):
        spell_out()
        with display.TrainingBar(2) as bar:
            bar.epoch(row)
        display.show(display.agreement_table([AGREEMENT], "\u03b2"))
        display.tell("β = 0.5 in ü/\udcff")
    assert "validation 25.00%" in err.text()
    assert "0.999987" in err.text()
    assert r"\u03b2 = 0.5 in \xfc/\udcff" in err.text()


@pytest.mark.parametrize(
    ("drift", "said"), [(0.05, ""), (0.25, "still drift (0.25)"), (np.nan, "no chain moved")]
)
def test_progress_says_how_chains_were(drift, said):
    console = Console(file=io.StringIO(), width=300)
    row = {"epoch": 1, "loss": 0.5, "accuracy": 0.5, "validation_accuracy": 0.25, "seconds": 1.0}
    row |= {"objective": 0.5, "first_cost": 0.6, "last_cost": 0.4, "drift": drift}
    with display.TrainingBar(2, console=console) as bar:
        bar.epoch(row)
    shown = console.file.getvalue()
    assert "costs 0.6000 to 0.4000" in shown and said in shown
    assert ("chain" in shown) == bool(said)


AGREEMENT = Agreement("a-layer-of-a-long-name-another.weight", -0.999987, 1.2e-3, 3.4e-10)


@pytest.mark.parametrize("width", [10, 24, 40, 60, 100])
def test_numbers_keep_their_digits_on_a_narrow_terminal(width):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, height=60)
    display.show(display.agreement_table([AGREEMENT], "ep"), console)
    table = console.file.getvalue()
    assert all(number in table for number in ("-0.999987", "1.2e-03", "3.4e-10"))
    with display.TrainingBar(3, console=console) as bar:
        bar.step(StepReport(0, 50, 100, {"loss": 0.123456, "accuracy": 0.98765}))
        bar.bar.refresh()
    assert "…" not in console.file.getvalue()


@pytest.mark.parametrize(
    "command",
    [
        ("train", "digits"),
        ("audit", "digits"),
        ("reproduce", "digits"),
        ("sweep", "digits", "--beta", "0.1", "0.2"),
    ],
)
def test_a_folder_that_cannot_be_spelt_is_refused_before_the_work(command, here, monkeypatch):
    monkeypatch.setattr(commands, "fit", lambda *arguments: pytest.fail("it began"))
    monkeypatch.setattr(auditing, "prepare", lambda *arguments: pytest.fail("it began"))
    said = refusal(call(*command, "--out", here / "run-\udcff"))
    assert "out: expected a folder whose name" in said and r"run-\udcff" in said
