"""Side by side in one run: eqprop, the textbook PyTorch loop, back-propagation, the machine's peak."""

from __future__ import annotations

import argparse
import bisect
import itertools
import json
import os
import platform
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from rich.console import Console
from rich.table import Table

import eqprop as eq
from benchmarks import textbook_torch as textbook
from benchmarks.images import BATCH, CLASSES
from benchmarks.nets import Pair, pairs
from benchmarks.timing import first_s, median_ms, peak_gflops
from eqprop.diagnose import exact_gradient
from eqprop.runs import surroundings, write_json
from eqprop.train import Images, start, train_epoch

FREE, NUDGED, BETA, RATE = 20, 10, 0.1, 0.05
NUDGES = (0.1, 0.03, 0.01, 0.003, 0.001)
COSINE = 0.999
LADDER = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100, 150, 200)
EPOCHS = 15
RELAXED, SWEEPS = (784, 2048, 2048, 10), 20
OURS = {
    "synchronous": lambda n: eq.GradientDescent(None, n, 1.0),
    "blockwise": lambda n: eq.Blockwise(None, n),
}

console = Console()


def estimator(solver: str, free: int, nudged: int, beta: float = BETA) -> eq.EquilibriumPropagation:
    return eq.EquilibriumPropagation(OURS[solver](free), eq.symmetric(beta), OURS[solver](nudged))


def compiled_step(pair: Pair, ours: eq.Estimator):
    """One training step of ours, and its seconds to compile."""
    optimiser = optax.sgd(RATE)
    memory = optimiser.init(eqx.filter(pair.model, eqx.is_inexact_array))

    @eqx.filter_jit
    def step(model, memory, x, y):
        estimate = ours(model, x, y, model.rest(x), jax.random.key(0))
        updates, memory = optimiser.update(estimate.gradient, memory, model)
        return eqx.apply_updates(model, updates), memory, estimate.value

    def call():
        return step(pair.model, memory, pair.x, pair.y)[2]

    return call, first_s(call)


def torch_step_ms(pair: Pair, free: int, nudged: int) -> float:
    optimiser = torch.optim.SGD(pair.net.parameters(), lr=RATE)

    def call():
        textbook.train_step(pair.net, optimiser, pair.torch_x, pair.torch_y, free, nudged, BETA)

    spent = median_ms(call, repeats=15)
    pair.load(pair.model)
    return spent


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
    theirs = torch_step_ms(pair, FREE, NUDGED)
    agree = cosine(
        gradient(pair, estimator("synchronous", FREE, NUDGED)), torch_gradient(pair, FREE, NUDGED)
    )
    row = {"torch_ms": theirs, "cosine_to_torch": agree}
    for solver in OURS:
        call, compiling = compiled_step(pair, estimator(solver, FREE, NUDGED))
        spent = median_ms(call)
        row |= {
            f"{solver}_ms": spent,
            f"{solver}_ratio": theirs / spent,
            f"{solver}_compile_s": compiling,
        }
    return row


def equal_accuracy(pair: Pair) -> dict[str, float | tuple[int, int] | None]:
    """b) Each side with the fewest steps that bring the gradient within the cosine of the exact one.

    Both take the largest nudge of `NUDGES` whose contrast, relaxed for long, comes well within it: on
    clipped units a large nudge moves units across their bounds, and no number of steps mends that.
    """
    exact = pair.gradient(exact_gradient(pair.model, pair.x, pair.y))
    most = LADDER[-1]
    limits = [cosine(gradient(pair, estimator("blockwise", most, most, b)), exact) for b in NUDGES]
    beta, limit = next(
        ((b, c) for b, c in zip(NUDGES, limits, strict=True) if 1 - c <= (1 - COSINE) / 4),
        (NUDGES[int(np.argmax(limits))], max(limits)),
    )
    torch_steps = fewest(lambda t, k: torch_gradient(pair, t, k, beta), exact)
    our_steps = fewest(lambda t, k: gradient(pair, estimator("blockwise", t, k, beta)), exact)
    row: dict = {
        "beta": beta,
        "cosine_when_settled": limit,
        "torch_steps": torch_steps,
        "our_steps": our_steps,
    }
    if our_steps is not None:
        row["our_ms"] = median_ms(compiled_step(pair, estimator("blockwise", *our_steps))[0])
    if torch_steps is not None:
        row["torch_ms"] = torch_step_ms(pair, *torch_steps)
    if our_steps is not None and torch_steps is not None:
        row["ratio"] = row["torch_ms"] / row["our_ms"]
    return row


def feed_forward_loss(model: eq.Model, x: jax.Array, y: jax.Array) -> jax.Array:
    """The plain network of the same shape: clipped layers, squared error."""

    def show(x):
        for layer in model.energy.order:
            edge = next(e for e in model.energy.edges.values() if e.target == layer)
            unit = model.energy.layers[layer]
            x = unit.unit.retract(edge.op(x) + unit.bias)
        return x

    return jnp.mean(jnp.sum((jax.vmap(show)(x) - y) ** 2, axis=1)) / 2


def over_backprop(pair: Pair) -> dict[str, float]:
    """c) An EP step over a back-propagation step of the feed-forward net, and its compilation."""
    optimiser = optax.sgd(RATE)
    memory = optimiser.init(eqx.filter(pair.model, eqx.is_inexact_array))

    @eqx.filter_jit
    def step(model, memory, x, y):
        value, gradients = eqx.filter_value_and_grad(feed_forward_loss)(model, x, y)
        updates, memory = optimiser.update(gradients, memory, model)
        return eqx.apply_updates(model, updates), memory, value

    def call():
        return step(pair.model, memory, pair.x, pair.y)[2]

    compiling = first_s(call)
    return {"backprop_ms": median_ms(call), "backprop_compile_s": compiling}


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
    images = Images(pair.images, pair.labels, 1.0, CLASSES)
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
    result["c_over_backprop"] = {}
    for pair in nets:
        row = over_backprop(pair)
        ours = result["a_equal_steps"][pair.name]["blockwise_ms"]
        result["c_over_backprop"][pair.name] = row | {"ep_over_backprop": ours / row["backprop_ms"]}
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
