"""What each lever of a training step is worth, alone: ``python -m benchmarks.levers``.

Cosines with the exact gradient by nudge and float type; bytes that a compiled step needs by number of
steps; and times: both nudges as one batch against one after another, the input's drive computed once
against in every sweep, and free phases by float type (few bits pay on hardware that has them, and not on
CPUs).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from rich.console import Console
from rich.table import Table

import eqprop as eq
from benchmarks.images import CLASSES, enlarged_digits
from benchmarks.timing import median_ms
from eqprop.energies.ops import freeze
from eqprop.estimators.audit import compare, estimate, exact_gradient
from eqprop.estimators.contrast import Fixed
from eqprop.solvers import MatmulPrecision
from eqprop.solvers.blockwise import sweep
from eqprop.training.files import write_json
from eqprop.training.rounding import smallest_nudge
from eqprop.training.surroundings import surroundings

SWEEPS = 20
STEPS = (10, 100, 1000)
BETAS = (1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 0.9)
KEY = jax.random.key(0)
ROUNDING = float(jnp.finfo("bfloat16").eps) / 2
BF16, COARSE, FIXED = "bfloat16", eq.Blockwise(0.04, 200), eq.Blockwise(None, 40)
WAYS: dict[str, Callable[[eq.Contrast], Any]] = {
    "float32, plain": lambda c: eq.EquilibriumPropagation(eq.Blockwise(1e-5, 500), c),
    "float32, differences": lambda c: eq.DeltaPropagation(eq.Blockwise(1e-5, 500), c),
    "bfloat16, plain": lambda c: eq.EquilibriumPropagation(eq.Reduced(FIXED, BF16), c),
    "bfloat16, differences": lambda c: eq.DeltaPropagation(
        eq.Reduced(FIXED, BF16), c, COARSE, BF16
    ),
    "bfloat16, refined, differences": lambda c: eq.DeltaPropagation(
        eq.Refined(COARSE, 1e-5, dtype=BF16), c, COARSE, BF16
    ),
}
FREE: dict[str, eq.Solver] = {
    "float32": eq.Blockwise(1e-3, 500),
    "tf32 products": MatmulPrecision(eq.Blockwise(1e-3, 500)),
    "bfloat16 to 0.04": eq.Reduced(COARSE, BF16),
    "bfloat16, refined": eq.Refined(COARSE, 1e-3, dtype=BF16),
}

console = Console()


def networks(width: int) -> dict[str, eq.Model]:
    """A dense and a convolutional one, clipped to [0, 1]."""
    dense = eq.layered((784, width, width, CLASSES), KEY)
    channels = (max(width // 16, 1), max(width // 8, 1))
    return {"dense": dense, "conv": eq.convolutional((28, 28, 1), channels, CLASSES, KEY)}


def cosines(model: eq.Model, x: jax.Array, y: jax.Array) -> dict[str, Any]:
    """By way, the cosine with the exact gradient at each nudge; and the least that bfloat16 resolves."""
    exact = exact_gradient(model, x, y)

    def at(way: Callable[[eq.Contrast], Any], beta: float) -> float:
        found = estimate(model, x, y, way(eq.symmetric(beta)), KEY)
        return compare(found.gradient, exact)[-1].cosine

    least = smallest_nudge(model, x, y, eq.Momentum(1e-6, 1000), ROUNDING)
    rows = {name: [at(way, beta) for beta in BETAS] for name, way in WAYS.items()}
    return {"rows": rows, "least": least._asdict()}


def memory(model: eq.Model, x: jax.Array, y: jax.Array) -> dict[str, list[int]]:
    """Temporary bytes of one compiled gradient, by number of steps."""

    def needed(estimator: Any) -> int:
        step = jax.jit(lambda x, y: estimator(model, x, y, model.rest(x), KEY).gradient)
        return int(step.lower(x, y).compile().memory_analysis().temp_size_in_bytes)

    ways = {
        "equilibrium propagation": lambda n: eq.EquilibriumPropagation(
            eq.Blockwise(1e-4, n), eq.symmetric(0.1)
        ),
        "differences in bfloat16": lambda n: eq.DeltaPropagation(
            eq.Blockwise(1e-4, n), eq.symmetric(0.1), eq.Blockwise(0.04, n), BF16
        ),
        "back-propagation through time": lambda n: eq.Backpropagation(eq.Blockwise(None, n), n),
    }
    return {name: [needed(way(n)) for n in STEPS] for name, way in ways.items()}


def doubled(model: eq.Model, x: jax.Array, y: jax.Array) -> dict[str, float]:
    """Milliseconds of both nudged phases, as one batch and one after another."""
    free, _ = eqx.filter_jit(eq.relax)(model, x, model.rest(x), eq.Blockwise(1e-4, 500))
    nudged = eq.Blockwise(None, SWEEPS)

    def phases(betas: np.ndarray) -> Callable[[], Any]:
        contrast = Fixed(betas, np.ones(len(betas)), 1)
        learner = eq.EquilibriumPropagation(eq.Blockwise(None, 1), contrast, nudged)
        step = eqx.filter_jit(lambda m, x, y, z: learner(m, x, y, z, KEY).report.nudged.residual)
        return lambda: step(model, x, y, free)

    both, one, other = (
        phases(np.array([-0.1, 0.1])),
        phases(np.array([-0.1])),
        phases(np.array([0.1])),
    )
    return {"together": median_ms(both), "in turn": median_ms(lambda: (one(), other()))}


def driven(model: eq.Model, x: jax.Array, y: jax.Array) -> dict[str, float]:
    """Milliseconds of sweeps with the input's drive computed once, and in every sweep."""
    frozen = freeze(model)

    @jax.jit
    def once(x: jax.Array) -> Any:
        def one(x, z):
            phase = frozen.free(x)
            return lax.fori_loop(0, SWEEPS, lambda i, z: sweep(phase, z)[0], z)

        return jax.vmap(one)(x, model.rest(x))

    @jax.jit
    def always(x: jax.Array) -> Any:
        def again(i, z):
            seen = x * (
                1.0 + 0.0 * i.astype(x.dtype)
            )  # differs from sweep to sweep, for all XLA knows
            return jax.vmap(lambda x, z: sweep(frozen.free(x), z)[0])(seen, z)

        return lax.fori_loop(0, SWEEPS, again, model.rest(x))

    return {"once": median_ms(lambda: once(x)), "every sweep": median_ms(lambda: always(x))}


def free_phases(model: eq.Model, x: jax.Array) -> dict[str, dict[str, float]]:
    """Milliseconds, mean steps and largest residual of a free phase, by float type."""
    rows = {}
    for name, solver in FREE.items():
        settle = eqx.filter_jit(lambda m, x, s=solver: eq.relax(m, x, m.rest(x), s))
        _, info = settle(model, x)
        rows[name] = {
            "ms": median_ms(lambda s=settle: s(model, x)[1].residual),
            "steps": float(jnp.mean(info.steps)),
            "residual": float(jnp.max(info.residual)),
        }
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.levers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/levers.json"))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, default=512)
    given = parser.parse_args()
    about, found = surroundings(), {}
    for name, model in networks(given.width).items():
        x, y = enlarged_digits(model.energy.input_shape)
        x, y = x[: given.batch], jax.nn.one_hot(y[: given.batch], CLASSES)
        found[name] = {
            "cosines": cosines(model, x, y),
            "memory": memory(model, x, y),
            "nudges_ms": doubled(model, x, y),
            "drive_ms": driven(model, x, y),
            "free": free_phases(model, x),
        }
        show(name, found[name])
    result = {"batch": given.batch, "width": given.width, "betas": BETAS, "steps": STEPS}
    console.print(f"{write_json(given.out, result | {'networks': found, **about})}")


def show(name: str, found: dict[str, Any]) -> None:
    """One network's numbers, as tables."""
    table = Table("way", *(f"{beta:g}" for beta in BETAS), title=f"{name}: cosine by nudge")
    for way, row in found["cosines"]["rows"].items():
        table.add_row(way, *(f"{value:.4f}" for value in row))
    console.print(table)
    least = found["cosines"]["least"]
    console.print(f"least nudge that bfloat16 resolves: {least['beta']:.2g}, in {least['layer']}")
    table = Table("bytes", *map(str, STEPS), title=f"{name}: memory by steps")
    for way, row in found["memory"].items():
        table.add_row(way, *map(str, row))
    console.print(table)
    for lever in ("nudges_ms", "drive_ms"):
        console.print(", ".join(f"{way} {ms:.2f} ms" for way, ms in found[lever].items()))
    for way, row in found["free"].items():
        console.print(
            f"free, {way}: {row['ms']:.2f} ms, {row['steps']:.0f} steps, residual {row['residual']:.0e}"
        )


if __name__ == "__main__":
    main()
