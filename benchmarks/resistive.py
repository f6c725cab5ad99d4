"""Resistive networks beside their published code: ``python -m benchmarks.resistive``.

One gradient of equilibrium propagation of 1,568-1,024-10 nodes, from the same conductances, by as many
exact steps of each layer, in PyTorch and here: how far apart in float64, and how long it takes in float32.
The checkout of rain-neuromorphics/energy-based-learning must be on PYTHONPATH.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import torch
from jaxtyping import Array
from model.function.cost import SquaredError
from model.function.network import Network
from model.resistive.minimizer import QuadraticMinimizer
from model.resistive.network import DeepResistiveEnergy
from rich.console import Console
from rich.table import Table
from training.sgd import AugmentedFunction, EquilibriumProp

import eqprop as eq
from benchmarks.timing import side_by_side_ms
from eqprop.energies.ops import Dense
from eqprop.energies.resistive import DOWN, UP
from eqprop.training.files import write_json
from eqprop.training.surroundings import surroundings

FEATURES, HIDDEN, CLASSES = 784, 1024, 10
GAIN, BETA, SWEEPS = 480.0, 1.0, 4
"""Of the published code."""
BATCHES = (4, 100)


def conductances() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0).uniform
    return draw(0, 0.03, (2 * FEATURES, HIDDEN)), draw(0, 0.04, (HIDDEN, CLASSES))


def batch(size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.uniform(size=(size, FEATURES)), rng.integers(0, CLASSES, size)


def theirs(size: int, sweeps: int = SWEEPS) -> Callable[[], Any]:
    """The published classes, put together as its script does."""
    energy = DeepResistiveEnergy([(2 * FEATURES,), (HIDDEN,), (CLASSES,)], [1.0, 1.0], GAIN)
    energy.set_device("cpu")
    for parameter, value in zip(energy.params()[-2:], conductances(), strict=True):
        parameter.state = torch.tensor(value, dtype=torch.get_default_dtype())
    network = Network(energy)
    cost = SquaredError(energy.layers()[-1])
    augmented = AugmentedFunction(energy, cost)
    steps = QuadraticMinimizer(augmented, network.free_layers(), sweeps, "asynchronous")
    rule = EquilibriumProp(energy.params(), energy.layers(), augmented, cost, steps)
    rule.nudging, rule.variant = BETA, "centered"
    free = QuadraticMinimizer(energy, network.free_layers(), sweeps, "asynchronous")
    x, labels = batch(size)
    images = torch.tensor(x, dtype=torch.get_default_dtype())

    def gradient() -> Any:
        network.set_input(images, reset=True)
        free.compute_equilibrium()
        cost.set_target(torch.tensor(labels))
        return rule.compute_gradient()[-2:]

    return gradient


def ours(size: int, sweeps: int = SWEEPS) -> Callable[[], Any]:
    first, second = (jnp.asarray(g, float) for g in conductances())
    half = HIDDEN // 2
    layers = {
        "up": eq.Layer(half, UP),
        "down": eq.Layer(half, DOWN),
        "out": eq.Layer(CLASSES, eq.Linear()),
    }
    edges = [
        ("x", "up", Dense(first[:, :half])),
        ("x", "down", Dense(first[:, half:])),
        ("up", "out", Dense(second[:half])),
        ("down", "out", Dense(second[half:])),
    ]
    circuit = eq.ResistiveNetwork(eq.Network(2 * FEATURES, layers, edges), GAIN, mirrored=True)
    model, solver = eq.Model(circuit, eq.SquaredError()), eq.Blockwise(None, sweeps)
    rule = eq.EquilibriumPropagation(solver, eq.symmetric(BETA), solver)
    x, labels = batch(size)

    @eqx.filter_jit
    def gradient(model: eq.Model, x: Array, y: Array) -> tuple[Array, Array]:
        found = rule(model, x, y, model.rest(x), jax.random.key(0)).gradient.energy.edges
        parts = {name: edge.op.weight for name, edge in found.items()}
        return (
            jnp.concatenate([parts["x-up"], parts["x-down"]], 1),
            jnp.concatenate([parts["up-out"], parts["down-out"]]),
        )

    return partial(gradient, model, jnp.asarray(x, float), jnp.eye(CLASSES)[labels])


def apart() -> float:
    """Relative distance of the settled gradients, in float64."""
    torch.set_default_dtype(torch.float64)
    with jax.enable_x64(True):
        mine = [np.asarray(part) for part in ours(4, 60)()]
    others = [part.numpy() for part in theirs(4, 60)()]
    torch.set_default_dtype(torch.float32)
    missed = sum(np.sum((a - b) ** 2) for a, b in zip(mine, others, strict=True))
    return float((missed / sum(np.sum(b**2) for b in others)) ** 0.5)


def row(size: int) -> dict[str, Any]:
    with torch.no_grad():
        ms = side_by_side_ms({"theirs": theirs(size), "ours": ours(size)}, rounds=3, repeats=3)
    return {"batch": size, **{f"{who}_ms": spent for who, spent in ms.items()}}


def main() -> None:
    """Print the table; write ``benchmarks/resistive.json``."""
    found = {"sweeps": SWEEPS, "apart": apart(), "rows": [row(size) for size in BATCHES]}
    table = Table("batch", "theirs, ms", "ours, ms", "ratio")
    for one in found["rows"]:
        theirs_ms, ours_ms = one["theirs_ms"], one["ours_ms"]
        table.add_row(
            str(one["batch"]), f"{theirs_ms:.1f}", f"{ours_ms:.2f}", f"{theirs_ms / ours_ms:.0f}"
        )
    Console().print(table, f"apart {found['apart']:.0e}")
    write_json(Path(__file__).with_suffix(".json"), found | surroundings())


if __name__ == "__main__":
    main()
