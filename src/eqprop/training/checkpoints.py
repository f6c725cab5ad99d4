"""Checkpoints by Orbax: the arrays of a state, as one process holds them, the digest of the config that
they were trained by, and a digest of all this.

Nothing in them depends on how many devices wrote them. A file beside them, checkpoints.json, holds the
digests of their files, so that damage is found before Orbax reads them.
"""

from __future__ import annotations

import hashlib
import logging
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from eqprop.training.files import DIGEST, RunError, read_json, write_json

KEEP = 2

FILES = "checkpoints.json"

CONFIG = "config"

Leaves = dict[str, np.ndarray]


def save(folder: Path, epoch: int, state: PyTree, config: str) -> None:
    """Keep the arrays of ``state``, and those of the epoch before, with the digest of the ``config``, in
    hex digits."""
    leaves = _leaves(state) | {CONFIG: np.frombuffer(bytes.fromhex(config), np.uint8)}
    content = leaves | {DIGEST: _digest(leaves)}
    told = _told(folder)
    if told.pop(str(epoch), None):  # of one that is gone: a kill may fall before the new ones
        write_json(folder / FILES, told)
    try:
        with _manager(folder) as manager:
            manager.save(epoch, args=_orbax().args.StandardSave(content))
            manager.wait_until_finished()
            kept = [str(step) for step in manager.all_steps()]
        new = {str(epoch): _files(folder / "checkpoints" / str(epoch))}
        write_json(folder / FILES, {step: told.get(step, {}) for step in kept} | new)
    except (OSError, ValueError) as error:
        raise OSError(
            f"Cannot write a checkpoint under {folder}: {error}; free some space, make it writable "
            "or choose another folder with --out. Earlier checkpoints are kept."
        ) from error


def read(folder: Path, like: PyTree, config: str) -> Leaves | None:
    """The arrays of the latest checkpoint; nothing before the first. `RunError` where they are damaged, of
    another config than that of the digest, or do not fit ``like``."""
    found = _latest(folder, config)
    if found is not None:
        where, leaves = found
        _require_fit(where, leaves, _leaves(like))
        return leaves
    return None


def last(folder: Path, config: str) -> list[np.ndarray]:
    """The arrays of the latest checkpoint in order; `RunError` as `read`, and before the first."""
    found = _latest(folder, config)
    if found is None:
        raise RunError(f"{folder}: expected at least one finished epoch, got none; train it first.")
    return [found[1][key] for key in sorted(found[1])]


def _latest(folder: Path, config: str) -> tuple[Path, Leaves] | None:
    if not (folder / "checkpoints").is_dir():
        return None
    with _manager(folder, read_only=True) as manager:
        epoch = manager.latest_step()
        if epoch is None:
            return None
        where = folder / "checkpoints" / str(epoch)
        _require_files(where, _told(folder).get(where.name, {}))
        try:
            found = manager.restore(epoch, args=_orbax().args.StandardRestore())
            found = {key: np.asarray(leaf) for key, leaf in found.items()}
            digest = bytes(found.pop(DIGEST))
        except Exception as error:
            _corrupt(where, _short(error), error)
    if digest != bytes(_digest(found)):
        got = bytes(_digest(found)).hex()
        _corrupt(where, f"expected sha256 {digest.hex()[:12]}..., got {got[:12]}...")
    by = bytes(found.pop(CONFIG, b"")).hex()  # earlier versions kept none
    if by not in ("", config):
        raise RunError(
            f"{where}: expected a checkpoint by {folder / 'config.json'} (sha256 {config[:12]}...), got "
            f"one by another config ({by[:12]}...); restore that file as it was when the run began."
        )
    return where, found


def _files(where: Path) -> dict[str, str]:
    """The digest of every file of a checkpoint."""
    return {
        path.relative_to(where).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(where.rglob("*"))
        if path.is_file()
    }


def _told(folder: Path) -> dict[str, dict[str, str]]:
    """The digests by checkpoint; earlier versions kept none."""
    path = folder / FILES
    return dict(read_json(path)) if path.exists() else {}


def _require_files(where: Path, written: dict[str, str]) -> None:
    """Raise `RunError` where files are not as they were written."""
    found = _files(where)
    for name, digest in written.items():
        if (got := found.get(name)) != digest:
            there = f"got {got:.12}..." if got else "got no such file"
            _corrupt(where, f"{name}: expected sha256 {digest!s:.12}..., {there}")


def _corrupt(where: Path, flaw: str, cause: Exception | None = None) -> NoReturn:
    raise RunError(
        f"{where}: the checkpoint is corrupt ({flaw}); delete that folder to resume from the one before, "
        "or start anew with another --out."
    ) from cause


def _require_fit(where: Path, found: Leaves, wanted: Leaves) -> None:
    """Raise `RunError` where arrays differ in number, shape or type."""
    shapes, asked = ({k: a.shape for k, a in leaves.items()} for leaves in (found, wanted))
    if shapes != asked:
        odd = next(k for k in sorted({*found, *wanted}) if shapes.get(k) != asked.get(k))
        raise RunError(
            f"{where}: expected {len(asked)} arrays, and of shape {asked.get(odd)} as number {odd}, got "
            f"{len(shapes)} and {shapes.get(odd)}; the checkpoint belongs to another model."
        )
    for key, leaf in wanted.items():
        if leaf.dtype != (there := found[key].dtype):
            wide = int("64" in there.name or "128" in there.name)
            raise RunError(
                f"{where}: expected {leaf.dtype}, the precision of this process, got {there}; set "
                f"JAX_ENABLE_X64={wide} to go on as the run began."
            )


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


def _digest(leaves: Leaves) -> np.ndarray:
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
