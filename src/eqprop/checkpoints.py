"""Checkpoints by Orbax: the arrays of a state, as one process holds them, and a digest of them all.

Nothing in them depends on how many devices wrote them.
"""

from __future__ import annotations

import hashlib
import logging
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

KEEP = 2
DIGEST = "sha256"
Leaves = dict[str, np.ndarray]


class RunError(RuntimeError):
    """A run folder cannot be used as asked."""


def save(folder: Path, epoch: int, state: PyTree) -> None:
    """Keep the arrays of ``state``, and those of the epoch before."""
    leaves = _leaves(state)
    content = leaves | {DIGEST: _digest(leaves)}
    try:
        with _manager(folder) as manager:
            manager.save(epoch, args=_orbax().args.StandardSave(content))
            manager.wait_until_finished()
    except (OSError, ValueError) as error:
        raise OSError(
            f"Cannot write a checkpoint under {folder}: {error}; free some space, make it writable "
            "or choose another folder with --out. Earlier checkpoints are kept."
        ) from error


def read(folder: Path, like: PyTree) -> Leaves | None:
    """The arrays of the latest checkpoint, which fit ``like``; nothing before the first."""
    if not (folder / "checkpoints").is_dir():
        return None
    wanted = _leaves(like)
    with _manager(folder, read_only=True) as manager:
        epoch = manager.latest_step()
        if epoch is None:
            return None
        where = folder / "checkpoints" / str(epoch)
        asked = wanted | {DIGEST: np.zeros(32, np.uint8)}
        try:
            found = manager.restore(epoch, args=_orbax().args.StandardRestore(asked))
        except Exception as error:
            raise RunError(
                f"{where}: the checkpoint is corrupt or belongs to another model ("
                f"{_short(error)}); delete that folder to resume from the one before, or "
                "start anew with another --out."
            ) from error
    found = {key: np.asarray(leaf) for key, leaf in found.items()}
    digest = found.pop(DIGEST)
    if not np.array_equal(digest, _digest(found)):
        raise RunError(
            f"{where}: the checkpoint is corrupt (expected sha256 {bytes(digest).hex()[:12]}..., got "
            f"{bytes(_digest(found)).hex()[:12]}...); delete that folder to resume "
            "from the one before. A run in another precision (JAX_ENABLE_X64) reads as corrupt, too."
        )
    for key, a in wanted.items():
        b = found[key]
        if a.shape != b.shape or a.dtype != b.dtype:
            raise RunError(
                f"{where}: expected an array {a.dtype}{list(a.shape)}, got {b.dtype}{list(b.shape)}; the "
                "checkpoint belongs to another model."
            )
    return found


def _short(error: Exception) -> str:
    return textwrap.shorten(str(error), 160)


def combine(like: PyTree, found: Leaves) -> PyTree:
    """``like`` with the arrays of a checkpoint in the place of its own."""
    arrays, static = eqx.partition(like, eqx.is_array)
    structure = jax.tree.structure(arrays)
    leaves = [jnp.asarray(found[key]) for key in sorted(found)]
    return eqx.combine(jax.tree.unflatten(structure, leaves), static)


def _leaves(tree: PyTree) -> Leaves:
    arrays = jax.tree.leaves(eqx.filter(tree, eqx.is_array))
    return {f"{i:04d}": np.asarray(leaf) for i, leaf in enumerate(arrays)}


def _digest(leaves: Mapping[str, Any]) -> np.ndarray:
    total = hashlib.sha256()
    for key in sorted(leaves):
        total.update(np.ascontiguousarray(leaves[key]).tobytes())
    return np.frombuffer(total.digest(), np.uint8)


def _manager(folder: Path, read_only: bool = False):
    """Orbax for this process alone, whatever others there are."""
    ocp = _orbax()
    keep = {"save_interval_steps": 0} if read_only else {"max_to_keep": KEEP}
    if jax.process_count() > 1:
        own = jax.process_index()
        alone = ocp.options.MultiprocessingOptions(
            primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"eqprop{own}"
        )
        keep |= {"multiprocessing_options": alone}
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    create = not read_only and jax.process_count() == 1
    options = ocp.CheckpointManagerOptions(
        enable_async_checkpointing=False, read_only=read_only, create=create, **keep
    )
    with _errors_only("absl"):  # Orbax warns that what is read is read only
        return ocp.CheckpointManager((folder / "checkpoints").absolute(), options=options)


@contextmanager
def _errors_only(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _orbax():
    import orbax.checkpoint

    return orbax.checkpoint
