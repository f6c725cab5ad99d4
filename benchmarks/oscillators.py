"""One relaxation step of oscillators: ours, a NumPy loop of two matrix products, and a PyTorch loop that
differentiates the cosine energy over every pair of a batch."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import eqprop as eq
from benchmarks.timing import median_ms
from eqprop.training.files import write_json
from eqprop.training.surroundings import surroundings

SHAPES = ((784, 120, 10), (784, 256, 256, 10), (784, 500, 10))
BATCH, STEP = 50, 0.1
STEPS = {"ours": 400, "numpy": 40, "torch": 4}

console = Console()


def weights(shape: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    pairs = list(pairwise(shape))
    return [rng.uniform(-0.5, 0.5, pair).astype(np.float32) / pair[0] ** 0.5 for pair in pairs]


def ours(shape: tuple[int, ...], drive: np.ndarray):
    model = eq.layered(shape, jax.random.key(0), eq.Oscillator(), eq.Oscillator())
    edges = {
        name: eq.Edge(eq.ops.Dense(jnp.asarray(w)), edge.source, edge.target)
        for (name, edge), w in zip(model.energy.edges.items(), weights(shape), strict=True)
    }
    parts = [(e.source, e.target, e.op) for e in edges.values()]
    network = eq.Network(shape[0], model.energy.layers, parts)
    model = eq.Model(network, eq.SquaredError(low=-1.0, high=1.0))
    solver = eq.GradientDescent(None, STEPS["ours"], STEP)
    x = jnp.asarray(drive)
    settle = jax.jit(lambda x: eq.relax(model, x, model.rest(x), solver)[0])
    settle(x)
    return lambda: settle(x)


def by_numpy(shape: tuple[int, ...], drive: np.ndarray):
    first, *couplings = weights(shape)
    field = drive @ first

    def call() -> list[np.ndarray]:
        phases = [np.full((BATCH, n), np.pi / 2, np.float32) for n in shape[1:]]
        for _ in range(STEPS["numpy"]):
            cos, sin = [np.cos(p) for p in phases], [np.sin(p) for p in phases]
            along = [np.zeros_like(c) for c in cos]
            across = [np.zeros_like(s) for s in sin]
            along[0] += field
            for i, w in enumerate(couplings):
                along[i + 1] += cos[i] @ w
                across[i + 1] += sin[i] @ w
                along[i] += cos[i + 1] @ w.T
                across[i] += sin[i + 1] @ w.T
            phases = [
                p + STEP * (b * c - a * s)
                for p, a, b, c, s in zip(phases, along, across, cos, sin, strict=True)
            ]
        return [np.cos(p) for p in phases]

    return call


def by_torch(shape: tuple[int, ...], drive: np.ndarray):
    first, *couplings = (torch.from_numpy(w) for w in weights(shape))
    field = torch.from_numpy(drive) @ first

    def energy(phases: list[torch.Tensor]) -> torch.Tensor:
        total = -(field * torch.cos(phases[0])).sum()
        for w, low, high in zip(couplings, phases, phases[1:], strict=False):
            total = total - (w * torch.cos(low[:, :, None] - high[:, None, :])).sum()
        return total

    def call() -> list[torch.Tensor]:
        phases = [torch.full((BATCH, n), torch.pi / 2) for n in shape[1:]]
        for _ in range(STEPS["torch"]):
            phases = [p.detach().requires_grad_() for p in phases]
            slopes = torch.autograd.grad(energy(phases), phases)
            phases = [p - STEP * g for p, g in zip(phases, slopes, strict=True)]
        return [torch.cos(p.detach()) for p in phases]

    return call


def compare(shape: tuple[int, ...]) -> dict[str, float | str]:
    """Milliseconds a step of each, for the same weights, inputs and step size."""
    drive = np.random.default_rng(1).uniform(0, 1, (BATCH, shape[0])).astype(np.float32)
    calls = {"ours": ours, "numpy": by_numpy, "torch": by_torch}
    spent = {
        name: median_ms(make(shape, drive), repeats=9) / STEPS[name] for name, make in calls.items()
    }
    return {
        "net": "-".join(map(str, shape)),
        **{f"{name}_us": 1e3 * value for name, value in spent.items()},
        "over_torch": spent["torch"] / spent["ours"],
        "over_numpy": spent["numpy"] / spent["ours"],
    }


def table(rows: list[dict]) -> Table:
    shown = Table("net", "ours, us", "over NumPy", "over PyTorch", title="one relaxation step")
    for row in rows:
        shown.add_row(
            row["net"],
            f"{row['ours_us']:.0f}",
            f"{row['over_numpy']:.1f}x",
            f"{row['over_torch']:.0f}x",
        )
    return shown


def main() -> None:
    """Print the table; write ``benchmarks/oscillators.json``."""
    rows = [compare(shape) for shape in SHAPES]
    console.print(table(rows))
    about = surroundings()
    path = Path(__file__).with_suffix(".json")
    write_json(path, json.loads(json.dumps({"rows": rows, **about})))


if __name__ == "__main__":
    main()
