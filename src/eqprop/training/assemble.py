"""The objects that a recipe stands for: solver, contrast, estimator, augmentation."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import optax

from eqprop import thermal as samplers
from eqprop.energies.model import Model
from eqprop.energies.network import alternate, one_by_one
from eqprop.estimators import contrast as contrasts
from eqprop.estimators.backpropagation import Backpropagation, FeedForward
from eqprop.estimators.contrast import Contrast
from eqprop.estimators.differences import DeltaPropagation
from eqprop.estimators.equilibrium import EquilibriumPropagation
from eqprop.estimators.estimator import Estimator
from eqprop.estimators.implicit import ImplicitDifferentiation
from eqprop.estimators.warm_start import WarmStart
from eqprop.hardware import Program, Programmed, Programs, Quantise, ReadBits
from eqprop.solvers import (
    Blockwise,
    Flow,
    GradientDescent,
    Iterative,
    Langevin,
    Momentum,
    Solver,
    Spectral,
)
from eqprop.spiking import SpikingPropagation, SurrogateBackpropagation
from eqprop.thermal import estimator as thermal
from eqprop.thermal import rules
from eqprop.thermal.chains import Chains
from eqprop.thermal.readings import ConditionalMeans, Draws, EnsembleReading
from eqprop.thermal.sampler import Sampler
from eqprop.training import optimisers
from eqprop.training.chain_recipes import ThermalRecipe
from eqprop.training.choices import (
    SPIKING,
    ContrastName,
    EstimatorName,
    ReadingName,
    RuleName,
    SamplerName,
    SolverName,
)
from eqprop.training.data.augment import Augment, Compose, Flip, RandomCrop, random_shift
from eqprop.training.data.randaugment import RandAugment
from eqprop.training.optimisers import Adam, Constant, Cosine, Optimiser, Sgd, Writing
from eqprop.training.precision import at_precision, for_differences
from eqprop.training.recipe import Recipe
from eqprop.training.spiking_recipes import CODINGS, SpikingOptions
from eqprop.training.vision import VisionRecipe

SOLVERS: dict[SolverName, Callable[[Recipe, int], Solver]] = {
    "blockwise": lambda recipe, steps: Blockwise(recipe.tolerance or None, steps),
    "momentum": lambda recipe, steps: Momentum(recipe.tolerance or None, steps),
    "spectral": lambda recipe, steps: Spectral(recipe.tolerance or None, steps),
    "alternating": lambda recipe, steps: Blockwise(
        recipe.tolerance or None, steps, alternate(recipe.order)
    ),
    "ordered": lambda recipe, steps: Blockwise(
        recipe.tolerance or None, steps, one_by_one(recipe.order)
    ),
    "gradient": lambda recipe, steps: GradientDescent(
        recipe.tolerance or None, steps, recipe.step_size
    ),
    "flow": lambda recipe, steps: Flow(recipe.tolerance, max_steps=steps),
    "langevin": lambda recipe, steps: Langevin.phase_noise(recipe.noise, recipe.step_size, steps),
}

NUDGED_SOLVERS = SOLVERS | {
    "ordered": lambda recipe, steps: Blockwise(
        recipe.tolerance or None, steps, one_by_one(recipe.order[::-1])
    ),
}

CONTRASTS: dict[ContrastName, Callable[[float, int], Contrast]] = {
    "symmetric": lambda beta, points: contrasts.symmetric(beta),
    "one-sided": lambda beta, points: contrasts.one_sided(beta),
    "random-sign": lambda beta, points: contrasts.RandomSign(beta),
    "n-point": lambda beta, points: contrasts.n_point(points, beta),
    "holomorphic": lambda beta, points: contrasts.holomorphic(points, beta),
}

SAMPLERS: dict[SamplerName, Callable[[float], Sampler]] = {
    "gibbs": lambda step: samplers.Gibbs(),
    "langevin": samplers.UnadjustedLangevin,
    "underdamped": samplers.Underdamped,
    "mala": samplers.Mala,
    "hmc": samplers.Hmc,
    "nuts": samplers.Nuts,
}

RULES: dict[RuleName, Callable[[float, int], rules.Rule]] = {
    "contrast": lambda beta, nodes: rules.finite_nudge(beta),
    "symmetric": lambda beta, nodes: rules.symmetric_nudge(beta),
    "path-integral": rules.path_integral,
    "covariance": lambda beta, nodes: rules.free_covariance(beta),
    "reweighting": lambda beta, nodes: rules.Reweighting(np.asarray(beta)),
}

READINGS: dict[ReadingName, EnsembleReading] = {"draws": Draws(), "means": ConditionalMeans()}

Propagation: TypeAlias = EquilibriumPropagation | DeltaPropagation

SHARP, MANY = 1e-5, 1000


def make_solver(recipe: Recipe) -> Solver:
    """The solver of the recipe's free phases."""
    return at_precision(recipe, SOLVERS[recipe.solver](recipe, recipe.max_steps))


def make_precise_solver(recipe: Recipe) -> Solver:
    """The same in full precision, to a sharp tolerance: to measure with."""
    sharp = dataclasses.replace(recipe, tolerance=SHARP)
    return SOLVERS[recipe.solver](sharp, max(recipe.max_steps, MANY))


def make_nudged_solver(recipe: Recipe) -> Solver:
    """The solver of the recipe's nudged phases."""
    return at_precision(recipe, _nudged_solver(recipe))


def _nudged_solver(recipe: Recipe) -> Solver:
    return NUDGED_SOLVERS[recipe.solver](recipe, recipe.nudged_steps or recipe.max_steps)


def make_program(recipe: Recipe) -> Program:
    """What the recipe's device makes of the parameters."""
    if not recipe.parameter_bits:
        return Programs()
    return Quantise(recipe.parameter_bits, recipe.ranges)


def make_contrast(recipe: Recipe, beta: float | None = None) -> Contrast:
    """The recipe's contrast, at its own nudge or at another."""
    beta = recipe.beta if beta is None else beta
    return CONTRASTS[recipe.contrast](beta * recipe.nudge_scale, recipe.points)


def make_augment(recipe: Recipe) -> Augment | None:
    """What becomes of a batch of images before the model sees them."""
    parts: list[Augment] = []
    if isinstance(recipe, VisionRecipe):
        count, magnitude = recipe.randaugment
        parts += [] if recipe.no_flip else [Flip()]
        parts += [RandAugment(count, magnitude)] if count else []
        parts += [RandomCrop(recipe.crop)] if recipe.crop else []
    parts += [random_shift(recipe.shift)] if recipe.shift else []
    if len(parts) < 2:
        return parts[0] if parts else None
    return Compose(tuple(parts))


def make_estimator(recipe: Recipe) -> Estimator:
    """The recipe's estimator, on its device."""
    estimator = ESTIMATORS[recipe.estimator](recipe)
    return Programmed(estimator, make_program(recipe)) if recipe.parameter_bits else estimator


def make_thermal(recipe: Recipe, beta: float | None = None) -> thermal.Thermal:
    """The thermal estimator of a recipe with a temperature, at its own nudge or at another."""
    assert isinstance(recipe, ThermalRecipe)
    source = Chains(
        recipe.temperature,
        SAMPLERS[recipe.sampler](recipe.step_size),
        recipe.chains,
        recipe.burn,
        recipe.samples,
        recipe.thinning,
        not recipe.independent_noise,
        recipe.exchange,
        recipe.hot,
        recipe.persistent,
    )
    rule = RULES[recipe.rule](recipe.beta if beta is None else beta, recipe.nodes)
    return thermal.Thermal(source, rule, READINGS[recipe.reading])


def make_spiking(recipe: Recipe) -> SpikingPropagation:
    """The spiking phases of a spiking network's recipe, and their contrast."""
    assert isinstance(recipe, SpikingOptions)
    return SpikingPropagation(
        recipe.free_phase(),
        make_contrast(recipe),
        recipe.nudged_phase(),
        CODINGS[recipe.coding],
        not recipe.independent_noise,
    )


def _surrogate(recipe: Recipe) -> SurrogateBackpropagation:
    assert isinstance(recipe, SpikingOptions)
    return SurrogateBackpropagation(recipe.free_phase(), CODINGS[recipe.coding])


def make_source(recipe: Recipe) -> Any:
    """What evaluates the recipe's model: its solver, its chains, its spikes, or a feed-forward pass."""
    if recipe.estimator == "backprop":
        return FeedForward()
    if recipe.estimator in SPIKING:
        return make_spiking(recipe)
    return make_thermal(recipe) if recipe.estimator == "thermal" else make_solver(recipe)


def make_learner(recipe: Recipe) -> Callable[[Solver, Contrast], Propagation]:
    """The form of equilibrium propagation that a recipe asks for, from a free solver and a contrast."""
    if not recipe.differences:
        return EquilibriumPropagation
    nudged, dtype = for_differences(recipe, _nudged_solver(recipe))
    return lambda solver, contrast: DeltaPropagation(solver, contrast, nudged, dtype)


def _propagation(recipe: Recipe) -> Estimator:
    learner = _from_rest(recipe)
    if not isinstance(recipe, VisionRecipe) or recipe.warm_start == "rest":
        return learner
    return WarmStart(learner, recipe.warm_start == "nudged")


def _from_rest(recipe: Recipe) -> Propagation:
    if recipe.differences:
        return make_learner(recipe)(make_solver(recipe), make_contrast(recipe))
    return EquilibriumPropagation(
        make_solver(recipe),
        make_contrast(recipe),
        make_nudged_solver(recipe),
        ReadBits(recipe.state_bits) if recipe.state_bits else None,
        not recipe.independent_noise,
    )


def _backpropagation(recipe: Recipe) -> Backpropagation:
    solver = make_solver(recipe)
    if not isinstance(solver, Iterative):
        raise ValueError(
            "solver: bptt unrolls the steps of an iterative solver; expected blockwise, momentum or "
            f"gradient, got {recipe.solver}."
        )
    return Backpropagation(solver, recipe.max_steps)


ESTIMATORS: dict[EstimatorName, Callable[[Recipe], Estimator]] = {
    "ep": _propagation,
    "implicit": lambda recipe: ImplicitDifferentiation(make_solver(recipe)),
    "bptt": _backpropagation,
    "thermal": make_thermal,
    "backprop": lambda recipe: FeedForward(),
    "spiking": make_spiking,
    "surrogate": _surrogate,
}


RULES_OF_MOMENTUM: dict[str, Adam | optimisers.SgdMomentum | Sgd] = {
    "adam": Adam(),
    "momentum": optimisers.SgdMomentum(),
    "heavy-ball": optimisers.SgdMomentum(nesterov=False),
    "sgd": Sgd(),
}


def make_optimiser(recipe: Recipe, model: Model, steps: int) -> optax.GradientTransformation:
    """The recipe's optimiser for a run of ``steps`` steps."""
    vision = isinstance(recipe, VisionRecipe)
    end = recipe.final_rate if isinstance(recipe, VisionRecipe) else 0.0
    seed = recipe.seed if recipe.stochastic_rounding else 0
    writing = (
        Writing(recipe.parameter_bits, recipe.ranges, recipe.stochastic_rounding, seed)
        if recipe.without_master
        else None
    )
    return Optimiser(
        recipe.learning_rate,
        RULES_OF_MOMENTUM[recipe.optimiser],
        Cosine(end) if recipe.schedule == "cosine" else Constant(),
        recipe.warmup,
        recipe.layer_rates,
        recipe.bias_rate,
        recipe.injection_rate,
        recipe.weight_decay,
        vision and not recipe.decoupled_decay,  # type: ignore[attr-defined]
        recipe.clip_norm if isinstance(recipe, VisionRecipe) else 0.0,
        writing,
    ).transform(model, steps, recipe.epochs)
