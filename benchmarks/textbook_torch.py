"""Textbook equilibrium propagation in eager PyTorch: the baseline of the benchmark.

The network is given by its primitive function Phi(x, s) = sum_l <s_{l+1}, op_l(s_l)>, s_0 = x.
A relaxation step differentiates Phi with autograd and sets s_l <- clamp(dPhi/ds_l, 0, 1), all
layers at once; the parameter gradient contrasts Phi at the two nudged states (+beta and -beta).
`ResidualNet` has skips and other bounds.

Run as a script, it prints the time of one training step of three networks.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

POOLS: dict[str, type[nn.Module]] = {"avg": nn.AvgPool2d, "max": nn.MaxPool2d}


class FlattenHWC(nn.Module):
    """Flatten feature maps in the order of a channels-last framework."""

    def forward(self, features: Tensor) -> Tensor:
        """Map (batch, channels, height, width) to (batch, height * width * channels)."""
        return features.permute(0, 2, 3, 1).flatten(1)


class EnergyNet(nn.Module):
    """A chain of operations; `shapes[l]` is the shape, less the batch, of what `ops[l]` drives."""

    def __init__(self, ops: Sequence[nn.Module], shapes: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self.ops = nn.ModuleList(ops)
        self.shapes = list(shapes)

    def phi(self, x: Tensor, states: Sequence[Tensor]) -> Tensor:
        """Return the primitive function of each example, (batch,)."""
        below = [x, *states[:-1]]
        terms = [
            (state * op(lower)).flatten(1).sum(1)
            for op, lower, state in zip(self.ops, below, states, strict=True)
        ]
        return torch.stack(terms).sum(0)

    def zero_states(self, x: Tensor) -> list[Tensor]:
        """Return the initial states, one (batch, *shape) tensor of zeros per layer."""
        return [x.new_zeros(len(x), *shape) for shape in self.shapes]

    def clip(self, drives: Sequence[Tensor]) -> list[Tensor]:
        """Return the states that answer the drives."""
        return [drive.clamp(0.0, 1.0) for drive in drives]


class DenseNet(EnergyNet):
    """Fully connected layers of the given sizes, input first; x is (batch, sizes[0])."""

    def __init__(self, sizes: Sequence[int]) -> None:
        ops = [nn.Linear(n, m) for n, m in pairwise(sizes)]
        super().__init__(ops, [(m,) for m in sizes[1:]])


class ConvNet(EnergyNet):
    """Blocks of a 'same' convolution and a 2 x 2 pool, then a linear layer.

    `channels` are those of the blocks, `pool` is "avg" or "max", `image` is (height, width,
    channels); x is (batch, channels, height, width).
    """

    def __init__(
        self,
        channels: Sequence[int],
        kernel: int,
        pool: str,
        image: tuple[int, int, int],
        classes: int,
    ) -> None:
        height, width, depth = image
        ops: list[nn.Module] = []
        shapes: list[tuple[int, ...]] = []
        for out in channels:
            ops.append(nn.Sequential(nn.Conv2d(depth, out, kernel, padding="same"), POOLS[pool](2)))
            height, width, depth = height // 2, width // 2, out
            shapes.append((depth, height, width))
        ops.append(nn.Sequential(FlattenHWC(), nn.Linear(height * width * depth, classes)))
        super().__init__(ops, [*shapes, (classes,)])


class ResidualNet(EnergyNet):
    """Blocks of a 3x3 convolution and a strided one beside a 1x1 skip, then a linear layer.

    Hidden layers clip to [0, 6], the output is linear. `parameters()` lists the skips last.
    """

    def __init__(self, channels: Sequence[int], image: tuple[int, int, int], classes: int) -> None:
        height, width, depth = image
        ops: list[nn.Module] = []
        skips: list[nn.Module] = []
        shapes: list[tuple[int, ...]] = []
        for out in channels:
            ops.append(nn.Conv2d(depth, out, 3, padding=1))
            shapes.append((out, height, width))
            height, width = height // 2, width // 2
            ops.append(nn.Conv2d(out, out, 3, stride=2, padding=1))
            shapes.append((out, height, width))
            skips.append(nn.Conv2d(depth, out, 1, stride=2, bias=False))
            depth = out
        ops.append(nn.Sequential(FlattenHWC(), nn.Linear(height * width * depth, classes)))
        super().__init__(ops, [*shapes, (classes,)])
        self.skips = nn.ModuleList(skips)

    def phi(self, x: Tensor, states: Sequence[Tensor]) -> Tensor:
        """Return the primitive function of each example, (batch,)."""
        blocks = zip(self.skips, [x, *states][::2], states[1::2], strict=False)
        terms = [(end * skip(begin)).flatten(1).sum(1) for skip, begin, end in blocks]
        return super().phi(x, states) + torch.stack(terms).sum(0)

    def clip(self, drives: Sequence[Tensor]) -> list[Tensor]:
        """Return the states that answer the drives."""
        return [*(drive.clamp(0.0, 6.0) for drive in drives[:-1]), drives[-1]]


def set_parameters(model: EnergyNet, arrays: Sequence[np.ndarray]) -> None:
    """Load weight, bias, weight, bias, ... given in the layouts of JAX.

    Linear weights are (in, out), convolution kernels (height, width, in, out), biases (out,).
    """
    to_torch = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}
    with torch.no_grad():
        for parameter, array in zip(model.parameters(), arrays, strict=True):
            value = np.transpose(array, to_torch[np.ndim(array)])
            if value.shape != tuple(parameter.shape):
                raise ValueError(f"expected {tuple(parameter.shape)}, got {value.shape}")
            parameter.copy_(torch.tensor(value))


def relax(
    model: EnergyNet, x: Tensor, y: Tensor, states: Sequence[Tensor], steps: int, beta: float
) -> list[Tensor]:
    """Return the states after some steps; beta nudges the last one to y, (batch, classes)."""
    states = [state.detach() for state in states]
    for _ in range(steps):
        states = [state.requires_grad_() for state in states]
        drives = list(torch.autograd.grad(model.phi(x, states).sum(), states))
        if beta != 0.0:
            drives[-1] = drives[-1] + beta * (y - states[-1].detach())
        states = model.clip(drives)
    return [state.detach() for state in states]


def contrast(
    model: EnergyNet, x: Tensor, y: Tensor, free_steps: int, nudged_steps: int, beta: float
) -> Tensor:
    """Return the scalar whose gradient is the symmetric estimate, (Phi(s-) - Phi(s+)) / 2 beta."""
    free = relax(model, x, y, model.zero_states(x), free_steps, 0.0)
    plus = relax(model, x, y, free, nudged_steps, beta)
    minus = relax(model, x, y, free, nudged_steps, -beta)
    return (model.phi(x, minus) - model.phi(x, plus)).mean() / (2.0 * beta)


def gradient(
    model: EnergyNet, x: Tensor, y: Tensor, free_steps: int, nudged_steps: int, beta: float
) -> list[Tensor]:
    """Return the estimated gradient of the mean loss, in the order and layout of parameters()."""
    loss = contrast(model, x, y, free_steps, nudged_steps, beta)
    return list(torch.autograd.grad(loss, list(model.parameters())))


def train_step(
    model: EnergyNet,
    optimiser: torch.optim.Optimizer,
    x: Tensor,
    y: Tensor,
    free_steps: int,
    nudged_steps: int,
    beta: float,
) -> None:
    """Update the parameters once from a batch x and its one-hot labels y, (batch, classes)."""
    optimiser.zero_grad()
    torch.autograd.backward(contrast(model, x, y, free_steps, nudged_steps, beta))
    optimiser.step()


def step_time(
    model: EnergyNet, image: tuple[int, ...], batch: int = 64, repeats: int = 20
) -> float:
    """Return the median time of a training step in milliseconds, after three to warm up."""
    x = torch.rand(batch, *image)
    y = torch.eye(model.shapes[-1][0])[torch.arange(batch) % model.shapes[-1][0]]
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
    times = []
    for _ in range(3 + repeats):
        start = time.perf_counter()
        train_step(model, optimiser, x, y, free_steps=20, nudged_steps=10, beta=0.5)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[3:])


def main() -> None:
    """Print the time of a training step of each network."""
    torch.set_num_threads(2)
    torch.manual_seed(0)
    conv = ConvNet([16, 32], kernel=3, pool="avg", image=(28, 28, 1), classes=10)
    cases: list[tuple[str, EnergyNet, tuple[int, ...]]] = [
        ("dense 784-512-10", DenseNet([784, 512, 10]), (784,)),
        ("dense 784-512-512-10", DenseNet([784, 512, 512, 10]), (784,)),
        ("conv 16-32, 3 x 3, avg-pool", conv, (1, 28, 28)),
    ]
    for name, model, image in cases:
        print(f"{name:28s} {step_time(model, image):8.1f} ms per step")


if __name__ == "__main__":
    main()
