"""Equilibrium propagation: learning in systems that settle, by nudging and comparing."""

from eqprop._compiler import disarm

disarm()

from eqprop import contrast, lagrangian, objective, ops, samplers, solvers, spiking
from eqprop._version import __version__
from eqprop.build import convolutional, layered, with_biases, with_read_out
from eqprop.chains import Chains
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
from eqprop.delta import DeltaPropagation
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
from eqprop.exact import Enumeration, Gaussian
from eqprop.feedback import with_stiff_layers, with_weak_feedback
from eqprop.marginal import ConditionalMeans, Draws
from eqprop.model import Model, Nudged
from eqprop.network import Edge, Layer, Network
from eqprop.oscillator import Oscillator
from eqprop.ramp import Ramp
from eqprop.resnet import hopfield_resnet
from eqprop.rules import (
    Reweighting,
    finite_nudge,
    free_covariance,
    path_integral,
    symmetric_nudge,
)
from eqprop.sigmoid import Logistic, Tanh
from eqprop.solvers import (
    Blockwise,
    Diffusion,
    Flow,
    GradientDescent,
    Info,
    Langevin,
    Momentum,
    Reduced,
    Refined,
    Solver,
    Spectral,
)
from eqprop.spins import Bernoulli, Spin
from eqprop.stiff import Stiff
from eqprop.thermal import Thermal
from eqprop.units import Box, Linear, Unit, hard_tanh, relu, relu6

__all__ = [
    "Backpropagation",
    "Bernoulli",
    "Blockwise",
    "Box",
    "Chains",
    "Clamped",
    "ConditionalMeans",
    "Contrast",
    "Cost",
    "CrossEntropy",
    "DeltaPropagation",
    "Diffusion",
    "Draws",
    "Edge",
    "Energy",
    "Enumeration",
    "EquilibriumPropagation",
    "Estimate",
    "Estimator",
    "Flow",
    "FunctionEnergy",
    "Gaussian",
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
    "Ramp",
    "RandomSign",
    "Reduced",
    "Refined",
    "Reweighting",
    "Solver",
    "Spectral",
    "Spin",
    "SquaredError",
    "Stiff",
    "Tanh",
    "Thermal",
    "Unit",
    "__version__",
    "audit",
    "contrast",
    "convolutional",
    "displacement",
    "exact_gradient",
    "finite_difference",
    "finite_nudge",
    "free_covariance",
    "hard_tanh",
    "holomorphic",
    "hopfield_resnet",
    "lagrangian",
    "layered",
    "n_point",
    "objective",
    "one_sided",
    "ops",
    "path_integral",
    "relax",
    "relu",
    "relu6",
    "residual",
    "samplers",
    "solvers",
    "spiking",
    "sweep_beta",
    "symmetric",
    "symmetric_nudge",
    "with_biases",
    "with_read_out",
    "with_stiff_layers",
    "with_weak_feedback",
]
