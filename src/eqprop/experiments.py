"""The experiments by name: what `eqprop reproduce` knows."""

from __future__ import annotations

import dataclasses
from typing import Any

from eqprop.dynamics import (
    READINGS,
    TASKS,
    CostStudy,
    GradientTable,
    PathLearning,
    ResponseLearning,
    Semiclassics,
    SequenceLearning,
)
from eqprop.recipes import RECIPES, Recipe, SpikingRecipe, ThermalRecipe
from eqprop.reproduce import Experiment
from eqprop.residual_studies import RESIDUAL
from eqprop.stochep import Baselines, MeanField, Memory, SpikingGradients
from eqprop.studies import Case, Comparison, Curves, Nudges, Study, Sweep

FIVE = (0, 1, 2, 3, 4)
NUDGES = (0.25, 0.5, 1.0)


def _on(name: str, **change: Any) -> Recipe:
    return dataclasses.replace(RECIPES[name], **change)


def _local(name: str, rates: tuple[float, float], epochs: int) -> Recipe:
    """The same by the plain local rule: one rate a parameter, no optimiser."""
    plain = {"optimiser": "sgd", "learning_rate": 1.0, "bias_rate": 0.1, "weight_decay": 0.0}
    return _on(name, layer_rates=rates, epochs=epochs, **plain)


def _unrolled(name: str) -> Recipe:
    """The same by back-propagation through the free phase's steps."""
    return _on(name, estimator="bptt", nudged_steps=0)


def _bits() -> tuple[Case, ...]:
    """Parameter bits with a floating-point master copy, and without one by either rounding."""
    ways: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
        "master": ((0, 8, 6, 4, 3, 2), {}),
        "no master, nearest": ((10, 8, 6), {"without_master": True}),
        "no master, stochastic": (
            (10, 8, 6, 4),
            {"without_master": True, "stochastic_rounding": True},
        ),
    }
    settings: dict[str, dict[str, Any]] = {
        "β = 0.5": {"beta": 0.5},
        "β = 1": {"beta": 1.0},
        "β = 1, longer and faster": LONGER,
    }
    return tuple(
        Case(f"{way}, {name}", bits, setting | {"parameter_bits": bits} | how)
        for name, setting in settings.items()
        for way, (all_bits, how) in ways.items()
        for bits in all_bits
    )


def _by_nudge(field: str, values: tuple[float, ...]) -> tuple[Case, ...]:
    return tuple(
        Case(f"β = {beta:g}", value, {"beta": beta, field: value})
        for beta in NUDGES
        for value in values
    )


THOUSAND = _on("mnist-100-oscillators", data="mnist-1000")
HARDWARE = dataclasses.replace(
    _local("mnist-100-oscillators", (0.12, 0.02), 100), data="mnist-1000", test_last=True
)
LONGER = {"beta": 1.0, "epochs": 200, "learning_rate": 1.6}
NOISY = dataclasses.replace(
    HARDWARE,
    solver="langevin",
    step_size=0.1,
    max_steps=200,
    nudged_steps=40,
    independent_noise=True,
    epochs=60,
)

THERMAL = RECIPES["fashion-mnist-thermal"]
assert isinstance(THERMAL, ThermalRecipe)
FEED_FORWARD = {"estimator": "bptt", "max_steps": 1}
"""One sweep from rest through a chain of layers is a feed-forward pass."""
INDEPENDENT = {"independent_noise": True, "reading": "draws"}
COMMON = {"independent_noise": False, "reading": "draws"}
MEANS = {"independent_noise": False, "reading": "means"}
SMALL, FINITE = {"beta": 0.01}, {"beta": 1.0}
PATH_RULE = {"rule": "path-integral"}
PATH = FINITE | PATH_RULE
WAYS: dict[str, dict[str, Any]] = {
    "back-propagation": FEED_FORWARD,
    "β = 0.01, independent noise": SMALL | INDEPENDENT,
    "β = 0.01, common noise": SMALL | COMMON,
    "β = 0.01, common noise, means": SMALL | MEANS,
    "covariance, means": SMALL | MEANS | {"rule": "covariance"},
    "β = 1, independent noise": FINITE | INDEPENDENT,
    "β = 1, common noise": FINITE | COMMON,
    "path integral, independent noise": PATH | INDEPENDENT,
    "path integral, common noise, means": PATH | MEANS,
}

SPIKES = RECIPES["mnist-spiking"]
assert isinstance(SPIKES, SpikingRecipe)
NO_SPIKES = {"estimator": "ep", "nudged_steps": 0}
TRAINED: dict[str, dict[str, Any]] = {
    "spiking EP, probabilities read": {},
    "spiking EP, spike rates read": {"reading": "rates"},
    "deterministic EP": NO_SPIKES,
    "surrogate-gradient BPTT": {"estimator": "surrogate", "nudged_steps": 0},
}

ALL: tuple[Study, ...] = (
    Experiment("digits", "embedded digits, one hidden layer", RECIPES["digits"]),
    Experiment("mnist-dense", "MNIST, one hidden layer", RECIPES["mnist-dense"]),
    Experiment(
        "mnist-dense-shift",
        "the same with random shifts",
        _on("mnist-dense", shift=1, epochs=30, learning_rate=6e-4),
    ),
    Experiment(
        "fashion-mnist-dense", "Fashion-MNIST, one hidden layer", RECIPES["fashion-mnist-dense"]
    ),
    Experiment("mnist-conv", "MNIST, two convolutions", RECIPES["mnist-conv"], (0,)),
    Nudges(
        "finite-nudge-gradient",
        "the sampled gradient against the nudge: agreement with both targets, and noise",
        THERMAL,
        {
            "independent noise": INDEPENDENT,
            "common noise": COMMON,
            "independent noise, means": INDEPENDENT | {"reading": "means"},
            "common noise, means": MEANS,
            "path integral, draws": PATH_RULE | COMMON,
            "path integral, means": PATH_RULE | MEANS,
        },
    ),
    Comparison(
        "finite-nudge-accuracy",
        "Fashion-MNIST at a temperature: small and finite nudges, path integral, back-propagation",
        THERMAL,
        WAYS,
    ),
    Experiment(
        "finite-nudge-long",
        "Fashion-MNIST at a temperature by β = 0.1, longer",
        _on("fashion-mnist-thermal", beta=0.1, epochs=20),
    ),
    Experiment(
        "oim-mnist-100",
        "oscillators on MNIST/100: 1000 training and 100 test images",
        RECIPES["mnist-100-oscillators"],
        FIVE,
    ),
    Experiment("oim-mnist-1000", "the same, tested on all 10,000 images", THOUSAND, FIVE),
    Experiment(
        "oim-mnist-1000-bptt",
        "the same by back-propagation through time",
        dataclasses.replace(THOUSAND, estimator="bptt", nudged_steps=0),
        FIVE,
    ),
    Curves(
        "oim-updates",
        "EP's update step by step against back-propagation through time",
        dataclasses.replace(
            THOUSAND, injection=-0.25, beta=0.01, tolerance=1e-6, max_steps=5000, nudged_steps=0
        ),
    ),
    Sweep(
        "oim-parameter-bits",
        "the same with quantised parameters (0: floating point)",
        dataclasses.replace(HARDWARE, parameter_range=0.1),
        "parameter bits",
        _bits(),
    ),
    Sweep(
        "oim-phase-bits",
        "the same with quantised phases (0: floating point)",
        HARDWARE,
        "phase bits",
        (
            *_by_nudge("state_bits", (0, 6, 4, 3, 2)),
            *(
                Case("β = 1, longer and faster", bits, LONGER | {"state_bits": bits})
                for bits in (0, 4, 3)
            ),
        ),
    ),
    Sweep(
        "oim-noise",
        "the same with phase noise",
        NOISY,
        "phase noise ξ",
        _by_nudge("noise", (0.0, 0.1, 0.2, 0.3, 0.5)),
    ),
    Experiment(
        "oim-mnist-local",
        "oscillators on MNIST by the plain local rule",
        _local("mnist-oscillators", (0.06, 0.012), 40),
        FIVE,
    ),
    Experiment(
        "oim-fashion-mnist-local",
        "oscillators on Fashion-MNIST by the plain local rule",
        _local("fashion-mnist-oscillators", (0.05, 0.007), 25),
        FIVE,
    ),
    Experiment("oim-mnist", "the same with Adam on MNIST", RECIPES["mnist-oscillators"], FIVE),
    Experiment(
        "oim-fashion-mnist",
        "the same with Adam on Fashion-MNIST",
        RECIPES["fashion-mnist-oscillators"],
        FIVE,
    ),
    Experiment(
        "oim-mnist-conv",
        "oscillators in two convolutions on MNIST",
        RECIPES["mnist-conv-oscillators"],
        (0,),
    ),
    Experiment(
        "oim-fashion-mnist-conv",
        "the same on Fashion-MNIST",
        RECIPES["fashion-mnist-conv-oscillators"],
        (0,),
    ),
    Experiment(
        "oim-mnist-bptt",
        "MNIST by back-propagation through time",
        _unrolled("mnist-oscillators"),
        (0,),
    ),
    Experiment(
        "oim-fashion-mnist-bptt",
        "Fashion-MNIST by back-propagation through time",
        _unrolled("fashion-mnist-oscillators"),
        (0,),
    ),
    GradientTable(
        "lagrangian-gradient", "gradients of coupled Duffing oscillators against adjoint and BPTT"
    ),
    PathLearning(
        "lagrangian-learning",
        "oscillators learn a response, and a landscape from trajectories: EP and the adjoint",
        TASKS,
    ),
    ResponseLearning(
        "lagrangian-response",
        "a driven network classifies digits by its periodic response: EP and the adjoint",
    ),
    CostStudy("lagrangian-cost", "time of Newton's method, and memory of an echo against BPTT"),
    Semiclassics(
        "lagrangian-semiclassics",
        "energy levels of an anharmonic oscillator, their slopes and what a nudge tells, by orbits",
    ),
    SequenceLearning(
        "lagrangian-mnist",
        "MNIST as sequences, row by row and pixel by pixel: oscillators by the echo and by BPTT",
        READINGS,
    ),
    *RESIDUAL,
    SpikingGradients(
        "stochep-gradient",
        "gradients from spikes, rates and probabilities against deterministic EP",
        SPIKES,
    ),
    MeanField(
        "stochep-mean-field",
        "distance of spiking networks to their fixed point, by leak, averaging and width",
    ),
    Memory("stochep-memory", "memory of a gradient against steps: EP and surrogate BPTT", SPIKES),
    Baselines(
        "stochep-baselines",
        "MNIST by spiking EP, deterministic EP and surrogate BPTT, tested with spikes",
        SPIKES,
        TRAINED,
    ),
    Experiment("stochep-mnist", "MNIST with spikes, one hidden layer", SPIKES),
    Experiment(
        "stochep-mnist-conv",
        "MNIST with spikes, two convolutions and two dense layers",
        RECIPES["mnist-spiking-conv"],
        (0,),
    ),
    Experiment(
        "stochep-fashion-mnist-conv",
        "the same on Fashion-MNIST",
        RECIPES["fashion-mnist-spiking-conv"],
        (0,),
    ),
)
EXPERIMENTS: dict[str, Study] = {experiment.name: experiment for experiment in ALL}

GROUPS: dict[str, tuple[str, ...]] = {
    group: tuple(name for name in EXPERIMENTS if name.startswith(f"{group}-"))
    for group in ("oim", "finite-nudge", "lagrangian", "stochep", "hopfield-resnet")
}
"""All the experiments of one paper."""


def resized(study: Study, **given: int) -> Study:
    """The study under a name of its own, its recipe with the ``given`` numbers that are not 0."""
    changes = {name: value for name, value in given.items() if value}
    if not changes:
        return study
    recipe = getattr(study, "recipe", None)
    if lacking := [name for name in changes if not hasattr(recipe, name)]:
        raise ValueError(
            f"{study.name}: expected an experiment whose recipe has {', '.join(lacking)}, such as "
            "hopfield-resnet-cifar-10; leave these options out."
        )
    name = study.name + "".join(f"--{name}-{value}" for name, value in changes.items())
    assert dataclasses.is_dataclass(study) and not isinstance(study, type)
    return dataclasses.replace(study, name=name, recipe=dataclasses.replace(recipe, **changes))
