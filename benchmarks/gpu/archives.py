"""Archives of data sets that come in parts, as ``split -b 45m ARCHIVE ARCHIVE.`` makes them."""

from __future__ import annotations

import hashlib
import itertools
import string
from collections.abc import Iterator
from pathlib import Path

from eqprop.training.data.formats import DataError
from eqprop.training.data.sources import CIFAR_10, CIFAR_100
from eqprop.training.files import written_whole

SUFFIXES = tuple(map("".join, itertools.product(string.ascii_lowercase, repeat=2)))

PUBLISHED: dict[str, dict[str, str | None]] = {
    "cifar-10": {"cifar-10-binary.tar.gz": CIFAR_10.archive_md5, "cifar-10-binary.tar.xz": None},
    "cifar-100": {"cifar-100-binary.tar.gz": CIFAR_100.md5},
}
"""By data set the names of its archives, and their md5. One without is packed by another than the
publisher: the digests of its files are checked when it is read."""


def join(name: str, parts: Path, folder: Path) -> Path:
    """The archive of a data set under ``folder``, from ``ARCHIVE.aa``, ``ARCHIVE.ab``, ... in ``parts``.

    An archive that lies in ``folder`` already and is whole is taken as it is. Raises `DataError` where no
    part is there, one is missing, or the whole has not the published md5.
    """
    archive, md5 = _asked(name, parts)
    pieces = list(_pieces(archive, parts))
    joined = folder / archive
    if joined.exists() and joined.stat().st_size == sum(piece.stat().st_size for piece in pieces):
        return _checked(joined, md5, pieces)
    with written_whole(joined) as part, part.open("wb") as file:
        for piece in pieces:
            file.write(piece.read_bytes())
        file.flush()
        _checked(part, md5, pieces)
    return joined


def has_parts(name: str, parts: Path) -> bool:
    """Whether a part of an archive of that data set is there."""
    return any(any(parts.glob(f"{archive}.??")) for archive in PUBLISHED[name])


def _asked(name: str, parts: Path) -> tuple[str, str | None]:
    for archive, md5 in PUBLISHED[name].items():
        if any(parts.glob(f"{archive}.??")):
            return archive, md5
    raise DataError(
        f"{name}: expected parts such as {next(iter(PUBLISHED[name]))}.aa in {parts}, got none; "
        "make them by `split -b 45m`, or point --parts at their folder."
    )


def _pieces(archive: str, parts: Path) -> Iterator[Path]:
    """The parts in order; `DataError` where one before the last is missing."""
    found = {path.name.rpartition(".")[2]: path for path in parts.glob(f"{archive}.??")}
    for suffix in SUFFIXES[: len(found)]:
        if suffix not in found:
            raise DataError(
                f"{parts}: expected {archive}.{suffix}, since there is {archive}.{max(found)}, got "
                f"{', '.join(sorted(found))} alone; copy the missing part."
            )
        yield found[suffix]


def _checked(path: Path, md5: str | None, pieces: list[Path]) -> Path:
    """The path; `DataError` where what lies there has another md5."""
    if md5 is None:
        return path
    with path.open("rb") as file:
        got = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if got != md5:
        sizes = ", ".join(f"{piece.name} of {piece.stat().st_size} bytes" for piece in pieces)
        raise DataError(
            f"{pieces[0].stem}: expected md5 {md5} of its parts joined, got {got} of {sizes}; a part is "
            "damaged, or the last is missing: copy them anew."
        )
    return path
