"""One example settling and being nudged, step by step, as bytes."""

from __future__ import annotations

import base64
from typing import Any

import jax
import numpy as np
from jax import lax
from jaxtyping import Array

from eqprop.energies.energy import Clamped
from eqprop.energies.model import Model
from eqprop.energies.ops import freeze
from eqprop.energies.units.unit import State, embed, read
from eqprop.solvers import Iterative, Solver

STEPS, NEURONS, QUIET = 40, 256, 1e-3


def film(
    model: Model, free: Iterative, nudged: Solver, x: Array, y: Array, beta: float
) -> dict[str, Any]:
    """What each layer shows at every step of a free phase from rest and of a nudged one from its end.

    At most `NEURONS` of a layer, evenly chosen. A phase ends a few steps after nothing moves any more.
    Values are bytes between the layer's ``low`` and ``high``, in base64: (steps, neurons), row by row.
    """
    frozen = freeze(model)
    settled, quiet = _follow(frozen.free(x), free, model, model.energy.rest(x.dtype))
    scenes = {"free": quiet}
    if beta and isinstance(nudged, Iterative):
        phase = frozen.nudged(x, y, beta)
        scenes[f"nudged, β = {beta:.3g}"] = _follow(phase, nudged, model, settled)[1]
    layers = {}
    for name in quiet:
        frames = np.concatenate([_thinned(scene[name]) for scene in scenes.values()])
        low, high = float(np.nanmin(frames)), float(np.nanmax(frames))
        scaled = np.nan_to_num((frames - low) / ((high - low) or 1.0))
        layers[name] = {
            "low": low,
            "high": high,
            "neurons": frames.shape[1],
            "of": quiet[name].shape[1],
            "bytes": base64.b64encode(np.rint(255 * scaled).astype(np.uint8).tobytes()).decode(),
        }
    lengths = {name: len(next(iter(scene.values()))) for name, scene in scenes.items()}
    return {"phases": lengths, "layers": layers, "output": model.cost.output}


def _follow(
    phase: Clamped, solver: Iterative, model: Model, state: State
) -> tuple[State, dict[str, np.ndarray]]:
    units = model.energy.units

    def advance(carry: Any, _: None) -> tuple[Any, dict[str, Array]]:
        seen = read(units, embed(units, carry.state))
        return solver.step(phase, carry), {name: u.reshape(-1) for name, u in seen.items()}

    @jax.jit
    def run(state: State) -> tuple[State, dict[str, Array]]:
        carry, seen = lax.scan(advance, solver.init(phase, state), length=STEPS)
        return carry.state, seen

    end, seen = run(state)
    found = {name: np.real(np.asarray(values, copy=True)) for name, values in seen.items()}
    return end, {name: values[: _moving(found)] for name, values in found.items()}


def _moving(seen: dict[str, np.ndarray]) -> int:
    """Steps until nothing moves any more, and three."""
    moved = [np.abs(np.diff(values, axis=0)).max(1) for values in seen.values()]
    at = np.flatnonzero(np.max(moved, axis=0) > QUIET)
    return min(int(at[-1]) + 5 if at.size else 5, STEPS)


def _thinned(values: np.ndarray) -> np.ndarray:
    count = values.shape[1]
    return values[:, np.linspace(0, count - 1, min(count, NEURONS)).astype(int)]
