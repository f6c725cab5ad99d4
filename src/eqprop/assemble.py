"""The objects that a recipe stands for: solver, contrast, estimator, optimiser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
import optax
from jaxtyping import PyTree

from eqprop import contrast as contrasts
from eqprop import samplers, thermal
from eqprop.chains import Chains
from eqprop.contrast import Contrast
from eqprop.estimators import (
    Backpropagation,
    EquilibriumPropagation,
    Estimator,
    ImplicitDifferentiation,
)
from eqprop.hardware import Program, Programmed, Quantise, ReadBits, Sequence, on_grid
from eqprop.marginal import ConditionalMeans, Draws, Reading
from eqprop.model import Model
from eqprop.names import parameter_names
from eqprop.recipes import (
    ContrastName,
    EstimatorName,
    ReadingName,
    Recipe,
    RuleName,
    SamplerName,
    ScheduleName,
    SolverName,
    ThermalRecipe,
)
from eqprop.samplers import Sampler
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
from eqprop.spiking_recipes import CODINGS, SPIKING, Spikes
from eqprop.train import scale_layers

SOLVERS: dict[SolverName, Callable[[Recipe, int], Solver]] = {
    "blockwise": lambda recipe, steps: Blockwise(recipe.tolerance or None, steps),
    "momentum": lambda recipe, steps: Momentum(recipe.tolerance or None, steps),
    "spectral": lambda recipe, steps: Spectral(recipe.tolerance or None, steps),
    "gradient": lambda recipe, steps: GradientDescent(
        recipe.tolerance or None, steps, recipe.step_size
    ),
    "flow": lambda recipe, steps: Flow(recipe.tolerance, max_steps=steps),
    "langevin": lambda recipe, steps: Langevin.phase_noise(recipe.noise, recipe.step_size, steps),
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
RULES: dict[RuleName, Callable[[float, int], thermal.Rule]] = {
    "contrast": lambda beta, nodes: thermal.finite_nudge(beta),
    "symmetric": lambda beta, nodes: thermal.symmetric_nudge(beta),
    "path-integral": thermal.path_integral,
    "covariance": lambda beta, nodes: thermal.free_covariance(beta),
    "reweighting": lambda beta, nodes: thermal.Reweighting(np.asarray(beta)),
}
READINGS: dict[ReadingName, Reading] = {"draws": Draws(), "means": ConditionalMeans()}
SCHEDULES: dict[ScheduleName, Callable[[float, int], optax.Schedule]] = {
    "cosine": optax.cosine_decay_schedule,
    "constant": lambda rate, steps: optax.constant_schedule(rate),
}
WRITES = 2
OPTIMISERS: dict[str, Callable[[], optax.GradientTransformation]] = {
    "adam": optax.scale_by_adam,
    "momentum": lambda: optax.trace(0.9, nesterov=True),
    "sgd": optax.identity,
}


def make_solver(recipe: Recipe) -> Solver:
    """The solver of the recipe's free phases."""
    return SOLVERS[recipe.solver](recipe, recipe.max_steps)


def make_nudged_solver(recipe: Recipe) -> Solver:
    """The solver of the recipe's nudged phases."""
    return SOLVERS[recipe.solver](recipe, recipe.nudged_steps or recipe.max_steps)


def make_program(recipe: Recipe) -> Program:
    """What the recipe's device makes of the parameters."""
    if not recipe.parameter_bits:
        return Sequence()
    return Quantise(recipe.parameter_bits, recipe.parameter_range)


def make_contrast(recipe: Recipe, beta: float | None = None) -> Contrast:
    """The recipe's contrast, at its own nudge or at another."""
    return CONTRASTS[recipe.contrast](recipe.beta if beta is None else beta, recipe.points)


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
    assert isinstance(recipe, Spikes)
    return SpikingPropagation(
        recipe.free_phase(),
        make_contrast(recipe),
        recipe.nudged_phase(),
        CODINGS[recipe.coding],
        not recipe.independent_noise,
    )


def _surrogate(recipe: Recipe) -> SurrogateBackpropagation:
    assert isinstance(recipe, Spikes)
    return SurrogateBackpropagation(recipe.free_phase(), CODINGS[recipe.coding])


def make_source(recipe: Recipe) -> Any:
    """What evaluates the recipe's model: its solver, its chains, or its spiking phases."""
    if recipe.estimator in SPIKING:
        return make_spiking(recipe)
    return make_thermal(recipe) if recipe.estimator == "thermal" else make_solver(recipe)


def _propagation(recipe: Recipe) -> EquilibriumPropagation:
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
    "spiking": make_spiking,
    "surrogate": _surrogate,
}


def make_optimiser(recipe: Recipe, model: Model, steps: int) -> optax.GradientTransformation:
    """The recipe's optimiser for a run of ``steps`` steps."""
    warmup = round(steps * recipe.warmup / recipe.epochs)
    schedule = SCHEDULES[recipe.schedule](recipe.learning_rate, max(steps - warmup, 1))
    if warmup:
        rise = optax.linear_schedule(0.0, recipe.learning_rate, warmup)
        schedule = optax.join_schedules([rise, schedule], [warmup])
    return optax.chain(
        OPTIMISERS[recipe.optimiser](),
        optax.add_decayed_weights(recipe.weight_decay, _decays),
        scale_layers(_rates(recipe, model)),
        optax.scale_by_learning_rate(schedule),
        _write(recipe),
    )


def _write(recipe: Recipe) -> optax.GradientTransformation:
    """How the recipe's device takes an update."""
    if not recipe.without_master:
        return optax.identity()
    key = jax.random.fold_in(jax.random.key(recipe.seed), WRITES)
    draw = key if recipe.stochastic_rounding else None
    return on_grid(recipe.parameter_bits, recipe.parameter_range, draw)


def _decays(parameters: PyTree) -> PyTree:
    """Which parameters the weight decay acts on: all but injections, whose zero is no neutral value."""
    names = parameter_names(parameters)
    return jax.tree.map(lambda name: not name.endswith(".injection"), names)


def _rates(recipe: Recipe, model: Model) -> PyTree:
    """Each parameter's factor: that of the edge it belongs to, or that ends in its layer."""
    names = parameter_names(model)
    edges = list(getattr(model.energy, "edges", {}).values())
    order = [
        f"{e.source}-{e.target}"
        for layer in model.energy.shapes
        for e in edges
        if e.target == layer
    ]
    order = [*order, "cost"] if jax.tree.leaves(eqx.filter(model.cost, eqx.is_array)) else order
    own = {"bias": recipe.bias_rate, "injection": recipe.injection_rate}

    def scaled(name: str, factor: float) -> float:
        return factor * own.get(name.rsplit(".", 1)[-1], 1.0)

    if not recipe.layer_rates:
        return jax.tree.map(lambda name: scaled(name, 1.0), names)
    if len(recipe.layer_rates) != len(order):
        raise ValueError(
            f"layer_rates: expected {len(order)} numbers, one each for {order}, got {recipe.layer_rates}."
        )
    factors = dict(zip(order, recipe.layer_rates, strict=True))
    factors |= {edge.split("-")[1]: rate for edge, rate in reversed(factors.items()) if "-" in edge}
    return jax.tree.map(lambda name: scaled(name, factors[name.split(".")[0]]), names)
