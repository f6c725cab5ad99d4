"""Equilibrium propagation: learning in systems that settle, by nudging and comparing."""

from eqprop import contrast, ops, solvers
from eqprop._version import __version__
from eqprop.build import convolutional, layered, with_read_out
from eqprop.contrast import (
    Contrast,
    RandomSign,
    finite_difference,
    holomorphic,
    n_point,
    one_sided,
    symmetric,
)
from eqprop.costs import Cost, CrossEntropy, SquaredError
from eqprop.diagnose import audit, exact_gradient, sweep_beta
from eqprop.energy import Clamped, Energy, FunctionEnergy, displacement, residual
from eqprop.estimators import (
    Backpropagation,
    EquilibriumPropagation,
    Estimate,
    Estimator,
    ImplicitDifferentiation,
    relax,
)
from eqprop.model import Model, Nudged
from eqprop.network import Edge, Layer, Network
from eqprop.oscillator import Oscillator
from eqprop.solvers import (
    Blockwise,
    Diffusion,
    Flow,
    GradientDescent,
    Info,
    Langevin,
    Momentum,
    Solver,
    Spectral,
)
from eqprop.units import Box, Linear, Logistic, Tanh, Unit, hard_tanh, relu, relu6

__all__ = [
    "Backpropagation",
    "Blockwise",
    "Box",
    "Clamped",
    "Contrast",
    "Cost",
    "CrossEntropy",
    "Diffusion",
    "Edge",
    "Energy",
    "EquilibriumPropagation",
    "Estimate",
    "Estimator",
    "Flow",
    "FunctionEnergy",
    "GradientDescent",
    "ImplicitDifferentiation",
    "Info",
    "Langevin",
    "Layer",
    "Linear",
    "Logistic",
    "Model",
    "Momentum",
    "Network",
    "Nudged",
    "Oscillator",
    "RandomSign",
    "Solver",
    "Spectral",
    "SquaredError",
    "Tanh",
    "Unit",
    "__version__",
    "audit",
    "contrast",
    "convolutional",
    "displacement",
    "exact_gradient",
    "finite_difference",
    "hard_tanh",
    "holomorphic",
    "layered",
    "n_point",
    "one_sided",
    "ops",
    "relax",
    "relu",
    "relu6",
    "residual",
    "solvers",
    "sweep_beta",
    "symmetric",
    "with_read_out",
]
