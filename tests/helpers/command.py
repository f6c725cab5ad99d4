"""The command in this process."""

import importlib.util
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

import jax

from eqprop.cli.main import main

TINY = ("digits", "--epochs", "2", "--hidden", "16")
HAS_TENSORBOARD = importlib.util.find_spec("tensorboardX") is not None


class Done(NamedTuple):
    code: int
    out: str
    err: str


def call(*arguments):
    """The command in this process, with what it printed."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    standard = jax.numpy_dtype_promotion("standard")  # Optax's Adam mixes integers and floats
    with redirect_stdout(out), redirect_stderr(err), standard:
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code or 0
    return Done(code, out.getvalue(), err.getvalue())


def refusal(done):
    """The one line that says what is wrong; nothing else may look like an error."""
    assert done.code != 0
    assert done.out == ""
    assert "Traceback" not in done.err
    lines = done.err.splitlines()
    assert [line for line in lines if line.startswith("eqprop: ")] == lines[-1:]
    return lines[-1]


def is_png(path):
    return path.read_bytes().startswith(b"\x89PNG\r\n")


def one_line(text):
    """The single JSON line that may be on stdout."""
    assert text.endswith("\n") and len(text.splitlines()) == 1
    return json.loads(text)
