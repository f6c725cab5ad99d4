"""The data sets that the package knows by name, with what a model asks of them before they are loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from eqprop.training.data.datasets import Dataset, load_dataset


@dataclass(frozen=True)
class Named:
    """A data set that is loaded when it is needed: ``load_dataset(name)``.

    Examples:
        >>> from eqprop.training import CIFAR_10, CIFAR_100, FASHION_MNIST, MNIST, MNIST_100, MNIST_1000
        >>> small = [MNIST, MNIST_100, MNIST_1000, FASHION_MNIST]  # nothing is loaded yet
        >>> [(data.name, data.features) for data in small]
        [('mnist', 784), ('mnist-100', 784), ('mnist-1000', 784), ('fashion-mnist', 784)]
        >>> [(data.features, data.classes) for data in (CIFAR_10, CIFAR_100)]  # 32 by 32 by 3
        [(3072, 10), (3072, 100)]
    """

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
"""1,797 handwritten digits of 8 by 8 pixels, which come with the package."""

MNIST = Named("mnist", (28, 28, 1))
"""60,000 handwritten digits of 28 by 28 pixels to train on, and 10,000 to test on."""

MNIST_100 = Named("mnist-100", (28, 28, 1))
"""MNIST/100: the first 100 training images and the first 10 test images of every digit."""

MNIST_1000 = Named("mnist-1000", (28, 28, 1))
"""The training images of MNIST/100, and all 10,000 test images."""

FASHION_MNIST = Named("fashion-mnist", (28, 28, 1))
"""Photographs of ten kinds of clothes, as many as of MNIST and of the same size."""

CIFAR_10 = Named("cifar-10", (32, 32, 3))
"""50,000 colour photographs of ten kinds of things to train on, and 10,000 to test on."""

CIFAR_100 = Named("cifar-100", (32, 32, 3), 100)
"""As many colour photographs of a hundred kinds of things."""

NAMED: dict[str, Named] = {
    data.name: data
    for data in (DIGITS, MNIST, MNIST_100, MNIST_1000, FASHION_MNIST, CIFAR_10, CIFAR_100)
}
