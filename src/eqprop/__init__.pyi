from . import (
    energies,
    estimators,
    hardware,
    lagrangian,
    papers,
    solvers,
    spiking,
    thermal,
    training,
)
from .energies import ops
from .energies.architectures import (
    convolutional,
    hopfield_resnet,
    layered,
    with_read_out,
)
from .energies.costs import Cost, CrossEntropy, FunctionCost, SquaredError
from .energies.drawn import with_biases, with_weights
from .energies.energy import Energy, FunctionEnergy
from .energies.feedback import with_stiff_layers, with_weak_feedback
from .energies.model import Model
from .energies.network import Edge, Layer, Network
from .energies.predictive import PredictiveCoding, predictive
from .energies.resistive import ResistiveNetwork, resistive
from .energies.skips import predictive_residual
from .energies.units.interval import Box, Linear, Ramp, hard_tanh, relu, relu6
from .energies.units.oscillator import Oscillator
from .energies.units.sigmoid import Logistic, Tanh
from .energies.units.spin import Bernoulli, Spin
from .energies.units.stiff import Stiff
from .energies.units.unit import Unit
from .estimators.audit import audit, exact_gradient, sweep_beta
from .estimators.backpropagation import Backpropagation
from .estimators.contrast import (
    Contrast,
    RandomSign,
    finite_difference,
    holomorphic,
    n_point,
    one_sided,
    symmetric,
)
from .estimators.differences import DeltaPropagation
from .estimators.equilibrium import EquilibriumPropagation
from .estimators.estimator import Estimate, Estimator, Report
from .estimators.implicit import ImplicitDifferentiation
from .papers.pretrained import pretrained
from .solvers import (
    Blockwise,
    Diffusion,
    Flow,
    GradientDescent,
    Langevin,
    Momentum,
    Reduced,
    Refined,
    Solver,
    Spectral,
)
from .solvers.relax import relax
from .training.fit import fit
from .training.trained import load
from .training.training import Training

__version__: str

__all__ = [
    "Backpropagation",
    "Bernoulli",
    "Blockwise",
    "Box",
    "Contrast",
    "Cost",
    "CrossEntropy",
    "DeltaPropagation",
    "Diffusion",
    "Edge",
    "Energy",
    "EquilibriumPropagation",
    "Estimate",
    "Estimator",
    "Flow",
    "FunctionCost",
    "FunctionEnergy",
    "GradientDescent",
    "ImplicitDifferentiation",
    "Langevin",
    "Layer",
    "Linear",
    "Logistic",
    "Model",
    "Momentum",
    "Network",
    "Oscillator",
    "PredictiveCoding",
    "Ramp",
    "RandomSign",
    "Reduced",
    "Refined",
    "Report",
    "ResistiveNetwork",
    "Solver",
    "Spectral",
    "Spin",
    "SquaredError",
    "Stiff",
    "Tanh",
    "Training",
    "Unit",
    "audit",
    "convolutional",
    "energies",
    "estimators",
    "exact_gradient",
    "finite_difference",
    "fit",
    "hard_tanh",
    "hardware",
    "holomorphic",
    "hopfield_resnet",
    "lagrangian",
    "layered",
    "load",
    "n_point",
    "one_sided",
    "ops",
    "papers",
    "predictive",
    "predictive_residual",
    "pretrained",
    "relax",
    "relu",
    "relu6",
    "resistive",
    "solvers",
    "spiking",
    "sweep_beta",
    "symmetric",
    "thermal",
    "training",
    "with_biases",
    "with_read_out",
    "with_stiff_layers",
    "with_weak_feedback",
    "with_weights",
]
