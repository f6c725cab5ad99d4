"""A small run that any number of devices and processes can share: also a program, one process of several.

python shared_run.py FOLDER COORDINATOR PROCESSES PROCESS
"""

import json
import sys
from pathlib import Path

import jax
import numpy as np

import eqprop as eq
from eqprop.estimators.backpropagation import FeedForward
from eqprop.training import Dataset, Split
from eqprop.training.data.augment import random_shift
from eqprop.training.devices import ONE, over
from eqprop.training.files import RunError
from eqprop.training.hosts import Hosts, from_first, in_all, is_first, require_agreement
from helpers.small import STEADY, Cut, Killed

HELD_OUT = 13
"""A number that devices do not divide."""


def images(examples, size=4, classes=3):
    """Random images and labels."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (examples, size, size, 1), np.uint8)
    return Split(x, rng.integers(0, classes, examples).astype(np.int32))


def training():  # no key before the processes have met
    test = Split(*(part[:HELD_OUT] for part in images(40)))
    data = Dataset("toy", images(40), test, 3, 255.0)
    model = eq.layered((16, 6, 3), jax.random.key(0), eq.Tanh())
    augment = random_shift(1)
    return eq.Training(model, FeedForward(), data, STEADY, 3, 8, augment, validation=HELD_OUT)


def run(folder, devices=ONE, resume=False, until=None):
    """The run, or its first epochs."""
    return eq.fit(
        training(), folder, resume, [Cut(until)], devices=devices, audit=False, progress=False
    )


def fails(error, action):
    """What an action says that must raise."""
    try:
        action()
    except error as caught:
        return str(caught)
    raise AssertionError(f"expected {error.__name__}")


def divide(process):
    if process == 1:
        raise ZeroDivisionError("one")


def main(folder, coordinator, processes, process):
    folder, processes, process = Path(folder), int(processes), int(process)
    Hosts(coordinator, processes, process).join()
    devices = over()
    fails(Killed, lambda: run(folder, devices, until=1))
    result = run(folder, devices, resume=True).result
    said = {
        "folder": fails(RunError, lambda: run(folder, devices)),
        "devices": fails(ValueError, lambda: over(1)),
        "training": fails(ValueError, lambda: require_agreement("training", {"seed": process})),
        "all": fails(Exception, lambda: in_all(lambda: divide(process))),
    }
    first = from_first(lambda: process)
    print(json.dumps({"result": result, "said": said, "from": first, "first": is_first()}))


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
