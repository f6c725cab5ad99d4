"""Spiking networks: neurons that fire with a probability and see nothing of each other but spikes."""

from eqprop.spiking.coding import Analog, BernoulliCoded, Coding
from eqprop.spiking.count import Cost, cost, fan_out, rates
from eqprop.spiking.dynamics import Carry, Spiking
from eqprop.spiking.estimator import SpikingPropagation
from eqprop.spiking.firing import Bernoulli, Firing, SigmaDelta, Threshold
from eqprop.spiking.reading import Probabilities, Rates, Reading
from eqprop.spiking.record import membranes, record, spikes
from eqprop.spiking.reset import SelfInhibition, with_soft_reset

__all__ = [
    "Analog",
    "Bernoulli",
    "BernoulliCoded",
    "Carry",
    "Coding",
    "Cost",
    "Firing",
    "Probabilities",
    "Rates",
    "Reading",
    "SelfInhibition",
    "SigmaDelta",
    "Spiking",
    "SpikingPropagation",
    "Threshold",
    "cost",
    "fan_out",
    "membranes",
    "rates",
    "record",
    "spikes",
    "with_soft_reset",
]
