"""Which options of a recipe do something beside the others: what a user sets should not go unheard."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from eqprop.training.choices import SPIKING

RELAXING = ("ep", "implicit", "bptt")

STEPPING = ("gradient", "langevin")

SPREAD = ("n-point", "holomorphic")


class Use(NamedTuple):
    """Options, whether they act in a recipe, and where they would."""

    options: tuple[str, ...]
    acts: Callable[[Any], bool]
    where: str


def _of(*estimators: str) -> Callable[[Any], bool]:
    return lambda recipe: recipe.estimator in estimators


def _steps(recipe: Any) -> bool:
    sampled = recipe.estimator == "thermal" and recipe.sampler != "gibbs"
    return sampled or (recipe.estimator in RELAXING and recipe.solver in STEPPING)


def _draws(recipe: Any) -> bool:
    noisy = recipe.estimator == "ep" and recipe.solver == "langevin"
    return noisy or recipe.estimator in ("thermal", "spiking")


USES = (
    Use(("contrast",), _of("ep", "spiking"), "the estimators ep and spiking"),
    Use(
        ("points",),
        lambda r: r.estimator in ("ep", "spiking") and r.contrast in SPREAD,
        "ep and spiking with the contrasts n-point and holomorphic",
    ),
    Use(("beta",), _of("ep", "spiking", "thermal"), "estimators that nudge: ep, spiking, thermal"),
    Use(("nudged_steps",), _of("ep", "spiking"), "the estimators ep and spiking"),
    Use(("differences", "state_bits", "warm_start"), _of("ep"), "the estimator ep"),
    Use(
        ("solver", "tolerance", "precision"), _of(*RELAXING), "the estimators ep, implicit and bptt"
    ),
    Use(
        ("max_steps",),
        _of(*RELAXING, *SPIKING),
        "estimators that take steps: not thermal, backprop",
    ),
    Use(("step_size",), _steps, "the solvers gradient and langevin, and samplers other than gibbs"),
    Use(("noise",), lambda r: r.solver == "langevin", "the solver langevin"),
    Use(("independent_noise",), _draws, "langevin, thermal and spiking, which draw noise"),
    Use(("output", "target"), lambda r: r.cost == "squared-error", "the cost squared-error"),
    Use(("injection_rate",), lambda r: r.train_injection, "train_injection"),
    Use(("final_rate",), lambda r: r.schedule == "cosine", "the schedule cosine"),
    Use(("decoupled_decay",), lambda r: r.weight_decay > 0, "a weight_decay above 0"),
    Use(
        ("parameter_range", "layer_ranges"),
        lambda r: r.parameter_bits > 0,
        "parameter_bits of 1 or more",
    ),
    Use(
        ("rule", "temperature", "sampler", "chains", "burn", "samples", "thinning", "hot"),
        _of("thermal"),
        "the estimator thermal",
    ),
    Use(("persistent", "exchange"), _of("thermal"), "the estimator thermal"),
    Use(
        ("nodes",),
        lambda r: r.estimator == "thermal" and r.rule == "path-integral",
        "thermal with the rule path-integral",
    ),
    Use(("reading",), _of("thermal", *SPIKING), "the estimators thermal, spiking and surrogate"),
    Use(
        ("firing", "population", "layer_populations", "predicted", "coding", "test_seeds"),
        _of(*SPIKING),
        "the estimators spiking and surrogate",
    ),
    Use(("averaged",), _of("spiking"), "the estimator spiking"),
    Use(
        ("leak",), lambda r: r.estimator in SPIKING or r.reset > 0, "spiking, surrogate and resets"
    ),
    Use(("no_skips",), lambda r: r.architecture == "resnet", "the architecture resnet"),
)


def idle(recipe: Any) -> dict[str, str]:
    """The options of a recipe that do nothing, and where each would act."""
    return {
        option: use.where
        for use in USES
        for option in use.options
        if hasattr(recipe, option) and not use.acts(recipe)
    }


def require_used(
    asked: Any, default: Any, recipe: Any = None, spared: Collection[str] = ()
) -> None:
    """Raise ``ValueError`` for an option that is asked otherwise than by default, and does nothing in the
    recipe, which is the one asked for unless given."""
    unheard = idle(asked if recipe is None else recipe)
    for field in dataclasses.fields(default):
        value, name = getattr(asked, field.name), field.name
        if name in unheard and name not in spared and value != getattr(default, name):
            raise ValueError(
                f"{name}: expected {unheard[name]}, without which it does nothing, got {value}; leave "
                f"--{name.replace('_', '-')} out, or change the others."
            )
