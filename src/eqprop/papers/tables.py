"""The committed results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eqprop.training.files import read_json

ROOT = Path(__file__).resolve().parent.parent


def read(path: Path) -> dict[str, Any] | None:
    """A committed result, or None where there is none yet. The first ones have no digest."""
    return read_json(path) if path.exists() else None


def seeds(result: dict[str, Any]) -> str:
    """How many, in words."""
    count = len(result["seeds"])
    return f"{count} seed" + "s" * (count > 1)


def by_case(result: dict[str, Any]) -> list[str]:
    """A row a case of a comparison: test accuracy %, with its deviation over seeds, and seconds."""
    rows = ["", "| | test accuracy % | seconds a run |", "|---|---|---|"]
    for case in result["cases"]:
        error = case["test_error_percent"]
        spread = f" ± {error['std']:.2f}" if len(result["seeds"]) > 1 else ""
        rows.append(
            f"| {case['line']} | {100 - error['mean']:.2f}{spread} | {case['seconds']:.0f} |"
        )
    return rows


def over_seeds(mean: float, std: float, result: dict[str, Any]) -> str:
    """A mean with its deviation and the number of seeds."""
    count = len(result["seeds"])
    return f"{mean:.2f} ± {std:.2f} ({count} seeds)" if count > 1 else f"{mean:.2f} (one seed)"
