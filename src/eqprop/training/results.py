"""What a finished run says of itself, read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_type_hints

from eqprop._arguments import fits, shown, spoken
from eqprop.estimators.audit import Agreement
from eqprop.thermal.mixing import Mixing
from eqprop.training.files import AnyPath, damaged, read_json

Rows = Sequence[Mapping[str, str | float | None]]

RESULT: dict[str, Any] = {
    "name": str,
    "test_accuracy": float,
    "test_error_percent": float,
    "validation_accuracy": float,
    "test_loss": float,
    "validation_loss": float,
    "best_epoch": int,
    "epochs": int,
    "seconds": float,
    "stopped": bool,
    "relaxation": Mapping[str, float | None],
    "audit": Rows,
    "not_audited": str | None,
    "mixing": Rows,
    "spikes": Mapping[str, Any] | None,
    "commit": str | None,
    "warnings": Sequence[str],
}

NEEDED = ("test_loss", "validation_loss", "epochs", "seconds")

SPIKES: dict[str, Any] = {
    "rates": Mapping[str, Mapping[str, float]],
    "synaptic_operations": float,
    "draws": float,
    "microjoules": float,
}


def read_result(path: AnyPath) -> dict[str, Any]:
    """The `result.json` of a run; `RunError` where a value is not of the type that runs write."""
    found = read_json(path)
    there = (key for key in RESULT if key in found or key in NEEDED)
    _require(found, {key: RESULT[key] for key in there})
    for row in found.get("audit", ()):
        _require(row, _or_null(Agreement))
    for row in found.get("mixing", ()):
        _require(row, _or_null(Mixing))
    if found.get("spikes") is not None:
        _require(found["spikes"], SPIKES)
    return found


def _or_null(row: type) -> dict[str, Any]:
    """The fields of a row; a number that is not finite is null."""
    hints = get_type_hints(row)
    return {name: hint | None if hint is float else hint for name, hint in hints.items()}


def _require(found: Any, hints: Mapping[str, Any]) -> None:
    for key, hint in hints.items():
        if not fits(hint, found[key]):
            damaged(found.where, f"{key} to be {spoken(hint)}", shown(found[key]))
