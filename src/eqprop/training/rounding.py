"""The nudges that rounding leaves, of states that relax in few bits."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqprop.energies.model import Model
from eqprop.energies.ops import freeze
from eqprop.energies.units.unit import State
from eqprop.estimators.estimator import Estimator, by_phase
from eqprop.solvers import Solver
from eqprop.solvers.relax import relax

PROBE = 0.01
SHARP, MANY = 1e-5, 1000


class Resolution(NamedTuple):
    """The layer that answers a nudge least, and the nudge that moves it by as much as rounding does: of the
    layers that answer at all, without the ``unmoved``."""

    layer: str
    beta: float
    unmoved: tuple[str, ...] = ()


def smallest_nudge(model: Model, x: Array, y: Array, solver: Solver, rounding: float) -> Resolution:
    """``rounding |z| / |dz/dbeta|`` of the layer where it is largest: the gradient of that layer is lost at
    smaller nudges, where states are rounded as a whole, but for what averages over neurons and examples.
    Measured in the model's own type at nudges of +-0.01, over a batch; infinite where they move no layer.
    """
    measured = _smallest_nudges(model, x, y, solver, rounding)
    found = {name: float(beta) for name, beta in measured.items()}
    known = {name: beta for name, beta in found.items() if np.isfinite(beta)}
    unmoved = tuple(name for name in found if name not in known)
    if not known:
        return Resolution(unmoved[0], float("inf"), unmoved)
    layer = max(known, key=lambda name: known[name])
    return Resolution(layer, known[layer], unmoved)


@eqx.filter_jit
def _smallest_nudges(
    model: Model, x: Array, y: Array, solver: Solver, rounding: float
) -> dict[str, Array]:
    betas, frozen = jnp.asarray([-PROBE, PROBE], x.dtype), freeze(model)
    free, _ = relax(model, x, model.rest(x), solver)

    def settle(beta: Array, x: Array, y: Array, start: State) -> State:
        return solver.settle(frozen.nudged(x, y, beta), start)[0]

    ends = by_phase(settle, (None, 0, 0, 0), (0, None, None, None))(betas, x, y, free)
    size = jax.tree.map(jnp.linalg.norm, jax.tree.map(jnp.ravel, free))
    rate = jax.tree.map(lambda z: jnp.linalg.norm((z[1] - z[0]).ravel()) / (2 * PROBE), ends)
    return jax.tree.map(lambda z, r: rounding * z / r, size, rate)


def warn_of_rounding(estimator: Estimator, model: Model, x: Array, y: Array) -> None:
    """Warn where a nudge is lost in the rounding of states that relax in a smaller type, and of layers
    that answer none."""
    rounding = estimator.rounding
    if rounding is None:
        return
    kind, unit, solver = rounding
    steps: Any = {"tolerance": SHARP, "max_steps": max(solver.max_steps, MANY)}
    precise = dataclasses.replace(solver, **steps)
    betas, _ = estimator.contrast.draw(jax.random.key(0))  # type: ignore[attr-defined]
    least = smallest_nudge(model, x, y, precise, unit)
    _tell(least, float(np.max(np.abs(betas))), kind)


def _tell(least: Resolution, beta: float, kind: str) -> None:
    if least.unmoved:
        warnings.warn(
            f"Nudges of {PROBE:g} move no neuron of the layers {', '.join(least.unmoved)}, which learn "
            "nothing, and of which no smallest nudge is known. They lie at the ends of their interval: "
            "lower the gain; or the nudged phase met its tolerance before: use a smaller one.",
            stacklevel=2,
        )
    if beta < least.beta < float("inf"):
        warnings.warn(
            f"A nudge of {beta:g} moves layer {least.layer!r} by less than {kind} "
            f"rounds: expected beta of at least {least.beta:.2g}. Use it, or differences (--estimator "
            "differences), which keep the digits of small nudges.",
            stacklevel=2,
        )
