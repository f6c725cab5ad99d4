"""Where the published data sets lie, and their checksums."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eqprop._formats import (
    DataError,
    cache_dir,
    check_md5,
    download,
    gunzip,
    locate,
    read_cifar,
    read_idx,
    read_npz,
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
CIFAR_ARCHIVES = ("cifar-10-binary.tar.gz", "cifar-10-binary.tar.xz")


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
    """A data set of the four files `IDX_NAMES`, with their checksums in that order."""

    name: str
    url: str
    sums: tuple[IdxSums, IdxSums, IdxSums, IdxSums]

    def read(self, root: Path | None) -> tuple[Split, Split]:
        """(train, test) from the files under `root`, or from downloaded ones if it is None."""
        files = zip(IDX_NAMES, self.sums, strict=True)
        train_x, train_y, test_x, test_y = (self._read_file(root, *file) for file in files)
        train = Split(train_x[..., None], train_y.astype(np.int32))
        return train, Split(test_x[..., None], test_y.astype(np.int32))

    def _read_file(self, root: Path | None, name: str, sums: IdxSums) -> np.ndarray:
        path = self._path(root, f"{name}.gz", sums)
        content = path.read_bytes()
        plain = gunzip(content, path) if path.suffix == ".gz" else content
        array = read_idx(plain, path)
        check_md5(plain, sums.plain, path)
        return array

    def _path(self, root: Path | None, zipped: str, sums: IdxSums) -> Path:
        if root is None:
            return download(self.url + zipped, sums.gz, cache_dir() / self.name)
        folders = (root / self.name, root)
        return locate(self.name, folders, (zipped, zipped.removesuffix(".gz")))


@dataclass(frozen=True)
class CifarSource:
    """CIFAR-10 in binary form; `md5s` by name of the `.bin` files, the last one for testing."""

    name: str
    url: str
    archive_md5: str
    folder: str
    md5s: Mapping[str, str]

    def read(self, root: Path | None) -> tuple[Split, Split]:
        """(train, test) from the files under `root`, or from a downloaded archive if None."""
        blobs = self._blobs(self._local(root) if root else None)
        batches = [read_cifar(blobs[name], name) for name in self.md5s]
        images, labels = (np.concatenate(parts) for parts in zip(*batches[:-1], strict=True))
        test_images, test_labels = batches[-1]
        train = Split(images, labels.astype(np.int32))
        return train, Split(test_images, test_labels.astype(np.int32))

    def _local(self, root: Path) -> Path:
        """The archive, or the folder of unpacked files."""
        last = list(self.md5s)[-1]
        choices = (f"{self.folder}/{last}", last, *CIFAR_ARCHIVES)
        found = locate(self.name, (root / self.name, root), choices)
        return found.parent if found.name == last else found

    def _blobs(self, local: Path | None) -> dict[str, bytes]:
        if local is not None and local.is_dir():
            return self._verified(self._unpacked(local), local)
        cache = cache_dir() / f"{self.name}-{self._key()}.npz"
        cached = self._cached(cache)
        if cached is not None:
            return cached
        archive = local or download(self.url, self.archive_md5, cache_dir() / self.name)
        members = read_tar(archive, [f"{self.folder}/{name}" for name in self.md5s])
        blobs = {path.rpartition("/")[2]: blob for path, blob in members.items()}
        self._verified(blobs, archive)
        store_npz(cache, blobs)
        return blobs

    def _unpacked(self, folder: Path) -> dict[str, bytes]:
        return {name: locate(self.name, (folder,), (name,)).read_bytes() for name in self.md5s}

    def _key(self) -> str:
        return hashlib.md5("".join(self.md5s.values()).encode(), usedforsecurity=False).hexdigest()

    def _verified(self, blobs: dict[str, bytes], where: Path) -> dict[str, bytes]:
        for name, md5 in self.md5s.items():
            check_md5(blobs.get(name, b""), md5, where / name)
        return blobs

    def _cached(self, cache: Path) -> dict[str, bytes] | None:
        if not os.path.isfile(cache):
            return None
        try:
            return self._verified(read_npz(cache), cache)
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
        check_md5(archive.read_bytes(), self.md5, archive)
        members = read_tar(archive, (self.train, self.test))
        train, test = (self._split(members[name], name) for name in (self.train, self.test))
        return train, test

    def _archive(self, root: Path | None) -> Path:
        if root is None:
            return download(self.url, self.md5, cache_dir() / self.name)
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
)
CIFAR_10 = CifarSource(
    "cifar-10",
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    archive_md5="c32a1d4ab5d03f1284b67883e8d87530",
    folder="cifar-10-batches-bin",
    md5s={
        "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
        "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
        "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
        "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
        "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
        "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
    },
)
CIFAR_100 = ArchiveSource(
    "cifar-100",
    "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    md5="03b5dce01913d631647c71ecec9e9cb8",
    train="cifar-100-binary/train.bin",
    test="cifar-100-binary/test.bin",
    label_bytes=2,
)
