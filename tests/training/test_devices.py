"""Many devices and several processes train as one device does, to rounding."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import eqprop as eq
from eqprop.training.hosts import Hosts
from helpers import shared_run
from helpers.on_four_devices import close
from helpers.small import arrays

TESTS = Path(__file__).parents[1]


def environment(devices):
    """XLA with so many simulated devices, compiling with less care, and annotations unchecked."""
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    given = {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": path}
    return os.environ | given | {"EQPROP_UNCHECKED": "1"}


def test_four_devices():
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, str(TESTS / "helpers" / "on_four_devices.py")],
        env=environment(4),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def free_port():
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]


def test_two_processes_share_a_run(tmp_path):
    """Each with two devices; the second is given another folder, which it has no use for."""
    meeting, begun = f"localhost:{free_port()}", []
    for process in ("0", "1"):
        program = str(TESTS / "helpers" / "shared_run.py")
        command = [sys.executable, program, str(tmp_path / process), meeting]
        begun.append(
            subprocess.Popen(
                [*command, "2", process],
                env=environment(2),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        ended = [process.communicate(timeout=240) for process in begun]
    finally:
        for process in begun:
            process.kill()
    assert [process.returncode for process in begun] == [0, 0], ended
    zero, one = (json.loads(out.splitlines()[-1]) for out, _ in ended)
    assert not (tmp_path / "1").exists()
    assert zero["result"] == one["result"]
    assert (zero["first"], one["first"], zero["from"], one["from"]) == (True, False, 0, 0)
    assert zero["result"]["devices"] == 4
    assert zero["said"]["folder"] == one["said"]["folder"]
    assert str(tmp_path / "0") in one["said"]["folder"]
    assert "expected all 4 of the 2 processes, got 1" in one["said"]["devices"]
    for said in (zero["said"], one["said"]):
        words = "expected the same training in all 2 processes, got another in [1]"
        assert words in said["training"]
    assert one["said"]["all"] == "one"
    assert "processes [1] failed" in zero["said"]["all"]

    whole = shared_run.run(tmp_path / "whole")
    shared = eq.load(tmp_path / "0").model
    close(shared, whole.model)
    untrained = shared_run.training().model
    assert any(np.any(a != b) for a, b in zip(arrays(shared), arrays(untrained), strict=True))
    for key in ("test_accuracy", "validation_accuracy", "best_epoch"):
        assert zero["result"][key] == pytest.approx(whole.result[key])


@pytest.mark.parametrize(
    ("hosts", "words"),
    [
        (Hosts("localhost:1", 2, 2), "process: expected a number from 0 to 1, got 2"),
        (Hosts("here", 2, 1), "coordinator: expected HOST:PORT .*'here'"),
        (Hosts(None, 2, 1), "expected a --coordinator HOST:PORT where 2 processes meet"),
        (Hosts(None, 1, 1), "process: expected a number from 0 to 0, got 1; give --processes"),
    ],
)
def test_hosts_that_cannot_meet_are_refused(hosts, words):
    with pytest.raises(ValueError, match=words):
        hosts.join()
