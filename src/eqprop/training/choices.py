"""The names that recipes choose from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from eqprop.energies.ops import AveragePool, MaxPool
from eqprop.energies.units.interval import Box, Linear, Ramp, hard_tanh, relu, relu6
from eqprop.energies.units.oscillator import Oscillator
from eqprop.energies.units.sigmoid import Logistic, Tanh
from eqprop.energies.units.spin import Bernoulli, Spin
from eqprop.energies.units.unit import Unit

PoolName = Literal["average", "max"]

DataName = Literal[
    "digits", "mnist", "mnist-100", "mnist-1000", "fashion-mnist", "cifar-10", "cifar-100"
]

UnitName = Literal[
    "clip",
    "half-clip",
    "relu",
    "relu6",
    "hard-tanh",
    "linear",
    "logistic",
    "tanh",
    "oscillator",
    "spin",
    "bernoulli",
]

SolverName = Literal[
    "blockwise",
    "momentum",
    "spectral",
    "alternating",
    "ordered",
    "gradient",
    "flow",
    "langevin",
]

ContrastName = Literal["symmetric", "one-sided", "random-sign", "n-point", "holomorphic"]

OptimiserName = Literal["adam", "momentum", "heavy-ball", "sgd"]

ScheduleName = Literal["cosine", "constant"]

EstimatorName = Literal["ep", "implicit", "bptt", "thermal", "backprop", "spiking", "surrogate"]

PrecisionName = Literal["full", "tf32", "bfloat16", "float16"]

SamplerName = Literal["gibbs", "langevin", "underdamped", "mala", "hmc", "nuts"]

ReadingName = Literal["draws", "means"]

RuleName = Literal["contrast", "symmetric", "path-integral", "covariance", "reweighting"]

UNITS: dict[UnitName, Callable[[], Unit]] = {
    "clip": Box,
    "half-clip": Ramp,
    "relu": relu,
    "relu6": relu6,
    "hard-tanh": hard_tanh,
    "linear": Linear,
    "logistic": Logistic,
    "tanh": Tanh,
    "oscillator": Oscillator,
    "spin": Spin,
    "bernoulli": Bernoulli,
}

SPIKING = ("spiking", "surrogate")
"""The estimators whose phases spike."""

POOLS: dict[PoolName, type[AveragePool] | type[MaxPool]] = {"average": AveragePool, "max": MaxPool}
