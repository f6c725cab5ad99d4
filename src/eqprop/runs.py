"""The folder of a run: what was asked, what happened, what came out, and where to go on.

config.json    the recipe
metrics.jsonl  one line an epoch
checkpoints/   the last epochs, by Orbax
result.json    written last; a run that has it is finished
*.png          plots
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

KEEP = 2
DIGEST = "sha256"


class RunError(RuntimeError):
    """A run folder cannot be used as asked."""


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
            f"Cannot write {path}: {error.strerror or error}; free some space or choose another "
            "folder with --out."
        ) from error
    return path


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that `write_json` wrote; `RunError` where it is not JSON."""
    if not path.exists():
        raise RunError(f"Expected {path}, got nothing there; check the path of the run folder.")
    try:
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise RunError(f"{path}: expected JSON, got {error}; delete the run folder.") from error


class Run:
    """One run folder, opened to start or to resume.

    Raises `RunError` where the folder holds another recipe, or a run already and ``resume`` is not
    asked for.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], resume: bool):
        self.folder = folder
        asked = json.loads(json.dumps(config, default=_plain))
        path = folder / "config.json"
        if path.exists() and not resume:
            raise RunError(
                f"{folder} already holds a run; add --resume to continue it, or choose another --out."
            )
        if resume and not path.exists():
            raise RunError(f"Nothing to resume: expected {path}; run without --resume first.")
        if resume:
            _same(read_json(path), asked, folder)
        else:
            write_json(path, asked)
        self.metrics = folder / "metrics.jsonl"

    def rows(self) -> list[dict[str, float]]:
        """The metrics so far, one row an epoch."""
        return read_rows(self.folder)

    def log(self, row: Mapping[str, float]) -> None:
        """Add the row of one epoch."""
        try:
            with self.metrics.open("a") as file:
                file.write(json.dumps(row, default=_plain) + "\n")
        except OSError as error:
            raise OSError(
                f"Cannot write {self.metrics}: {error.strerror or error}; free some space and --resume, "
                "or choose another folder with --out."
            ) from error

    def keep_rows(self, epochs: int) -> None:
        """Drop rows of epochs that no checkpoint holds; `RunError` where rows are missing."""
        rows = [row for row in self.rows() if row["epoch"] <= epochs]
        if len(rows) != epochs:
            raise RunError(
                f"{self.metrics}: expected a row for each of the {epochs} epochs of the latest checkpoint, "
                f"got {len(rows)}; restore the file, or start anew with another --out."
            )
        write_text(self.metrics, "".join(json.dumps(row) + "\n" for row in rows))

    def save(self, epoch: int, state: PyTree) -> None:
        """Keep the arrays of ``state`` as the checkpoint of an epoch."""
        leaves = _leaves(state)
        content = leaves | {DIGEST: _digest(leaves)}
        try:
            with self._manager() as manager:
                manager.save(epoch, args=_orbax().args.StandardSave(content))
                manager.wait_until_finished()
        except (OSError, ValueError) as error:
            raise OSError(
                f"Cannot write a checkpoint under {self.folder}: {error}; free some space or choose "
                "another folder with --out. Earlier checkpoints are kept."
            ) from error

    def restore(self, like: PyTree) -> PyTree:
        """The latest checkpoint in the structure of ``like``; ``like`` itself before the first."""
        if not (self.folder / "checkpoints").is_dir():
            return self._nothing(like)
        with self._manager(read_only=True) as manager:
            epoch = manager.latest_step()
            if epoch is None:
                return self._nothing(like)
            wanted = _leaves(like) | {DIGEST: np.zeros(32, np.uint8)}
            where = self.folder / "checkpoints" / str(epoch)
            try:
                found = manager.restore(epoch, args=_orbax().args.StandardRestore(wanted))
            except Exception as error:
                raise RunError(
                    f"{where}: the checkpoint is corrupt or belongs to another model ("
                    f"{str(error).splitlines()[0]}); delete that folder to resume from the one before, or "
                    "start anew with another --out."
                ) from error
        digest = np.asarray(found.pop(DIGEST))
        if not np.array_equal(digest, _digest(found)):
            raise RunError(
                f"{where}: the checkpoint is corrupt (expected sha256 {bytes(digest).hex()[:12]}..., got "
                f"{bytes(_digest(found)).hex()[:12]}...); delete that folder to resume "
                "from the one before. A run in another precision (JAX_ENABLE_X64) reads as corrupt, too."
            )
        return _combine(like, found, where)

    def _nothing(self, like: PyTree) -> PyTree:
        if len(self.rows()) > 1:  # a kill may fall between the first row and its checkpoint
            raise RunError(
                f"{self.folder}: expected a checkpoint of the epochs in metrics.jsonl, got none; restore "
                "the folder `checkpoints`, or start anew with another --out."
            )
        return like

    def _manager(self, read_only: bool = False):
        keep = {"save_interval_steps": 0} if read_only else {"max_to_keep": KEEP}
        options = _orbax().CheckpointManagerOptions(
            enable_async_checkpointing=False, read_only=read_only, create=not read_only, **keep
        )
        with _errors_only("absl"):  # Orbax warns that what is read is read only
            folder = (self.folder / "checkpoints").absolute()
            return _orbax().CheckpointManager(folder, options=options)


@contextmanager
def _errors_only(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def read_rows(folder: Path) -> list[dict[str, float]]:
    """The metrics of a run folder; a last line cut short by a kill is left out."""
    path = folder / "metrics.jsonl"
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


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
    """The commit when first asked for: that of the code which this process loaded."""
    git = shutil.which("git")
    if git is None:
        return None
    here = Path(__file__).parent
    asked = [git, "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def _same(found: Mapping[str, Any], asked: Mapping[str, Any], folder: Path) -> None:
    differing = [k for k in sorted(set(found) | set(asked)) if found.get(k) != asked.get(k)]
    if differing:
        lines = ", ".join(f"{k}: {found.get(k)!r} there, {asked.get(k)!r} here" for k in differing)
        raise RunError(f"{folder} holds a run of another recipe ({lines}); resume with its own.")


def _orbax():
    import orbax.checkpoint

    return orbax.checkpoint


def _leaves(tree: PyTree) -> dict[str, Any]:
    arrays = jax.tree.leaves(eqx.filter(tree, eqx.is_array))
    return {f"{i:04d}": leaf for i, leaf in enumerate(arrays)}


def _digest(leaves: Mapping[str, Any]) -> np.ndarray:
    total = hashlib.sha256()
    for key in sorted(leaves):
        total.update(np.ascontiguousarray(leaves[key]).tobytes())
    return np.frombuffer(total.digest(), np.uint8)


def _combine(like: PyTree, found: Mapping[str, Any], where: Path) -> PyTree:
    arrays, static = eqx.partition(like, eqx.is_array)
    wanted, structure = jax.tree.flatten(arrays)
    got = [found[key] for key in sorted(found)]
    for a, b in zip(wanted, got, strict=True):
        if a.shape != b.shape or a.dtype != b.dtype:
            raise RunError(
                f"{where}: expected an array {a.dtype}{list(a.shape)}, got {b.dtype}{list(b.shape)}; the "
                "checkpoint belongs to another model."
            )
    return eqx.combine(jax.tree.unflatten(structure, got), static)


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
