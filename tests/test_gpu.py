"""`python -m benchmarks.gpu`: its archives, its plan, its rates, and the script itself in small."""

import hashlib
import time

import pytest
from benchmarks.gpu import archives
from benchmarks.gpu.plan import Clock, Deadline, OutOfTime, Pace, epochs_in
from benchmarks.gpu.scaling import learning_rate

from eqprop.training.data.formats import DataError

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
    Deadline(Clock(time.monotonic(), 1.0), 3, needed=10.0).epoch({"epoch": 2})


def test_rates_fall_as_one_over_the_width_and_rise_as_the_root_of_the_batch():
    assert learning_rate(8, 25) == 2e-3
    assert learning_rate(128, 25) == pytest.approx(2e-3 / 16)
    assert learning_rate(8, 100) == pytest.approx(4e-3)
    assert learning_rate(64, 25, {8: 2e-3, 16: None, 32: 1e-3}) == pytest.approx(5e-4)
    with pytest.raises(ValueError, match="expected a rate of one width or more"):
        learning_rate(8, 25, {8: None})
