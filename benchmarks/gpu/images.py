"""The images: from parts of an archive, or from a folder; all of them, or the first few."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.gpu.archives import has_parts, join
from eqprop.training.data.datasets import Dataset, load_dataset
from eqprop.training.data.formats import DATA_VARIABLE
from eqprop.training.data.sources import CIFAR_100, Split


def images(name: str, parts: Path | None, data_dir: Path | None, out: Path, few: int) -> Dataset:
    """CIFAR-10 or CIFAR-100, of whose training images ``few`` are to be learnt and as many held out, if it
    is not 0, and as many tested.

    Raises `DataError` for parts that are missing or damaged, and as `load_dataset`.
    """
    folder = data_dir
    if parts is not None and (name == "cifar-10" or has_parts(name, parts)):
        folder = join(name, parts, out / "data").parent
    data = load_dataset(name, folder)
    if not few:
        return data
    train, test = (
        Split(split.x[:count], split.y[:count])
        for split, count in ((data.train, 2 * few), (data.test, few))
    )
    return data._replace(train=train, test=test)


def hundred_at_hand(parts: Path | None, data_dir: Path | None) -> bool:
    """Whether CIFAR-100 need not be downloaded."""
    if parts is not None and has_parts("cifar-100", parts):
        return True
    root = data_dir or os.environ.get(DATA_VARIABLE)
    try:
        return root is not None and CIFAR_100.find(Path(root)).exists()
    except FileNotFoundError:
        return False
