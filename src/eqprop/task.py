"""A recipe with its data on the device."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax.numpy as jnp

from eqprop import data as data_sets
from eqprop.data import Dataset, Split
from eqprop.devices import ONE, Devices
from eqprop.recipes import Recipe
from eqprop.train import Images

Source = Path | Dataset | None


@dataclasses.dataclass(frozen=True)
class Task:
    """A recipe with its data on the devices."""

    recipe: Recipe
    data: Dataset
    train: Images
    validation: Images
    test: Images
    devices: Devices = ONE


def prepare(recipe: Recipe, source: Source = None, devices: Devices = ONE) -> Task:
    """Check the recipe; load, check and split the data."""
    recipe.check()
    devices.check_batch(recipe.batch_size)
    data = source if isinstance(source, Dataset) else data_sets.load(recipe.data, source)
    data_sets.check_both(data)
    data = recipe.framed(data)
    train, validation = data_sets.split_validation(data.train, recipe.validation, seed=0)
    count = recipe.examples or len(train.y)
    train = Split(train.x[:count], train.y[:count])

    def on_device(split: Split) -> Images:
        x, y = (jnp.asarray(a) for a in devices.place((split.x, split.y)))
        return Images(x, y, data.scale, data.classes, *recipe.normalisation, devices)

    held_out, test = on_device(validation), on_device(data.test)
    return Task(recipe, data, on_device(train), held_out, test, devices)
