"""What can settle: units, edges, networks, costs, and ``E + beta C``."""

from eqprop.energies.energy import Clamped, Energy, FunctionEnergy, displacement, residual
from eqprop.energies.graph import Graph, grid, on_graph
from eqprop.energies.model import Model, Nudged
from eqprop.energies.network import Edge, Layer, Network
from eqprop.energies.predictive import ClampedPredictions, PredictiveCoding, predictive
from eqprop.energies.resistive import ClampedCircuit, ResistiveNetwork, resistive

__all__ = [
    "Clamped",
    "ClampedCircuit",
    "ClampedPredictions",
    "Edge",
    "Energy",
    "FunctionEnergy",
    "Graph",
    "Layer",
    "Model",
    "Network",
    "Nudged",
    "PredictiveCoding",
    "ResistiveNetwork",
    "displacement",
    "grid",
    "on_graph",
    "predictive",
    "residual",
    "resistive",
]
