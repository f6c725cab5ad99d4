"""A data set of one's own in one file: what was kept is read, and what is damaged is said to be."""

import numpy as np
import pytest

from eqprop.training import Dataset, Split, read_dataset, save_dataset
from eqprop.training.data.formats import DataError
from eqprop.training.training import digest_of

RNG = np.random.default_rng(0)
SPLIT = Split(RNG.integers(0, 256, (6, 4, 4, 3), np.uint8), np.arange(6, dtype=np.int32) % 2)
LABELLED = Dataset("faces", SPLIT, Split(SPLIT.x[:2], SPLIT.y[:2]), 2, 255.0)
CURVE = Split(RNG.random((5, 3)), RNG.random((5, 2)).astype(np.float32))
REGRESSION = Dataset("curve", CURVE, CURVE, 0)
KEPT = {
    "name": "curve",
    "classes": 0,
    "scale": 1.0,
    **{
        f"{half}_{part}": array
        for half in ("train", "test")
        for part, array in CURVE._asdict().items()
    },
}


@pytest.mark.parametrize("data", [LABELLED, REGRESSION], ids=lambda data: data.name)
def test_what_was_kept_is_read(data, tmp_path):
    found = read_dataset(save_dataset(data, tmp_path / "new" / "own.npz"))
    assert found[:1] + found[3:] == data[:1] + data[3:]
    for there, here in zip((*found.train, *found.test), (*data.train, *data.test), strict=True):
        assert there.dtype == here.dtype
        np.testing.assert_array_equal(there, here)
    assert digest_of(found) == digest_of(data)


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"path: expected a name ending in \.npz, got .*own\.csv"):
        save_dataset(REGRESSION, tmp_path / "own.csv")
    assert not list(tmp_path.iterdir())


def test_data_that_are_not_fit_are_not_kept(tmp_path):
    with pytest.raises(DataError, match=r"labels: expected values in \[0, 1\)"):
        save_dataset(LABELLED._replace(classes=1), tmp_path / "own.npz")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a data set in a file, got nothing there"):
        read_dataset(tmp_path / "none.npz")


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_file_cut_short_is_refused(kept, tmp_path):
    path = save_dataset(LABELLED, tmp_path / "own.npz")
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError, match=r"expected a complete \.npz file.*Save it anew"):
        read_dataset(path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"train_y": None}, "no train_y"),
        ({"name": 3}, "a text, a whole number and a number"),
        ({"classes": 2.5}, "a text, a whole number and a number"),
        ({"scale": [1.0, 2.0]}, "a text, a whole number and a number"),
        ({"scale": "large"}, "scale: expected a number > 0"),
        ({"name": np.array({}, object)}, "a complete .npz file"),
        ({"test_x": np.ones((5, 4))}, "test images: expected the training images' shape"),
        ({"train_x": np.full((5, 3), np.nan)}, "images: expected finite values"),
    ],
    ids=str,
)
def test_a_file_of_something_else_is_refused(changes, says, tmp_path):
    arrays = {name: array for name, array in (KEPT | changes).items() if array is not None}
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(DataError) as caught:
        read_dataset(tmp_path / "own.npz")
    assert says in str(caught.value)
