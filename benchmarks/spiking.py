"""Spiking relaxation: a step over a deterministic one, and the random numbers that it draws."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import equinox as eqx
import jax
from jaxtyping import Array
from rich.console import Console
from rich.table import Table

import eqprop as eq
from benchmarks import generators
from benchmarks.timing import median_ms
from eqprop.solvers import Solver
from eqprop.spiking import Drawn, Probabilities, Rates, Spiking, Staggered
from eqprop.training.files import write_json
from eqprop.training.surroundings import surroundings

BATCH, STEPS, LEAK = 64, 50, 0.3
POPULATION, STAGGERED = 8, 64
IMAGE, CHANNELS, KERNEL = (28, 28, 1), (32, 64), 5

console = Console()


def models() -> dict[str, eq.Model]:
    """Dense and convolutional networks of logistic and of clipped units."""
    key, found = jax.random.key(0), {}
    for name, unit in (("logistic", eq.Logistic()), ("clip", eq.Box())):
        found |= {
            f"784-512-10, {name}": eq.layered((784, 512, 10), key, unit, unit),
            f"784-512-512-10, {name}": eq.layered((784, 512, 512, 10), key, unit, unit),
            f"conv 32-64, 128-10, {name}": eq.convolutional(
                IMAGE, CHANNELS, 10, key, unit, unit, KERNEL, dense=(128,)
            ),
        }
    return found


def step_us(model: eq.Model, solver: Solver) -> float:
    """Microseconds of one of ``STEPS`` free steps of a batch, compiled as one."""
    x = jax.random.uniform(jax.random.key(1), (BATCH, *model.energy.input_shape))

    @eqx.filter_jit
    def relaxed(model: eq.Model, x: Array, key: Array) -> object:
        return eq.relax(model, x, model.rest(x), solver, key)

    return 1e3 * median_ms(lambda: relaxed(model, x, jax.random.key(0)), repeats=15) / STEPS


SOLVERS: dict[str, Callable[[], Solver]] = {
    "deterministic": lambda: eq.GradientDescent(None, STEPS, LEAK),
    "probabilities": lambda: Spiking(LEAK, STEPS, Probabilities(15)),
    "rates": lambda: Spiking(LEAK, STEPS, Rates(15)),
    "population": lambda: Spiking(LEAK, STEPS, Probabilities(15), Drawn(POPULATION)),
    "staggered": lambda: Spiking(LEAK, STEPS, Probabilities(15), Staggered(STAGGERED)),
}


def step_row(name: str, model: eq.Model) -> dict:
    spent = {which: step_us(model, make()) for which, make in SOLVERS.items()}
    return {
        "net": name,
        **{f"{which}_us": value for which, value in spent.items()},
        "ratio": spent["probabilities"] / spent["deterministic"],
    }


def main() -> None:
    """Print the tables; write ``benchmarks/spiking.json``."""
    about = surroundings()
    rows = [step_row(name, model) for name, model in models().items()]
    shown = Table(
        "network",
        "deterministic (µs)",
        "spiking (µs)",
        "rates read (µs)",
        f"populations of {POPULATION} (µs)",
        f"staggered, of {STAGGERED} (µs)",
        "ratio",
    )
    for row in rows:
        times = [f"{row[f'{which}_us']:.0f}" for which in SOLVERS]
        shown.add_row(row["net"], *times, f"{row['ratio']:.2f}")
    shown.title = f"One relaxation step at batch {BATCH}"
    console.print(shown)
    drawn = generators.table()
    shown = Table("generator", "ns a number", "fails")
    for one in drawn:
        shown.add_row(one["name"], f"{one['ns']:.2f}", ", ".join(one["fails"]) or "nothing")
    console.print(shown)
    result = {
        "batch": BATCH,
        "steps": STEPS,
        "population": POPULATION,
        "staggered": STAGGERED,
        "rows": rows,
        "generators": drawn,
        **about,
    }
    write_json(Path(__file__).with_suffix(".json"), json.loads(json.dumps(result)))


if __name__ == "__main__":
    main()
