"""How long the caller of the command waits, and a word where there is nothing to see for long."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

PATIENCE = 1.5

_began = time.perf_counter()


def start() -> None:
    """From here on, before JAX is loaded."""
    global _began
    _began = time.perf_counter()


def waited() -> float:
    """Seconds since `start`."""
    return time.perf_counter() - _began


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Say so on stderr where loading takes longer than `PATIENCE` seconds."""
    timer = Timer(PATIENCE, lambda: print(f"loading {what} ...", file=sys.stderr))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
