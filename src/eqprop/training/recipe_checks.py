"""Which values of a recipe make sense, alone and beside one another."""

from __future__ import annotations

import difflib
import math
from typing import Any, Literal, get_args, get_origin, get_type_hints

from eqprop._arguments import fits, shown, spoken
from eqprop.training.choices import SPIKING

NOT_NEGATIVE = ("tolerance", "examples", "nudged_steps", "noise", "parameter_bits", "state_bits")

OF_NUDGED_PHASES = ("nudged_steps", "differences")

WITHOUT_NUDGES = ("implicit", "bptt", "backprop", "surrogate")

LEAST_NUDGE = 1e-30


def check_recipe(recipe: Any) -> None:
    """Raise ``ValueError`` where a value of a `eqprop.training.recipe.Recipe` makes no sense."""
    _require_kinds(recipe)
    if not all(gain > 0 for gain in recipe.gain):
        raise ValueError(f"gain: expected numbers > 0, got {recipe.gain}.")
    positive = ("step_size", "max_steps", "learning_rate", "epochs", "batch_size")
    for name in (*positive, "validation"):
        if not getattr(recipe, name) > 0:
            raise ValueError(f"{name}: expected a number > 0, got {getattr(recipe, name)}.")
    for name in ("weight_decay", "warmup", "shift", "patience", *NOT_NEGATIVE):
        if getattr(recipe, name) < 0:
            raise ValueError(f"{name}: expected a number >= 0, got {getattr(recipe, name)}.")
    if recipe.tolerance == 0 and (recipe.solver == "flow" or recipe.estimator == "implicit"):
        raise ValueError(
            "tolerance: expected a number > 0 with the solver flow or the estimator implicit, got 0 "
            f"with {recipe.solver} and {recipe.estimator}."
        )
    for name in ("state_bits", *OF_NUDGED_PHASES):
        counted = recipe.estimator == "spiking" and name == "nudged_steps"
        unseen = recipe.estimator in WITHOUT_NUDGES and name in OF_NUDGED_PHASES
        value = getattr(recipe, name)
        if value and recipe.estimator != "ep" and not counted and not unseen:
            raise ValueError(
                f"{name}: expected the estimator ep, whose phases it acts on, got {recipe.estimator}; set "
                f"it to {type(value)(0)}."
            )
    if recipe.estimator == "thermal" and not hasattr(recipe, "temperature"):
        raise ValueError(
            "estimator: expected a recipe with a temperature for thermal, as fashion-mnist-thermal."
        )
    if recipe.estimator in SPIKING and not hasattr(recipe, "leak"):
        raise ValueError(
            f"estimator: expected a recipe of a spiking network for {recipe.estimator}, as mnist-spiking."
        )
    if recipe.estimator == "backprop" and "oscillator" in (recipe.unit, recipe.output):
        raise ValueError("estimator: expected units that are numbers for backprop, got oscillator.")
    if not 0 < recipe.feedback <= 1:
        raise ValueError(f"feedback: expected a number in (0, 1], got {recipe.feedback}.")
    if recipe.feedback < 1:
        _check_weak_feedback(recipe)
    if recipe.solver == "langevin" and recipe.estimator != "ep":
        raise ValueError(
            f"solver: expected the estimator ep with the noise of langevin, got {recipe.estimator}."
        )
    if recipe.test_last and recipe.patience:
        raise ValueError(
            f"test_last: expected patience of 0, since no epoch is better than the last, got "
            f"{recipe.patience}."
        )
    if recipe.without_master and not recipe.parameter_bits:
        raise ValueError("without_master: expected parameter_bits of 1 or more, got 0.")
    if recipe.stochastic_rounding and not recipe.without_master:
        raise ValueError("stochastic_rounding: expected without_master, whose updates it rounds.")
    if recipe.layer_ranges and len(recipe.layer_ranges) != len(recipe.order):
        raise ValueError(
            f"layer_ranges: expected {len(recipe.order)} numbers, one for each of {recipe.order}, got "
            f"{recipe.layer_ranges}."
        )
    oscillators = "oscillator" in (recipe.unit, recipe.output)
    for name in ("injection", "train_injection", "quadrature"):
        if getattr(recipe, name) and not oscillators:
            raise ValueError(
                f"{name}: expected oscillators, got the units {recipe.unit} and {recipe.output}."
            )
    if not 0 <= recipe.quadrature < math.inf:
        raise ValueError(f"quadrature: expected a number >= 0, got {recipe.quadrature}.")
    if recipe.noise and recipe.solver != "langevin":
        raise ValueError(
            f"noise: expected the solver langevin with noise {recipe.noise}, got {recipe.solver}."
        )
    if recipe.warmup >= recipe.epochs:
        raise ValueError(
            f"warmup: expected fewer than the {recipe.epochs} epochs, got {recipe.warmup}."
        )
    if not math.isfinite(recipe.beta) or recipe.beta == 0:
        raise ValueError(
            f"beta: expected a finite nudge other than 0, got {recipe.beta}; 0.1 to 0.5 is usual."
        )
    lowest = recipe.beta if recipe.contrast == "one-sided" else -abs(recipe.beta)
    bounded = recipe.output == "oscillator" or recipe.cost != "squared-error"
    if recipe.estimator == "ep" and not bounded and lowest <= -1:
        raise ValueError(
            f"beta: expected nudges above -1 with a squared error, got {lowest} ({recipe.contrast}); "
            "from -1 on, E + beta C is not convex in the output and may have no minimum. Use a "
            "smaller beta, or one-sided with a positive one."
        )


def _check_weak_feedback(recipe: Any) -> None:
    """Layers that are kept small, and answers that fade, hardly count in a residual or a float."""
    if recipe.estimator == "thermal":
        raise ValueError(
            "feedback: expected 1 with the estimator thermal, whose noise would drown the answers of the "
            f"first layers, got {recipe.feedback}."
        )
    if recipe.estimator in ("backprop", *SPIKING):
        return
    if recipe.tolerance:
        raise ValueError(
            "feedback: expected a tolerance of 0 below 1, since layers that are kept small hardly "
            f"count in a residual, got {recipe.tolerance}; take max_steps sweeps, such as 4 with ordered."
        )
    few = recipe.precision not in ("full", "tf32")
    stiff = hasattr(recipe, "leak") or "oscillator" in (recipe.unit, recipe.output)
    if recipe.estimator == "ep" and not stiff and (few or not recipe.differences):
        raise ValueError(
            "feedback: expected differences (--differences), in the precision full or tf32, below 1, "
            "since the answers of the first layers are lost in the rounding of their states, got "
            f"{recipe.precision if few else 'no differences'}."
        )
    if abs(recipe.beta) * recipe.nudge_scale < LEAST_NUDGE and recipe.nudge_scale < 1:
        least = (LEAST_NUDGE / abs(recipe.beta)) ** (1 / (len(recipe.order) - 1))
        raise ValueError(
            f"feedback: expected at least {least:.1g} with {len(recipe.order)} layers and a beta of "
            f"{recipe.beta:g}, whose answers floats still hold, got {recipe.feedback}."
        )


def _require_kinds(recipe: Any) -> None:
    for name, kind in get_type_hints(type(recipe)).items():
        value = getattr(recipe, name)
        if fits(kind, value):
            continue
        if get_origin(kind) is tuple and not isinstance(value, tuple):
            raise ValueError(f"{name}: expected a tuple, such as ({value!r},), got {value!r}.")
        close = difflib.get_close_matches(str(value), map(str, get_args(kind)), n=1)
        hint = f" Did you mean {close[0]!r}?" if close and get_origin(kind) is Literal else ""
        raise ValueError(f"{name}: expected {spoken(kind)}, got {shown(value)}.{hint}")
    if not 0 <= recipe.seed < 2**32:
        raise ValueError(f"seed: expected a number from 0 to {2**32 - 1}, got {recipe.seed}.")
