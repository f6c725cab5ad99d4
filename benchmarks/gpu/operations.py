"""The operations that a training step needs; a multiply-add counts two."""

from __future__ import annotations

import math
from typing import NamedTuple

from eqprop.energies.network import INPUT, Network
from eqprop.energies.ops import Conv, Scaled
from eqprop.training.predict import sweep_flops

COUPLINGS_A_SWEEP = 4
"""`sweep_flops` applies each multiply-add, which counts two, forth and back."""


class Passes(NamedTuple):
    """How often a step applies, an image, the couplings between layers, and those from the input."""

    between: int
    inputs: int

    def flops(self, network: Network) -> int:
        """Of one image."""
        hidden = 2 * sweep_flops(network) // COUPLINGS_A_SWEEP
        return self.between * hidden + self.inputs * _from_input(network)


BACKPROPAGATION = Passes(3, 2)
"""Forth, back but to the input, and the weights' gradients."""


def equilibrium(free: int, nudged: int) -> Passes:
    """Of one-sided differences, from rest, in the layers' order.

    The first free sweep finds the layers above at zero, and the first nudged one, from the output down,
    those below; every further sweep applies couplings forth and back. So do the fields where the free phase
    ends, and the gradient, which has a product of each coupling with both of its layers' differences.
    """
    return Passes(1 + 2 * (free - 1) + 2 + 1 + 2 * (nudged - 1) + 2, 2)


def _from_input(network: Network) -> int:
    products = 0
    for edge in network.edges.values():
        op = edge.op.op if isinstance(edge.op, Scaled) else edge.op
        if edge.source == INPUT and isinstance(op, Conv):
            products += op.kernel.size * math.prod(network.shapes[edge.target][:-1])
    return 2 * products
