"""The narrow Hopfield-ResNet13: sweeps by schedule and solver, gradients, and time beside PyTorch.

``python -m benchmarks.residual``
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from jax import lax
from rich.console import Console

import eqprop as eq
from benchmarks import textbook_torch as textbook
from benchmarks.__main__ import COSINE, EPOCH, LADDER, NUDGES, cosine, epoch, fewest, show
from benchmarks.images import BATCH, CLASSES, enlarged_digits
from benchmarks.nets import Pair
from benchmarks.timing import median_ms
from eqprop.energies.architectures import channels_of
from eqprop.energies.network import alternate
from eqprop.estimators.audit import compare, exact_gradient
from eqprop.solvers import Info, Iterative
from eqprop.solvers.solver import report
from eqprop.training.epoch import Examples, evaluate, start, train_epoch
from eqprop.training.files import write_json
from eqprop.training.surroundings import surroundings

IMAGE, BLOCKS, WIDTH = (32, 32, 3), 4, 8
TOLERANCE, MOST = 1e-4, 3000
PUBLISHED = (120, 50)
SEARCHED = 8
EPOCHS, STEPS, BETA = 8, (20, 10), 0.1
AT_INIT, TRAINED = "at initialisation", "after training"
Blocks = tuple[tuple[str, ...], ...]

console = Console()


class Counted(eq.Solver):
    """As many steps of another solver as an array says, so that every count is one program."""

    inner: Iterative
    steps: jax.Array

    def settle(self, phase, state, key=None) -> tuple[dict, Info]:
        begin = self.inner.init(phase, state)
        carry = lax.fori_loop(0, self.steps, lambda _, c: self.inner.step(phase, c), begin)
        return carry.state, report(phase, carry.state, self.steps, None)


class ResidualPair(Pair):
    """The narrow net in both libraries, with the biases that it is initialised with."""

    def __init__(self, width: int, batch: int):
        channels = channels_of(width, BLOCKS)
        model = eq.hopfield_resnet(IMAGE, CLASSES, jax.random.key(0), channels)
        self.name = f"Hopfield-ResNet13, width {width}"
        self.net = textbook.ResidualNet(channels, IMAGE, CLASSES)
        self.images, self.labels = enlarged_digits(IMAGE)
        self.x = self.images[:batch]
        self.y = jax.nn.one_hot(self.labels[:batch], CLASSES)
        self.torch_x = torch.tensor(np.moveaxis(np.asarray(self.x), -1, 1))
        self.torch_y = torch.tensor(np.asarray(self.y))
        self.load(eq.with_biases(model, jax.random.key(1), 0.5))

    def first(self, count: int) -> ResidualPair:
        """The same net on fewer images."""
        fewer = object.__new__(ResidualPair)
        fewer.__dict__ |= vars(self)
        for name in ("x", "y", "torch_x", "torch_y"):
            setattr(fewer, name, getattr(self, name)[:count])
        return fewer

    @property
    def published(self) -> Blocks:
        return alternate(self.model.energy.order)


def relaxations(pair: ResidualPair) -> dict[str, dict[str, float]]:
    """Sweeps from rest to the tolerance, and how far above the lowest energy they end."""
    solvers = {
        "published": eq.Blockwise(TOLERANCE, MOST, pair.published),
        "blockwise": eq.Blockwise(TOLERANCE, MOST),
        "momentum": eq.Momentum(TOLERANCE, MOST),
        "spectral": eq.Spectral(TOLERANCE, MOST),
    }
    rows, energies = {}, {}
    for name, solver in solvers.items():
        states, info = eqx.filter_jit(eq.relax)(pair.model, pair.x, pair.model.rest(pair.x), solver)
        energies[name] = np.asarray(jax.vmap(pair.model.energy)(states, pair.x))
        rows[name] = {
            "sweeps": float(jnp.mean(info.steps)),
            "most": int(jnp.max(info.steps)),
            "converged": float(info.converged),
        }
    lowest = np.min(list(energies.values()), axis=0)
    for name, row in rows.items():
        row["gain"] = rows["published"]["sweeps"] / row["sweeps"]
        row["relative_energy"] = float(np.mean((energies[name] - lowest) / np.abs(lowest)))
    return rows


@eqx.filter_jit
def counted_gradient(model, x, y, estimator):
    return estimator(model, x, y, model.rest(x), jax.random.key(0)).gradient


def counted(inner: Iterative, free: int, nudged: int, beta: float) -> eq.EquilibriumPropagation:
    first, second = (Counted(inner, jnp.asarray(n, jnp.int32)) for n in (free, nudged))
    return eq.EquilibriumPropagation(first, eq.symmetric(beta), second)


def published_gradient(pair: ResidualPair) -> dict[str, float]:
    """What 120 free and 50 nudged sweeps of the published schedule make of the gradient, and ours with
    momentum in as many sweeps."""
    exact = exact_gradient(pair.model, pair.x, pair.y)
    free, nudged = PUBLISHED
    row = {}
    for name, inner in {
        "published": eq.Blockwise(None, 1, pair.published),
        "momentum": eq.Momentum(None, 1),
    }.items():
        found = counted_gradient(pair.model, pair.x, pair.y, counted(inner, free, nudged, BETA))
        agreed = compare(found, exact)
        row |= {
            f"{name}_cosine": agreed[-1].cosine,
            f"{name}_worst": min(one.cosine for one in agreed),
        }
    return row


def equal_accuracy(pair: ResidualPair) -> dict:
    """Milliseconds of a training step with the fewest steps that bring the gradient within the cosine.

    The steps of PyTorch's loop are found with our synchronous steps, which are the same numbers. A side in
    ``not_reached`` does not come within it in the most steps of the ladder, which are timed.
    """
    few = pair.first(SEARCHED)
    exact = pair.gradient(exact_gradient(pair.model, few.x, few.y))
    sides = {"torch": eq.GradientDescent(None, 1, 1.0), "our": eq.Momentum(None, 1)}

    def gradient(side: str, free: int, nudged: int, beta: float) -> np.ndarray:
        estimator = counted(sides[side], free, nudged, beta)
        return pair.gradient(counted_gradient(pair.model, few.x, few.y, estimator))

    most = LADDER[-1]
    limits = [cosine(gradient("our", most, most, beta), exact) for beta in NUDGES]
    beta, limit = next(
        ((b, c) for b, c in zip(NUDGES, limits, strict=True) if 1 - c <= (1 - COSINE) / 4),
        (NUDGES[int(np.argmax(limits))], max(limits)),
    )
    row: dict = {"beta": beta, "cosine_when_settled": limit}
    found = {
        side: fewest(lambda t, k, side=side: gradient(side, t, k, beta), exact) for side in sides
    }
    row["not_reached"] = [side for side, steps in found.items() if steps is None]
    for side, steps in found.items():
        row[f"{side}_steps"] = steps or (most, most)
        row[f"{side}_ms"] = step_ms(pair, side, *row[f"{side}_steps"])
    if "our" not in row["not_reached"]:
        row["ratio"] = row["torch_ms"] / row["our_ms"]
    return row


def step_ms(pair: ResidualPair, side: str, free: int, nudged: int) -> float:
    """A training step of either side."""
    if side == "torch":
        optimiser = torch.optim.SGD(pair.net.parameters(), lr=0.0)
        arguments = (pair.net, optimiser, pair.torch_x, pair.torch_y, free, nudged, BETA)
        return median_ms(lambda: textbook.train_step(*arguments), repeats=5, warm_up=1)
    ours = eq.EquilibriumPropagation(
        eq.Momentum(None, free), eq.symmetric(BETA), eq.Momentum(None, nudged)
    )
    return median_ms(epoch(pair, ours), repeats=5) / EPOCH


def equal_steps(pair: ResidualPair) -> dict[str, float]:
    """One sweep, and a training step, of either side; and how the gradients agree."""
    free, nudged = STEPS
    rest = pair.net.zero_states(pair.torch_x)

    def torch_sweeps(count: int):
        return textbook.relax(pair.net, pair.torch_x, pair.torch_y, rest, count, 0.0)

    @eqx.filter_jit
    def our_sweeps(solver):
        return eq.relax(pair.model, pair.x, pair.model.rest(pair.x), solver)[0]

    def a_sweep(sweeps, few: int = 5, many: int = 25) -> float:
        short, long = (median_ms(lambda n=n: sweeps(n), repeats=5, warm_up=1) for n in (few, many))
        return (long - short) / (many - few)

    row = {
        "torch_sweep_ms": a_sweep(torch_sweeps),
        "our_sweep_ms": a_sweep(lambda n: our_sweeps(eq.Blockwise(None, n))),
        "torch_step_ms": step_ms(pair, "torch", free, nudged),
        "our_step_ms": step_ms(pair, "our", free, nudged),
    }
    same = eq.GradientDescent(None, 1, 1.0)
    ours = counted_gradient(pair.model, pair.x, pair.y, counted(same, free, nudged, BETA))
    theirs = textbook.gradient(pair.net, pair.torch_x, pair.torch_y, free, nudged, BETA)
    flat = np.concatenate([part.numpy().ravel() for part in theirs])
    row |= {
        "sweep_ratio": row["torch_sweep_ms"] / row["our_sweep_ms"],
        "step_ratio": row["torch_step_ms"] / row["our_step_ms"],
        "cosine_to_torch": cosine(pair.gradient(ours), flat),
    }
    return row


def train_a_little(pair: ResidualPair) -> float:
    """Move the pair off its initialisation, and return the accuracy on the training images."""
    optimiser = optax.chain(
        optax.clip_by_global_norm(0.1), optax.sgd(0.05, momentum=0.9, nesterov=True)
    )
    learner = eq.EquilibriumPropagation(
        eq.Momentum(1e-4, 20), eq.symmetric(BETA), eq.Momentum(1e-4, 8)
    )
    images = Examples(pair.images, pair.labels, 1.0, CLASSES)
    state = start(pair.model, optimiser)
    for _ in range(EPOCHS):
        *_, (state, _) = train_epoch(state, images, learner, optimiser, BATCH, jax.random.key(2))
        state = state._replace(epoch=state.epoch + 1)
    pair.load(state.model)
    return evaluate(state.model, images, eq.Momentum(1e-3, 300)).accuracy


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.residual", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/residual.json"))
    parser.add_argument("--width", type=int, default=WIDTH, help="channels of the first block")
    parser.add_argument("--batch", type=int, default=BATCH, help="images of a batch")
    options = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    about = surroundings()
    pair = ResidualPair(options.width, options.batch)
    sections: dict[str, dict] = {"sweeps": {}, "gradient": {}, "equal_accuracy": {}}
    sections["equal_steps"] = {pair.name: equal_steps(pair)}
    show(f"a) {STEPS[0]} free and 2 x {STEPS[1]} nudged steps", sections["equal_steps"])
    accuracy = None
    for state in (AT_INIT, TRAINED):
        if state == TRAINED:
            accuracy = train_a_little(pair)
        found = relaxations(pair)
        show(f"b) sweeps to a relative residual of {TOLERANCE:g}, {state}", found)
        sections["sweeps"][state] = found
        sections["gradient"][state] = published_gradient(pair.first(SEARCHED))
        sections["equal_accuracy"][state] = equal_accuracy(pair)
    show(
        "c) the gradient after {} free and {} nudged sweeps".format(*PUBLISHED),
        sections["gradient"],
    )
    show(f"d) the fewest steps to a cosine of {COSINE}", sections["equal_accuracy"])
    size = {"width": options.width, "batch": options.batch, "accuracy": accuracy}
    settings = {"tolerance": TOLERANCE, "published": PUBLISHED, "steps": STEPS, "beta": BETA}
    result = size | settings | sections | {"torch": torch.__version__, **about}
    console.print(f"{write_json(options.out, result)}")


if __name__ == "__main__":
    main()
