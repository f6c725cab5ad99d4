"""Image classification data sets as numpy arrays: digits, MNIST, Fashion-MNIST, CIFAR."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from importlib import resources
from numbers import Integral, Real
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eqprop._names import meant
from eqprop.training.data.formats import DATA_VARIABLE, DataError, fail, read_idx, warn
from eqprop.training.data.sources import CIFAR_10, CIFAR_100, FASHION_MNIST, MNIST, Split

__all__ = [
    "NAMES",
    "DataError",
    "Dataset",
    "Split",
    "check",
    "check_both",
    "first_of_each",
    "frame",
    "load_dataset",
    "read_idx",
]

DIGITS_TRAIN = 1437

SAMPLED, APART = 1000, 5.0
"""Of so many examples of both splits the values may spread so differently before it is warned of."""

_FIX_ARRAYS = "Correct the arrays before training on them."


class Dataset(NamedTuple):
    """Images (N, H, W, C), feature vectors (N, features) or sequences (N, steps, features), of which
    ``x / scale`` enters a model; labels in ``[0, classes)``, or, with ``classes`` of 0, targets of a
    regression: floating-point numbers (N, ...).

    Examples:
        >>> import numpy as np
        >>> from eqprop.training import Dataset, Split
        >>> x, y = np.zeros((6, 4)), np.array([0, 1, 0, 1, 0, 1])
        >>> Dataset("small", Split(x, y), Split(x, y), classes=2).name
        'small'
    """

    name: str
    train: Split
    test: Split
    classes: int
    scale: float = 1.0

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(H, W, C)` of one image."""
        if self.train.x.ndim != 4:
            shape = self.train.x.shape
            fail(
                "images", "shape (N, H, W, C)", f"{shape}", "Take examples of another kind as such."
            )
        height, width, channels = self.train.x.shape[1:]
        return height, width, channels

    @property
    def features(self) -> int:
        """Values in one example, of an image `H * W * C`."""
        return math.prod(self.train.x.shape[1:])


def load_dataset(name: str, data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Load one of `NAMES`.

    `digits` comes with the package.  The files of the others are taken from `data_dir`, else
    from the folder in the environment variable EQPROP_DATA, else downloaded once to the user's
    cache.  Either folder may hold the files themselves or a subfolder called `name` that does.

    Raises `ValueError` for an unknown name, `FileNotFoundError` where files are missing or
    cannot be downloaded, and `DataError` where their content is not the published one.
    """
    if name not in _ENTRIES:
        raise ValueError(_unknown(name))
    entry, root = _ENTRIES[name], _root(data_dir)
    if entry.read is _read_digits and data_dir and root is not None and not root.exists():
        raise FileNotFoundError(
            f"data_dir: expected a folder, got {root} (absent); digits come with the package: leave it out."
        )
    train, test = entry.read(root)
    data = Dataset(name, train, test, entry.classes, entry.scale)
    check_both(data)
    return data


def check_both(data: Dataset) -> None:
    """Raise `DataError` unless both splits are fit for training and of one image shape."""
    if not (isinstance(data.classes, Integral) and data.classes >= 0):
        wanted = "a whole number > 0, or 0 for a regression"
        fail("classes", wanted, f"{data.classes!r}", "Count the classes.")
    require_splits(data)
    check(data.train, data.classes)
    check(data.test, data.classes)
    if data.train.x.shape[1:] != data.test.x.shape[1:]:
        wanted, got = data.train.x.shape[1:], data.test.x.shape[1:]
        fail("test images", f"the training images' shape {wanted}", f"{got}", _FIX_ARRAYS)
    if not (isinstance(data.scale, Real) and 2.0**-126 <= float(data.scale) < 2.0**128):
        largest = "a number > 0, the largest value of an image"
        fail("scale", largest, f"{data.scale!r}", _FIX_ARRAYS)
    spreads = [
        float(np.std(split.x[:SAMPLED], dtype=np.float64)) for split in (data.train, data.test)
    ]
    if max(spreads) > APART * min(spreads) > 0:
        warn(
            f"test examples: expected values as in the training examples, got a standard deviation of "
            f"{spreads[1]:.3g} beside {spreads[0]:.3g}. Put both in the same units."
        )
    if not (isinstance(data.name, str) and data.name):
        fail("name", "a text", f"{data.name!r}", "Give the Dataset a name.")
    low, high = (float(end) / data.scale for end in (data.train.x.min(), data.train.x.max()))
    if data.train.x.ndim == 4 and (low < 0 or high > 1):
        warn(
            f"images: expected x / scale in [0, 1], got {low:.3g} to {high:.3g}. Where that is not meant, "
            "give the Dataset the largest value of an image as its scale."
        )


def require_splits(data: Dataset) -> None:
    """Raise `DataError` unless both splits are examples and what belongs to them, as arrays."""
    for name, split in (("train", data.train), ("test", data.test)):
        if not isinstance(split, Split):
            fail(
                name,
                "a Split of examples and labels",
                type(split).__name__,
                "Make it: Split(x, y).",
            )
        _require_arrays(split)


def _require_arrays(split: Split) -> None:
    for what, array in (("images", split.x), ("labels", split.y)):
        if not isinstance(array, np.ndarray):
            fail(what, "a NumPy array", type(array).__name__, "Convert them with numpy.asarray.")


def check(split: Split, classes: int) -> None:
    """Raise `DataError` unless `split` is fit for training.

    `x` must be non-empty `(N, ...)`, images `(N, H, W, C)`, uint8 or floating point of at most 64 bits,
    finite in 32; `y` must hold integers of `[0, classes)`, of shape `(N,)`, or, with `classes` of 0, finite
    floating-point targets `(N, ...)`. Both in the byte order of the machine, without a mask.
    """
    _require_arrays(split)
    for what, array in (("images", split.x), ("labels", split.y)):
        if isinstance(array, np.ma.MaskedArray):
            fail(what, "an array without a mask", "a masked one", "Fill it with numpy.ma.filled.")
        if not array.dtype.isnative:
            native = array.dtype.newbyteorder("=")
            order = f"dtype {native} in the byte order of this machine"
            fail(what, order, f"{array.dtype.str}", f"Convert them by astype('{native}').")
    _check_numbers("images", split.x)
    if classes:
        _check_labels(split.y, len(split.x), classes)
    else:
        _check_targets(split.y, len(split.x))


def _check_targets(y: np.ndarray, n: int) -> None:
    if len(y) != n:
        fail("targets", f"shape ({n}, ...), one for each example", f"{y.shape}", _FIX_ARRAYS)
    if not np.issubdtype(y.dtype, np.floating):
        fail("targets", "a floating-point dtype", f"{y.dtype}", "Labels need a number of classes.")
    _check_numbers("targets", y, 1)


def _check_numbers(what: str, x: np.ndarray, least: int = 2) -> None:
    if x.ndim < least or x.size == 0:
        shape = "(N, H, W, C), or (N, features)" if least == 2 else "(N, ...)"
        fail(what, f"non-empty shape {shape}", f"{x.shape}", _FIX_ARRAYS)
    if x.dtype not in (np.uint8, np.float16, np.float32, np.float64):
        fail(what, "dtype uint8 or floating point of 16 to 64 bits", f"{x.dtype}", _FIX_ARRAYS)
    if x.dtype == np.uint8:
        return
    with np.errstate(over="ignore"):
        bad = x.size - np.count_nonzero(np.isfinite(x.astype(np.float32, copy=False)))
    if bad:
        fail(what, "finite values", f"{bad} that are not, in float32", _FIX_ARRAYS)


def _check_labels(y: np.ndarray, n: int, classes: int) -> None:
    if y.shape != (n,):
        fail("labels", f"shape ({n},), one for each image", f"{y.shape}", _FIX_ARRAYS)
    if not np.issubdtype(y.dtype, np.integer):
        fail("labels", "an integer dtype", f"{y.dtype}", _FIX_ARRAYS)
    if y.min() < 0 or y.max() >= classes:
        fail("labels", f"values in [0, {classes})", f"{y.min()} to {y.max()}", _FIX_ARRAYS)


def _unknown(name: str) -> str:
    return f"data set: expected one of {', '.join(NAMES)}, got {name!r}.{meant(name, NAMES)}"


def _root(data_dir: str | os.PathLike[str] | None) -> Path | None:
    chosen = data_dir or os.environ.get(DATA_VARIABLE)
    return Path(os.path.expanduser(chosen)) if chosen else None


def _read_digits(_: Path | None) -> tuple[Split, Split]:
    """Split by the stored `order`, in which every class has its share of both parts."""
    asset = resources.files("eqprop.training.data") / "assets" / "digits.npz"
    with asset.open("rb") as file, np.load(file) as arrays:
        order = arrays["order"]
        x = arrays["images"][order][..., None]
        y = arrays["labels"][order].astype(np.int32)
    n = DIGITS_TRAIN
    return Split(x[:n], y[:n]), Split(x[n:], y[n:])


def first_of_each(split: Split, count: int) -> Split:
    """The first ``count`` examples of every class, in the order of ``split``."""
    chosen = [np.flatnonzero(split.y == label)[:count] for label in np.unique(split.y)]
    at = np.sort(np.concatenate(chosen))
    return Split(split.x[at], split.y[at])


def frame(data: Dataset, multiple: int) -> Dataset:
    """The images in the middle of a black frame, as narrow as makes ``multiple`` divide their sides."""
    train, test = (Split(framed_images(s.x, multiple), s.y) for s in (data.train, data.test))
    return data if train.x is data.train.x else data._replace(train=train, test=test)


def framed_images(images: np.ndarray, multiple: int) -> np.ndarray:
    """The same of images (N, H, W, C)."""
    missing = [-side % multiple for side in images.shape[1:3]] if multiple > 1 else []
    if not any(missing):
        return images
    return np.pad(images, ((0, 0), *((n // 2, n - n // 2) for n in missing), (0, 0)))


def _read_small_mnist(root: Path | None) -> tuple[Split, Split]:
    """The first 100 training images of every class; all the test images."""
    train, test = MNIST.read(root)
    return first_of_each(train, 100), test


def _read_mnist_100(root: Path | None) -> tuple[Split, Split]:
    """The same, and the first 10 test images of every class: the subset known as MNIST/100."""
    train, test = _read_small_mnist(root)
    return train, first_of_each(test, 10)


class _Entry(NamedTuple):
    read: Callable[[Path | None], tuple[Split, Split]]
    classes: int = 10
    scale: float = 255.0


_ENTRIES = {
    "digits": _Entry(_read_digits, scale=16.0),
    "mnist": _Entry(MNIST.read),
    "mnist-100": _Entry(_read_mnist_100),
    "mnist-1000": _Entry(_read_small_mnist),
    "fashion-mnist": _Entry(FASHION_MNIST.read),
    "cifar-10": _Entry(CIFAR_10.read),
    "cifar-100": _Entry(CIFAR_100.read, classes=100),
}

NAMES = tuple(_ENTRIES)
