"""Sweeps to a relative residual of 1e-4, by solver and depth: ``python -m benchmarks.sweeps``.

Networks that the file has already, trained in the same way, are not measured again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from rich.console import Console
from rich.progress import track
from rich.table import Table

import eqprop as eq
from benchmarks.images import BATCH, CLASSES, enlarged_digits
from eqprop.energies.ops import Conv, Dense
from eqprop.training.epoch import Examples, evaluate, start, train_epoch
from eqprop.training.files import read_json, write_json
from eqprop.training.surroundings import surroundings

TOLERANCE, MOST, WIDTH, CHANNELS = 1e-4, 4000, 256, 8


class Training(NamedTuple):
    """Gains of the first weights and of the others, Adam's rate, and epochs."""

    first: float
    others: float
    rate: float
    epochs: int


TRAININGS = {
    ("dense", 2): Training(1.0, 1.0, 1e-3, 5),
    ("dense", 4): Training(6.0, 0.7, 3e-4, 5),
    ("dense", 8): Training(6.0, 0.8, 1e-4, 4),
    ("convolutional", 2): Training(1.0, 1.0, 1e-3, 5),
    ("convolutional", 4): Training(1.0, 1.0, 1e-3, 5),
    ("convolutional", 8): Training(6.0, 0.9, 5e-4, 20),
}
SOLVERS = {
    "gradient descent": eq.GradientDescent(TOLERANCE, MOST),
    "blockwise": eq.Blockwise(TOLERANCE, MOST),
    "momentum": eq.Momentum(TOLERANCE, MOST),
    "spectral": eq.Spectral(TOLERANCE, MOST),
}

console = Console()


def dense(depth: int, first: float, others: float) -> eq.Model:
    """Hidden layers of one width, clipped to [0, 6]."""
    sizes, gains = (784, *[WIDTH] * depth, CLASSES), (first, *[others] * depth)
    return eq.layered(sizes, jax.random.key(0), eq.relu6(), gain=gains)


def convolutional(depth: int, first: float, others: float) -> eq.Model:
    """3x3 convolutions, the first two of stride 2, clipped to [0, 6]."""
    keys = jax.random.split(jax.random.key(0), depth + 1)
    layers, edges, source, size, features = {}, [], "x", 28, 1
    for i in range(1, depth + 1):
        stride, gain = 2 if i <= 2 else 1, first if i == 1 else others
        size, name = size // stride, f"c{i}"
        layers[name] = eq.Layer((size, size, CHANNELS), eq.relu6())
        edges.append(
            (source, name, Conv.init(keys[i], features, CHANNELS, stride=stride, gain=gain))
        )
        source, features = name, CHANNELS
    layers["out"] = eq.Layer(CLASSES, eq.Linear())
    edges.append((source, "out", Dense.init(keys[0], size * size * CHANNELS, CLASSES, others)))
    return eq.Model(eq.Network((28, 28, 1), layers, edges), eq.SquaredError())


STATES = ("at initialisation", "after training")
BUILDERS = {"dense": dense, "convolutional": convolutional}


def train(model: eq.Model, images: Examples, rate: float, epochs: int) -> eq.Model:
    """Epochs of equilibrium propagation, by differences: responses fade over the layers."""
    optimiser = optax.adam(rate)
    learner = eq.DeltaPropagation(eq.Spectral(1e-5, 1000), eq.symmetric(0.1))
    state = start(model, optimiser)
    for _ in track(range(epochs), "training", console=console, transient=True):
        *_, (state, _) = train_epoch(state, images, learner, optimiser, BATCH, jax.random.key(2))
        state = state._replace(epoch=state.epoch + 1)
    return state.model


def count(model: eq.Model, x: jax.Array, solver: eq.Solver) -> dict[str, float]:
    """Mean and largest number of steps over the batch."""
    _, info = eqx.filter_jit(eq.relax)(model, x, model.rest(x), solver)
    return {
        "mean": float(jnp.mean(info.steps)),
        "max": int(jnp.max(info.steps)),
        "converged": float(info.converged),
    }


def measure(kind: str, depth: int, training: Training) -> dict[str, dict]:
    """The rows of one network, by name."""
    model = BUILDERS[kind](depth, training.first, training.others)
    x, y = enlarged_digits(model.energy.input_shape)
    images, rows = Examples(x, y, 1.0, CLASSES), {}
    for state in STATES:
        if state == "after training":
            model = train(model, images, training.rate, training.epochs)
        found = {name: count(model, x[:BATCH], solver) for name, solver in SOLVERS.items()}
        gain = found["blockwise"]["mean"] / found["spectral"]["mean"]
        accuracy = evaluate(model, images, eq.Momentum(1e-3, MOST)).accuracy
        rows[f"{kind}, {depth} layers, {state}"] = found | {"gain": gain, "accuracy": accuracy}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweeps", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/sweeps.json"))
    out = parser.parse_args().out
    about, rows = surroundings(), {}
    known = read_json(out)["rows"] if out.exists() else {}
    for (kind, depth), training in TRAININGS.items():
        of_run = training._asdict() | {"tolerance": TOLERANCE}
        before = {
            name: row
            for name, row in known.items()
            if name.startswith(f"{kind}, {depth} layers") and of_run.items() <= row.items()
        }
        if len(before) == len(STATES):
            rows |= before
        else:
            found = measure(kind, depth, training)
            rows |= {n: row | of_run | {"commit": about["commit"]} for n, row in found.items()}
        result = {"tolerance": TOLERANCE, "solvers": list(SOLVERS), "rows": known | rows, **about}
        write_json(out, result)
    show(rows)
    console.print(f"{out}")


def show(rows: dict[str, dict]) -> None:
    table = Table(title="mean (largest) steps to a relative residual of 1e-4", title_justify="left")
    for column in ("network", *SOLVERS, "blockwise / spectral", "accuracy"):
        table.add_column(column)
    for name, row in rows.items():
        cells = [f"{row[solver]['mean']:.0f} ({row[solver]['max']})" for solver in SOLVERS]
        table.add_row(name, *cells, f"{row['gain']:.1f}", f"{row['accuracy']:.0%}")
    console.print(table)


if __name__ == "__main__":
    main()
