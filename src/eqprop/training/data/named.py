"""The data sets that the package knows by name, with what a model asks of them before they are loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from eqprop.training.data.datasets import Dataset, load_dataset


@dataclass(frozen=True)
class Named:
    """A data set that is loaded when it is needed: ``load_dataset(name)``."""

    name: Any
    image_shape: tuple[int, int, int]
    classes: int = 10
    scale: float = 255.0

    @property
    def features(self) -> int:
        """Values in one image."""
        return math.prod(self.image_shape)

    def load(self, folder: Any = None) -> Dataset:
        """The arrays, from ``folder`` or where else `load_dataset` looks for them."""
        return load_dataset(self.name, folder)


DIGITS = Named("digits", (8, 8, 1), scale=16.0)
MNIST = Named("mnist", (28, 28, 1))
MNIST_100 = Named("mnist-100", (28, 28, 1))
MNIST_1000 = Named("mnist-1000", (28, 28, 1))
FASHION_MNIST = Named("fashion-mnist", (28, 28, 1))
CIFAR_10 = Named("cifar-10", (32, 32, 3))
CIFAR_100 = Named("cifar-100", (32, 32, 3), 100)

NAMED: dict[str, Named] = {
    data.name: data
    for data in (DIGITS, MNIST, MNIST_100, MNIST_1000, FASHION_MNIST, CIFAR_10, CIFAR_100)
}
