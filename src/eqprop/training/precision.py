"""What a recipe's precision makes of its solvers, and the nudges that rounding leaves."""

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
from eqprop.estimators.equilibrium import EquilibriumPropagation
from eqprop.estimators.estimator import Estimator, by_phase
from eqprop.solvers import Iterative, MatmulPrecision, Reduced, Refined, Solver
from eqprop.solvers.relax import relax
from eqprop.training.choices import PrecisionName
from eqprop.training.recipe import Recipe

PROBE = 0.01
SHARP, MANY = 1e-5, 1000

ROUNDING: dict[PrecisionName, float] = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "tf32": 2.0**-11}
"""Unit roundoff: the largest relative error of a number that is rounded."""


def at_precision(recipe: Recipe, solver: Solver) -> Solver:
    """The recipe's solver at its precision; with differences, refined to the recipe's tolerance."""
    if recipe.precision == "full":
        return solver
    if recipe.estimator != "ep" or not isinstance(solver, Iterative):
        raise ValueError(
            f"precision: expected the estimator ep and an iterative solver for {recipe.precision}, got "
            f"{recipe.estimator} and {recipe.solver}; leave it full."
        )
    if recipe.precision == "tf32":
        return MatmulPrecision(solver)
    if not recipe.differences:
        least = _least_tolerance(recipe.precision)
        if 0 < recipe.tolerance < least:
            raise ValueError(
                f"tolerance: expected at least {least:.2g} for loops in {recipe.precision}, or 0 for "
                f"max_steps steps, got {recipe.tolerance}; or use --differences, which refine to it."
            )
        return Reduced(solver, recipe.precision)
    if "oscillator" in (recipe.unit, recipe.output):
        raise ValueError(
            "precision: expected full or tf32 with differences of oscillators, whose free phases are not "
            f"refined, got {recipe.precision}."
        )
    if recipe.tolerance == 0:
        raise ValueError(
            "tolerance: expected a number > 0 with differences in a smaller float type, whose rounds go "
            "on until it is met, got 0."
        )
    return Refined(_resolved(solver, recipe.precision), recipe.tolerance, dtype=recipe.precision)


def for_differences(recipe: Recipe, solver: Solver) -> tuple[Solver, str | None]:
    """The solver of the recipe's differences, and their float type."""
    if recipe.state_bits:
        raise ValueError(
            "differences: expected state_bits of 0, since states are not read as such, got "
            f"{recipe.state_bits}."
        )
    if recipe.precision in ("full", "tf32"):
        return at_precision(recipe, solver), None
    assert isinstance(solver, Iterative)
    return _resolved(solver, recipe.precision), recipe.precision


def _resolved(solver: Iterative, dtype: str) -> Iterative:
    """The solver at its tolerance, or at the least that the float type resolves."""
    if solver.tolerance is None:
        return solver
    change: Any = {"tolerance": max(solver.tolerance, _least_tolerance(dtype))}
    return dataclasses.replace(solver, **change)


def _least_tolerance(dtype: str) -> float:
    return 4 * float(jnp.finfo(dtype).eps)


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
    betas = jnp.asarray([-PROBE, PROBE], x.dtype)

    @eqx.filter_jit
    def measure(model: Model, x: Array, y: Array) -> dict[str, Array]:
        frozen = freeze(model)
        free, _ = relax(model, x, model.rest(x), solver)

        def settle(beta, x, y, start):
            return solver.settle(frozen.nudged(x, y, beta), start)[0]

        ends = by_phase(settle, (None, 0, 0, 0), (0, None, None, None))(betas, x, y, free)
        size = jax.tree.map(jnp.linalg.norm, jax.tree.map(jnp.ravel, free))
        rate = jax.tree.map(lambda z: jnp.linalg.norm((z[1] - z[0]).ravel()) / (2 * PROBE), ends)
        return jax.tree.map(lambda z, r: rounding * z / r, size, rate)

    found = {name: float(beta) for name, beta in measure(model, x, y).items()}
    known = {name: beta for name, beta in found.items() if np.isfinite(beta)}
    unmoved = tuple(name for name in found if name not in known)
    if not known:
        return Resolution(unmoved[0], float("inf"), unmoved)
    layer = max(known, key=lambda name: known[name])
    return Resolution(layer, known[layer], unmoved)


def warn_if_unresolved(recipe: Recipe, model: Model, x: Array, y: Array, solver: Solver) -> None:
    """Warn where the recipe's nudge is lost in the rounding of its states, and of layers that answer none;
    ``solver`` is a precise one."""
    if recipe.differences or recipe.precision not in ROUNDING:
        return
    least = smallest_nudge(model, x, y, solver, ROUNDING[recipe.precision])
    _tell(least, abs(recipe.beta), recipe.precision)


def warn_of_rounding(estimator: Estimator, model: Model, x: Array, y: Array) -> None:
    """The same of equilibrium propagation whose free phases relax in a smaller type."""
    if not isinstance(estimator, EquilibriumPropagation):
        return
    solver = estimator.solver
    if isinstance(solver, Reduced):
        kind, rounding = solver.dtype, float(jnp.finfo(solver.dtype).eps) / 2
    elif isinstance(solver, MatmulPrecision):
        kind, rounding = solver.precision, ROUNDING["tf32"]
    else:
        return
    steps: Any = {"tolerance": SHARP, "max_steps": max(solver.solver.max_steps, MANY)}
    precise = dataclasses.replace(solver.solver, **steps)
    betas, _ = estimator.contrast.draw(jax.random.key(0))
    least = smallest_nudge(model, x, y, precise, rounding)
    _tell(least, float(np.max(np.abs(betas))), str(kind))


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
            f"rounds: expected beta of at least {least.beta:.2g}. Use it, or differences (--differences), "
            "which keep the digits of small nudges.",
            stacklevel=2,
        )
