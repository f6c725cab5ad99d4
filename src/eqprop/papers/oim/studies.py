"""The studies of oscillator Ising machines (Gower, arXiv 2510.12934), and their hardware limits."""

from __future__ import annotations

import dataclasses
from typing import Any

from eqprop.papers.comparison import Case, Sweep
from eqprop.papers.oim.updates import Curves
from eqprop.papers.study import Experiment, Study
from eqprop.training.recipe import Recipe
from eqprop.training.recipes import RECIPES, changed

FIVE = (0, 1, 2, 3, 4)

NUDGES = (0.25, 0.5, 1.0)

LONGER = {"epochs": 200, "learning_rate": 1.6}


def _local(name: str, rates: tuple[float, float], epochs: int) -> Recipe:
    """The same by the plain local rule: one rate a parameter, no optimiser."""
    plain = {"optimiser": "sgd", "learning_rate": 1.0, "bias_rate": 0.1, "weight_decay": 0.0}
    return changed(name, layer_rates=rates, epochs=epochs, **plain)


def _unrolled(name: str) -> Recipe:
    """The same by back-propagation through the free phase's steps, at a rate that its longer gradients
    bear."""
    return changed(name, estimator="bptt", nudged_steps=0, learning_rate=1e-4)


def _bits() -> tuple[Case, ...]:
    """Parameter bits with a floating-point master copy, and without one by either rounding. Ranges were
    chosen on other training images."""
    ways: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
        "master": ((0, 8, 4, 3, 2), {"parameter_range": 0.14}),
        "no master, nearest": ((10, 8), {"without_master": True}),
        "no master, stochastic": (
            (10, 8, 6),
            {"without_master": True, "stochastic_rounding": True},
        ),
    }
    settings: dict[str, dict[str, Any]] = {
        "β = 0.5": {"beta": 0.5},
        "β = 1": {"beta": 1.0},
        "β = 1, longer": {"beta": 1.0, "epochs": 300, "learning_rate": 1.0},
    }
    longest = {"beta": 1.0, "epochs": 600, "learning_rate": 0.5}
    few = (("master", 0), ("master", 4), ("no master, stochastic", 8))
    wide = settings["β = 1, longer"] | {"parameter_range": 0.14, "parameter_bits": 8}
    return (
        tuple(
            Case(f"{way}, {name}", bits, setting | {"parameter_bits": bits} | how)
            for name, setting in settings.items()
            for way, (all_bits, how) in ways.items()
            for bits in all_bits
        )
        + tuple(
            Case(f"{way}, β = 1, longest", bits, longest | {"parameter_bits": bits} | ways[way][1])
            for way, bits in few
        )
        + (
            Case(
                "no master, stochastic, β = 1, longer, wide",
                8,
                wide | ways["no master, stochastic"][1],
            ),
        )
    )


def _by_nudge(field: str, values: tuple[float, ...]) -> tuple[Case, ...]:
    return tuple(
        Case(f"β = {beta:g}", value, {"beta": beta, field: value})
        for beta in NUDGES
        for value in values
    )


THOUSAND = changed("mnist-100-oscillators", data="mnist-1000")

HARDWARE = dataclasses.replace(
    _local("mnist-100-oscillators", (0.12, 0.02), 100), data="mnist-1000", test_last=True
)

NOISY = dataclasses.replace(
    HARDWARE,
    solver="langevin",
    step_size=0.1,
    max_steps=200,
    nudged_steps=40,
    independent_noise=True,
    epochs=60,
)

OSCILLATORS: tuple[Study, ...] = (
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
        dataclasses.replace(THOUSAND, estimator="bptt", nudged_steps=0, learning_rate=3e-4),
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
        dataclasses.replace(HARDWARE, parameter_range=0.1, layer_ranges=(1.0, 2.5)),
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
                Case(
                    f"β = {beta:g}, longer and faster",
                    bits,
                    LONGER | {"beta": beta, "state_bits": bits},
                )
                for beta in (1.0, 1.5)
                for bits in (0, 4, 3)
            ),
        ),
    ),
    Sweep(
        "oim-noise",
        "the same with phase noise",
        NOISY,
        "phase noise ξ",
        _by_nudge("noise", (0.0, 0.2, 0.3, 0.5)),
    ),
    Experiment(
        "oim-mnist-local",
        "oscillators on MNIST by the plain local rule",
        _local("mnist-oscillators", (0.04, 0.008), 50),
        FIVE,
    ),
    Experiment(
        "oim-fashion-mnist-local",
        "oscillators on Fashion-MNIST by the plain local rule",
        _local("fashion-mnist-oscillators", (0.035, 0.005), 30),
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
)
