"""What is said of a model on a few validation examples: its gradient's error, its chains, its spikes."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from eqprop.energies.model import Model
from eqprop.estimators.answer import warn_of_answer
from eqprop.estimators.audit import Agreement, compare, estimate, exact_gradient, tell_of_dead
from eqprop.estimators.spread import Spread, spread
from eqprop.solvers import Iterative
from eqprop.spiking.count import summary
from eqprop.spiking.record import record
from eqprop.thermal.chains import Chains
from eqprop.thermal.mixing import Mixing, mixing
from eqprop.training.assemble import make_estimator, make_source, make_spiking, make_thermal
from eqprop.training.chain_recipes import ThermalRecipe
from eqprop.training.choices import SPIKING, RuleName
from eqprop.training.epoch import Evaluation, evaluate
from eqprop.training.recipe import Recipe
from eqprop.training.spiking_recipes import SpikingOptions
from eqprop.training.task import Task

AUDITED = 32

MIXED = 8

MORE = 16

INFINITESIMAL = 1e-3

DRAWN = ("thermal", "spiking")
"""The estimators whose gradient is drawn at random."""


def test_often(task: Task, model: Model) -> list[Evaluation]:
    """The test: once, or of spikes several times, each with noise of its own."""
    recipe = task.recipe
    spikes = isinstance(recipe, SpikingOptions) and recipe.estimator in SPIKING
    seeds = range(recipe.test_seeds if spikes else 1)  # type: ignore[attr-defined]
    source = make_source(recipe)
    return [evaluate(model, task.test, source, key=jax.random.key(seed)) for seed in seeds]


def spikes_of(task: Task, model: Model) -> dict[str, Any] | None:
    """Rates and costs of an estimate on a few validation examples, of a network that spikes."""
    if task.recipe.estimator not in SPIKING:
        return None
    return summary(model, make_spiking(task.recipe).solver, recorded(task, model))


def recorded(task: Task, model: Model) -> dict[str, dict[str, jax.Array]]:
    """The spikes of all phases on a few validation examples."""
    x, y = (part[:MIXED] for part in audit_batch(task, model))
    return record(make_spiking(task.recipe), model, x, y, jax.random.key(0))


def audit_batch(task: Task, model: Model) -> tuple[jax.Array, jax.Array]:
    """The first validation examples, as the model sees them."""
    held_out = task.validation
    x, y = task.devices.fetch((held_out.x[:AUDITED], held_out.y[:AUDITED]))
    return held_out.batch(x, y, model.energy.input_shape)


def audit_recipe(task: Task, model: Model) -> list[Agreement]:
    """The recipe's estimator, as it trains, against its `reference`."""
    x, y = audit_batch(task, model)
    mine = estimate(model, x, y, make_estimator(task.recipe), jax.random.key(0))
    warn_of_answer(mine.report.metrics())
    return tell_of_dead(compare(mine.gradient, reference(task.recipe, model, x, y)))


def spread_of(task: Task, model: Model) -> Spread | None:
    """Bias and variance of the recipe's gradient against its `reference`, where it is drawn."""
    if task.recipe.estimator not in DRAWN:
        return None
    x, y = audit_batch(task, model)
    exact = {"reference": reference(task.recipe, model, x, y)}
    found, _ = spread(model, x, y, make_estimator(task.recipe), exact, jax.random.key(3))
    return found["reference"]


def mixing_of(task: Task, model: Model) -> list[Mixing]:
    """How the recipe's chains mix on a few validation examples; of other estimators, nothing."""
    if task.recipe.estimator != "thermal":
        return []
    x, y = (part[:MIXED] for part in audit_batch(task, model))
    thermal = make_thermal(task.recipe)
    assert isinstance(thermal.source, Chains)
    betas = jnp.asarray(thermal.rule.betas, x.dtype)
    return mixing(model, x, y, thermal.source, betas, jax.random.key(2))


def reference_name(recipe: Recipe) -> str:
    """What the recipe's gradient is compared with."""
    if recipe.estimator == "thermal":
        return f"the finite nudge with {MORE} times the chains"
    return "back-propagation through time" if _unrolled(recipe) else "implicit differentiation"


def reference(recipe: Recipe, model: Model, x: jax.Array, y: jax.Array) -> PyTree:
    """The exact gradient of what the recipe minimises: at the equilibrium, in float64; where it takes a
    fixed number of steps, through these; at a temperature, from many more chains with common noise.

    Raises ``RuntimeError`` where it cannot be had, or is the recipe's own.
    """
    if recipe.estimator == "backprop":
        raise RuntimeError("backprop: its gradient is the exact one of the feed-forward pass.")
    if isinstance(recipe, ThermalRecipe) and recipe.estimator == "thermal":
        target = INFINITESIMAL if recipe.rule == "covariance" else recipe.beta
        rule: RuleName = "symmetric" if recipe.rule == "symmetric" else "contrast"
        many = dataclasses.replace(
            recipe,
            rule=rule,
            beta=target,
            independent_noise=False,
            exchange=False,
            chains=MORE * recipe.chains,
            burn=3 * recipe.burn,
        )
        return estimate(model, x, y, make_thermal(many), jax.random.key(1)).gradient
    if not _unrolled(recipe):
        return exact_gradient(model, x, y)
    through_time = make_estimator(dataclasses.replace(recipe, estimator="bptt"))
    return estimate(model, x, y, through_time, jax.random.key(0)).gradient


def _unrolled(recipe: Recipe) -> bool:
    return recipe.fixed_steps and isinstance(make_source(recipe), Iterative)
