"""What a result was computed by: versions, hardware and commit."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import jax


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
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
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
