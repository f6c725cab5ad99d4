"""Equilibrium propagation: learning in systems that settle, by nudging and comparing.

The rooms: `eqprop.energies` (what settles), `eqprop.solvers` (how), `eqprop.estimators` (what is learnt);
`eqprop.thermal`, `eqprop.lagrangian`, `eqprop.spiking` and `eqprop.hardware` for other physics;
`eqprop.training` and `eqprop.papers`. To read the core in an hour: energies/units/unit.py,
energies/energy.py, energies/model.py, solvers/solver.py, solvers/relax.py, solvers/blockwise.py,
estimators/contrast.py, estimators/estimator.py, estimators/equilibrium.py, training/fit.py.
"""

from eqprop._compiler import disarm

disarm()

from importlib import import_module
from typing import TYPE_CHECKING, Any

from eqprop import energies, solvers
from eqprop._version import __version__
from eqprop.energies import ops
from eqprop.energies.architectures import (
    convolutional,
    hopfield_resnet,
    layered,
    with_biases,
    with_read_out,
)
from eqprop.energies.costs import Cost, CrossEntropy, FunctionCost, SquaredError
from eqprop.energies.energy import Energy, FunctionEnergy
from eqprop.energies.feedback import with_stiff_layers, with_weak_feedback
from eqprop.energies.model import Model
from eqprop.energies.network import Edge, Layer, Network
from eqprop.energies.units.interval import Box, Linear, Ramp, hard_tanh, relu, relu6
from eqprop.energies.units.oscillator import Oscillator
from eqprop.energies.units.sigmoid import Logistic, Tanh
from eqprop.energies.units.spin import Bernoulli, Spin
from eqprop.energies.units.stiff import Stiff
from eqprop.energies.units.unit import Unit
from eqprop.estimators.audit import audit, exact_gradient, sweep_beta
from eqprop.estimators.backpropagation import Backpropagation
from eqprop.estimators.contrast import (
    Contrast,
    RandomSign,
    finite_difference,
    holomorphic,
    n_point,
    one_sided,
    symmetric,
)
from eqprop.estimators.differences import DeltaPropagation
from eqprop.estimators.equilibrium import EquilibriumPropagation
from eqprop.estimators.estimator import Estimate, Estimator
from eqprop.estimators.implicit import ImplicitDifferentiation
from eqprop.solvers import (
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
from eqprop.solvers.relax import relax

if TYPE_CHECKING:
    from eqprop import estimators, hardware, lagrangian, spiking, thermal
    from eqprop.training.fit import fit
    from eqprop.training.trained import load
    from eqprop.training.training import Training

ROOMS = ("estimators", "hardware", "lagrangian", "papers", "spiking", "thermal", "training")
"""Imported when they are asked for, so that `import eqprop` loads no library for the few."""

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
    "Ramp",
    "RandomSign",
    "Reduced",
    "Refined",
    "Solver",
    "Spectral",
    "Spin",
    "SquaredError",
    "Stiff",
    "Tanh",
    "Training",
    "Unit",
    "__version__",
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
    "relax",
    "relu",
    "relu6",
    "solvers",
    "spiking",
    "sweep_beta",
    "symmetric",
    "thermal",
    "with_biases",
    "with_read_out",
    "with_stiff_layers",
    "with_weak_feedback",
]


WORKSHOP = {
    "Training": "eqprop.training.training",
    "fit": "eqprop.training.fit",
    "load": "eqprop.training.trained",
}


def __getattr__(name: str) -> Any:
    if name in ROOMS:
        return import_module(f"eqprop.{name}")
    if name in WORKSHOP:
        return getattr(import_module(WORKSHOP[name]), name)
    raise AttributeError(f"module 'eqprop' has no attribute {name!r}")
