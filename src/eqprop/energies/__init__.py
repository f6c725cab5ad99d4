"""What can settle: units, edges, networks, costs, and ``E + beta C``."""

from eqprop.energies.energy import Clamped, Energy, FunctionEnergy, displacement, residual
from eqprop.energies.model import Model, Nudged
from eqprop.energies.network import Edge, Layer, Network

__all__ = [
    "Clamped",
    "Edge",
    "Energy",
    "FunctionEnergy",
    "Layer",
    "Model",
    "Network",
    "Nudged",
    "displacement",
    "residual",
]
