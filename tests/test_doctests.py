"""The examples in the docstrings of the package run, and print what they say."""

import doctest
import pkgutil
from importlib import import_module
from pathlib import Path

import jax
import pytest

import eqprop

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

MODULES = [
    found.name
    for found in pkgutil.walk_packages(eqprop.__path__, "eqprop.")
    if (path := Path(found.module_finder.path, f"{found.name.rpartition('.')[2]}.py")).is_file()
    and ">>>" in path.read_text("utf-8")
]


@pytest.fixture(autouse=True)
def as_a_user(tmp_path, monkeypatch):
    """In a folder of their own, with JAX as it comes."""
    monkeypatch.chdir(tmp_path)
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        yield


def test_there_are_examples():
    assert len(MODULES) > 10


@pytest.mark.parametrize("module", MODULES)
def test_examples(module):
    failed, tried = doctest.testmod(import_module(module), optionflags=FLAGS)
    assert tried and not failed
