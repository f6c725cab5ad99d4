"""A data set of one's own in one file, from which commands that look at a run take it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from eqprop._arguments import checked
from eqprop.training.data.datasets import Dataset, check_both
from eqprop.training.data.formats import fail
from eqprop.training.data.sources import Split
from eqprop.training.files import AnyPath, written_whole

SUFFIX = ".npz"

SAVE_AGAIN = "Save it anew: eqprop.training.save_dataset(data, path)."


@checked
def save_dataset(data: Dataset, path: AnyPath) -> Path:
    """Keep a data set in one ``.npz`` file, whole or not at all, for `read_dataset` and for the option
    ``--data-dir`` of ``eqprop report`` and ``eqprop plot``.

    Raises ``ValueError`` for another suffix, `DataError` for data that are not fit for training, and
    ``OSError`` where the file cannot be written.

    Examples:
        >>> import numpy as np, tempfile
        >>> from eqprop.training import Dataset, Split, read_dataset, save_dataset
        >>> half = Split(np.eye(2), np.array([0, 1]))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = save_dataset(Dataset("corners", half, half, classes=2), f"{folder}/corners.npz")
        ...     read_dataset(path).train.x.tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise ValueError(f"path: expected a name ending in {SUFFIX}, got {path}.")
    check_both(data)
    with written_whole(path) as part, part.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **_arrays(data))
    return path


@checked
def read_dataset(path: AnyPath) -> Dataset:
    """What `save_dataset` kept. Raises ``FileNotFoundError``, and `DataError` where the file is damaged or
    holds something else."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a data set in a file, got nothing there.")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            found = {name: kept[name] for name in kept.files}
    except Exception as error:  # zipfile and numpy document no closed list for damaged input
        fail(path, "a complete .npz file", f"'{error}'", SAVE_AGAIN, error)
    return _dataset(found, path)


def _arrays(data: Dataset) -> dict[str, np.ndarray]:
    about = {name: np.asarray(getattr(data, name)) for name in ("name", "classes", "scale")}
    splits = {"train": data.train, "test": data.test}
    return about | {
        f"{name}_{part}": array
        for name, split in splits.items()
        for part, array in split._asdict().items()
    }


def _dataset(found: dict[str, np.ndarray], path: Path) -> Dataset:
    wanted = ("name", "classes", "scale", "train_x", "train_y", "test_x", "test_y")
    if lacking := [name for name in wanted if name not in found]:
        fail(path, f"arrays {', '.join(wanted)}", f"no {', '.join(lacking)}", SAVE_AGAIN)
    name, classes, scale = (found[key] for key in wanted[:3])
    if (
        name.dtype.kind != "U"
        or classes.dtype.kind not in "iu"
        or any(a.ndim for a in (name, classes, scale))
    ):
        got = ", ".join(f"{a.dtype} of shape {a.shape}" for a in (name, classes, scale))
        fail(
            path, "a text, a whole number and a number as name, classes and scale", got, SAVE_AGAIN
        )
    train, test = (Split(found[f"{half}_x"], found[f"{half}_y"]) for half in ("train", "test"))
    data = Dataset(name.item(), train, test, classes.item(), scale.item())
    check_both(data)
    return data
