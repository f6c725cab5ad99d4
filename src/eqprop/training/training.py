"""What is trained, by what, and on what: all that a run needs, as objects of the library."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from eqprop._arguments import Bound, Checked, Count, Whole
from eqprop.energies.model import Model
from eqprop.energies.resistive import ResistiveNetwork
from eqprop.estimators.estimator import Estimator
from eqprop.training import structure
from eqprop.training.data import datasets
from eqprop.training.data.augment import Augment
from eqprop.training.data.datasets import Dataset, frame
from eqprop.training.data.named import Named
from eqprop.training.data.sources import Split
from eqprop.training.data.validation import split_validation
from eqprop.training.devices import ONE, Devices
from eqprop.training.epoch import Examples
from eqprop.training.files import AnyPath
from eqprop.training.optimisers import AtLeast, Optimiser
from eqprop.training.runs import INITIAL

ADAM = Optimiser()


class Preprocessing(Checked):
    """What becomes of an example on its way into a model: ``(x / scale - mean) / std``, numbers for each
    channel or one for all; images in a black frame, as narrow as makes ``multiple`` divide their sides."""

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    multiple: Count = 1

    def __check_init__(self) -> None:
        if not all(deviation > 0 for deviation in self.std):
            raise ValueError(f"std: expected numbers > 0, one a channel, got {self.std}.")

    def framed(self, data: Dataset) -> Dataset:
        """The data in the shape that the model takes. Raises ``ValueError`` for other channels."""
        channels = data.train.x.shape[-1]
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (1, channels):
                raise ValueError(
                    f"{name}: expected {channels} numbers, one a channel of {data.name}, got "
                    f"{getattr(self, name)}."
                )
        return frame(data, self.multiple) if self.multiple > 1 else data


class Training(Checked):
    """A model at initialisation, what learns it, its data, and how long.

    Args:
        model: what learns.
        estimator: where gradients come from, and what evaluates the model.
        data: a `Dataset`, or one that is loaded by name (`eqprop.training.data.named`).
        optimiser: an `Optimiser`, or any of Optax.
        epochs: passes over the training data.
        batch_size: examples a step.
        augment: what becomes of a batch of images before the model sees them.
        preprocessing: what becomes of every example.
        validation: training examples held out for choosing the best epoch.
        examples: train on the first so many alone; 0 is all that are not held out.
        test_last: test the last epoch and not the best.
        test_seeds: how often the test is taken, each time with other noise.
        seed: of shuffling, augmentation and noise.
    """

    model: Model
    estimator: Estimator
    data: Dataset | Named
    optimiser: Optimiser | optax.GradientTransformation = ADAM
    epochs: Count = 30
    batch_size: Count = 64
    augment: Augment | None = None
    preprocessing: Preprocessing = Preprocessing()
    validation: Count = 5000
    examples: Whole = 0
    test_last: bool = False
    test_seeds: Count = 1
    seed: Annotated[Whole, Bound("<", 2**32)] = 0

    @property
    def fixed_steps(self) -> bool:
        """Whether free phases take a number of steps, and are not asked to settle."""
        estimator, _ = self.estimator.inside(self.model)
        solver = getattr(estimator, "solver", None)
        return getattr(getattr(solver, "solver", solver), "tolerance", None) is None

    def by(self, other: Callable[[Estimator], Estimator]) -> Training:
        """The same by what ``other`` makes of the estimator, as the functions of
        `eqprop.training.rivals` do."""
        return dataclasses.replace(self, estimator=self.estimator.by(other))

    def config(self) -> dict[str, Any]:
        """What a run folder keeps: enough to make the model again, and to tell another run from this."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        told = {name: structure.tell(value) for name, value in fields.items() if name != "data"}
        told |= {"model": structure.tell(self.model, values=False), "data": about(self.data)}
        return told | {INITIAL: norms_of(self.model)}

    def transform(self, steps: int) -> optax.GradientTransformation:
        """The optimiser of a run of so many steps. Warns where it may make conductances negative."""
        kept = isinstance(getattr(self.optimiser, "writing", None), AtLeast)
        if isinstance(self.model.energy, ResistiveNetwork) and not kept:
            warnings.warn(
                "optimiser: expected one that keeps conductances from below 0, got none: give "
                "Optimiser(writing=AtLeast(0.0)).",
                stacklevel=2,
            )
        if isinstance(self.optimiser, Optimiser):
            return self.optimiser.transform(self.model, steps, self.epochs)
        return self.optimiser


def norms_of(model: Model) -> list[str]:
    """The norm of each parameter, to as many digits as machines agree on: from where training began."""
    leaves = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
    return [f"{np.linalg.norm(np.asarray(leaf, np.float64)):.4g}" for leaf in leaves]


def about(data: Dataset | Named) -> dict[str, Any]:
    """What tells a data set from others: of one's own the digest of its arrays, too."""
    own = {"sha256": digest_of(data)} if isinstance(data, Dataset) else {}
    return {"name": data.name, "classes": data.classes, "scale": data.scale, **own}


def digest_of(data: Dataset) -> str:
    """Of the arrays of a data set of one's own; what has a name is checked when it is read."""
    datasets.require_splits(data)
    total = hashlib.sha256()
    for part in (*data.train, *data.test):
        total.update(f"{part.shape} {part.dtype}".encode() + np.ascontiguousarray(part).tobytes())
    return total.hexdigest()


class Prepared(NamedTuple):
    """The data of a training, divided, on the devices."""

    data: Dataset
    train: Examples
    validation: Examples
    test: Examples
    devices: Devices = ONE


def prepare(training: Training, folder: AnyPath | None = None, devices: Devices = ONE) -> Prepared:
    """Load, check and divide the data. Raises `DataError`, and ``ValueError`` where devices do not divide a
    batch or preprocessing does not fit."""
    devices.check_batch(training.batch_size)
    data = training.data if isinstance(training.data, Dataset) else training.data.load(folder)
    datasets.check_both(data)
    processing = training.preprocessing
    data = processing.framed(data)
    train, held_out = split_validation(data.train, training.validation, seed=0)
    count = training.examples or len(train.y)

    def placed(split: Split) -> Examples:
        x, y = (jnp.asarray(a) for a in devices.place((split.x, split.y)))
        return Examples(x, y, data.scale, data.classes, processing.mean, processing.std, devices)

    first = Split(train.x[:count], train.y[:count])
    return Prepared(data, placed(first), placed(held_out), placed(data.test), devices)


def batch_of(images: Examples, model: Model, count: int) -> tuple[Array, Array]:
    """The first ``count`` examples, as the model sees them."""
    x, y = images.devices.fetch((images.x[:count], images.y[:count]))
    return images.batch(x, y, model.energy.input_shape)
