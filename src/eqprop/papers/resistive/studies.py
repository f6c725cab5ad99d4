"""The studies of resistive networks."""

from __future__ import annotations

from eqprop.papers.call import Call
from eqprop.papers.resistive.demonstration import Circuits
from eqprop.papers.resistive.recipes import mnist_resistive
from eqprop.papers.study import Experiment, Study

RESISTIVE: tuple[Study, ...] = (
    Circuits(
        "resistive-demonstration",
        "a circuit's gradient by nudges, its voltages in SPICE, and digits that it learns",
    ),
    Experiment("resistive-mnist", "MNIST by 1,024 hidden nodes", Call(mnist_resistive)),
)
