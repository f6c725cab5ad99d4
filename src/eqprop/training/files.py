"""JSON files: written whole or not at all, with a digest of what they say, and read with suspicion."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import jax
import numpy as np

DIGEST = "sha256"

LARGEST = 1 << 26

AnyPath = str | os.PathLike[str]


class RunError(RuntimeError):
    """A run folder, or a file in it, cannot be used as asked."""


class Record(dict[str, Any]):
    """A JSON object that was read from a file, which a key that it lacks is a `RunError` of."""

    def __init__(self, content: Any = (), where: str = ""):
        super().__init__(content)
        self.where = where

    def __missing__(self, key: str) -> NoReturn:
        damaged(self.where, f"the key {key!r}", f"only {', '.join(self) or 'an empty object'}")


def damaged(where: str, expected: str, got: str, cause: Exception | None = None) -> NoReturn:
    """Raise `RunError` of a file that does not say what it should."""
    raise RunError(
        f"{where}: expected {expected}, got {got}; restore the file from a copy, or delete the folder "
        "and run anew."
    ) from cause


def digest(content: Mapping[str, Any]) -> str:
    """Hex digits of the sha256 of what a JSON object says, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with its digest in it."""
    return {**content, DIGEST: digest(content)}


def unsealed(text: bytes, path: Path, line: int = 1) -> Record:
    """The JSON object of ``text``, which begins on that ``line`` of the file; `RunError` where it is none,
    or is not what its digest is of. One without a digest, as by hand, is taken as it is."""

    def hold(content: dict[str, Any]) -> Record:
        return Record(content, f"{path}:{line}")

    try:
        found = json.loads(text.decode("utf-8"), object_hook=hold)
        seal = found.pop(DIGEST, None) if isinstance(found, Record) else None
        true = digest(found) if seal is not None else None
    except UnicodeDecodeError as error:
        at = line + text[: error.start].count(b"\n")
        damaged(f"{path}:{at}", "JSON", f"byte {text[error.start]:#04x}, which is not UTF-8", error)
    except json.JSONDecodeError as error:
        damaged(f"{path}:{line + error.lineno - 1}", "JSON", f"'{error.msg}'", error)
    except (ValueError, RecursionError) as error:
        damaged(f"{path}:{line}", "JSON", f"'{error}'", error)
    if not isinstance(found, Record):
        damaged(f"{path}:{line}", "a JSON object", json.dumps(found)[:20])
    if seal != true:
        got = f"{true!s:.12}... (where that is meant, delete its {DIGEST})"
        damaged(f"{path}:{line}", f"content of {DIGEST} {seal!s:.12}...", got)
    return found


def read_json(path: AnyPath) -> dict[str, Any]:
    """Read a file that `write_json` wrote; `RunError` where it was damaged since."""
    path = Path(path)
    if not path.exists():
        inside = sorted(found.parent for found in path.parent.glob(f"*/{path.name}"))
        remedy = "check the path of the run folder"
        if inside:
            remedy = f"it holds {len(inside)} runs, the last of them {inside[-1]}"
        raise RunError(f"Expected {path}, got nothing there; {remedy}.")
    return unsealed(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """What a file holds; `RunError` where it cannot be read, or is larger than any run makes it."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); make it readable.") from error
    if len(content) > LARGEST:
        damaged(f"{path}", f"at most {LARGEST} bytes", "more")
    return content


def write_json(path: AnyPath, content: Mapping[str, Any]) -> Path:
    """Write JSON, whole or not at all, with a digest; a number that is not finite becomes null."""
    return write_text(path, json.dumps(sealed(json.loads(dumps(content))), indent=1) + "\n")


def dumps(content: Mapping[str, Any] | list[dict[str, Any]]) -> str:
    """Strict JSON of arrays, paths and dataclasses, too."""
    return json.dumps(_finite(json.loads(json.dumps(content, default=plain))))


def write_text(path: AnyPath, text: str) -> Path:
    """Write a file whole or not at all."""
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")
    return Path(path)


@contextmanager
def written_whole(path: AnyPath) -> Iterator[Path]:
    """A file to write in the place of ``path``, which appears when it is whole, and never else; an older
    one stays till then. Folders are made. ``OSError`` that says where, why and what to do."""
    path = Path(path)
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            with part.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        cannot_write(path, error)


def cannot_write(path: Path, error: OSError) -> NoReturn:
    """Raise ``OSError`` that says where, why and what to do."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    remedy = "free some space" if full else "make it writable"
    told = OSError(
        f"Cannot write {path}: {error.strerror or error}; {remedy} and --resume, or choose another folder "
        "with --out."
    )
    told.errno = error.errno
    raise told from error


def require_writable(folder: Path) -> None:
    """Raise ``OSError`` before the work, and not after it, where nothing can be written to ``folder``."""
    write_text(folder / ".writable", "").unlink()


def plain(value: Any) -> Any:
    """What JSON has for an array, a path or a dataclass."""
    if isinstance(value, (np.generic, np.ndarray, jax.Array)):
        return np.asarray(value).tolist()
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
