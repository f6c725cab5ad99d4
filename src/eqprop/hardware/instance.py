"""One landscape of oscillators as numbers, in memory and in files.

V(phi) = offset - sum_(i<j) J_ij cos(phi_i - phi_j) - sum_i h_i cos phi_i - sum_i (S_i / 2) cos 2 phi_i
"""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

_ARRAYS = ("rows", "columns", "couplings", "fields", "injections")

_HEADER = "# oscillators {} couplings {}"

_OTHER = "expected a file that Instance.save wrote, got one that is cut or of another kind"


@dataclass(frozen=True)
class Instance:
    """One landscape of ``N`` oscillators: ``couplings[k]`` joins ``rows[k] < columns[k]``, once a pair;
    ``fields`` and ``injections`` have shape (N,). Oscillators are numbered layer by layer. ``offset`` is
    the constant with which `energy` is that of the model.

    Raises ``ValueError`` for lengths that differ, pairs out of order or range, or named twice, and for
    numbers that are not finite.

    Examples:
        >>> import math
        >>> from eqprop.hardware import Instance
        >>> pair = Instance.from_matrix([[0, 2], [2, 0]], fields=[0.0, 0.5], injections=[0.0, 0.0])
        >>> pair.energy([0.0, 0.0]), pair.energy([math.pi, 0.0])  # -2 - 0.5 and 2 - 0.5
        (-2.5, 1.5)
        >>> print(pair.write_text("pair.txt").read_text())
        # oscillators 2 couplings 1
        E 0.0
        J 0 1 2.0
        h 0 0.0
        h 1 0.5
        S 0 0.0
        S 1 0.0
        <BLANKLINE>
    """

    rows: np.ndarray
    columns: np.ndarray
    couplings: np.ndarray
    fields: np.ndarray
    injections: np.ndarray
    offset: float = 0.0

    def __post_init__(self):
        for name in _ARRAYS:
            object.__setattr__(self, name, _numbers(name, getattr(self, name), name in _ARRAYS[:2]))
        if not math.isfinite(self.offset):
            _refuse(f"a finite offset, got {self.offset}")
        lengths = {name: len(getattr(self, name)) for name in _ARRAYS}
        if len({lengths[name] for name in _ARRAYS[:3]}) > 1:
            _refuse(f"rows, columns and couplings of one length, got {lengths}")
        if lengths["fields"] != lengths["injections"] or not lengths["fields"]:
            _refuse(f"fields and injections of one length, 1 or more, got {lengths}")
        size, pairs = lengths["fields"], np.stack([self.rows, self.columns], 1)
        wrong = (pairs[:, 0] < 0) | (pairs[:, 0] >= pairs[:, 1]) | (pairs[:, 1] >= size)
        if wrong.any():
            at = int(np.argmax(wrong))
            _refuse(f"pairs 0 <= row < column < {size}, got {pairs[at].tolist()} as number {at}")
        unique, counts = np.unique(pairs, axis=0, return_counts=True)
        if len(unique) < len(pairs):
            _refuse(
                f"every pair once, got {unique[np.argmax(counts)].tolist()} {counts.max()} times"
            )

    @classmethod
    def from_matrix(
        cls, matrix: Any, fields: Any, injections: Any, offset: float = 0.0
    ) -> Instance:
        """From a symmetric ``J`` of shape (N, N) with a zero diagonal."""
        matrix, fields, injections = (np.asarray(a) for a in (matrix, fields, injections))
        size = len(np.atleast_1d(fields))
        if matrix.shape != (size, size) or injections.shape != (size,):
            raise ValueError(
                f"Instance: expected J, h, S of shapes ({size}, {size}), ({size},), ({size},), got "
                f"{matrix.shape}, {fields.shape}, {injections.shape}."
            )
        matrix = _numbers("J", matrix.ravel()).reshape(matrix.shape)
        if not np.array_equal(matrix, matrix.T) or np.any(np.diag(matrix)):
            worst = float(np.max(np.abs(matrix - matrix.T)))
            raise ValueError(
                f"Instance: expected a symmetric J with a zero diagonal, got entries {worst:.3g} apart and "
                f"a diagonal up to {float(np.max(np.abs(np.diag(matrix)))):.3g}; pass (J + J') / 2."
            )
        rows, columns = np.nonzero(np.triu(matrix))
        return cls(rows, columns, matrix[rows, columns], fields, injections, offset)

    @property
    def matrix(self) -> np.ndarray:
        """The symmetric ``J``, dense."""
        full = np.zeros((len(self.fields),) * 2, self.couplings.dtype)
        full[self.rows, self.columns] = self.couplings
        return full + full.T

    def energy(self, phi: Any) -> float:
        """``V(phi)`` of phases (N,), in radians: of a model its energy, ``E + beta C`` of a nudged one."""
        phi = np.asarray(phi)
        if phi.shape != self.fields.shape:
            raise ValueError(
                f"Instance: expected phases phi of shape {self.fields.shape}, got {phi.shape}."
            )
        pairs = np.sum(self.couplings * np.cos(phi[self.rows] - phi[self.columns]))
        singles = self.fields * np.cos(phi) + 0.5 * self.injections * np.cos(2 * phi)
        return float(self.offset - pairs - np.sum(singles))

    def save(self, path: str | Path) -> Path:
        """Write ``.npz`` with the five arrays and the offset under their names."""
        path = Path(path)
        with path.open("wb") as file:
            arrays = {name: getattr(self, name) for name in _ARRAYS}
            np.savez(file, **arrays, offset=np.asarray(self.offset))
        return path

    @classmethod
    def load(cls, path: str | Path) -> Instance:
        """Read what `save` wrote. Raises ``ValueError`` for a file of another kind, or with other numbers
        than an instance has; one of before there was an offset has none."""
        path = Path(path)
        if not zipfile.is_zipfile(path):
            text = (head := _head(path)) and b"\0" not in head
            kind = "; for text use Instance.read_text" if text else "; write it again"
            raise ValueError(f"{path}: {_OTHER}{kind}.")
        try:
            with np.load(path, allow_pickle=False) as found:
                held = dict(found)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
            raise ValueError(f"{path}: {_OTHER} ({error}); write it again.") from error
        offset = held.pop("offset", np.asarray(0.0))
        if sorted(held) != sorted(_ARRAYS) or offset.shape != () or offset.dtype.kind not in "iuf":
            raise ValueError(
                f"{path}: expected the arrays {', '.join(_ARRAYS)} and one number as the offset, got "
                f"{sorted(held)} and an offset of shape {offset.shape}; write it with Instance.save."
            )
        return _of_file(path, **held, offset=float(offset))

    def write_text(self, path: str | Path) -> Path:
        """Write one number a line, with all its digits: ``E offset``, ``J i j value``, ``h i value``, ``S
        i value``, counted from 0; ``#`` begins a comment."""
        path, pairs = Path(path), zip(self.rows, self.columns, self.couplings, strict=True)
        lines = [_HEADER.format(len(self.fields), len(self.couplings))]
        lines += [f"E {float(self.offset)!r}"]
        lines += [f"J {i} {j} {float(value)!r}" for i, j, value in pairs]
        lines += [f"h {i} {float(value)!r}" for i, value in enumerate(self.fields)]
        lines += [f"S {i} {float(value)!r}" for i, value in enumerate(self.injections)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    @classmethod
    def read_text(cls, path: str | Path) -> Instance:
        """Read what `write_text` wrote, in float64; without an ``E`` the offset is 0. Raises
        ``ValueError`` with the line of what is no such number, or is named twice or not at all."""
        path = Path(path)
        if b"\0" in _head(path):
            raise ValueError(
                f"{path}: expected the text that Instance.write_text wrote, got bytes; for .npz use "
                "Instance.load."
            )
        found: dict[str, dict[tuple[int, ...], float]] = {kind: {} for kind in "EJhS"}
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        for number, line in enumerate(lines, 1):
            if words := line.partition("#")[0].split():
                kind, place, value = _entry(words, f"{path}, line {number}")
                if place in found[kind]:
                    raise ValueError(
                        f"{path}, line {number}: expected {' '.join(words[:-1])} once, got it again."
                    )
                found[kind][place] = value
        first = re.fullmatch(_HEADER.format(r"(\d+)", r"(\d+)"), lines[0]) if lines else None
        if first and tuple(map(int, first.groups())) != (len(found["h"]), len(found["J"])):
            raise ValueError(
                f"{path}: expected the {first[1]} oscillators and {first[2]} couplings of its first line, "
                f"got {len(found['h'])} and {len(found['J'])}; it was cut or changed."
            )
        whole = [(i,) for i in range(len(found["h"]))]
        if not sorted(found["h"]) == sorted(found["S"]) == whole:
            raise ValueError(
                f"{path}: expected an h and an S for every oscillator 0, 1, ..., got {len(found['h'])} and "
                f"{len(found['S'])}, or some left out; a line is missing or of another file."
            )
        pairs = np.array(list(found["J"]), int).reshape(-1, 2)
        fields, injections = ([found[kind][place] for place in whole] for kind in "hS")
        return _of_file(
            path,
            *pairs.T,
            np.array(list(found["J"].values()), float),
            np.array(fields),
            np.array(injections),
            found["E"].get((), 0.0),
        )


def _entry(words: list[str], where: str) -> tuple[str, tuple[int, ...], float]:
    """The kind, the place and the value of a line."""
    try:
        kind, *places, value = words
        if len(places) == {"E": 0, "J": 2, "h": 1, "S": 1}[kind]:
            return kind, tuple(map(int, places)), float(value)
    except (ValueError, KeyError):
        pass
    raise ValueError(
        f"{where}: expected E value, J i j value, h i value or S i value, got {' '.join(words)[:60]!r}."
    )


def _of_file(path: Path, *numbers: Any, **named: Any) -> Instance:
    try:
        return Instance(*numbers, **named)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)


def _numbers(name: str, value: Any, whole: bool = False) -> np.ndarray:
    """One axis of finite numbers, as floats or as indices."""
    found = np.asarray(value)
    if found.ndim != 1 or found.dtype.kind not in ("iu" if whole else "iuf"):
        kind = "whole numbers" if whole else "numbers"
        _refuse(f"{name} to be {kind} along one axis, got {found.dtype} of shape {found.shape}")
    if not whole and not np.all(np.isfinite(found)):
        at = int(np.argmin(np.isfinite(found)))
        _refuse(f"finite numbers in {name}, got {found[at]} at {at}")
    return found if found.dtype.kind == "f" or whole else found.astype(float)


def _refuse(expected: str) -> NoReturn:
    raise ValueError(f"Instance: expected {expected}.")
