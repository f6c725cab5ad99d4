"""A finished run for the commands that look at one."""

import fcntl
import json
import os

import pytest

from helpers.command import HAS_TENSORBOARD, TINY, Done, call


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A finished run that all workers share, and what the command printed."""
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "digits"
    shared.mkdir(exist_ok=True)
    folder, said = shared / "run", shared / "said.json"
    extra = ["--tensorboard"] if HAS_TENSORBOARD else []
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            said.write_text(json.dumps(call("train", *TINY, "--json", "--out", folder, *extra)))
    return folder, Done(*json.loads(said.read_text()))


@pytest.fixture(scope="session")
def digits_run(trained):
    """The folder of a small run; a test that changes it takes a copy."""
    folder, done = trained
    assert done.code == 0
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of its own, away from the user's data and cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EQPROP_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path / "cache"))
    return tmp_path
