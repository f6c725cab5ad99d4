"""Experiments on spiking networks, in the style of Lin, Jiang and Sengupta (arXiv 2511.11320)."""

from eqprop.stochep.baselines import Baselines
from eqprop.stochep.gradient import SpikingGradients
from eqprop.stochep.mean_field import MeanField
from eqprop.stochep.memory import Memory

__all__ = ["Baselines", "MeanField", "Memory", "SpikingGradients"]
