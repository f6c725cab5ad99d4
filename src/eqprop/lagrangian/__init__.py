"""Learning in dynamical systems: paths that make an action stationary, and what their nudging tells."""

from eqprop.lagrangian.action import Action, ClampedAction, midpoint, verlet
from eqprop.lagrangian.adjoint import Adjoint
from eqprop.lagrangian.boundary import Boundary, FixedEnds, FreeEnd, InitialValue, Periodic
from eqprop.lagrangian.continuation import Continuation
from eqprop.lagrangian.costs import FourierError, PathCost, PathDensity, PathError
from eqprop.lagrangian.echo import evolve
from eqprop.lagrangian.examine import Sharpness, examine
from eqprop.lagrangian.faults import PathInfo
from eqprop.lagrangian.friction import ReversedNudge, doubled
from eqprop.lagrangian.hamiltonian import Hamiltonian, unroll
from eqprop.lagrangian.harmonic import ClampedHarmonics, HarmonicAction
from eqprop.lagrangian.newton import Newton
from eqprop.lagrangian.noisy import freidlin_wentzell, onsager_machlup
from eqprop.lagrangian.oscillators import LinearOscillators, NonlinearOscillators, Oscillators
from eqprop.lagrangian.shooting import Shooting, monodromy

__all__ = [
    "Action",
    "Adjoint",
    "Boundary",
    "ClampedAction",
    "ClampedHarmonics",
    "Continuation",
    "FixedEnds",
    "FourierError",
    "FreeEnd",
    "Hamiltonian",
    "HarmonicAction",
    "InitialValue",
    "LinearOscillators",
    "Newton",
    "NonlinearOscillators",
    "Oscillators",
    "PathCost",
    "PathDensity",
    "PathError",
    "PathInfo",
    "Periodic",
    "ReversedNudge",
    "Sharpness",
    "Shooting",
    "doubled",
    "evolve",
    "examine",
    "freidlin_wentzell",
    "midpoint",
    "monodromy",
    "onsager_machlup",
    "unroll",
    "verlet",
]
