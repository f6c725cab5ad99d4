"""`python -m benchmarks.gpu`: its archives, its plan, its rates, and the script itself in small."""

import dataclasses
import hashlib
import io
import json
import tarfile
import time

import jax
import numpy as np
import pytest
from benchmarks.gpu import archives, runs
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.agreement import agreement
from benchmarks.gpu.memory import largest_batch
from benchmarks.gpu.plan import Clock, Deadline, OutOfTime, Pace, epochs_in
from benchmarks.gpu.scaling import learning_rate

import eqprop as eq
from eqprop.training.data import datasets, sources
from eqprop.training.data.formats import DataError
from eqprop.training.epoch import StepReport
from eqprop.training.files import write_json
from helpers.small import MOONS, training

ARCHIVE = "cifar-10-binary.tar.gz"


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """Three parts of an archive, and the digest of the whole as the published one."""
    whole = bytes(range(256)) * 11
    digest = hashlib.md5(whole).hexdigest()
    monkeypatch.setitem(archives.PUBLISHED, "cifar-10", {ARCHIVE: digest})
    folder = tmp_path / "parts"
    folder.mkdir()
    for suffix, at in (("aa", 0), ("ab", 1000), ("ac", 2000)):
        (folder / f"{ARCHIVE}.{suffix}").write_bytes(whole[at : at + 1000])
    return folder


def test_parts_are_joined_in_order_and_once(parts, tmp_path):
    joined = archives.join("cifar-10", parts, tmp_path / "data")
    assert joined.read_bytes() == bytes(range(256)) * 11
    written = joined.stat().st_mtime_ns
    assert archives.join("cifar-10", parts, tmp_path / "data") == joined
    assert joined.stat().st_mtime_ns == written


def test_a_missing_part_is_named(parts, tmp_path):
    (parts / f"{ARCHIVE}.ab").unlink()
    with pytest.raises(DataError, match=r"expected cifar-10-binary\.tar\.gz\.ab, since .* aa, ac"):
        archives.join("cifar-10", parts, tmp_path / "data")


@pytest.mark.parametrize("flaw", ["last one missing", "damaged"])
def test_parts_of_another_digest_are_refused_and_leave_nothing(flaw, parts, tmp_path):
    last = parts / f"{ARCHIVE}.ac"
    if flaw == "damaged":
        last.write_bytes(bytes(len(last.read_bytes())))
    else:
        last.unlink()
    with pytest.raises(
        DataError, match=r"expected md5 .* a part is damaged, or the last is missing"
    ):
        archives.join("cifar-10", parts, tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_no_parts_at_all(tmp_path):
    with pytest.raises(DataError, match=r"expected parts such as cifar-10-binary.tar.gz.aa"):
        archives.join("cifar-10", tmp_path, tmp_path)
    assert not archives.has_parts("cifar-10", tmp_path)


def test_a_pace_tells_compilation_from_epochs():
    rows = [{"seconds": 50.0}, {"seconds": 52.0}, {"seconds": 54.0}]
    assert Pace.of(rows, 60.0) == Pace(2.0, 54.0)


@pytest.mark.parametrize(("seconds", "epochs"), [(400.0, 159), (60.0, 0), (5000.0, 200)])
def test_epochs_are_as_many_as_fit(seconds, epochs):
    assert epochs_in(seconds, Pace(2.0, 54.0), 200) == epochs


def test_a_deadline_ends_a_run_before_its_last_epoch_alone():
    over = Deadline(Clock(time.monotonic() - 60, 1.0), 3, needed=0.0)
    with pytest.raises(OutOfTime, match="after epoch 2 of 3; call again"):
        over.epoch({"epoch": 2})
    over.epoch({"epoch": 3})
    with pytest.raises(OutOfTime, match="in epoch 3 of 3"):
        over.step(StepReport(2, 1, 9, {}))
    Deadline(Clock(time.monotonic(), 1.0), 3, needed=10.0).epoch({"epoch": 2})


def test_rates_fall_as_one_over_the_width_and_rise_as_the_root_of_the_batch():
    assert learning_rate(8, 25) == 2e-3
    assert learning_rate(128, 25) == pytest.approx(2e-3 / 16)
    assert learning_rate(8, 100) == pytest.approx(4e-3)
    assert learning_rate(64, 25, {8: 2e-3, 16: None, 32: 1e-3}) == pytest.approx(5e-4)
    with pytest.raises(ValueError, match="expected a rate of one width or more"):
        learning_rate(8, 25, {8: None})


def test_a_batch_that_does_not_fit_is_halved_and_said(caplog):
    caplog.set_level("WARNING")

    def attempt(batch):
        if batch > 60:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return batch

    assert largest_batch(250, attempt) == (31, 31)
    assert "A batch of 125 does not fit the device's memory; taking 62." in caplog.messages
    with pytest.raises(MemoryError, match="Expected one image"):
        largest_batch(2, lambda _: attempt(100))
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        largest_batch(2, fails_otherwise)


def fails_otherwise(batch):
    raise jax.errors.JaxRuntimeError("INTERNAL: another fault")


def test_sweeps_that_miss_the_gradient_are_warned_of(caplog):
    model = eq.layered((3, 4, 2), jax.random.key(0))
    x = jax.random.uniform(jax.random.key(1), (2, 3))
    y = jax.nn.one_hot(np.arange(2), 2, dtype=x.dtype)

    def learner(sweeps):
        return eq.EquilibriumPropagation(eq.Blockwise(None, sweeps), eq.symmetric(1e-3))

    assert agreement(learner(60), model, x, y)["cosine"] > 0.9999 and not caplog.messages
    assert agreement(learner(1), model, x, y)["cosine"] < 0.999
    assert "these sweeps do not settle" in caplog.text


def test_a_plan_is_made_once_and_gone_on_with(tmp_path, monkeypatch, as_a_user):
    monkeypatch.setattr(runs, "made", lambda name, sizes, data, epochs: training(epochs))
    monkeypatch.setattr(runs, "MOST", 4)
    sizes, began = runs.Sizes(2, 20, 0, 0), time.monotonic()
    none = runs.go_on("moons", sizes, MOONS, tmp_path, Clock(began, 1.0))
    assert none == {"batch": 20, "epochs": 0} and not list(tmp_path.iterdir())
    plan = runs._plan("moons", sizes, MOONS, Clock(began, 60.0))
    assert plan["epochs"] == 4 and plan["seconds_an_epoch"] > 0
    write_json(tmp_path / "moons.plan.json", plan | {"seconds_an_epoch": 1800.0})
    early = runs.go_on("moons", sizes, MOONS, tmp_path, Clock(began, 30.0))
    assert early["epochs_done"] == 1 and "after epoch 1 of 4" in early["unfinished"]
    done = runs.go_on("moons", sizes, MOONS, tmp_path, Clock(began, 90.0))
    assert done["test_accuracy"] > 0.5 and "unfinished" not in done
    assert (tmp_path / "moons.png").exists()


RECORDS = 20
"""Of a file of the synthetic archive."""


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """An archive in three parts, as of CIFAR-10 with other images."""
    rng = np.random.default_rng(0)
    labels = np.arange(RECORDS, dtype=np.uint8)[:, None] % 10
    files = {
        name: np.hstack([labels, rng.integers(0, 256, (RECORDS, 3072), np.uint8)]).tobytes()
        for name in sources.BINARY.md5s
    }
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{sources.BINARY.folder}/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    whole = stream.getvalue()
    sums = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    layout = dataclasses.replace(sources.BINARY, md5s=sums)
    source = dataclasses.replace(sources.CIFAR_10, layouts=(layout,))
    monkeypatch.setitem(datasets._ENTRIES, "cifar-10", datasets._Entry(source.read))
    monkeypatch.setattr(sources, "cache_dir", lambda: None)
    published = {ARCHIVE: hashlib.md5(whole).hexdigest()}
    monkeypatch.setitem(archives.PUBLISHED, "cifar-10", published)
    folder, size = tmp_path / "parts", -(-len(whole) // 3)
    folder.mkdir()
    for i, suffix in enumerate(("aa", "ab", "ac")):
        (folder / f"{ARCHIVE}.{suffix}").write_bytes(whole[i * size : (i + 1) * size])
    return folder


@pytest.fixture
def as_a_user():
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        yield


@pytest.mark.long
def test_the_script_in_small_and_once_more(cifar, tmp_path, as_a_user):
    out = tmp_path / "out"
    words = ["--width", "2", "--images", f"{RECORDS}", "--only", "cifar-10", "--minutes", "90"]
    words += ["--out", f"{out}", "--parts", f"{cifar}"]
    main([*words, "--epochs", "1", "--batch", "10"])
    result = json.loads((out / "result.json").read_text())
    assert result["gradient"]["cosine"] > 0.99
    assert result["cifar-10"]["epochs"] == 1 and 0 <= result["cifar-10"]["test_accuracy"] <= 1
    assert (
        result["step"]["ratio"] > 0 and result["peaks_tflops"]["convolutions"]["bf16"]["best"] > 0
    )
    assert (out / "cifar-10.png").stat().st_size > 1000
    assert "epoch 1 of 1" in (out / "log.txt").read_text()
    main([*words, "--epochs", "1", "--batch", "10"])
    again = json.loads((out / "result.json").read_text())
    assert again["cifar-10"] == result["cifar-10"] and again["step"] == result["step"]
