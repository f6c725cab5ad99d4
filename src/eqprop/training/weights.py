"""Weights as safetensors: the arrays of a model by name, with the digest of their config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from eqprop.training.files import RunError, damaged, read_bytes, written_whole

WEIGHTS = "model.safetensors"

CONFIG = "config"


def save_weights(folder: Path, model: Any, config: str, dtype: Any = None) -> Path:
    """Write the arrays of ``model``; floats in ``dtype``, where it is given. Raises `RunError` for complex
    arrays, which the format has not."""
    from safetensors.numpy import save

    held = {}
    for name, leaf in _named(model).items():
        array = np.asarray(leaf)
        if np.iscomplexobj(array):
            raise RunError(f"{name}: expected real weights, got {array.dtype}.")
        narrow = dtype is not None and np.issubdtype(array.dtype, np.floating)
        held[name] = np.ascontiguousarray(array.astype(dtype) if narrow else array)
    with written_whole(folder / WEIGHTS) as part:
        part.write_bytes(save(held, {CONFIG: config}))
    return folder / WEIGHTS


def read_weights(folder: Path, like: Any, config: str) -> list[np.ndarray]:
    """The arrays in the order and the types of ``like``'s. Raises `RunError` where the file is damaged, or
    belongs to another config."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path, wanted = folder / WEIGHTS, _named(like)
    content = read_bytes(path)
    try:
        found = load(content)
    except (SafetensorError, ValueError) as error:
        damaged(str(path), "safetensors", f"'{error}'", error)
    head = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    by = head.get("__metadata__", {}).get(CONFIG, "none")
    shapes, asked = ({name: a.shape for name, a in held.items()} for held in (found, wanted))
    if by != config or shapes != asked:
        raise RunError(
            f"{path}: expected the weights of {folder / 'config.json'} (sha256 {config[:12]}...), got "
            f"those of another config ({by[:12]}...); restore both files as they were."
        )
    return [found[name].astype(leaf.dtype) for name, leaf in wanted.items()]


def _named(model: Any) -> dict[str, Any]:
    """The arrays by their path in the model, in order."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(eqx.filter(model, eqx.is_array))
    return {jax.tree_util.keystr(path).lstrip("."): leaf for path, leaf in leaves}
