"""Spiking networks: neurons that fire with a probability and see nothing of each other but spikes."""

from eqprop.spiking.activity import Activity, SpikingReport, activity
from eqprop.spiking.coding import Analog, BernoulliCoded, Coding
from eqprop.spiking.count import Price, fan_out, price, rates
from eqprop.spiking.dynamics import Spiking, SpikingCarry
from eqprop.spiking.estimator import SpikingPropagation, SurrogateBackpropagation
from eqprop.spiking.export import to_nir
from eqprop.spiking.firing import Drawn, Firing, SigmaDelta, Staggered, Threshold
from eqprop.spiking.reading import Probabilities, Rates, Reading
from eqprop.spiking.record import membranes, record, spikes
from eqprop.spiking.soft_reset import SelfInhibition, with_soft_reset

__all__ = [
    "Activity",
    "Analog",
    "BernoulliCoded",
    "Coding",
    "Drawn",
    "Firing",
    "Price",
    "Probabilities",
    "Rates",
    "Reading",
    "SelfInhibition",
    "SigmaDelta",
    "Spiking",
    "SpikingCarry",
    "SpikingPropagation",
    "SpikingReport",
    "Staggered",
    "SurrogateBackpropagation",
    "Threshold",
    "activity",
    "fan_out",
    "membranes",
    "price",
    "rates",
    "record",
    "spikes",
    "to_nir",
    "with_soft_reset",
]
