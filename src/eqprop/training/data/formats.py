"""The data sets' files: read, no further than their format goes, or a precise error."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import math
import pickletools
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from eqprop.training.files import written_whole

DATA_VARIABLE = "EQPROP_DATA"

IDX_UINT8 = 0x08

CIFAR_SHAPE = (3, 32, 32)

PICKLED_KEYS = ("batch_label", "labels", "data", "filenames")

GET_AGAIN = (
    "It is damaged, or a file of another data set: point data_dir (--data-dir, EQPROP_DATA) at an "
    "intact copy, or leave both unset to download one."
)

UNPACKERS: dict[bytes, Callable[[Any], io.BufferedIOBase]] = {
    b"\x1f\x8b": gzip.open,  # type: ignore[dict-item]
    b"\xfd7": lzma.LZMAFile,
    b"BZ": bz2.BZ2File,
}

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


def read_bounded(path: Path, most: int) -> bytes:
    """What a file holds; `DataError` where that is more than ``most`` bytes."""
    with path.open("rb") as file:
        return _at_most(most, file, path)


def gunzip(content: bytes, path: str | Path, most: int) -> bytes:
    """Unpack a whole gzip file; `DataError` naming `path` where it is cut short or damaged, or holds more
    than ``most`` bytes."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            return _at_most(most, file, path)
    except (EOFError, OSError, zlib.error) as error:
        fail(path, "a complete gzip file", f"{len(content)} bytes with '{error}'", cause=error)


def _at_most(most: int, stream: io.BufferedIOBase, path: str | Path) -> bytes:
    content = stream.read(most + 1)
    if len(content) > most:
        fail(path, f"at most {most} bytes (unpacked)", "more")
    return content


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
    return _channel_last(records[:, label_bytes:]), records[:, label_bytes - 1].copy()


def read_pickled(content: bytes, path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels, as of `read_cifar`, of one batch of CIFAR-10 in the Python layout.

    That is a pickle, of which the values are read and nothing is carried out. Raises `DataError` where
    there are not so many labels as images.
    """
    labels, planes, key = bytearray(), b"", ""
    value: Any
    try:
        for opcode, value, _ in pickletools.genops(content):
            if value in PICKLED_KEYS:
                key = value
            elif key == "labels" and opcode.name == "BININT1":
                labels.append(value)
            elif key == "data" and opcode.name == "BINSTRING":
                planes = value.encode("latin-1")
    except (ValueError, EOFError) as error:
        fail(path, "a batch in the Python layout", f"'{_first_line(error)}'", cause=error)
    if not labels or len(planes) != len(labels) * math.prod(CIFAR_SHAPE):
        fail(path, "an image for each label", f"{len(planes)} bytes for {len(labels)} labels")
    return _channel_last(np.frombuffer(planes, np.uint8)), np.frombuffer(bytes(labels), np.uint8)


def _channel_last(planes: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(planes.reshape(-1, *CIFAR_SHAPE).transpose(0, 2, 3, 1))


def read_tar(path: Path, wanted: Collection[str], most: int) -> dict[str, bytes]:
    """Content of the `wanted` members of a `.tar`, `.tar.gz` or `.tar.xz` of at most ``most`` bytes.

    Raises `DataError` where the archive is larger, cut short or damaged or lacks a member, `OSError`
    where it cannot be opened for reading.
    """
    with path.open("rb") as file:
        unpacked = UNPACKERS.get(file.read(2), lambda packed: packed)
        file.seek(0)
        try:
            archive = _at_most(most, unpacked(file), path)
            blobs = _tar_members(archive, wanted, most, path)
        except _TAR_ERRORS as error:
            fail(path, "a complete tar archive", f"'{_first_line(error)}'", cause=error)
    missing = sorted(set(wanted) - set(blobs))
    if missing:
        fail(path, f"members {sorted(wanted)}", f"an archive without {missing}")
    return blobs


def _tar_members(
    content: bytes, wanted: Collection[str], most: int, path: Path
) -> dict[str, bytes]:
    blobs: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if not (member.isreg() and name in wanted):
                continue
            most -= member.size  # of a sparse file, it is more than the archive holds
            if most < 0:
                fail(path, "members of a size", f"{name} of {member.size} bytes")
            stream = archive.extractfile(member)
            assert stream is not None
            blobs[name] = stream.read()
    return blobs


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(":")


def read_npz(path: Path, most: int) -> dict[str, bytes]:
    """What `store_npz` stored; `DataError` where the file is unreadable or damaged, or holds more than
    ``most`` bytes."""
    try:
        with zipfile.ZipFile(path) as members:
            if sum(member.file_size for member in members.infolist()) > most:
                raise ValueError(f"more than {most} bytes")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name].tobytes() for name in arrays.files}
    except Exception as error:  # zipfile and numpy document no closed list for damaged input
        fail(path, "a complete .npz file", f"'{error}'", cause=error)


def store_npz(path: Path, blobs: Mapping[str, bytes]) -> None:
    """Store named bytes, uncompressed; `path` appears whole or not at all.

    Where the folder cannot be made or written to, or is full, warns and leaves nothing behind.
    """
    arrays = {name: np.frombuffer(blob, np.uint8) for name, blob in blobs.items()}
    try:
        with written_whole(path) as part, part.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
    except OSError as error:
        warn(f"{path}: expected to keep an unpacked copy there, got '{error}'. Go on without.")


def warn(message: str) -> None:
    """Warn of a flaw that costs time but no correctness."""
    warnings.warn(message, RuntimeWarning, stacklevel=2)
