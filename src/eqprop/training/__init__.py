"""Data, epochs, run folders, figures of a run."""

from eqprop.training.callbacks import Callback, EarlyStopping, TensorBoard, Wandb
from eqprop.training.data.datasets import Dataset
from eqprop.training.data.named import (
    CIFAR_10,
    CIFAR_100,
    DIGITS,
    FASHION_MNIST,
    MNIST,
    MNIST_100,
    MNIST_1000,
)
from eqprop.training.data.own import read_dataset, save_dataset
from eqprop.training.data.sources import Split
from eqprop.training.optimisers import (
    Adam,
    AtLeast,
    Constant,
    Cosine,
    Optimiser,
    Sgd,
    SgdMomentum,
    Writing,
)
from eqprop.training.training import Preprocessing

__all__ = [
    "CIFAR_10",
    "CIFAR_100",
    "DIGITS",
    "FASHION_MNIST",
    "MNIST",
    "MNIST_100",
    "MNIST_1000",
    "Adam",
    "AtLeast",
    "Callback",
    "Constant",
    "Cosine",
    "Dataset",
    "EarlyStopping",
    "Optimiser",
    "Preprocessing",
    "Sgd",
    "SgdMomentum",
    "Split",
    "TensorBoard",
    "Wandb",
    "Writing",
    "read_dataset",
    "save_dataset",
]
