"""What the files of a run folder say, as the page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eqprop.training.files import AnyPath, read_json
from eqprop.training.results import read_result
from eqprop.training.runs import read_rows

SUMMARY = (
    *("test_accuracy", "test_error_percent", "test_loss", "validation_accuracy", "validation_loss"),
    *("best_epoch", "epochs", "seconds", "seed", "data", "devices", "against", "not_audited"),
    *("stopped", "spikes", "mixing", "fixed_steps"),
)


def gathered(folder: AnyPath, command: str | None = None) -> dict[str, Any]:
    """A run by its files: config, metrics by epoch and, where it is finished, the result.

    ``command`` is what made it. Raises `RunError` where the folder is no run or is damaged.
    """
    folder = Path(folder)
    config, rows = read_json(folder / "config.json"), read_rows(folder)
    path = folder / "result.json"
    result = read_result(path) if path.exists() else {}
    return {
        "name": str(config.get("name", config["data"]["name"])),
        "folder": str(folder),
        "command": command,
        "finished": bool(result),
        "planned": config.get("epochs"),
        "seed": config.get("seed"),
        "metrics": _columns(rows),
        "summary": {key: result.get(key) for key in SUMMARY},
        "audit": result.get("audit", []),
        "warnings": result.get("warnings"),
        "made": _made(result),
        "config": config,
    }


def _columns(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    """Metrics by epoch; accuracies as errors in per cent too."""
    columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
    for split in ("", "validation_"):
        if (right := columns.get(f"{split}accuracy")) is not None:
            columns[f"{split}error"] = [100 * (1 - share) for share in right]
    return columns


def _made(result: Mapping[str, Any]) -> dict[str, str]:
    """Hardware, versions and commit, one line each."""
    hardware, versions = result.get("hardware") or {}, result.get("versions") or {}
    commit = {"commit": result["commit"]} if result.get("commit") else {}
    return {name: str(value) for name, value in (hardware | versions | commit).items()}
