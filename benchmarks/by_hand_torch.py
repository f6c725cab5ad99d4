"""Equilibrium propagation in PyTorch as a good engineer writes it by hand: no automatic differentiation.

The networks and weights of `benchmarks.textbook_torch`, and its synchronous steps to rounding. Each
operation knows its transpose, what the input drives is computed once, both nudges relax as one batch, and
weight gradients are products of states.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.textbook_torch import EnergyNet


class Operation(Protocol):
    """What drives a layer from the one below."""

    def up(self, below: Tensor) -> Tensor:
        """The drive of the layer above."""

    def down(self, above: Tensor) -> Tensor:
        """The drive of the layer below: the transpose of `up`, without the bias."""

    def slopes(self, below: Tensor, above: Tensor) -> list[Tensor]:
        """The derivatives of ``sum(above * up(below))`` in weight and bias."""


class Dense:
    """A product with a weight."""

    def __init__(self, linear: nn.Linear):
        self.weight, self.bias = linear.weight.detach(), linear.bias.detach()

    def up(self, below: Tensor) -> Tensor:
        return F.linear(self._flat(below), self.weight, self.bias)

    def down(self, above: Tensor) -> Tensor:
        return above @ self.weight

    def slopes(self, below: Tensor, above: Tensor) -> list[Tensor]:
        return [above.T @ self._flat(below), above.sum(0)]

    def _flat(self, below: Tensor) -> Tensor:
        return below


class DenseOfImages(Dense):
    """The same on feature maps, flattened channels last."""

    def __init__(self, linear: nn.Linear, shape: tuple[int, ...]):
        super().__init__(linear)
        self.shape = shape

    def down(self, above: Tensor) -> Tensor:
        channels, height, width = self.shape
        return super().down(above).view(-1, height, width, channels).permute(0, 3, 1, 2)

    def _flat(self, below: Tensor) -> Tensor:
        return below.permute(0, 2, 3, 1).flatten(1)


class PooledConv:
    """A 'same' convolution of 3x3 and the mean over 2x2."""

    def __init__(self, conv: nn.Conv2d):
        self.weight, self.bias = conv.weight.detach(), conv.bias.detach()

    def up(self, below: Tensor) -> Tensor:
        return F.avg_pool2d(F.conv2d(below, self.weight, self.bias, padding=1), 2)

    def down(self, above: Tensor) -> Tensor:
        return F.conv_transpose2d(self._spread(above), self.weight, padding=1)

    def slopes(self, below: Tensor, above: Tensor) -> list[Tensor]:
        spread = self._spread(above)
        weight = nn.grad.conv2d_weight(below, self.weight.shape, spread, padding=1)
        return [weight, above.sum((0, 2, 3))]

    def _spread(self, above: Tensor) -> Tensor:
        return F.interpolate(above, scale_factor=2, mode="nearest") / 4


def operations(net: EnergyNet) -> list[Operation]:
    """Those of a dense or a convolutional net."""
    found: list[Operation] = []
    for at, op in enumerate(net.ops):
        parts = list(op) if isinstance(op, nn.Sequential) else [op]
        if isinstance(parts[0], nn.Conv2d):
            found.append(PooledConv(parts[0]))
        elif len(parts) == 2:
            found.append(DenseOfImages(parts[1], net.shapes[at - 1]))
        else:
            found.append(Dense(parts[0]))
    return found


def _relax(
    ops: Sequence[Operation],
    drive: Tensor,
    states: list[Tensor],
    steps: int,
    nudge: Tensor | None,
    y: Tensor,
) -> list[Tensor]:
    """All layers at once, clipped to [0, 1]; ``nudge`` is (batch, 1)."""
    for _ in range(steps):
        drives = [drive, *(op.up(s) for op, s in zip(ops[1:], states, strict=False))]
        for at, (op, above) in enumerate(zip(ops[1:], states[1:], strict=True)):
            drives[at] = drives[at] + op.down(above)
        if nudge is not None:
            drives[-1] = drives[-1] + nudge * (y - states[-1])
        states = [one.clamp(0.0, 1.0) for one in drives]
    return states


@torch.inference_mode()
def gradient(
    net: EnergyNet, x: Tensor, y: Tensor, free_steps: int, nudged_steps: int, beta: float
) -> list[Tensor]:
    """The symmetric estimate of the mean loss's gradient, in the order of ``net.parameters()``."""
    ops = operations(net)
    drive = ops[0].up(x)
    free = _relax(ops, drive, net.zero_states(x), free_steps, None, y)
    signs = torch.tensor([[beta], [-beta]]).repeat_interleave(len(x), 0)
    pair = [torch.cat([one, one]) for one in (drive, y)]
    both = [torch.cat([state, state]) for state in free]
    both = _relax(ops, pair[0], both, nudged_steps, signs, pair[1])
    weights = (signs / -(2 * beta * beta * len(x))).flatten()
    weighted = [state * weights.view(-1, *[1] * (state.dim() - 1)) for state in both]
    below = [torch.cat([x, x]), *both[:-1]]
    return [
        slope
        for op, lower, upper in zip(ops, below, weighted, strict=True)
        for slope in op.slopes(lower, upper)
    ]
