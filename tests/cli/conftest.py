"""A finished run for the commands that look at one."""

import os

import pytest

from helpers.command import call

TINY = ("digits", "--epochs", "2", "--hidden", "16")


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory):
    """The folder of a small run; a test that changes it takes a copy."""
    folder = tmp_path_factory.mktemp("digits") / "run"
    assert call("train", *TINY, "--out", folder).code == 0
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of its own, away from the user's data and cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EQPROP_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path / "cache"))
    return tmp_path
