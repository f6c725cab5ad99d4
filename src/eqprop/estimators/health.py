"""What of a model and a batch is not finite, by name; nudges that leave no minimum, and phases in which
weak feedback is lost."""

from __future__ import annotations

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from eqprop.energies.costs import SquaredError
from eqprop.energies.energy import field
from eqprop.energies.feedback import Enlarged, is_shrunk, is_weak
from eqprop.energies.model import Model
from eqprop.energies.parameters import parameter_names
from eqprop.energies.units.interval import Box, Linear, Ramp
from eqprop.energies.units.stiff import Stiff
from eqprop.energies.units.unit import State, embed
from eqprop.estimators.contrast import Contrast, RandomSign
from eqprop.solvers import Solver

LEAST_NUDGE = 1e-30


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


def require_minimum(model: Model, contrast: Contrast) -> None:
    """Raise ``ValueError`` for nudges of a squared error that pull outputs away as hard as their own energy
    holds them, ``z^2 / 2`` in a Network: ``E + beta C`` is not convex in them. Of weak feedback, nudges
    count as much more as the last layer counts less."""
    cost, unit = model.cost, model.energy.units.get(model.cost.output)
    factor = 1.0 if unit is None else 1 / model.energy.own_curvature(cost.output)
    if isinstance(cost, Enlarged):
        factor *= cost.factor**2
        cost = cost.cost
    unit = unit.unit if isinstance(unit, Stiff) else unit
    if not (isinstance(cost, SquaredError) and isinstance(unit, Linear | Box | Ramp)):
        return
    betas = factor * np.real(np.asarray(contrast.draw(jax.random.key(0))[0]))
    lowest = -np.max(np.abs(betas)) if isinstance(contrast, RandomSign) else np.min(betas)
    if lowest <= -1:
        raise ValueError(
            f"beta: expected nudges above -1 with a squared error, got {lowest:g}, in units of what holds "
            "the output; from -1 on, E + beta C is not convex in it and may have no minimum. Use a smaller "
            "beta, or one-sided nudges with a positive one."
        )


def require_graded(model: Model) -> None:
    """Raise ``ValueError`` for spins, which answer no nudge that is small."""
    if spins := [name for name, unit in model.energy.units.items() if unit.discrete]:
        raise ValueError(
            f"EquilibriumPropagation: expected units that answer small nudges, got spins in {spins}; "
            "use Thermal, at a temperature."
        )


def require_sweeps(model: Model, solver: Solver) -> None:
    """Raise ``ValueError`` for a tolerance with weak feedback, whose layers are kept small."""
    tolerance = getattr(getattr(solver, "solver", solver), "tolerance", None)
    if is_weak(model) and tolerance is not None:
        raise ValueError(
            "feedback: expected a number of steps (a tolerance of None) below 1, since layers that are "
            f"kept small hardly count in a residual, got a tolerance of {tolerance:g}; take a few "
            "sweeps, as Blockwise(None, 4), or a feedback of 1."
        )


def require_heard(
    model: Model, contrast: Contrast, solvers: tuple[Solver, ...], apart: bool
) -> None:
    """Raise ``ValueError`` where layers that weak feedback keeps small would learn from rounding; ``apart``
    says that nudged phases are carried as differences."""
    if not is_weak(model):
        return
    for solver in solvers:
        require_sweeps(model, solver)
    if is_shrunk(model) and not apart:
        raise ValueError(
            "feedback: expected differences (DeltaPropagation, --estimator differences) below 1, since the "
            "answers of the first layers are lost in the rounding of their states, got phases as a whole."
        )
    largest = float(np.max(np.abs(np.asarray(contrast.draw(jax.random.key(0))[0]))))
    if largest < LEAST_NUDGE:
        raise ValueError(
            f"feedback: expected nudges of {LEAST_NUDGE:g} or more, whose answers floats still hold, got "
            f"{largest:g}; use less weak feedback, or fewer layers."
        )


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
