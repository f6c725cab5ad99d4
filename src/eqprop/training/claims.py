"""One process at a time in a run folder, and a folder of its own for each run."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from eqprop.training.files import RunError, cannot_write

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"


def claim(folder: Path) -> int:
    """Hold a run folder, made where there is none, until the descriptor is closed or the process ends,
    however it ends; `RunError` where another process holds it."""
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        cannot_write(folder, error)
    try:
        _lock(descriptor)
    except BlockingIOError as error:
        holder = os.read(descriptor, 80).decode(errors="replace")
        os.close(descriptor)
        raise RunError(
            f"{folder}: expected no other process in this run, got {holder or 'one'}; wait until it ends, "
            "or choose another --out."
        ) from error
    except OSError as error:
        warnings.warn(
            f"{path}: expected a file system with locks, got '{error.strerror}'; see to it that no other "
            "process trains there.",
            stacklevel=2,
        )
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {platform.node()}".encode())
    return descriptor


def _lock(descriptor: int) -> None:
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def new_folder(home: Path, name: str) -> Iterator[Path]:
    """A folder ``name`` in ``home``, or ``name-2`` and so on, that no other process was given; taken back
    where nothing came into it."""
    folder, count = home / name, 1
    try:
        while not _made(folder):
            count += 1
            folder = home / f"{name}-{count}"
    except OSError as error:
        cannot_write(folder, error)
    try:
        yield folder
    finally:
        with suppress(OSError):
            os.removedirs(folder)


def _made(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    return True
