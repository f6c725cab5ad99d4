"""`eqprop doctor`: what it says is what there is."""

import os
import time

import jax
import numpy as np

import eqprop
from eqprop import _compiler
from eqprop.cli import doctor
from eqprop.training.data.sources import IDX_NAMES
from helpers.command import call, one_line


def test_it_says_what_there_is(here, monkeypatch):
    (here / "data" / "mnist").mkdir(parents=True)
    for name in IDX_NAMES:
        (here / "data" / "mnist" / name).write_bytes(b"")
    (here / "data" / "fashion-mnist").mkdir()
    (here / "data" / "fashion-mnist" / IDX_NAMES[0]).write_bytes(b"")  # three are missing
    (here / "cache" / "eqprop").mkdir(parents=True)
    (here / "cache" / "eqprop" / "file").write_bytes(bytes(1234))
    monkeypatch.setattr(doctor, "EXTRAS", {"numpy": "a", "no-such-package": "b"})
    monkeypatch.setattr(
        _compiler, "computes_rightly", lambda flags: flags == os.environ["XLA_FLAGS"]
    )
    told = one_line(call("doctor", "--data-dir", "data", "--json").out)
    assert told["versions"]["eqprop"] == eqprop.__version__
    assert told["extras"] == {"numpy": np.__version__, "no-such-package": None}
    assert told["compiler"]["right"]
    assert told["data"]["sets"] == {
        "digits": "comes with eqprop",
        "mnist": f"data/mnist/{IDX_NAMES[0]}",
        "fashion-mnist": None,
        "cifar-10": None,
        "cifar-100": None,
    }
    assert told["caches"]["eqprop"]["bytes"] == 1234
    (device,) = told["devices"]
    assert device["kind"] == jax.devices()[0].device_kind
    assert {"float64", "float32"} <= set(device["floats"])
    lines = call("doctor", "--data-dir", "data").out
    assert "data/mnist" in lines and 'pip install "eqprop[b]"' in lines


def test_a_wrong_compiler_is_told(here, monkeypatch):
    monkeypatch.setattr(_compiler, "computes_rightly", lambda flags: False)
    assert "WRONG: install jaxlib" in call("doctor").out


def test_the_rate_is_that_of_a_product():
    device, size = jax.devices()[0], 2048
    began = time.perf_counter()
    found = doctor.rate(device)
    assert time.perf_counter() - began < 20
    a = jax.numpy.ones((size, size), jax.numpy.float32)
    product = jax.jit(lambda a: a @ a)
    product(a).block_until_ready()
    began = time.perf_counter()
    product(a).block_until_ready()
    mine = 2e-9 * size**3 / (time.perf_counter() - began)
    assert mine / 10 < found < mine * 10
