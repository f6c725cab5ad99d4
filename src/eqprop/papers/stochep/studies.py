"""The studies of stochastic spiking equilibrium propagation (Lin, Jiang and Sengupta, arXiv 2511.11320)."""

from __future__ import annotations

from typing import Any

from eqprop.papers.comparison import Comparison
from eqprop.papers.stochep.baselines import Baselines
from eqprop.papers.stochep.gradients import SpikingGradients
from eqprop.papers.stochep.mean_field import MeanField
from eqprop.papers.stochep.memory import Memory
from eqprop.papers.study import Experiment, Study
from eqprop.training.recipes import RECIPES
from eqprop.training.spiking_recipes import SpikingRecipe

SPIKES = RECIPES["mnist-spiking"]

assert isinstance(SPIKES, SpikingRecipe)

NO_SPIKES: dict[str, Any] = {"estimator": "ep", "nudged_steps": 0}

TRAINED: dict[str, dict[str, Any]] = {
    "spiking EP, probabilities read": {},
    "spiking EP, spike rates read": {"reading": "rates"},
    "deterministic EP": NO_SPIKES,
    "surrogate-gradient BPTT": {"estimator": "surrogate", "nudged_steps": 0},
}

FOUR_CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "spiking EP": {},
    "deterministic EP": {**NO_SPIKES, "beta": 0.5, "tolerance": 0.0},
    "back-propagation": {"estimator": "backprop", "nudged_steps": 0},
}

SPIKING: tuple[Study, ...] = (
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
    Comparison(
        "stochep-cifar-10",
        "5,000 images of CIFAR-10, four narrow convolutions: EP with and without spikes, and backprop",
        RECIPES["cifar-10-spiking-conv-narrow"],
        FOUR_CONVOLUTIONS,
        (0,),
    ),
)
