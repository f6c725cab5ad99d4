"""Where the published data sets lie, and their checksums."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eqprop.training.data.fetch import cache_dir, download, locate
from eqprop.training.data.formats import (
    DataError,
    check_md5,
    gunzip,
    read_bounded,
    read_cifar,
    read_idx,
    read_npz,
    read_pickled,
    read_tar,
    store_npz,
    warn,
)

IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

IDX_BYTES, CIFAR_BYTES = 48_000_000, 190_000_000
"""More than the largest file, and than an unpacked archive, of those that are published."""


class Split(NamedTuple):
    """Images `x`, uint8 `(N, H, W, C)`, channel last; labels `y`, int32 `(N,)`."""

    x: np.ndarray
    y: np.ndarray


class IdxSums(NamedTuple):
    """The md5 of an IDX file: gzipped as published, and unpacked."""

    gz: str
    plain: str


@dataclass(frozen=True)
class IdxSource:
    """A data set of the four files `IDX_NAMES`, with their checksums in that order; `other` is the folder
    in which torchvision has them."""

    name: str
    url: str
    sums: tuple[IdxSums, IdxSums, IdxSums, IdxSums]
    other: str

    def read(self, root: Path | None) -> tuple[Split, Split]:
        """(train, test) from the files under `root`, or from downloaded ones if it is None."""
        files = zip(IDX_NAMES, self.sums, strict=True)
        train_x, train_y, test_x, test_y = (self._read_file(root, *file) for file in files)
        train = Split(train_x[..., None], train_y.astype(np.int32))
        return train, Split(test_x[..., None], test_y.astype(np.int32))

    def find(self, root: Path) -> Path:
        """The first of the files under `root`. Raises `FileNotFoundError` unless all are there."""
        first, *_ = (self._path(root, *file) for file in zip(IDX_NAMES, self.sums, strict=True))
        return first

    def _read_file(self, root: Path | None, name: str, sums: IdxSums) -> np.ndarray:
        path = self._path(root, name, sums)
        content = read_bounded(path, IDX_BYTES)
        plain = gunzip(content, path, IDX_BYTES) if path.suffix == ".gz" else content
        array = read_idx(plain, path)
        check_md5(plain, sums.plain, path)
        return array

    def _path(self, root: Path | None, name: str, sums: IdxSums) -> Path:
        if root is None:
            url = f"{self.url}{name}.gz"
            return download(url, sums.gz, _cached(self.name), IDX_BYTES)
        dotted = name.replace("-idx", ".idx")
        choices = (f"{name}.gz", name, f"{dotted}.gz", dotted)
        return locate(self.name, (root / self.name, root, root / self.other, root / "raw"), choices)


@dataclass(frozen=True)
class Layout:
    """The files of CIFAR-10 in one of the two forms in which it is published, with their checksums, the
    last one for testing; the archives that hold them in a `folder`; and how one is read."""

    folder: str
    archives: tuple[str, ...]
    md5s: Mapping[str, str]
    read: Callable[[bytes, Path], tuple[np.ndarray, np.ndarray]]

    def verified(self, blobs: dict[str, bytes], where: Path) -> dict[str, bytes]:
        """The same files, whose checksums are right."""
        for name, md5 in self.md5s.items():
            check_md5(blobs.get(name, b""), md5, where / name)
        return blobs


@dataclass(frozen=True)
class CifarSource:
    """CIFAR-10; the archive of the first layout is the one at the `url`."""

    name: str
    url: str
    archive_md5: str
    layouts: tuple[Layout, ...]

    def read(self, root: Path | None) -> tuple[Split, Split]:
        """(train, test) from the files under `root`, or from a downloaded archive if None."""
        layout, place = self._local(root) if root else (self.layouts[0], None)
        blobs = self._blobs(layout, place)
        where = place or Path(self.name)
        batches = [layout.read(blobs[name], where / name) for name in layout.md5s]
        images, labels = (np.concatenate(parts) for parts in zip(*batches[:-1], strict=True))
        test_images, test_labels = batches[-1]
        train = Split(images, labels.astype(np.int32))
        return train, Split(test_images, test_labels.astype(np.int32))

    def find(self, root: Path) -> Path:
        """The archive or the folder of its files under `root`. Raises `FileNotFoundError`."""
        return self._local(root)[1]

    def _local(self, root: Path) -> tuple[Layout, Path]:
        """The archive, or the folder of unpacked files, and their layout."""
        found: dict[str, Layout] = {}
        for layout in self.layouts:
            last = list(layout.md5s)[-1]
            for name in (f"{layout.folder}/{last}", last, *layout.archives):
                found[name] = layout
        path = locate(self.name, (root / self.name, root), list(found))
        layout = next(each for name, each in found.items() if path.name == Path(name).name)
        return layout, path if path.name in layout.archives else path.parent

    def _blobs(self, layout: Layout, local: Path | None) -> dict[str, bytes]:
        if local is not None and local.is_dir():
            return layout.verified(self._unpacked(layout, local), local)
        cache = _cached(f"{self.name}-{_key(layout)}.npz")
        cached = _intact(layout, cache)
        if cached is not None:
            return cached
        archive = local or download(self.url, self.archive_md5, _cached(self.name), CIFAR_BYTES)
        members = read_tar(archive, [f"{layout.folder}/{n}" for n in layout.md5s], CIFAR_BYTES)
        blobs = {path.rpartition("/")[2]: blob for path, blob in members.items()}
        layout.verified(blobs, archive)
        if cache is not None:
            store_npz(cache, blobs)
        return blobs

    def _unpacked(self, layout: Layout, folder: Path) -> dict[str, bytes]:
        paths = {name: locate(self.name, (folder,), (name,)) for name in layout.md5s}
        return {name: read_bounded(path, CIFAR_BYTES) for name, path in paths.items()}


def _cached(name: str) -> Path | None:
    home = cache_dir()
    return home and home / name


def _key(layout: Layout) -> str:
    return hashlib.md5("".join(layout.md5s.values()).encode(), usedforsecurity=False).hexdigest()


def _intact(layout: Layout, cache: Path | None) -> dict[str, bytes] | None:
    if cache is None or not cache.is_file():
        return None
    try:
        return layout.verified(read_npz(cache, CIFAR_BYTES), cache)
    except DataError:
        warn(f"{cache}: expected an intact unpacked copy, got a damaged one. Rebuilding it.")
        return None


@dataclass(frozen=True)
class ArchiveSource:
    """CIFAR-100 in binary form: an archive of two files, with one checksum for both."""

    name: str
    url: str
    md5: str
    train: str
    test: str
    label_bytes: int

    def read(self, root: Path | None) -> tuple[Split, Split]:
        """(train, test), fine labels, from the archive under `root`, or from a downloaded one if None."""
        archive = self._archive(root)
        check_md5(read_bounded(archive, CIFAR_BYTES), self.md5, archive)
        members = read_tar(archive, (self.train, self.test), CIFAR_BYTES)
        train, test = (self._split(members[name], name) for name in (self.train, self.test))
        return train, test

    def find(self, root: Path) -> Path:
        """The archive under `root`. Raises `FileNotFoundError`."""
        return self._archive(root)

    def _archive(self, root: Path | None) -> Path:
        if root is None:
            return download(self.url, self.md5, _cached(self.name), CIFAR_BYTES)
        return locate(self.name, (root / self.name, root), (self.url.rpartition("/")[2],))

    def _split(self, content: bytes, name: str) -> Split:
        images, labels = read_cifar(content, name, self.label_bytes)
        return Split(images, labels.astype(np.int32))


MNIST = IdxSource(
    "mnist",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    (
        IdxSums("f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
        IdxSums("d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
        IdxSums("9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
        IdxSums("ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
    ),
    "MNIST/raw",
)

FASHION_MNIST = IdxSource(
    "fashion-mnist",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    (
        IdxSums("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
        IdxSums("25c81989df183df01b3e8a0aad5dffbe", "9018921c3c673c538a1fc5bad174d6f9"),
        IdxSums("bef4ecab320f06d8554ea6380940ec79", "8181f5470baa50b63fa0f6fddb340f0a"),
        IdxSums("bb300cfdad3c16e7a12a480ee83cd310", "15d484375f8d13e6eb1aabb0c3f46965"),
    ),
    "FashionMNIST/raw",
)

BINARY = Layout(
    "cifar-10-batches-bin",
    ("cifar-10-binary.tar.gz", "cifar-10-binary.tar.xz", "cifar-10-binary.tar"),
    {
        "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
        "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
        "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
        "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
        "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
        "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
    },
    read_cifar,
)

PYTHON = Layout(
    "cifar-10-batches-py",
    ("cifar-10-python.tar.gz", "cifar-10-python.tar"),
    {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    },
    read_pickled,
)

CIFAR_10 = CifarSource(
    "cifar-10",
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    archive_md5="c32a1d4ab5d03f1284b67883e8d87530",
    layouts=(BINARY, PYTHON),
)

CIFAR_100 = ArchiveSource(
    "cifar-100",
    "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    md5="03b5dce01913d631647c71ecec9e9cb8",
    train="cifar-100-binary/train.bin",
    test="cifar-100-binary/test.bin",
    label_bytes=2,
)
