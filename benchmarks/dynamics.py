"""Gradients of initial-value problems: the echo, back-propagation through the same steps, and Diffrax's
adjoints of the same equations with as many steps; time and working memory in one run.

Three driven Duffing oscillators, eight parameters: ``python -m benchmarks.dynamics``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import diffrax as dfx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree
from rich.console import Console
from rich.table import Table

from benchmarks.timing import median_ms
from eqprop.dynamics import chain
from eqprop.lagrangian import evolve, unroll
from eqprop.runs import surroundings, write_json

DT, LENGTHS = 0.05, (1000, 10_000, 100_000)
START = jnp.array([0.5, -0.3, 0.2]), jnp.array([0.1, 0.4, -0.2])
Cost = Callable[[PyTree, Array], Array]

console = Console()


def last(passage: Callable) -> Cost:
    """``|q(T)|^2`` by leapfrog."""

    def cost(params: PyTree, inputs: Array) -> Array:
        (q, _), _ = passage(chain.Chain(params), START, inputs, DT)
        return jnp.sum(q * q)

    return cost


def solved(solver: dfx.AbstractSolver, adjoint: dfx.AbstractAdjoint) -> Cost:
    """The same by Diffrax, whose drives are functions of time."""

    def cost(params: PyTree, inputs: Array) -> Array:
        def now(t: Array) -> Array:
            drives = 0.6 * jnp.cos(chain.OMEGA * t), 0.3 * jnp.sin(chain.OMEGA * t)
            return jnp.stack([*drives, *[jnp.zeros_like(t)] * 3])

        def moved(t: Array, p: Array, params: PyTree) -> Array:
            return p

        def pushed(t: Array, q: Array, params: PyTree) -> Array:
            return -jax.grad(chain.Chain(params).potential)(q, now(t))

        def both(t: Array, z: tuple[Array, Array], params: PyTree) -> tuple[Array, Array]:
            return moved(t, z[1], params), pushed(t, z[0], params)

        split = isinstance(solver, dfx.SemiImplicitEuler)
        terms = (dfx.ODETerm(moved), dfx.ODETerm(pushed)) if split else dfx.ODETerm(both)
        q, _ = dfx.diffeqsolve(
            terms,
            solver,
            0.0,
            DT * len(inputs),
            DT,
            START,
            args=params,
            adjoint=adjoint,
            max_steps=len(inputs) + 1,
        ).ys
        return jnp.sum(q[-1] ** 2)

    return cost


WAYS: dict[str, Cost] = {
    "echo": last(evolve),
    "BPTT (scan, reverse mode)": last(unroll),
    "Diffrax, checkpoints, symplectic Euler": solved(
        dfx.SemiImplicitEuler(), dfx.RecursiveCheckpointAdjoint()
    ),
    "Diffrax, backwards in time, Heun": solved(dfx.Heun(), dfx.BacksolveAdjoint()),
}


def measure(cost: Cost, length: int) -> tuple[dict[str, float], Array]:
    """Milliseconds and bytes of a gradient, and the gradient."""
    params, inputs = chain.parameters(), chain.inputs(length, DT)
    compiled = jax.jit(jax.grad(cost)).lower(params, inputs).compile()
    spent = median_ms(lambda: compiled(params, inputs), repeats=7, warm_up=1)
    memory = compiled.memory_analysis().temp_size_in_bytes
    return {"ms": spent, "bytes": int(memory)}, ravel_pytree(compiled(params, inputs))[0]


def main() -> None:
    """Print the table; write ``benchmarks/dynamics.json``."""
    rows = []
    table = Table("steps", "way", "ms", "over the echo", "working memory (kB)", "error")
    for length in LENGTHS:
        found = {way: measure(cost, length) for way, cost in WAYS.items()}
        exact = found["BPTT (scan, reverse mode)"][1]
        echo = found["echo"][0]["ms"]
        for way, (spent, gradient) in found.items():
            error = float(jnp.linalg.norm(gradient - exact) / jnp.linalg.norm(exact))
            rows.append({"steps": length, "way": way, "error": error, **spent})
            numbers = (
                f"{spent['ms']:.2f}",
                f"{spent['ms'] / echo:.1f}",
                f"{spent['bytes'] / 1e3:.0f}",
            )
            table.add_row(str(length), way, *numbers, f"{error:.0e}")
    console.print(table)
    write_json(Path(__file__).with_suffix(".json"), {"rows": rows, **surroundings()})


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main()
