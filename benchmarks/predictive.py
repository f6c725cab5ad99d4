"""Predictive coding beside jpc's public loop: ``python -m benchmarks.predictive``.

One training step of the same networks from the same weights, Adam, batch 64, on as many steps in the states
as there are layers, the output held: as jpc's notebook of muPC runs it; and by its one call, as the others
do. Gradients are compared in float64, and ours also descends in the errors. jpc must be installed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array
from rich.console import Console
from rich.table import Table

import eqprop as eq
from benchmarks.timing import side_by_side_ms
from eqprop.energies.costs import Cost
from eqprop.energies.ops import Activation, Chain, Dense, Op, Residual, Scaled
from eqprop.energies.units.unit import State
from eqprop.estimators.contrast import Fixed
from eqprop.training.files import write_json
from eqprop.training.surroundings import surroundings

sys.modules.setdefault("jaxlib.xla_extension", SimpleNamespace(PjitFunction=type(jax.jit(abs))))  # type: ignore[arg-type]

import jpc  # noqa: E402

BATCH, FEATURES, CLASSES = 64, 784, 10
RATE = 0.5
"""Of jpc's steps in the states, whose energy is a mean over the batch."""

DESCENT = optax.sgd(RATE)
"""Made once: jpc compiles anew for another."""


HELD = Fixed(jnp.ones(1), jnp.ones(1), order=1)
"""The nudge 1 alone, since free errors are zero: one phase, as in jpc."""


class Held(Cost):
    """``|y - op(u)|^2 / 2``: an output that is held at its target, by the nudge 1."""

    op: Op
    output: str = eqx.field(static=True)

    def predict(self, shown: State) -> Array:
        return self.op(shown[self.output])

    def __call__(self, shown: State, y: Array) -> Array:
        return 0.5 * jnp.sum((y - self.predict(shown)) ** 2)

    def curvature(self, beta: Array) -> Array:
        raise ValueError(
            "Held: expected a solver that descends, as ErrorDescent, got one of blocks, which asks for "
            "a bound of the curvature."
        )


class Net(NamedTuple):
    """Layers of weights, their width, and whether they have skips, scaled by depth (muPC)."""

    depth: int
    width: int
    residual: bool

    def theirs(self) -> tuple[Any, Any]:
        kind = "mupc" if self.residual else "sp"
        sizes = {
            "input_dim": FEATURES,
            "width": self.width,
            "depth": self.depth,
            "output_dim": CLASSES,
        }
        layers = jpc.make_mlp(jax.random.PRNGKey(0), **sizes, act_fn="relu", param_type=kind)
        return layers, jpc.make_skip_model(self.depth) if self.residual else None

    def ours(self, layers: Any) -> eq.Model:
        """The same weights."""
        inner = (self.width * self.depth) ** -0.5
        factors = [FEATURES**-0.5, *[inner] * (self.depth - 2), 1.0 / self.width]
        ops: list[Op] = []
        for at, (layer, factor) in enumerate(zip(layers, factors, strict=True)):
            op: Op = Dense(layer[1].weight.T)
            op = Chain((Activation(eq.relu()), op)) if at else op
            op = Scaled(op, factor if self.residual else 1.0)
            ops.append(Residual(op) if self.residual and 0 < at < self.depth - 1 else op)
        names = ["x", *(f"h{at}" for at in range(1, self.depth))]
        hidden = {name: eq.Layer(self.width, eq.Linear(), scale=0.0) for name in names[1:]}
        edges = list(zip(names[:-1], names[1:], ops[:-1], strict=True))
        network = eq.Network(FEATURES, hidden, edges)
        return eq.Model(eq.PredictiveCoding(network), Held(ops[-1], names[-1]))


NETS = {"784-300-300-10": Net(3, 300, False), "30 layers of 128, skips": Net(30, 128, True)}


def inferred(net: Net, layers: Any, skips: Any, x: Array, y: Array) -> Any:
    """jpc's states after so many steps, call by call."""
    kind = "mupc" if net.residual else "sp"
    given = {"skip_model": skips, "param_type": kind}
    states = jpc.init_activities_with_ffwd(model=layers, input=x, **given)
    memory = DESCENT.init(states)
    for _ in range(net.depth):
        moved = jpc.update_pc_activities(
            params=(layers, skips),
            activities=states,
            optim=DESCENT,
            opt_state=memory,
            output=y,
            input=x,
            param_type=kind,
        )
        states, memory = moved["activities"], moved["opt_state"]
    return states


def their_step(net: Net, layers: Any, skips: Any, x: Array, y: Array) -> Callable[[], Any]:
    rule = optax.adam(1e-3)
    memory = rule.init((eqx.filter(layers, eqx.is_array), skips))
    kind = "mupc" if net.residual else "sp"

    def step() -> Any:
        states = inferred(net, layers, skips, x, y)
        found = jpc.update_pc_params(
            params=(layers, skips),
            activities=states,
            optim=rule,
            opt_state=memory,
            output=y,
            input=x,
            param_type=kind,
        )
        return eqx.filter(found["model"], eqx.is_array)

    return step


def one_call(net: Net, layers: Any, skips: Any, x: Array, y: Array) -> Callable[[], Any]:
    """jpc's whole step in one call, whose states Diffrax integrates as far as is its default; of rate 1, so
    that what changes is the gradient."""
    rule = optax.sgd(1.0)
    memory = rule.init((eqx.filter(layers, eqx.is_array), skips))
    given = {"skip_model": skips, "param_type": "mupc" if net.residual else "sp"}

    def step() -> Any:
        found = jpc.make_pc_step(layers, rule, memory, y, input=x, **given)
        return eqx.filter(found["model"], eqx.is_array)

    return step


def learner(nudged: eq.Solver) -> eq.Estimator:
    return eq.EquilibriumPropagation(eq.solvers.ErrorDescent(None, 1, 1.0), HELD, nudged)


def in_states(net: Net) -> eq.Estimator:
    """jpc's steps."""
    return learner(eq.GradientDescent(None, net.depth, RATE / BATCH))


def in_errors(steps: int, tolerance: float | None = None) -> eq.Estimator:
    return learner(eq.solvers.ErrorDescent(tolerance, steps))


@eqx.filter_jit
def gradient(rule: eq.Estimator, model: eq.Model, x: Array, y: Array) -> eq.Model:
    return rule(model, x, y, model.rest(x), jax.random.key(0)).gradient


def our_step(rule: eq.Estimator, model: eq.Model, x: Array, y: Array) -> Callable[[], Any]:
    adam = optax.adam(1e-3)
    memory = adam.init(eqx.filter(model, eqx.is_inexact_array))

    @eqx.filter_jit
    def step(model: eq.Model, memory: Any, x: Array, y: Array) -> Any:
        found = rule(model, x, y, model.rest(x), jax.random.key(0))
        updates, memory = adam.update(found.gradient, memory)
        return eqx.filter(eqx.apply_updates(model, updates), eqx.is_array), memory

    return partial(step, model, memory, x, y)


def batch() -> tuple[Array, Array]:
    keys = jax.random.split(jax.random.key(1))
    x = jax.random.normal(keys[0], (BATCH, FEATURES))
    return x, jnp.eye(CLASSES)[jax.random.randint(keys[1], BATCH, 0, CLASSES)]


def apart(net: Net) -> float:
    """Relative distance of the two gradients of all weights after the same steps, in float64."""
    with jax.enable_x64(True):
        layers, skips = jax.tree.map(
            lambda a: a.astype(jnp.float64) if eqx.is_inexact_array(a) else a, net.theirs()
        )
        x, y = (a.astype(jnp.float64) for a in batch())
        states = inferred(net, layers, skips, x, y)
        kind = "mupc" if net.residual else "sp"
        theirs, _ = jpc.compute_pc_param_grads((layers, skips), states, y, x=x, param_type=kind)
        found = gradient(in_states(net), net.ours(layers), x, y)
        return distance(weights(found), [layer[1].weight.T for layer in theirs])


def weights(model: eq.Model) -> list[Array]:
    """From the input up."""
    names = ["x", *model.energy.network.order]
    edges = (model.energy.network.edges[f"{a}-{b}"] for a, b in pairwise(names))
    return [jax.tree.leaves(op)[0] for op in (*edges, model.cost)]


def distance(found: list[Array], reference: list[Array]) -> float:
    """Of all weights together, over the length of the reference."""
    missed, size = (
        sum(float(jnp.sum(part**2)) for part in parts)
        for parts in ([a - b for a, b in zip(found, reference, strict=True)], reference)
    )
    return (missed / size) ** 0.5


def row(name: str) -> dict[str, Any]:
    net = NETS[name]
    layers, skips = net.theirs()
    model, (x, y) = net.ours(layers), batch()
    ways = {"states": in_states(net), "errors": in_errors(3)}
    settled = weights(gradient(in_errors(2000, 1e-6), model, x, y))
    errors = {
        way: distance(weights(gradient(rule, model, x, y)), settled) for way, rule in ways.items()
    }
    whole = one_call(net, layers, skips, x, y)
    moved = [(a[1].weight - b[1].weight).T for a, b in zip(layers, whole(), strict=True)]
    errors["jpc_in_one"] = distance(moved, settled)
    calls = {"jpc": their_step(net, layers, skips, x, y), "jpc_in_one": whole}
    calls |= {way: our_step(rule, model, x, y) for way, rule in ways.items()}
    ms = side_by_side_ms(calls)
    return {
        "network": name,
        "steps": net.depth,
        "apart": apart(net),
        **{f"{way}_ms": spent for way, spent in ms.items()},
        "errors": errors,
    }


def main() -> None:
    """Print the table; write ``benchmarks/predictive.json``."""
    rows = [row(name) for name in NETS]
    ways = ("jpc", "jpc_in_one", "states", "errors")
    table = Table("network", "apart", *(f"{way}, ms" for way in ways), "gradient's error")
    for one in rows:
        errors = ", ".join(f"{way} {error:.1%}" for way, error in one["errors"].items())
        times = (f"{one[f'{way}_ms']:.2f}" for way in ways)
        table.add_row(one["network"], f"{one['apart']:.0e}", *times, errors)
    Console().print(table)
    write_json(
        Path(__file__).with_suffix(".json"), {"batch": BATCH, "rows": rows, **surroundings()}
    )


if __name__ == "__main__":
    main()
