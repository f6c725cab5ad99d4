"""How a landscape relaxes: one file a method."""

from eqprop.solvers.blockwise import Blockwise
from eqprop.solvers.diffusion import Diffusion
from eqprop.solvers.errors import ErrorDescent
from eqprop.solvers.flow import Flow
from eqprop.solvers.gradient import GradientDescent
from eqprop.solvers.langevin import Langevin
from eqprop.solvers.momentum import Momentum
from eqprop.solvers.reduced import MatmulPrecision, Reduced
from eqprop.solvers.refined import Refined
from eqprop.solvers.solver import (
    CONVERGED,
    DIVERGED,
    FIXED_STEPS,
    OUTCOMES,
    STEPS_SPENT,
    Info,
    Iterative,
    Solver,
    check_tolerance,
    lost_unless,
)
from eqprop.solvers.spectral import Spectral

__all__ = [
    "CONVERGED",
    "DIVERGED",
    "FIXED_STEPS",
    "OUTCOMES",
    "STEPS_SPENT",
    "Blockwise",
    "Diffusion",
    "ErrorDescent",
    "Flow",
    "GradientDescent",
    "Info",
    "Iterative",
    "Langevin",
    "MatmulPrecision",
    "Momentum",
    "Reduced",
    "Refined",
    "Solver",
    "Spectral",
    "check_tolerance",
    "lost_unless",
]
