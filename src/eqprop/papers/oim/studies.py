"""The studies of oscillator Ising machines (Gower, arXiv 2510.12934), and their hardware limits."""

from __future__ import annotations

from typing import NamedTuple

from eqprop.papers.call import Call
from eqprop.papers.comparison import Case, Sweep
from eqprop.papers.oim.demonstration import Settling
from eqprop.papers.oim.depth import Depth
from eqprop.papers.oim.machine import AdamW, Local, Machine
from eqprop.papers.oim.recipes import (
    fashion_mnist_conv_oscillators,
    fashion_mnist_oscillators,
    mnist_100_oscillators,
    mnist_conv_oscillators,
    mnist_oscillators,
)
from eqprop.papers.oim.updates import Curves
from eqprop.papers.study import Experiment, Study
from eqprop.training.rivals import bptt

FIVE = (0, 1, 2, 3, 4)

NUDGES = (0.25, 0.5, 1.0)

THOUSAND = Call(mnist_100_oscillators, {"all_tests": True})

RATES = (0.12, 0.02)


def _hardware(machine: Machine, beta: float, epochs: int = 100, peak: float = 1.0) -> Call:
    """A thousand images by the local rule, at the rates that hardware bears."""
    rule = Local(RATES, peak)
    return THOUSAND.but(machine=machine, beta=beta, epochs=epochs, rule=rule, test_last=True)


class Setting(NamedTuple):
    """A nudge, and how long and fast one learns by it."""

    name: str
    beta: float
    epochs: int = 100
    peak: float = 1.0


SETTINGS = (
    Setting("β = 0.5", 0.5),
    Setting("β = 1", 1.0),
    Setting("β = 1, longer", 1.0, 300),
)

LONGEST = Setting("β = 1, longest", 1.0, 600, 0.5)

LAYERS = (1.0, 2.5)
"""Ranges of the two layers. They were chosen, as the others, on other training images."""


def _master(setting: Setting, bits: int) -> Case:
    """Bits of parameters with a floating-point master copy."""
    return _bits("master", setting, Machine(bits, 0.14, LAYERS))


def _nearest(setting: Setting, bits: int) -> Case:
    """The same without one, where each update is rounded to the nearest level."""
    return _bits("no master, nearest", setting, Machine(bits, 0.1, LAYERS, without_master=True))


def _stochastic(setting: Setting, bits: int, parameter_range: float = 0.1) -> Case:
    """The same, rounded up or down at random."""
    machine = Machine(bits, parameter_range, LAYERS, without_master=True, stochastic_rounding=True)
    return _bits("no master, stochastic", setting, machine)


def _bits(way: str, setting: Setting, machine: Machine) -> Case:
    call = _hardware(machine, setting.beta, setting.epochs, setting.peak)
    return Case(f"{way}, {setting.name}", machine.parameter_bits, call)


WIDE = Setting("β = 1, longer, wide", 1.0, 300)

PARAMETER_BITS = (
    *(
        make(setting, bits)
        for setting in SETTINGS
        for make, counts in (
            (_master, (0, 8, 4, 3, 2)),
            (_nearest, (10, 8)),
            (_stochastic, (10, 8, 6)),
        )
        for bits in counts
    ),
    _master(LONGEST, 0),
    _master(LONGEST, 4),
    _stochastic(LONGEST, 8),
    _stochastic(WIDE, 8, 0.14),
)

PHASE_BITS = (
    *(
        Case(f"β = {beta:g}", bits, _hardware(Machine(state_bits=bits), beta))
        for beta in NUDGES
        for bits in (0, 6, 4, 3, 2)
    ),
    *(
        Case(
            f"β = {beta:g}, longer and faster",
            bits,
            _hardware(Machine(state_bits=bits), beta, 200, 1.6),
        )
        for beta in (1.0, 1.5)
        for bits in (0, 4, 3)
    ),
)

NOISE = tuple(
    Case(f"β = {beta:g}", xi, _hardware(Machine(noise=xi), beta, 60))
    for beta in NUDGES
    for xi in (0.0, 0.2, 0.3, 0.5)
)

OSCILLATORS: tuple[Study, ...] = (
    Settling(
        "oim-demonstration",
        "oscillators settle into an answer, and learn a part of MNIST by nudges",
    ),
    Experiment(
        "oim-mnist-100",
        "oscillators on MNIST/100: 1000 training and 100 test images",
        Call(mnist_100_oscillators),
        FIVE,
    ),
    Experiment("oim-mnist-1000", "the same, tested on all 10,000 images", THOUSAND, FIVE),
    Experiment(
        "oim-mnist-1000-bptt",
        "the same by back-propagation through time",
        THOUSAND.but(by=bptt, rule=AdamW(3e-4, 2.0)),
        FIVE,
    ),
    Curves(
        "oim-updates",
        "EP's update step by step against back-propagation through time",
        THOUSAND.but(injection=-0.25, beta=0.01),
    ),
    Sweep(
        "oim-parameter-bits",
        "the same with quantised parameters (0: floating point)",
        "parameter bits",
        PARAMETER_BITS,
    ),
    Sweep(
        "oim-phase-bits",
        "the same with quantised phases (0: floating point)",
        "phase bits",
        PHASE_BITS,
    ),
    Sweep("oim-noise", "the same with phase noise", "phase noise ξ", NOISE),
    Experiment(
        "oim-mnist-local",
        "oscillators on MNIST by the plain local rule",
        Call(mnist_oscillators, {"rule": Local((0.04, 0.008)), "epochs": 50}),
        FIVE,
    ),
    Experiment(
        "oim-fashion-mnist-local",
        "oscillators on Fashion-MNIST by the plain local rule",
        Call(fashion_mnist_oscillators, {"rule": Local((0.035, 0.005)), "epochs": 30}),
        FIVE,
    ),
    Experiment("oim-mnist", "the same with Adam on MNIST", Call(mnist_oscillators), FIVE),
    Experiment(
        "oim-fashion-mnist",
        "the same with Adam on Fashion-MNIST",
        Call(fashion_mnist_oscillators),
        FIVE,
    ),
    Depth(
        "oim-depth",
        "the gradient of few sweeps beside that of the equilibrium, by how oscillators couple",
        Call(mnist_conv_oscillators),
    ),
    Experiment(
        "oim-mnist-conv",
        "oscillators in two convolutions on MNIST",
        Call(mnist_conv_oscillators),
        (0,),
    ),
    Experiment(
        "oim-fashion-mnist-conv",
        "the same on Fashion-MNIST",
        Call(fashion_mnist_conv_oscillators),
        (0,),
    ),
    Experiment(
        "oim-mnist-bptt",
        "MNIST by back-propagation through time",
        Call(mnist_oscillators, {"rule": AdamW(1e-4, 1.0)}, bptt),
        (0,),
    ),
    Experiment(
        "oim-fashion-mnist-bptt",
        "Fashion-MNIST by back-propagation through time",
        Call(fashion_mnist_oscillators, {"rule": AdamW(1e-4, 1.0)}, bptt),
        (0,),
    ),
)
