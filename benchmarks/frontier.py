"""Gradient error against time, by method and network: ``python -m benchmarks.frontier``.

One gradient of a batch on trained networks, by more and more steps, all in one run. Errors are relative, of
the whole gradient, against implicit differentiation at the equilibrium (float32). Of ours: equilibrium
propagation, symmetric and by one-sided differences, and back-propagation through the steps of the free
phase (BPTT). Of PyTorch: the loop with automatic differentiation, as public scripts run it, and by hand.
Back-propagation of the plain network of the same layers is the unit of time.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import torch
from rich.console import Console
from rich.progress import track

import eqprop as eq
from benchmarks import by_hand_torch, textbook_torch
from benchmarks.__main__ import train_a_little
from benchmarks.nets import FeedForward, Pair, pairs
from benchmarks.timing import peak_gflops, side_by_side_ms
from eqprop.estimators.audit import exact_gradient
from eqprop.estimators.backpropagation import Backpropagation
from eqprop.training.files import write_json
from eqprop.training.surroundings import surroundings

BETA, SMALL = 0.01, 1e-3
STEPS = (2, 3, 5, 8, 12, 20, 30, 50, 80)
"""Free steps; nudged phases take half as many."""
SLOWEST = 50
"""The most free steps of PyTorch's loops."""
KEY = jax.random.key(0)

console = Console()


def symmetric(pair: Pair, steps: int) -> eq.Estimator:
    """Nudged phases go from the output down, where the nudge is."""
    down = tuple(reversed(pair.model.free(pair.x[0]).blocks))
    nudged = eq.Blockwise(None, steps // 2, down)
    return eq.EquilibriumPropagation(eq.Blockwise(None, steps), eq.symmetric(BETA), nudged)


def differences(pair: Pair, steps: int) -> eq.Estimator:
    """Of one nudge, which differences allow to be small."""
    down = tuple(reversed(pair.model.free(pair.x[0]).blocks))
    nudged = eq.Blockwise(None, steps // 2, down)
    return eq.DeltaPropagation(eq.Blockwise(None, steps), eq.one_sided(SMALL), nudged)


def bptt(pair: Pair, steps: int) -> eq.Estimator:
    return Backpropagation(eq.Blockwise(None, steps), steps)


OURS = {"EP, symmetric": symmetric, "EP, one-sided differences": differences, "BPTT": bptt}
LOOPS = {"PyTorch, autograd": textbook_torch.gradient, "PyTorch, by hand": by_hand_torch.gradient}
PLAIN = "back-propagation"


@eqx.filter_jit
def gradient(learner: eq.Estimator, model: eq.Model, x: jax.Array, y: jax.Array) -> Any:
    return learner(model, x, y, model.rest(x), KEY).gradient


def ways(pair: Pair) -> dict[tuple[str, int], Callable[[], Any]]:
    """Every method and number of steps, as a call that gives the gradient."""
    found: dict[tuple[str, int], Callable[[], Any]] = {}
    for name, make in OURS.items():
        for steps in STEPS:
            found[name, steps] = partial(gradient, make(pair, steps), pair.model, pair.x, pair.y)
    for name, loop in LOOPS.items():
        for steps in (steps for steps in STEPS if steps <= SLOWEST):
            given = pair.net, pair.torch_x, pair.torch_y, steps, steps // 2, BETA
            found[name, steps] = partial(loop, *given)
    return found


def as_vector(pair: Pair, found: Any) -> np.ndarray:
    if isinstance(found, list):
        return np.concatenate([part.numpy().ravel() for part in found])
    return pair.gradient(found)


def measure(pair: Pair) -> dict[str, Any]:
    """Milliseconds and errors by method, and the milliseconds of back-propagation."""
    exact = pair.gradient(exact_gradient(pair.model, pair.x, pair.y))
    unit = float(np.linalg.norm(exact))
    calls = ways(pair)
    errors = {
        way: float(np.linalg.norm(as_vector(pair, call()) - exact)) / unit
        for way, call in track(calls.items(), pair.name, console=console, transient=True)
    }
    plain = {(PLAIN, 0): partial(gradient, FeedForward(), pair.model, pair.x, pair.y)}
    spent = side_by_side_ms(plain | calls, rounds=3, repeats=5)
    lines: dict[str, list[dict[str, float]]] = {}
    for (name, steps), error in errors.items():
        row = {"steps": steps, "ms": spent[name, steps], "error": error}
        lines.setdefault(name, []).append(row)
    return {"backprop_ms": spent[PLAIN, 0], "lines": lines}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.frontier", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/frontier.json"))
    out = parser.parse_args().out
    torch.set_num_threads(os.cpu_count() or 1)
    jax.config.update("jax_default_matmul_precision", "highest")
    nets, networks = pairs(), {}
    for pair in nets:
        train_a_little(pair)
        networks[pair.name] = measure(pair)
        console.print(pair.name, networks[pair.name])
    result = {
        "beta": BETA,
        "small_beta": SMALL,
        "batch": len(nets[0].x),
        "peak_gflops": peak_gflops(),
        "networks": networks,
        "torch": torch.__version__,
        **surroundings(),
    }
    write_json(out, result)
    console.print(f"{out}")


if __name__ == "__main__":
    main()
