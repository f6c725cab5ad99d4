"""The data sets' files: read, found, fetched, or a precise error."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import math
import os
import struct
import tarfile
import tempfile
import warnings
import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np

DATA_VARIABLE = "EQPROP_DATA"
IDX_UINT8 = 0x08
CIFAR_SHAPE = (3, 32, 32)
GET_AGAIN = (
    "It is damaged, or a file of another data set: point data_dir (--data-dir, EQPROP_DATA) at an "
    "intact copy, or leave both unset to download one."
)
_TAR_ERRORS = (EOFError, OSError, zlib.error, lzma.LZMAError, tarfile.TarError)


class DataError(ValueError):
    """Content that is not what it should be; says where, what was expected, got, and the remedy."""


def fail(
    where: str | Path,
    expected: str,
    got: str,
    remedy: str = GET_AGAIN,
    cause: Exception | None = None,
) -> NoReturn:
    """Raise `DataError` in the one wording that all the data errors share."""
    raise DataError(f"{where}: expected {expected}, got {got}. {remedy}") from cause


def check_md5(content: bytes, expected: str, path: str | Path) -> None:
    """Compare with a published md5 (hex digits); `DataError` where they differ."""
    got = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if got != expected:
        fail(path, f"md5 {expected}", f"md5 {got} ({len(content)} bytes)")


def gunzip(content: bytes, path: str | Path) -> bytes:
    """Unpack a whole gzip file; `DataError` naming `path` where it is cut short or damaged."""
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        fail(path, "a complete gzip file", f"{len(content)} bytes with '{error}'", cause=error)


def read_idx(content: bytes, path: str | Path) -> np.ndarray:
    """Array of an unpacked IDX file of unsigned bytes (the format of MNIST).

    `path` only names the source in messages.  Returns uint8, of the shape in the header
    (`(N, H, W)` for images, `(N,)` for labels), writable.

    Raises `DataError` for a magic number other than `00 00 08 ndim` (ndim >= 1), for content
    shorter than the header says, and for bytes left over after it.
    """
    magic = content[:4]
    if len(magic) < 4 or magic[:3] != bytes((0, 0, IDX_UINT8)) or magic[3] == 0:
        fail(path, "IDX magic number 00 00 08 followed by ndim >= 1", f"'{magic.hex(' ')}'")
    ndim = magic[3]
    start = 4 + 4 * ndim
    if len(content) < start:
        fail(path, f"an IDX header of {start} bytes", f"{len(content)} bytes (truncated)")
    shape = struct.unpack(f">{ndim}I", content[4:start])
    size = start + math.prod(shape)
    if len(content) != size:
        flaw = "truncated" if len(content) < size else f"{len(content) - size} trailing bytes"
        fail(path, f"{size} bytes for IDX shape {shape}", f"{len(content)} bytes ({flaw})")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def read_cifar(
    content: bytes, path: str | Path, label_bytes: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Images `(N, 32, 32, 3)` and labels `(N,)`, both uint8, of one `.bin` file of CIFAR-10 or CIFAR-100.

    A record is `label_bytes` labels, of which the last counts (CIFAR-100: coarse, then fine), and 3072
    image bytes (red, green and blue planes, row by row). Raises `DataError` where the length is not a
    positive multiple of a record.
    """
    record = label_bytes + math.prod(CIFAR_SHAPE)
    if not content or len(content) % record:
        fail(path, f"a positive multiple of {record} bytes", f"{len(content)} bytes")
    records = np.frombuffer(content, np.uint8).reshape(-1, record)
    planes = records[:, label_bytes:].reshape(-1, *CIFAR_SHAPE)
    images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    return images, records[:, label_bytes - 1].copy()


def read_tar(path: Path, wanted: Collection[str]) -> dict[str, bytes]:
    """Content of the `wanted` members of a `.tar`, `.tar.gz` or `.tar.xz`, in one pass.

    Raises `DataError` where the archive is cut short or damaged or lacks a member, `OSError`
    where it cannot be opened for reading.
    """
    with path.open("rb") as file:
        try:
            blobs = _tar_members(file, wanted)
        except _TAR_ERRORS as error:
            fail(path, "a complete tar archive", f"'{_first_line(error)}'", cause=error)
    missing = sorted(set(wanted) - set(blobs))
    if missing:
        fail(path, f"members {sorted(wanted)}", f"an archive without {missing}")
    return blobs


def _tar_members(file: BinaryIO, wanted: Collection[str]) -> dict[str, bytes]:
    blobs: dict[str, bytes] = {}
    with tarfile.open(fileobj=file, mode="r:*") as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            stream = archive.extractfile(member) if member.isreg() and name in wanted else None
            if stream is not None:
                blobs[name] = stream.read()
    return blobs


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(":")


def read_npz(path: Path) -> dict[str, bytes]:
    """What `store_npz` stored; `DataError` where the file is unreadable or damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name].tobytes() for name in arrays.files}
    except Exception as error:  # zipfile and numpy document no closed list for damaged input
        fail(path, "a complete .npz file", f"'{error}'", cause=error)


def store_npz(path: Path, blobs: Mapping[str, bytes]) -> None:
    """Store named bytes, uncompressed; `path` appears whole or not at all.

    Where the folder cannot be made or written to, or is full, warns and leaves nothing behind.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_npz(path, blobs)
    except OSError as error:
        warn(f"{path}: expected to keep an unpacked copy there, got '{error}'. Go on without.")


def _write_npz(path: Path, blobs: Mapping[str, bytes]) -> None:
    arrays = {name: np.frombuffer(blob, np.uint8) for name, blob in blobs.items()}
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def warn(message: str) -> None:
    """Warn of a flaw that costs time but no correctness."""
    warnings.warn(message, RuntimeWarning, stacklevel=2)


def locate(name: str, folders: Sequence[Path], choices: Sequence[str]) -> Path:
    """The first existing file: folder by folder, the `choices` in turn.

    Raises `FileNotFoundError`, with all the names and folders tried, where there is none.
    """
    for folder in folders:
        for choice in choices:
            if (folder / choice).is_file():
                return folder / choice
    places = " or ".join(f"{folder}{'' if folder.is_dir() else ' (absent)'}" for folder in folders)
    raise FileNotFoundError(
        f"{name}: expected {' or '.join(choices)} in {places}, got no such file. "
        f"Point data_dir (--data-dir, {DATA_VARIABLE}) at the folder with the files, or leave "
        "both unset to download them."
    )


def cache_dir() -> Path:
    """This package's folder in the user's cache; it need not exist."""
    import pooch  # type: ignore[import-untyped]

    return Path(pooch.os_cache("eqprop"))


def download(url: str, md5: str, folder: Path) -> Path:
    """Path of the checked copy of `url` in `folder`, fetched unless it is there already.

    Raises `FileNotFoundError` where fetching or storing fails, `DataError` where the md5 of
    what came differs.
    """
    import pooch

    file_name = url.rpartition("/")[2]
    bar = _Bar(file_name)
    fetch = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16)
    try:
        return Path(pooch.retrieve(url, f"md5:{md5}", file_name, folder, downloader=fetch))
    except OSError as error:
        raise FileNotFoundError(
            f"{file_name}: expected a download from {url} to {folder} (there is no data_dir and no "
            f"{DATA_VARIABLE}), got '{error}'. Check the connection and that folder, or get the "
            f"file otherwise and point data_dir (--data-dir, {DATA_VARIABLE}) at its folder."
        ) from error
    except ValueError as error:
        fail(url, f"md5 {md5}", f"'{error}'", "Try again later, or use a local copy.", error)
    finally:
        bar.close()


class _Bar:
    """The progress bar interface that pooch calls, drawn by rich on standard error."""

    def __init__(self, label: str) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self.total = 0
        self._progress = Progress(console=Console(stderr=True))
        self._task = self._progress.add_task(label)

    def update(self, size: int) -> None:
        self._progress.start()
        self._progress.update(self._task, total=self.total or None, advance=size)

    def reset(self) -> None:
        self._progress.reset(self._task)

    def close(self) -> None:
        self._progress.stop()
