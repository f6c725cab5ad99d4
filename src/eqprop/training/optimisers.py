"""The optimiser that a recipe stands for: clipping, momentum, weight decay, rates, schedule, writing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import equinox as eqx
import jax
import optax
from jaxtyping import PyTree

from eqprop.energies.model import Model
from eqprop.energies.parameters import parameter_names
from eqprop.hardware import on_grid
from eqprop.training.choices import ScheduleName
from eqprop.training.epoch import scale_layers
from eqprop.training.recipe import Recipe
from eqprop.training.vision import VisionRecipe

SCHEDULES: dict[ScheduleName, Callable[[Recipe, int], optax.Schedule]] = {
    "cosine": lambda recipe, steps: optax.cosine_decay_schedule(
        recipe.learning_rate, steps, _final_rate(recipe) / recipe.learning_rate
    ),
    "constant": lambda recipe, steps: optax.constant_schedule(recipe.learning_rate),
}

WRITES = 2

OPTIMISERS: dict[str, Callable[[], optax.GradientTransformation]] = {
    "adam": optax.scale_by_adam,
    "momentum": lambda: optax.trace(0.9, nesterov=True),
    "heavy-ball": lambda: optax.trace(0.9),
    "sgd": optax.identity,
}


def make_optimiser(recipe: Recipe, model: Model, steps: int) -> optax.GradientTransformation:
    """The recipe's optimiser for a run of ``steps`` steps; one object for all seeds, whose runs then share
    what is compiled."""
    names, structure = jax.tree.flatten(parameter_names(model))
    edges = tuple(_edges(model))
    recipe = recipe if recipe.stochastic_rounding else dataclasses.replace(recipe, seed=0)
    return _made(recipe, _Named(tuple(names), structure, edges), steps)


class _Named(NamedTuple):
    """What of a model an optimiser asks for: its parameters' names, and those of its edges in order."""

    parameters: tuple[str, ...]
    structure: jax.tree_util.PyTreeDef
    edges: tuple[str, ...]

    def map(self, function: Callable[[str], Any]) -> PyTree:
        return jax.tree.unflatten(self.structure, [function(name) for name in self.parameters])


@lru_cache(maxsize=8)
def _made(recipe: Recipe, named: _Named, steps: int) -> optax.GradientTransformation:
    warmup = round(steps * recipe.warmup / recipe.epochs)
    schedule = SCHEDULES[recipe.schedule](recipe, max(steps - warmup, 1))
    if warmup:
        rise = optax.linear_schedule(0.0, recipe.learning_rate, warmup)
        schedule = optax.join_schedules([rise, schedule], [warmup])
    return optax.chain(
        *_with_decay(recipe, OPTIMISERS[recipe.optimiser]()),
        scale_layers(_rates(recipe, named)),
        optax.scale_by_learning_rate(schedule),
        _write(recipe),
    )


def _final_rate(recipe: Recipe) -> float:
    return recipe.final_rate if isinstance(recipe, VisionRecipe) else 0.0


def _with_decay(
    recipe: Recipe, optimiser: optax.GradientTransformation
) -> tuple[optax.GradientTransformation, ...]:
    """The optimiser between clipping and weight decay; a coupled one comes before it."""
    decay = optax.add_decayed_weights(recipe.weight_decay, _decays)
    if not isinstance(recipe, VisionRecipe):
        return optimiser, decay
    clip = optax.clip_by_global_norm(recipe.clip_norm) if recipe.clip_norm else optax.identity()
    return (clip, optimiser, decay) if recipe.decoupled_decay else (clip, decay, optimiser)


def _write(recipe: Recipe) -> optax.GradientTransformation:
    """How the recipe's device takes an update."""
    if not recipe.without_master:
        return optax.identity()
    key = jax.random.fold_in(jax.random.key(recipe.seed), WRITES)
    draw = key if recipe.stochastic_rounding else None
    return on_grid(recipe.parameter_bits, recipe.ranges, draw)


def _decays(parameters: PyTree) -> PyTree:
    """Which parameters the weight decay acts on: all but injections, whose zero is no neutral value."""
    names = parameter_names(parameters)
    return jax.tree.map(lambda name: not name.endswith(".injection"), names)


def _edges(model: Model) -> list[str]:
    """The names of what may have a rate of its own, in order from the input."""
    edges = list(getattr(model.energy, "edges", {}).values())
    order = [
        f"{e.source}-{e.target}"
        for layer in model.energy.shapes
        for e in edges
        if e.target == layer
    ]
    return [*order, "cost"] if jax.tree.leaves(eqx.filter(model.cost, eqx.is_array)) else order


def _rates(recipe: Recipe, named: _Named) -> PyTree:
    """Each parameter's factor: that of the edge it belongs to, or that ends in its layer."""
    order = list(named.edges)
    own = {"bias": recipe.bias_rate, "injection": recipe.injection_rate}

    def scaled(name: str, factor: float) -> float:
        return factor * own.get(name.rsplit(".", 1)[-1], 1.0)

    if not recipe.layer_rates:
        return named.map(lambda name: scaled(name, 1.0))
    if len(recipe.layer_rates) != len(order):
        raise ValueError(
            f"layer_rates: expected {len(order)} numbers, one each for {order}, got {recipe.layer_rates}."
        )
    factors = dict(zip(order, recipe.layer_rates, strict=True))
    factors |= {edge.split("-")[1]: rate for edge, rate in reversed(factors.items()) if "-" in edge}
    return named.map(lambda name: scaled(name, factors[name.split(".")[0]]))
