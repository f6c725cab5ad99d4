"""The folder of a run: what was asked, what happened, what came out, and where to go on.

config.json    the recipe
metrics.jsonl  one line an epoch
checkpoints/   the last epochs, by Orbax
result.json    written last; a run that has it is finished
*.png          plots
"""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jaxtyping import PyTree

from eqprop import checkpoints
from eqprop.checkpoints import RunError

T = TypeVar("T")
PIECES = ("metrics.jsonl", "checkpoints", "result.json")


def write_json(path: Path, content: Mapping[str, Any]) -> Path:
    """Write JSON, whole or not at all; a number that is not finite becomes null."""
    return write_text(path, dumps(content, indent=1) + "\n")


def dumps(content: Mapping[str, Any] | list[dict[str, Any]], indent: int | None = None) -> str:
    """Strict JSON of arrays, paths and dataclasses, too."""
    return json.dumps(_finite(json.loads(json.dumps(content, default=_plain))), indent=indent)


def write_text(path: Path, text: str) -> Path:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(
            f"Cannot write {path}: {error.strerror or error}; {_remedy(error)} or choose another "
            "folder with --out."
        ) from error
    return path


def require_writable(folder: Path) -> None:
    """Raise ``OSError`` before the work, and not after it, where nothing can be written to ``folder``."""
    write_text(folder / ".writable", "").unlink()


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that `write_json` wrote; `RunError` where it is not JSON."""
    if not path.exists():
        raise RunError(f"Expected {path}, got nothing there; check the path of the run folder.")
    try:
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise RunError(
            f"{path}: expected JSON, got {error}; restore the file, or delete the run folder."
        ) from error


def directly(action: Callable[[], T]) -> T:
    """Here and now."""
    return action()


class Run:
    """One run folder, opened to start or to resume.

    ``through`` carries out what touches files: directly, or by `eqprop.hosts.from_first` where several
    processes share a run. Raises `RunError` where the folder holds another recipe, or a run already and
    ``resume`` is not asked for.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        resume: bool,
        through: Callable[[Callable[[], Any]], Any] = directly,
    ):
        self.folder = folder
        self.metrics = folder / "metrics.jsonl"
        self.through = through
        through(lambda: _open(folder, config, resume))

    def rows(self) -> list[dict[str, float]]:
        """The metrics so far, one row an epoch."""
        return self.through(lambda: read_rows(self.folder))

    def log(self, row: Mapping[str, float]) -> None:
        """Add the row of one epoch."""
        self.through(lambda: _append(self.metrics, row))

    def keep_rows(self, epochs: int) -> None:
        """Drop rows of epochs that no checkpoint holds; `RunError` where rows are missing."""
        rows = [row for row in self.rows() if row["epoch"] <= epochs]
        if len(rows) != epochs:
            raise RunError(
                f"{self.metrics}: expected a row for each of the {epochs} epochs of the latest checkpoint, "
                f"got {len(rows)}; restore the file, or start anew with another --out."
            )
        text = "".join(json.dumps(row) + "\n" for row in rows)
        self.through(lambda: write_text(self.metrics, text))

    def save(self, epoch: int, state: PyTree) -> None:
        """Keep the arrays of ``state`` as the checkpoint of an epoch."""
        self.through(lambda: checkpoints.save(self.folder, epoch, state))

    def restore(self, like: PyTree) -> PyTree:
        """The latest checkpoint in the structure of ``like``; ``like`` itself before the first."""
        found = self.through(lambda: checkpoints.read(self.folder, like))
        if found is not None:
            return checkpoints.combine(like, found)
        if len(self.rows()) > 1:  # a kill may fall between the first row and its checkpoint
            raise RunError(
                f"{self.folder}: expected a checkpoint of the epochs in metrics.jsonl, got none; restore "
                "the folder `checkpoints`, or start anew with another --out."
            )
        return like


def _open(folder: Path, config: Mapping[str, Any], resume: bool) -> None:
    asked = json.loads(json.dumps(config, default=_plain))
    path = folder / "config.json"
    if path.exists() and not resume:
        raise RunError(
            f"{folder} already holds a run; continue it with --resume (in Python resume=True), or choose "
            "another --out."
        )
    if resume and not path.exists():
        raise RunError(f"Nothing to resume: expected {path}; run without --resume first.")
    if resume:
        _same(read_json(path), asked, folder)
        return
    if pieces := [name for name in PIECES if (folder / name).exists()]:
        raise RunError(
            f"{folder}: expected a folder without a run, got {', '.join(pieces)} of one whose config.json "
            "is gone; delete them, or choose another --out."
        )
    write_json(path, asked)


def _append(path: Path, row: Mapping[str, float]) -> None:
    try:
        with path.open("a") as file:
            file.write(json.dumps(row, default=_plain) + "\n")
    except OSError as error:
        raise OSError(
            f"Cannot write {path}: {error.strerror or error}; {_remedy(error)} and --resume, "
            "or choose another folder with --out."
        ) from error


def _remedy(error: OSError) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "free some space" if full else "make it writable"


def read_rows(folder: Path) -> list[dict[str, float]]:
    """The metrics of a run folder; a last line cut short by a kill is left out, and an epoch that was
    written twice, as by two processes at once, counts once."""
    path = folder / "metrics.jsonl"
    rows: dict[float, dict[str, float]] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            break
        rows.setdefault(row["epoch"], row)
    return list(rows.values())


def surroundings() -> dict[str, Any]:
    """Versions, hardware and commit, for a result; ask when the run starts."""
    packages = ("eqprop", "jax", "jaxlib", "equinox", "optax", "numpy")
    return {
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in packages},
        "hardware": {
            "device": jax.devices()[0].device_kind,
            "devices": jax.device_count(),
            "cpu": _cpu(),
            "cores": os.cpu_count(),
        },
        "commit": _commit(),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


@cache
def _commit() -> str | None:
    """The commit when first asked for: that of the code which this process loaded, and whether it was
    changed since."""
    here = Path(__file__)

    def ask(*words: str) -> str:
        asked = ["git", "-C", str(here.parent), *words]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()

    if shutil.which("git") is None or not ask("ls-files", "--", here.name):
        return None
    changed = ask("status", "--porcelain", "--", ".")
    return ask("describe", "--always", "--abbrev=12") + ("-dirty" if changed else "")


def _same(found: Mapping[str, Any], asked: Mapping[str, Any], folder: Path) -> None:
    differing = [k for k in sorted(set(found) | set(asked)) if found.get(k) != asked.get(k)]
    if differing:
        lines = ", ".join(f"{k}: {found.get(k)!r} there, {asked.get(k)!r} here" for k in differing)
        raise RunError(f"{folder} holds a run of another recipe ({lines}); resume with its own.")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray, jax.Array)):
        return np.asarray(value).tolist()
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
