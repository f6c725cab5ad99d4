"""The studies of stochastic spiking equilibrium propagation (Lin, Jiang and Sengupta, arXiv 2511.11320)."""

from __future__ import annotations

import dataclasses
from functools import partial

from eqprop.papers.call import Call
from eqprop.papers.comparison import Comparison
from eqprop.papers.stochep.baselines import Baselines
from eqprop.papers.stochep.demonstration import Firing
from eqprop.papers.stochep.gradients import SpikingGradients
from eqprop.papers.stochep.mean_field import MeanField
from eqprop.papers.stochep.memory import Memory
from eqprop.papers.stochep.recipes import (
    Spikes,
    cifar_10_spiking_conv_narrow,
    fashion_mnist_spiking_conv,
    mnist_spiking,
    mnist_spiking_conv,
)
from eqprop.papers.study import Experiment, Study
from eqprop.solvers import Blockwise
from eqprop.training.rivals import backprop, ep, surrogate

SPIKES = Call(mnist_spiking)

DETERMINISTIC = partial(ep, solver=Blockwise(1e-3, 30))

TRAINED: dict[str, Call] = {
    "spiking EP, probabilities read": SPIKES,
    "spiking EP, spike rates read": SPIKES.but(spikes=Spikes(rates=True)),
    "deterministic EP": SPIKES.but(by=DETERMINISTIC, test_seeds=1),
    "surrogate-gradient BPTT": SPIKES.but(by=surrogate),
}

NARROW = Call(cifar_10_spiking_conv_narrow)

TEN_SWEEPS = partial(ep, solver=Blockwise(None, 10))

FOUR_CONVOLUTIONS: dict[str, Call] = {
    "spiking EP": NARROW,
    "deterministic EP": NARROW.but(by=TEN_SWEEPS, beta=0.5, test_seeds=1),
    "back-propagation": NARROW.but(by=backprop, test_seeds=1),
}

SPIKING: tuple[Study, ...] = (
    Firing(
        "stochep-demonstration",
        "neurons that fire at random learn a part of MNIST as smooth ones do",
    ),
    SpikingGradients(
        "stochep-gradient",
        "gradients from spikes, rates and probabilities against deterministic EP",
        dataclasses.replace(Spikes(), nudged_steps=20, averaged=15),
    ),
    MeanField(
        "stochep-mean-field",
        "distance of spiking networks to their fixed point, by leak, averaging and width",
    ),
    Memory("stochep-memory", "memory of a gradient against steps: EP and surrogate BPTT", SPIKES),
    Baselines(
        "stochep-baselines",
        "MNIST by spiking EP, deterministic EP and surrogate BPTT, tested with spikes",
        TRAINED,
    ),
    Experiment("stochep-mnist", "MNIST with spikes, one hidden layer", SPIKES),
    Experiment(
        "stochep-mnist-conv",
        "MNIST with spikes, two convolutions and two dense layers",
        Call(mnist_spiking_conv),
        (0,),
    ),
    Experiment(
        "stochep-fashion-mnist-conv",
        "the same on Fashion-MNIST",
        Call(fashion_mnist_spiking_conv),
        (0,),
    ),
    Comparison(
        "stochep-cifar-10",
        "5,000 images of CIFAR-10, four narrow convolutions: EP with and without spikes, and backprop",
        FOUR_CONVOLUTIONS,
        (0,),
    ),
)
