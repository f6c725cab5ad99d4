"""What a gradient of weak feedback costs beside back-propagation, and how exact it is.

``python -m benchmarks.weak_feedback``

Hopfield-ResNet13 of narrow width: differences from the free phase, in counted sweeps in the layers' order.
Times are of one gradient of a batch, over that of back-propagation through the same layers, side by side;
cosines are with implicit differentiation in float64, of all parameters and of the worst tensor, at
initialisation and after some training.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from rich.console import Console
from rich.table import Table

import eqprop as eq
from benchmarks.images import BATCH, CLASSES, enlarged_digits
from benchmarks.timing import side_by_side_ms
from eqprop.energies.feedback import nudge_scale
from eqprop.energies.ops import cast
from eqprop.estimators.audit import compare
from eqprop.estimators.backpropagation import FeedForward
from eqprop.papers.hopfield_resnet.parts import Architecture, Ordered
from eqprop.training.data.named import CIFAR_10
from eqprop.training.epoch import Examples, start, train_epoch
from eqprop.training.files import write_json
from eqprop.training.surroundings import surroundings

BETA, AUDITED, EPOCHS = 1e-3, 16, 4
FEEDBACKS = (0.03, 0.01, 0.003)
SWEEPS = ((4, 2), (2, 2), (2, 1), (1, 1))
SETTLED = (60, 40)
CONTRASTS = {"symmetric": eq.symmetric, "one-sided": eq.one_sided}
AT_INIT, TRAINED = "at initialisation", "after training"
KEY = jax.random.key(0)

console = Console()


def network(width: int) -> eq.Model:
    """Of full feedback."""
    return Architecture(width, gain=(1.0, 1.0, 1.0), bias_gain=0.0).build(
        CIFAR_10, 0, read_out=True
    )


def learner(model: eq.Model, contrast: str, feedback: float, free: int, nudged: int) -> Any:
    """Differences in so many sweeps up, and down."""
    up, down = Ordered(free, nudged).solvers(model.energy.order)
    beta = BETA * nudge_scale(feedback, len(model.energy.order))
    return eq.DeltaPropagation(up, CONTRASTS[contrast](beta), down)


@eqx.filter_jit
def gradient(estimator: Any, model: eq.Model, x: jax.Array, y: jax.Array) -> Any:
    return estimator(model, x, y, estimator.start(model, x), KEY).gradient


def ratios(model: eq.Model, x: jax.Array, y: jax.Array) -> dict[str, Any]:
    """Milliseconds of each contrast and count of sweeps, and over those of back-propagation; of one
    feedback, on which they do not depend."""
    weak = eq.with_weak_feedback(model, FEEDBACKS[0])
    ways = {
        f"{contrast}, {free} + {nudged}": learner(model, contrast, FEEDBACKS[0], free, nudged)
        for contrast in CONTRASTS
        for free, nudged in SWEEPS
    }
    ways["back-propagation"] = FeedForward()
    calls = {name: lambda way=way: gradient(way, weak, x, y) for name, way in ways.items()}
    spent = side_by_side_ms(calls)
    unit = spent["back-propagation"]
    return {name: {"ms": ms, "back_propagations": ms / unit} for name, ms in spent.items()}


def cosines(model: eq.Model, x: jax.Array, y: jax.Array) -> dict[str, Any]:
    """With the exact gradient of each feedback: of one-sided differences, and of back-propagation."""
    found, exact = {}, {}
    wide = jnp.dtype("float64")
    with jax.enable_x64(True):
        for feedback in FEEDBACKS:
            parts = (eq.with_weak_feedback(model, feedback), x, y)
            up, _ = Ordered(*SETTLED).solvers(model.energy.order)
            given = [cast(part, wide) for part in parts]
            exact[feedback] = gradient(eq.ImplicitDifferentiation(up), *given)

    def agreed(way: Any, feedback: float) -> dict[str, float]:
        rows = compare(gradient(way, eq.with_weak_feedback(model, feedback), x, y), exact[feedback])
        return {"cosine": rows[-1].cosine, "worst": min(row.cosine for row in rows)}

    for feedback in FEEDBACKS:
        for free, nudged in SWEEPS:
            way = learner(model, "one-sided", feedback, free, nudged)
            found[f"{feedback:g}, one-sided, {free} + {nudged}"] = agreed(way, feedback)
        found[f"{feedback:g}, back-propagation"] = agreed(FeedForward(), feedback)
    return found


def trained(model: eq.Model, images: jax.Array, labels: jax.Array) -> eq.Model:
    """After some epochs of the usual sweeps at the strongest feedback, in the energy of full feedback."""
    optimiser = optax.adam(2e-3)
    state = start(eq.with_weak_feedback(model, FEEDBACKS[0]), optimiser)
    way = learner(model, "symmetric", FEEDBACKS[0], *SWEEPS[0])
    examples = Examples(images, labels, 1.0, CLASSES)
    for _ in range(EPOCHS):
        *_, (state, _) = train_epoch(state, examples, way, optimiser, BATCH, jax.random.key(2))
        state = state._replace(epoch=state.epoch + 1)
    learnt = jax.tree.leaves(eqx.filter(state.model, eqx.is_inexact_array))
    own, static = eqx.partition(model, eqx.is_inexact_array)
    return eqx.combine(jax.tree.unflatten(jax.tree.structure(own), learnt), static)


def shown(title: str, rows: dict[str, dict[str, float]]) -> None:
    table = Table("", *next(iter(rows.values())), title=title)
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.4f}" for value in row.values()))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weak_feedback", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/weak_feedback.json"))
    parser.add_argument("--widths", type=int, nargs="+", default=[8, 16])
    options = parser.parse_args()
    about = surroundings()
    found: dict[str, dict[str, Any]] = {}
    images, labels = enlarged_digits((32, 32, 3))
    x, y = images[:BATCH], jax.nn.one_hot(labels[:BATCH], CLASSES)
    few = x[:AUDITED], y[:AUDITED]
    for width in options.widths:
        model = network(width)
        found[f"width {width}"] = row = {"times": ratios(model, x, y)}
        shown(f"width {width}: one gradient of {BATCH} images", row["times"])
    model = network(options.widths[0])
    row = found[f"width {options.widths[0]}"]
    for state, made in {AT_INIT: model, TRAINED: trained(model, images, labels)}.items():
        row[state] = cosines(made, *few)
        shown(f"{state}: cosine with the exact gradient", row[state])
    settings = {"beta": BETA, "batch": BATCH, "audited": AUDITED, "epochs": EPOCHS}
    console.print(f"{write_json(options.out, settings | found | about)}")


if __name__ == "__main__":
    main()
