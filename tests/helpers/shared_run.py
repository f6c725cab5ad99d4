"""A small run that any number of devices and processes can share: also a program, one process of several.

python shared_run.py FOLDER COORDINATOR PROCESSES PROCESS
"""

import json
import sys
from functools import cache
from pathlib import Path

import jax
import numpy as np
import pytest

from eqprop.training import recipe_fit as fit_module
from eqprop.training.assemble import make_optimiser
from eqprop.training.chain_recipes import DenseRecipe
from eqprop.training.data.datasets import Dataset
from eqprop.training.data.sources import Split
from eqprop.training.devices import ONE, over
from eqprop.training.files import RunError
from eqprop.training.hosts import Hosts, from_first, in_all, is_first, require_agreement
from eqprop.training.recipe_fit import fit
from eqprop.training.task import prepare

RECIPE = DenseRecipe(
    hidden=(6,), epochs=4, batch_size=8, validation=13, shift=1, tolerance=0.0, max_steps=9
)


class Killed(Exception):
    pass


def data(examples=40, size=4, classes=3):
    """Random images and labels."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (examples, size, size, 1), np.uint8)
    split = Split(x, rng.integers(0, classes, examples).astype(np.int32))
    return Dataset("toy", split, split, classes, 255.0)


@cache
def optimiser(recipe, steps):
    return make_optimiser(recipe, recipe.build(prepare(recipe, data()).data), steps)


def run(folder, devices=ONE, resume=False, until=None):
    """The run, or its first epochs; without an audit, and compiled once for each number of devices."""

    def observe(row):
        if row["epoch"] == until:
            raise Killed

    with pytest.MonkeyPatch.context() as patch, jax.numpy_dtype_promotion("standard"):
        patch.setattr(fit_module, "audit_recipe", lambda task, model: [])
        patch.setattr(fit_module, "make_optimiser", lambda r, _, steps: optimiser(r, steps))
        return fit("toy", RECIPE, folder, data(), resume, observe_epoch=observe, devices=devices)


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
    result = run(folder, devices, resume=True)
    said = {
        "folder": fails(RunError, lambda: run(folder, devices)),
        "devices": fails(ValueError, lambda: over(1)),
        "recipe": fails(ValueError, lambda: require_agreement("recipe", {"seed": process})),
        "all": fails(Exception, lambda: in_all(lambda: divide(process))),
    }
    first = from_first(lambda: process)
    print(json.dumps({"result": result, "said": said, "from": first, "first": is_first()}))


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(*sys.argv[1:])
