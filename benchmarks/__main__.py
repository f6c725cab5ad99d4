"""Side by side in one run: eqprop, the textbook PyTorch loop, back-propagation, the machine's peak."""

from __future__ import annotations

import argparse
import bisect
import itertools
import json
import os
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import optax
import torch
from jax import lax
from rich.console import Console
from rich.table import Table

import eqprop as eq
from benchmarks import textbook_torch as textbook
from benchmarks.images import BATCH, CLASSES
from benchmarks.nets import FeedForward, Pair, pairs
from benchmarks.timing import first_s, median_ms, peak_gflops, side_by_side_ms
from eqprop.estimators.audit import exact_gradient
from eqprop.training.epoch import Examples, start, train_epoch
from eqprop.training.files import write_json
from eqprop.training.surroundings import surroundings

FREE, NUDGED, BETA, RATE = 20, 10, 0.1, 0.05
NUDGES = (0.1, 0.03, 0.01, 0.003, 0.001)
COSINE = 0.999
LADDER = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 150, 200)
EPOCHS = 15
RELAXED, SWEEPS = (784, 2048, 2048, 10), 20
EPOCH = 10
OURS = {
    "synchronous": lambda n: eq.GradientDescent(None, n, 1.0),
    "blockwise": lambda n: eq.Blockwise(None, n),
}

console = Console()


def estimator(solver: str, free: int, nudged: int, beta: float = BETA) -> eq.EquilibriumPropagation:
    return eq.EquilibriumPropagation(OURS[solver](free), eq.symmetric(beta), OURS[solver](nudged))


def by_kind(
    kind: str, pair: Pair, free: int, nudged: int, beta: float
) -> eq.EquilibriumPropagation:
    """Nudged phases go from the output down, where the nudge is, or by `eq.Spectral`, for deep networks."""
    downwards = tuple(reversed(pair.model.free(pair.x[0]).blocks))
    solvers = {
        "blockwise": eq.Blockwise(None, nudged, downwards),
        "spectral": eq.Spectral(None, nudged),
    }
    return eq.EquilibriumPropagation(eq.Blockwise(None, free), eq.symmetric(beta), solvers[kind])


def epoch(pair: Pair, ours: eq.Estimator) -> Callable[[], object]:
    """`EPOCH` training steps of ours, compiled whole, as training runs them."""
    optimiser = optax.sgd(RATE)
    arrays, static = eqx.partition(pair.model, eqx.is_inexact_array)

    @jax.jit
    def steps(arrays, memory, x, y):
        def step(carry, key):
            model, memory = eqx.combine(carry[0], static), carry[1]
            estimate = ours(model, x, y, model.rest(x), key)
            updates, memory = optimiser.update(estimate.gradient, memory)
            return (eqx.apply_updates(carry[0], updates), memory), estimate.value

        return lax.scan(step, (arrays, memory), jax.random.split(jax.random.key(0), EPOCH))

    return lambda: steps(arrays, optimiser.init(arrays), pair.x, pair.y)


def torch_step(pair: Pair, free: int, nudged: int) -> Callable[[], object]:
    """One training step of the textbook loop."""
    optimiser = torch.optim.SGD(pair.net.parameters(), lr=RATE)
    arguments = (pair.net, optimiser, pair.torch_x, pair.torch_y, free, nudged, BETA)
    return lambda: textbook.train_step(*arguments)


def compare(
    pair: Pair, epochs: dict[Any, Callable[[], object]], steps: dict[Any, Callable[[], object]]
) -> dict[Any, float]:
    """Milliseconds of one training step of each; the loop's weights are set back, which its steps move."""
    spent = side_by_side_ms(epochs | steps)
    pair.load(pair.model)
    return {name: ms / EPOCH if name in epochs else ms for name, ms in spent.items()}


def gradient(pair: Pair, ours: eq.Estimator) -> np.ndarray:
    @eqx.filter_jit
    def call(model, x, y):
        return ours(model, x, y, model.rest(x), jax.random.key(0)).gradient

    return pair.gradient(call(pair.model, pair.x, pair.y))


def torch_gradient(pair: Pair, free: int, nudged: int, beta: float = BETA) -> np.ndarray:
    parts = textbook.gradient(pair.net, pair.torch_x, pair.torch_y, free, nudged, beta)
    return np.concatenate([part.numpy().ravel() for part in parts])


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """0 where either gradient vanishes, as it does before a nudge has reached the weights."""
    product = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / product if product > 0 else 0.0


def fewest(gradient_of, exact: np.ndarray) -> tuple[int, int] | None:
    """The cheapest (free, nudged) steps of the ladder whose gradient is within the cosine.

    The cost is ``free + 2 nudged``. For each of the few smallest counts of nudged steps that suffice at
    all, the smallest count of free steps is found by bisection.
    """

    def good(free: int, nudged: int) -> bool:
        return cosine(gradient_of(free, nudged), exact) >= COSINE

    most = LADDER[-1]
    if not good(most, most):
        return None
    least = bisect.bisect_left(LADDER, True, key=lambda n: good(most, n))
    found = []
    for nudged in LADDER[least : least + 4]:
        at = bisect.bisect_left(LADDER, True, key=lambda n, nudged=nudged: good(n, nudged))
        found.append((LADDER[at], nudged))
    return min(found, key=lambda pair: pair[0] + 2 * pair[1])


def equal_steps(pair: Pair) -> dict[str, float]:
    """a) The same steps on both sides; the synchronous ones are the same algorithm to rounding."""
    ours = {solver: epoch(pair, estimator(solver, FREE, NUDGED)) for solver in OURS}
    compiling = {solver: first_s(call) for solver, call in ours.items()}
    spent = compare(pair, ours, {"torch": torch_step(pair, FREE, NUDGED)})
    row = {"torch_ms": spent["torch"]}
    row["cosine_to_torch"] = cosine(
        gradient(pair, estimator("synchronous", FREE, NUDGED)), torch_gradient(pair, FREE, NUDGED)
    )
    for solver in OURS:
        row |= {
            f"{solver}_ms": spent[solver],
            f"{solver}_ratio": spent["torch"] / spent[solver],
            f"{solver}_compile_s": compiling[solver],
        }
    return row


def over_backprop(pair: Pair) -> dict[str, float]:
    """c) Our step of a) and one of back-propagation in the plain network of the same shape."""
    calls = {"plain": epoch(pair, FeedForward())}
    compiling = first_s(calls["plain"])
    calls["ours"] = epoch(pair, estimator("blockwise", FREE, NUDGED))
    spent = compare(pair, calls, {})
    return {
        "backprop_ms": spent["plain"],
        "backprop_compile_s": compiling,
        "ep_over_backprop": spent["ours"] / spent["plain"],
    }


def equal_accuracy(pair: Pair) -> dict[str, float | tuple[int, int] | None]:
    """b) Each side with the fewest steps that bring the gradient within the cosine of the exact one.

    Both take the largest nudge of `NUDGES` whose contrast, relaxed for long, comes well within it: on
    clipped units a large nudge moves units across their bounds, and no number of steps mends that. The
    textbook loop may take the next smaller one, ours the better of two solvers.
    """
    exact = pair.gradient(exact_gradient(pair.model, pair.x, pair.y))
    most = LADDER[-1]
    limits = [cosine(gradient(pair, estimator("blockwise", most, most, b)), exact) for b in NUDGES]
    beta, limit = next(
        ((b, c) for b, c in zip(NUDGES, limits, strict=True) if 1 - c <= (1 - COSINE) / 4),
        (NUDGES[int(np.argmax(limits))], max(limits)),
    )
    row: dict = {"beta": beta, "cosine_when_settled": limit}

    def least(way) -> tuple[int, int] | None:
        return fewest(lambda t, k: gradient(pair, way(t, k)), exact)

    def torch_least(nudge: float) -> tuple[int, int] | None:
        return fewest(lambda t, k: torch_gradient(pair, t, k, nudge), exact)

    nudges = beta, *NUDGES[NUDGES.index(beta) + 1 :][:1]
    theirs = {nudge: steps for nudge in nudges if (steps := torch_least(nudge))}
    ways = {kind: partial(by_kind, kind, pair, beta=beta) for kind in ("blockwise", "spectral")}
    ours = {kind: steps for kind, way in ways.items() if (steps := least(way))}
    spent = compare(
        pair,
        {kind: epoch(pair, ways[kind](*steps)) for kind, steps in ours.items()},
        {nudge: torch_step(pair, *steps) for nudge, steps in theirs.items()},
    )
    if theirs:
        best = min(theirs, key=lambda nudge: spent[nudge])
        row |= {"torch_ms": spent[best], "torch_beta": best, "torch_steps": theirs[best]}
    if ours:
        best = min(ours, key=lambda kind: spent[kind])
        row |= {"our_ms": spent[best], "our_solver": best, "our_steps": ours[best]}
    if ours and theirs:
        row["ratio"] = row["torch_ms"] / row["our_ms"]
    return row


def throughput(peak: float) -> dict[str, float]:
    """d) Relaxation of a wide net as a share of the matrix-product peak."""
    model = eq.layered(RELAXED, jax.random.key(0))
    x = jax.random.uniform(jax.random.key(1), (256, RELAXED[0]))

    @eqx.filter_jit
    def settle(model, x, sweeps):
        return eq.relax(model, x, model.rest(x), eq.Blockwise(None, sweeps))[0]

    few, many = (median_ms(lambda n=n: settle(model, x, n), 9) for n in (SWEEPS, 3 * SWEEPS))
    inner = sum(a * b for a, b in itertools.pairwise(RELAXED[1:]))
    rate = 256 * 4 * inner * 2 * SWEEPS / (many - few) / 1e6
    return {"gflops": rate, "share_of_peak": rate / peak, "sweep_ms": (many - few) / (2 * SWEEPS)}


def train_a_little(pair: Pair) -> None:
    """Move the pair off its initialisation, so that its gradients are those of a working network."""
    optimiser = optax.adam(1e-4)
    learner = eq.EquilibriumPropagation(eq.Blockwise(1e-4, 200), eq.symmetric(BETA))
    images = Examples(pair.images, pair.labels, 1.0, CLASSES)
    state = start(pair.model, optimiser)
    for _ in range(EPOCHS):
        *_, (state, _) = train_epoch(state, images, learner, optimiser, BATCH, jax.random.key(2))
        state = state._replace(epoch=state.epoch + 1)
    pair.load(state.model)


def show(title: str, rows: dict[str, dict]) -> None:
    table = Table(title=title, title_justify="left")
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    for column in ("", *columns):
        table.add_column(column.replace("_", " "))
    for name, row in rows.items():
        cells = [row.get(c) for c in columns]
        table.add_row(name, *(f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/result.json"))
    out = parser.parse_args().out
    torch.set_num_threads(os.cpu_count() or 1)
    peak = peak_gflops()
    console.print(f"matrix-product peak, float32: {peak:.0f} GFLOP/s")
    result: dict = {"peak_gflops": peak, "steps": [FREE, NUDGED], "beta": BETA, "batch": BATCH}
    nets = pairs()
    result["a_equal_steps"] = {pair.name: equal_steps(pair) for pair in nets}
    show(
        f"a) {FREE} free and 2 x {NUDGED} nudged steps, at initialisation", result["a_equal_steps"]
    )
    result["c_over_backprop"] = {pair.name: over_backprop(pair) for pair in nets}
    show("c) an EP step (blockwise) over a back-propagation step", result["c_over_backprop"])
    result["d_throughput"] = {"-".join(map(str, RELAXED)): throughput(peak)}
    show("d) relaxation throughput, batch 256", result["d_throughput"])
    result["b_equal_accuracy"] = {}
    for state in ("at initialisation", "after training"):
        for pair in nets:
            if state == "after training":
                train_a_little(pair)
            result["b_equal_accuracy"][f"{pair.name} {state}"] = equal_accuracy(pair)
    show(
        f"b) the fewest steps to a cosine of {COSINE} with the exact gradient",
        result["b_equal_accuracy"],
    )
    result |= {"torch": torch.__version__, "machine": platform.machine(), **surroundings()}
    write_json(out, json.loads(json.dumps(result)))
    console.print(f"{out}")


if __name__ == "__main__":
    main()
