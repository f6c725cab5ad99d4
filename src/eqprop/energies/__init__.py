"""What can settle: units, edges, networks, costs, and ``E + beta C``."""

from eqprop.energies.energy import Clamped, Energy, FunctionEnergy, displacement, residual
from eqprop.energies.graph import Graph, grid, on_graph
from eqprop.energies.model import Model, Nudged
from eqprop.energies.network import Edge, Layer, Network

__all__ = [
    "Clamped",
    "Edge",
    "Energy",
    "FunctionEnergy",
    "Graph",
    "Layer",
    "Model",
    "Network",
    "Nudged",
    "displacement",
    "grid",
    "on_graph",
    "residual",
]
