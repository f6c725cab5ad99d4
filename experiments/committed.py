"""The committed results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def read(path: Path) -> dict[str, Any] | None:
    """A committed result, or None where there is none yet."""
    return json.loads(path.read_text()) if path.exists() else None


def over_seeds(mean: float, std: float, result: dict[str, Any]) -> str:
    """A mean with its deviation and the number of seeds."""
    count = len(result["seeds"])
    return f"{mean:.2f} ± {std:.2f} ({count} seeds)" if count > 1 else f"{mean:.2f} (one seed)"
