"""Spiking networks: neurons that fire with a probability and see nothing of each other but spikes."""

from eqprop.spiking.coding import Analog, BernoulliCoded, Coding
from eqprop.spiking.dynamics import Carry, Spiking
from eqprop.spiking.estimator import SpikingPropagation
from eqprop.spiking.firing import Bernoulli, Firing, SigmaDelta, Threshold
from eqprop.spiking.reading import Probabilities, Rates, Reading
from eqprop.spiking.reset import SelfInhibition, with_soft_reset

__all__ = [
    "Analog",
    "Bernoulli",
    "BernoulliCoded",
    "Carry",
    "Coding",
    "Firing",
    "Probabilities",
    "Rates",
    "Reading",
    "SelfInhibition",
    "SigmaDelta",
    "Spiking",
    "SpikingPropagation",
    "Threshold",
    "with_soft_reset",
]
