"""A recipe with its data on the device."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax.numpy as jnp

from eqprop.training.data import datasets as data_sets
from eqprop.training.data.datasets import Dataset
from eqprop.training.data.sources import Split
from eqprop.training.devices import ONE, Devices
from eqprop.training.epoch import Examples
from eqprop.training.files import AnyPath, RunError, read_json
from eqprop.training.recipe import Recipe
from eqprop.training.recipes import OWN_DATA, from_config

DataSource = AnyPath | Dataset | None


@dataclasses.dataclass(frozen=True)
class Task:
    """A recipe with its data on the devices."""

    recipe: Recipe
    data: Dataset
    train: Examples
    validation: Examples
    test: Examples
    devices: Devices = ONE


def recipe_of(folder: AnyPath, source: DataSource = None) -> Recipe:
    """The recipe of a run folder. Raises `RunError` where the run has a data set of its own, and ``source``
    is another."""
    path = Path(folder) / "config.json"
    config = read_json(path)
    own = config.get(OWN_DATA)
    if own is not None and not (isinstance(source, Dataset) and source.name == own):
        raise RunError(
            f"{folder}: expected the data set {own!r} on which it was trained, which is not one of the "
            f"package's, got {source.name if isinstance(source, Dataset) else 'none'}; pass it in Python, "
            "as to eqprop.training.recipe_fit.fit(..., data, resume=True) or "
            "eqprop.training.figures.run.draw_run(folder, data)."
        )
    return from_config(config, f"{path}:1")


def prepare_run(folder: AnyPath, source: DataSource = None) -> Task:
    """The task of a run folder."""
    return prepare(recipe_of(folder, source), source)


def prepare(recipe: Recipe, source: DataSource = None, devices: Devices = ONE) -> Task:
    """Check the recipe; load, check and split the data."""
    recipe.check()
    devices.check_batch(recipe.batch_size)
    data = source if isinstance(source, Dataset) else data_sets.load_dataset(recipe.data, source)
    data_sets.check_both(data)
    data = recipe.framed(data)
    train, validation = data_sets.split_validation(data.train, recipe.validation, seed=0)
    count = recipe.examples or len(train.y)
    train = Split(train.x[:count], train.y[:count])

    def on_device(split: Split) -> Examples:
        x, y = (jnp.asarray(a) for a in devices.place((split.x, split.y)))
        return Examples(x, y, data.scale, data.classes, *recipe.normalisation, devices)

    held_out, test = on_device(validation), on_device(data.test)
    return Task(recipe, data, on_device(train), held_out, test, devices)
