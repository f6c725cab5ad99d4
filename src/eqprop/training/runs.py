"""The folder of a run: what was asked, what happened, what came out, and where to go on.

config.json    the recipe
metrics.jsonl  one line an epoch
checkpoints/   the last epochs, by Orbax; checkpoints.json has the digests of their files
warnings.json  what was warned of
result.json    written last; a run that has it is finished
.lock          held by the process that trains
*.png          plots
"""

from __future__ import annotations

import json
import os
import textwrap
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from jaxtyping import PyTree

from eqprop._arguments import fits, shown
from eqprop.training import checkpoints
from eqprop.training.claims import claim
from eqprop.training.files import (
    AnyPath,
    Record,
    RunError,
    cannot_write,
    damaged,
    digest,
    dumps,
    plain,
    read_bytes,
    read_json,
    sealed,
    unsealed,
    write_json,
    write_text,
)
from eqprop.training.structure import KIND

T = TypeVar("T")

LASTS, TOLD, INITIAL = "epochs", "arguments", "initial"
PIECES = ("metrics.jsonl", "checkpoints", checkpoints.FILES, "warnings.json", "result.json")


def directly(action: Callable[[], T]) -> T:
    """Here and now."""
    return action()


class Folder:
    """One run folder, opened to start or to resume, and held against other processes until `close`.

    ``through`` carries out what touches files: directly, or by `eqprop.training.hosts.from_first` where
    several processes share a run. Raises `RunError` where the folder holds another recipe, a run already
    and ``resume`` is not asked for, or where another process trains in it.
    """

    def __init__(
        self,
        folder: AnyPath,
        config: Mapping[str, Any],
        resume: bool,
        through: Callable[[Callable[[], Any]], Any] = directly,
    ):
        self.folder = Path(folder)
        self.config = _asked(config)
        self.metrics = self.folder / "metrics.jsonl"
        self.through = through
        self.close: Callable[[], object] = lambda: None
        through(lambda: self._open(resume))

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def _open(self, resume: bool) -> None:
        path = self.folder / "config.json"
        if resume and not path.exists():
            raise RunError(f"Nothing to resume: expected {path}; run without --resume first.")
        self.close = weakref.finalize(self, os.close, claim(self.folder))
        if resume:
            require_same(self.folder, self.config)
            write_json(path, self.config)
            return
        if path.exists():
            raise RunError(
                f"{self.folder} already holds a run; continue it with --resume (in Python resume=True), or "
                "choose another --out."
            )
        if pieces := [name for name in PIECES if (self.folder / name).exists()]:
            raise RunError(
                f"{self.folder}: expected a folder without a run, got {', '.join(pieces)} of one whose "
                "config.json is gone; delete them, or choose another --out."
            )
        write_json(path, self.config)

    def rows(self) -> list[dict[str, float]]:
        """The metrics so far, one row an epoch."""
        return self.through(lambda: read_rows(self.folder))

    def log(self, row: Mapping[str, float]) -> None:
        """Add the row of one epoch."""
        self.through(lambda: _append(self.metrics, row))

    def keep_rows(self, epochs: int) -> None:
        """Drop rows of epochs that no checkpoint holds; `RunError` where rows are missing."""
        rows = [row for row in self.rows() if row["epoch"] <= epochs]
        require_rows(self.folder, rows, epochs)
        text = "".join(_line(row) for row in rows)
        self.through(lambda: write_text(self.metrics, text))

    def warnings(self) -> list[str]:
        """What was warned of so far."""
        path = self.folder / "warnings.json"
        return self.through(lambda: read_json(path)["warnings"] if path.exists() else [])

    def warn(self, told: list[str]) -> None:
        """Keep what was warned of."""
        known, path = self.warnings(), self.folder / "warnings.json"
        self.through(lambda: write_json(path, {"warnings": told}) if told != known else None)

    def save(self, epoch: int, state: PyTree) -> None:
        """Keep the arrays of ``state`` as the checkpoint of an epoch."""
        about = identity(self.config)
        self.through(lambda: checkpoints.save(self.folder, epoch, state, about))

    def restore(self, like: PyTree) -> PyTree:
        """`latest` of this run."""
        return latest(self.folder, self.config, like, self.through)

    def finish(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """Write ``result.json``, and what it holds."""
        path = self.folder / "result.json"
        return self.through(lambda: read_json(write_json(path, result)))


class Nowhere:
    """In the place of a `Folder` where nothing is to be written: it remembers the metrics alone."""

    folder: Path | None = None

    def __init__(self):
        self.logged: list[dict[str, float]] = []

    def __enter__(self) -> Nowhere:
        return self

    def __exit__(self, *unused: object) -> None: ...

    def rows(self) -> list[dict[str, float]]:
        return list(self.logged)

    def log(self, row: Mapping[str, float]) -> None:
        self.logged.append(dict(row))

    def keep_rows(self, epochs: int) -> None: ...

    def warnings(self) -> list[str]:
        return []

    def warn(self, told: list[str]) -> None: ...

    def save(self, epoch: int, state: PyTree) -> None: ...

    def restore(self, like: PyTree) -> PyTree:
        return like

    def finish(self, result: Mapping[str, Any]) -> dict[str, Any]:
        return dict(result)


def latest(
    folder: Path,
    config: Mapping[str, Any],
    like: PyTree,
    through: Callable[[Callable[[], Any]], Any] = directly,
) -> PyTree:
    """The latest checkpoint in the structure of ``like``; ``like`` itself before the first. `RunError`
    where it is not of this ``config``."""
    about = identity(config)
    found = through(lambda: checkpoints.read(folder, like, about))
    if found is not None:
        return checkpoints.combine(like, found)
    if len(through(lambda: read_rows(folder))) > 1:  # a kill may fall before the first checkpoint
        raise RunError(
            f"{folder}: expected a checkpoint of the epochs in metrics.jsonl, got none; restore "
            "the folder `checkpoints`, or start anew with another --out."
        )
    return like


def require_same(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise `RunError` where a run folder holds another recipe, or the same over more epochs."""
    path, asked = folder / "config.json", _asked(config)
    found = dict(read_json(path))
    if not fits(int, lasts := found.get(LASTS, 0)):
        damaged(f"{path}:1", f"{LASTS} to be a whole number", shown(lasts))
    there, here = (given.pop(TOLD, None) or {} for given in (found, asked))
    if INITIAL in asked:
        found.setdefault(INITIAL, asked[INITIAL])
    if lasts < asked.get(LASTS, 0):
        found[LASTS] = asked[LASTS]
    if differing := list(_differing(found, asked)):
        differing = list(_differing(there, here)) or differing
        raise RunError(
            f"{folder} holds a run of another recipe ({', '.join(differing)}); resume with its own."
        )


def _differing(there: Any, here: Any, path: str = "") -> Iterator[str]:
    """Where two configs differ, as deep as both have the same parts."""
    both = isinstance(there, dict) and isinstance(here, dict)
    if both and there.get(KIND) == here.get(KIND):
        for key in sorted(there.keys() | here.keys()):
            yield from _differing(there.get(key), here.get(key), f"{path}.{key}" if path else key)
    elif there != here:
        yield f"{path}: {_short(there)} there, {_short(here)} here"


def _short(told: Any) -> str:
    return textwrap.shorten(str(told.get(KIND, told) if isinstance(told, dict) else told), 60)


def identity(config: Mapping[str, Any]) -> str:
    """The digest of what a checkpoint goes on with: all but how long."""
    return digest(
        {n: value for n, value in _asked(config).items() if n not in (LASTS, TOLD, INITIAL)}
    )


def _asked(config: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(dumps(config))


def _append(path: Path, row: Mapping[str, float]) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(_line(row))
    except OSError as error:
        cannot_write(path, error)


def _line(row: Mapping[str, float]) -> str:
    return json.dumps(sealed(json.loads(json.dumps(row, default=plain)))) + "\n"


def read_rows(folder: AnyPath, needed: Collection[str] = ()) -> list[dict[str, float]]:
    """The metrics of a run folder, with the ``needed`` columns.

    A last line cut short by a kill is left out, and an epoch that was written twice, as by two processes
    at once, counts once. `RunError` where a row was damaged or the row of an epoch is missing.
    """
    path = Path(folder) / "metrics.jsonl"
    *lines, last = read_bytes(path).split(b"\n") if path.exists() else [b""]
    rows: dict[int, dict[str, float]] = {}
    for number, line in enumerate([*lines, last] if b"}" in last else lines, 1):
        row = unsealed(line, path, number)
        rows.setdefault(_epoch(row, len(rows) + 1, rows.get(1, row).keys() | {*needed}), row)
    return list(rows.values())


def require_rows(folder: AnyPath, rows: list[dict[str, float]], epochs: int) -> None:
    """Raise `RunError` where rows are missing at the end of a run folder's metrics."""
    path, got = Path(folder) / "metrics.jsonl", len(rows)
    if got < epochs:
        raise RunError(
            f"{path}: expected a row for each of the {epochs} epochs of the latest checkpoint, got {got}, "
            f"none of {got + 1} to {epochs}; restore the file, or start anew with another --out."
        )


def _epoch(row: Record, following: int, columns: Collection[str]) -> int:
    odd = [key for key, value in row.items() if type(value) not in (int, float)]
    if odd:
        damaged(row.where, "numbers alone", f"{odd[0]}: {row[odd[0]]!r}")
    if lacking := sorted(columns - row.keys()):
        damaged(row.where, f"the columns {', '.join(sorted(columns))}", f"no {', '.join(lacking)}")
    epoch = row["epoch"]
    if epoch not in range(1, following + 1):
        damaged(row.where, f"the row of epoch {following}", f"that of epoch {epoch}")
    return int(epoch)
