"""What of a model and a batch is not finite, by name."""

from __future__ import annotations

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from eqprop.energies.energy import field
from eqprop.energies.model import Model
from eqprop.energies.parameters import parameter_names
from eqprop.energies.units.unit import State, embed


def not_finite(model: Model, x: Array, state: State | None = None) -> str | None:
    """The first of inputs, parameters, states and fields that is not finite, in words; else nothing.

    ``x``: (batch, ...); ``state``: (batch, ...), at rest unless given. Not under a transformation.
    """
    if not (kept := _finite(x)).all():
        return f"inputs x: examples {np.flatnonzero(~kept)[:8].tolist()} of {len(x)}"
    names = jax.tree.leaves(parameter_names(model))
    leaves = jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))
    if bad := [name for name, leaf in zip(names, leaves, strict=True) if not _finite(leaf).all()]:
        return f"parameters {bad}"
    state = model.rest(x) if state is None else state
    if bad := [name for name, z in state.items() if not _finite(z).all()]:
        return f"states of layers {bad}: smaller steps, nudges or weights keep them finite"
    fields = _fields(model, x, state)
    if bad := [name for name, a in fields.items() if not _finite(a).all()]:
        return (
            f"the gradient of the energy in layers {bad}, where inputs, parameters and states are finite: "
            "look for square roots, logarithms and quotients at zero"
        )
    return None


def _finite(a: Array) -> np.ndarray:
    """By the leading axis."""
    rows = np.isfinite(np.asarray(a)).reshape(len(a) if a.ndim else 1, -1)
    finite: np.ndarray = rows.all(1)
    return finite


@eqx.filter_jit
def _fields(model: Model, x: Array, state: State) -> State:
    def one(x: Array, state: State) -> State:
        phase = model.free(x)
        return field(phase, embed(phase.units, state), tuple(state))

    return jax.vmap(one)(x, state)
