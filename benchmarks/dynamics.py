"""Gradients of initial-value problems: the echo, back-propagation through the same steps, and Diffrax's
adjoints of the same equations with as many steps of a rule of the same order; time, working memory and
error in one run.

Three driven Duffing oscillators, eight parameters, a path of length 50: ``python -m benchmarks.dynamics``.
Errors are against the gradient of the equations of motion, by steps of eighth order to 1e-13.
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
from eqprop.lagrangian import evolve, unroll
from eqprop.papers.lagrangian import duffing as chain
from eqprop.training.files import write_json
from eqprop.training.surroundings import surroundings

TIME, LENGTHS = 50.0, (1000, 10_000, 100_000)
Cost = Callable[[PyTree, Array], Array]

console = Console()


def start() -> tuple[Array, Array]:
    q, p = chain.START
    return jnp.array(q), jnp.array(p)


def last(passage: Callable) -> Cost:
    """``|q(T)|^2`` by leapfrog."""

    def cost(params: PyTree, inputs: Array) -> Array:
        (q, _), _ = passage(chain.DuffingChain(params), start(), inputs, TIME / len(inputs))
        return jnp.sum(q * q)

    return cost


def solved(
    solver: dfx.AbstractSolver, adjoint: dfx.AbstractAdjoint, tolerance: float | None = None
) -> Cost:
    """The same by Diffrax, whose drives are functions of time, with as many steps or to a tolerance."""

    def cost(params: PyTree, inputs: Array) -> Array:
        def now(t: Array) -> Array:
            drives = 0.6 * jnp.cos(chain.OMEGA * t), 0.3 * jnp.sin(chain.OMEGA * t)
            return jnp.stack([*drives, *[jnp.zeros_like(t)] * 3])

        def moved(t: Array, z: tuple[Array, Array], params: PyTree) -> tuple[Array, Array]:
            q, p = z
            return p, -jax.grad(chain.DuffingChain(params).potential)(q, now(t))

        adaptive = None if tolerance is None else dfx.PIDController(tolerance, tolerance)
        q, _ = dfx.diffeqsolve(
            dfx.ODETerm(moved),
            solver,
            0.0,
            TIME,
            TIME / len(inputs),
            start(),
            args=params,
            adjoint=adjoint,
            stepsize_controller=adaptive or dfx.ConstantStepSize(),
            max_steps=len(inputs) + 1,
        ).ys
        return jnp.sum(q[-1] ** 2)

    return cost


ECHO, BPTT = "echo", "BPTT (scan, reverse mode)"
WAYS: dict[str, Cost] = {
    ECHO: last(evolve),
    BPTT: last(unroll),
    "Diffrax, Heun, checkpoints": solved(dfx.Heun(), dfx.RecursiveCheckpointAdjoint()),
    "Diffrax, Heun, backwards in time": solved(dfx.Heun(), dfx.BacksolveAdjoint()),
    "Diffrax, reversible Heun, backwards": solved(dfx.ReversibleHeun(), dfx.BacksolveAdjoint()),
}


def measure(cost: Cost, length: int) -> tuple[dict[str, float], Array]:
    """Milliseconds and bytes of a gradient, and the gradient."""
    params, inputs = chain.parameters(), chain.inputs(length, TIME / length)
    compiled = jax.jit(jax.grad(cost)).lower(params, inputs).compile()
    spent = median_ms(lambda: compiled(params, inputs), repeats=7, warm_up=1)
    memory = compiled.memory_analysis().temp_size_in_bytes
    return {"ms": spent, "bytes": int(memory)}, ravel_pytree(compiled(params, inputs))[0]


def distance(gradient: Array, reference: Array) -> float:
    return float(jnp.linalg.norm(gradient - reference) / jnp.linalg.norm(reference))


def main() -> None:
    """Print the table; write ``benchmarks/dynamics.json``."""
    rows, apart = [], []
    finest = solved(dfx.Dopri8(), dfx.RecursiveCheckpointAdjoint(), 1e-13)
    exact = measure(finest, 10_000)[1]
    table = Table("steps", "way", "ms", "over the echo", "working memory (kB)", "error")
    for length in LENGTHS:
        found = {way: measure(cost, length) for way, cost in WAYS.items()}
        echo = found[ECHO][0]["ms"]
        apart.append(distance(found[ECHO][1], found[BPTT][1]))
        for way, (spent, gradient) in found.items():
            error = distance(gradient, exact)
            rows.append({"steps": length, "way": way, "error": error, **spent})
            numbers = (
                f"{spent['ms']:.2f}",
                f"{spent['ms'] / echo:.1f}",
                f"{spent['bytes'] / 1e3:.0f}",
            )
            table.add_row(str(length), way, *numbers, f"{error:.0e}")
    console.print(table)
    console.print(f"echo from BPTT: {', '.join(f'{one:.0e}' for one in apart)}")
    result = {"time": TIME, "rows": rows, "echo_from_bptt": apart, "diffrax": dfx.__version__}
    write_json(Path(__file__).with_suffix(".json"), result | surroundings())


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main()
