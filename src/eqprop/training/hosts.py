"""Several hosts: one process each, the same program on all; the first reads and writes the files."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import numpy as np

T = TypeVar("T")

AUTO = "auto"


@dataclass(frozen=True)
class Hosts:
    """How this process finds the others; alone by default."""

    coordinator: str | None = None
    """Several hosts: HOST:PORT of the process 0, the same for all; or auto, on clusters that JAX knows."""
    processes: int = 1
    """How many processes take part."""
    process: int = 0
    """Which of them this is, from 0, which writes the files."""

    def join(self) -> None:
        """Meet the other processes; before anything else asks JAX for a device."""
        if self.coordinator == AUTO:
            jax.distributed.initialize()
            return
        if not 0 <= self.process < self.processes:
            raise ValueError(
                f"process: expected a number from 0 to {self.processes - 1}, got {self.process}; give "
                "--processes, too."
            )
        if self.coordinator is None and self.processes > 1:
            raise ValueError(
                f"processes: expected a --coordinator HOST:PORT where {self.processes} processes meet, got "
                "none."
            )
        if self.coordinator is not None:
            host, _, port = self.coordinator.rpartition(":")
            if not (host and port.isdigit()):
                raise ValueError(
                    f"coordinator: expected HOST:PORT of the process 0, or auto, got {self.coordinator!r}."
                )
            jax.distributed.initialize(self.coordinator, self.processes, self.process)


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


def from_first(action: Callable[[], T]) -> T:
    """What ``action`` returns in the first process, in all of them; an error of it is raised in all.

    The action runs in the first process alone, and its result must pickle.
    """
    if jax.process_count() == 1:
        return action()
    answer = b""
    if is_first():
        try:
            answer = pickle.dumps((True, action()))
        except Exception as error:
            answer = pickle.dumps((False, error))
    done, result = pickle.loads(_broadcast(answer))
    if not done:
        raise result
    return result


def in_all(action: Callable[[], T]) -> T:
    """What ``action`` returns in each process; where it fails in one of them, an error in all."""
    if jax.process_count() == 1:
        return action()
    try:
        result = action()
    except Exception:
        _gather(np.asarray(True))
        raise
    if (failures := np.flatnonzero(_gather(np.asarray(False)))).size:
        raise RuntimeError(f"hosts: processes {failures.tolist()} failed; see what they say.")
    return result


def require_agreement(what: str, value: Any) -> None:
    """Raise ``ValueError``, in all processes, where they do not hold the same ``value``."""
    if jax.process_count() == 1:
        return
    all_digests = _gather(np.frombuffer(hashlib.sha256(pickle.dumps(value)).digest(), np.uint8))
    differing = [i for i, one in enumerate(all_digests) if not np.array_equal(one, all_digests[0])]
    if differing:
        raise ValueError(
            f"hosts: expected the same {what} in all {len(all_digests)} processes, got another in "
            f"{differing} than in 0; start all with the same options and data."
        )


def _gather(value: np.ndarray) -> np.ndarray:
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(value))


def _broadcast(content: bytes) -> bytes:
    from jax.experimental import multihost_utils

    size = int(multihost_utils.broadcast_one_to_all(np.asarray(len(content))))
    held = np.frombuffer(content.ljust(size, b"\0")[:size], np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(held)).tobytes()
