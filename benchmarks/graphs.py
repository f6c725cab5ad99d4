"""Block Gibbs sweeps of Ising machines on graphs, against thrml: the same spins, colours, chains and
samples, all of which are kept."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table
from thrml import Block, SamplingSchedule, SpinNode, sample_states
from thrml.models import IsingEBM, IsingSamplingProgram, hinton_init

import eqprop as eq
from benchmarks.timing import side_by_side_ms
from eqprop.energies import grid, on_graph
from eqprop.thermal import Chains, Gibbs
from eqprop.thermal.ensemble import Phases, no_statistic
from eqprop.training.files import write_json
from eqprop.training.surroundings import surroundings

CHAINS, BURN, SAMPLES, THINNING = 64, 20, 40, 2
STRENGTH = 0.4
CHAIN = np.stack([np.arange(1023), np.arange(1, 1024)], -1)
BIPARTITE = np.stack(np.meshgrid(np.arange(256), 256 + np.arange(128)), -1).reshape(-1, 2)
GRAPHS = {
    "chain of 1,024": (CHAIN, 1024),
    "grid of 8 by 8": (grid(8, 8), 64),
    "grid of 32 by 32": (grid(32, 32), 1024),
    "bipartite, 256 and 128": (BIPARTITE, 384),
}
Call = Callable[[], jax.Array]


def couplings(edges: np.ndarray, nodes: int) -> tuple[jax.Array, jax.Array]:
    """Weights as strong as spins of that degree bear, and biases."""
    rng = np.random.default_rng(0)
    degree = 2 * len(edges) / nodes
    weights = STRENGTH * rng.normal(size=len(edges)) * (2 / degree) ** 0.5
    return jnp.asarray(weights, jnp.float32), jnp.asarray(0.1 * rng.normal(size=nodes), jnp.float32)


def ours(edges: np.ndarray, nodes: int) -> Call:
    """All samples, of shape (samples, chains, neurons), by chains as the estimators run them."""
    graph = on_graph(edges, *couplings(edges, nodes), eq.Spin())
    model = eq.Model(graph.network, eq.SquaredError("colour0"))
    chains = Chains(1.0, Gibbs(), CHAINS, BURN, SAMPLES, THINNING)
    x, y = jnp.zeros((1, 1)), jnp.zeros((1, *graph.network.shapes["colour0"]))

    def kept(states: dict[str, jax.Array], weights: jax.Array) -> jax.Array:
        return graph.values(states)

    @jax.jit
    def draw(model: eq.Model, key: jax.Array) -> jax.Array:
        free, start = Phases(model, x, y, jnp.zeros(1)), model.rest(x)
        return chains.average(free, start, key, no_statistic, kept).records[:, 0, 0]

    key = jax.random.key(0)
    return lambda: draw(model, key)


def theirs(edges: np.ndarray, nodes: int) -> Call:
    """The same by thrml, in whose blocks are the same neurons; each chain by a key of its own."""
    weights, biases = couplings(edges, nodes)
    graph = on_graph(edges, weights, biases, eq.Spin())
    spins = [SpinNode() for _ in range(nodes)]
    pairs = [(spins[i], spins[j]) for i, j in edges.tolist()]
    machine = IsingEBM(spins, pairs, biases, weights, jnp.array(1.0))
    layers = graph.state(jnp.arange(nodes)).values()
    blocks = [Block([spins[i] for i in layer.tolist()]) for layer in layers]
    program = IsingSamplingProgram(machine, blocks, clamped_blocks=[])
    schedule = SamplingSchedule(n_warmup=BURN, n_samples=SAMPLES, steps_per_sample=THINNING)

    @jax.jit
    def draw(keys: jax.Array) -> jax.Array:
        def chain(key: jax.Array) -> jax.Array:
            first, rest = jax.random.split(key)
            start = hinton_init(first, machine, blocks, ())
            return sample_states(rest, program, schedule, start, [], [Block(spins)])[0]

        return jnp.moveaxis(jax.vmap(chain)(keys), 0, 1)

    keys = jax.random.split(jax.random.key(0), CHAINS)
    return lambda: draw(keys)


def correlation(samples: jax.Array, edges: np.ndarray) -> tuple[float, float]:
    """The mean product of coupled spins, and its standard error over the chains."""
    spins = np.asarray(samples, np.float64)
    if samples.dtype == bool:
        spins = 2 * spins - 1
    products = (spins[..., edges[:, 0]] * spins[..., edges[:, 1]]).mean((0, 2))
    return float(products.mean()), float(products.std(ddof=1) / len(products) ** 0.5)


def row(name: str) -> dict[str, Any]:
    edges, nodes = GRAPHS[name]
    calls = {"ours": ours(edges, nodes), "thrml": theirs(edges, nodes)}
    found = {who: correlation(call(), edges) for who, call in calls.items()}
    ms = side_by_side_ms(calls)
    sweeps = BURN + SAMPLES * THINNING
    (a, da), (b, db) = found["ours"], found["thrml"]
    return {
        "graph": name,
        **{f"{who}_ms": spent for who, spent in ms.items()},
        "sweeps_a_second": 1e3 * sweeps * CHAINS / ms["ours"],
        "over_thrml": ms["thrml"] / ms["ours"],
        "correlation": a,
        "apart_in_standard_errors": abs(a - b) / (da**2 + db**2) ** 0.5,
    }


def main() -> None:
    """Print the table; write ``benchmarks/graphs.json``."""
    rows = [row(name) for name in GRAPHS]
    table = Table("graph", "ours ms", "thrml ms", "ours over thrml", "apart, in standard errors")
    for one in rows:
        table.add_row(
            one["graph"],
            f"{one['ours_ms']:.2f}",
            f"{one['thrml_ms']:.2f}",
            f"{one['over_thrml']:.1f}",
            f"{one['apart_in_standard_errors']:.1f}",
        )
    Console().print(table)
    sizes = {"chains": CHAINS, "burn": BURN, "samples": SAMPLES, "thinning": THINNING}
    by = {"thrml": version("thrml")}
    write_json(Path(__file__).with_suffix(".json"), {**sizes, "rows": rows, **by, **surroundings()})


if __name__ == "__main__":
    main()
