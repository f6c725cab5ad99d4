"""What a spiking gradient is worth, by what enters the rule: its agreement with deterministic EP."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import lax
from jaxtyping import Array, PyTree
from matplotlib.figure import Figure

from eqprop.energies.model import Model
from eqprop.estimators.audit import ALL, compare, estimate
from eqprop.estimators.equilibrium import EquilibriumPropagation
from eqprop.estimators.estimator import Estimator
from eqprop.papers import figures
from eqprop.papers.call import Call
from eqprop.papers.stochep.recipes import mnist_spiking
from eqprop.papers.stochep.spikes import Spikes
from eqprop.papers.study import Asked, Study
from eqprop.solvers import Momentum
from eqprop.spiking import Drawn, SpikingPropagation, Staggered, SurrogateBackpropagation
from eqprop.training.fit import AUDITED
from eqprop.training.terminal import tell
from eqprop.training.training import batch_of, prepare

RULES: dict[str, dict[str, Any]] = {
    "last spikes": {"rates": True, "averaged": 1},
    "last probabilities": {"averaged": 1},
    "spike rates, K = 5": {"rates": True, "averaged": 5},
    "probabilities, K = 5": {"averaged": 5},
    "spike rates, K = 15": {"rates": True},
    "probabilities, K = 15": {},
    "spike rates, K = 15, populations of 8": {"rates": True, "firing": Drawn(8)},
    "probabilities, K = 15, populations of 8": {"firing": Drawn(8)},
    "spike rates, K = 15, staggered populations of 64": {"rates": True, "firing": Staggered(64)},
    "probabilities, K = 15, staggered populations of 64": {"firing": Staggered(64)},
    "spike rates, T2 = 100, K = 90": {"rates": True, "nudged_steps": 100, "averaged": 90},
    "probabilities, T2 = 100, K = 90": {"nudged_steps": 100, "averaged": 90},
}
"""What each rule changes of the spikes."""


@dataclass(frozen=True)
class SpikingGradients(Study):
    """At initialisation, on one batch: the mean cosine of single estimates, weight by weight, with
    deterministic EP at the same nudge, where phases share their noise and where they do not."""

    spikes: Spikes
    repeats: int = 8

    def results(self, asked: Asked) -> dict[str, Any]:
        repeats = 2 if asked.quick else self.repeats
        rules = dict(list(RULES.items())[:2]) if asked.quick else RULES
        call = Call(mnist_spiking, {"spikes": self.spikes})
        training = call.training()
        model, learner = training.model, training.estimator
        assert isinstance(learner, SpikingPropagation)
        x, y = batch_of(prepare(training, asked.data_dir).validation, model, AUDITED)
        settled = EquilibriumPropagation(Momentum(1e-6, 500), learner.contrast)
        reference = estimate(model, x, y, settled, jax.random.key(0)).gradient
        rows = []
        for rule, change in rules.items():
            for common in (True, False):
                spikes = dataclasses.replace(self.spikes, **change, common_noise=common)
                estimator = call.but(spikes=spikes).training().estimator
                found = agreement(model, x, y, estimator, reference, repeats)
                noise = "common noise" if common else "independent noise"
                rows.append({"rule": rule, "noise": noise, "cosine": found})
                tell(f"{rule}, {noise}: cosine {found[ALL]:.3f}")
        through_time = SurrogateBackpropagation(learner.solver)
        found = agreement(model, x, y, through_time, reference, repeats)
        rows.append({"rule": "surrogate BPTT", "noise": "–", "cosine": found})
        asked.save("gradient", _drawn(rows, self.spikes.averaged))
        return {**call.told(), "repeats": repeats, "images": len(x), "rows": rows}


def agreement(
    model: Model, x: Array, y: Array, estimator: Estimator, reference: PyTree, repeats: int
) -> dict[str, float]:
    """Mean cosines over repeats, by parameter and of all together."""
    found = repeated(model, x, y, estimator, jax.random.split(jax.random.key(5), repeats))
    each = [compare(jax.tree.map(lambda g, i=i: g[i], found), reference) for i in range(repeats)]
    return {
        row.name: float(np.mean([rows[at].cosine for rows in each]))
        for at, row in enumerate(each[0])
    }


@eqx.filter_jit
def repeated(model: Model, x: Array, y: Array, estimator: Estimator, keys: Array) -> PyTree:
    return lax.map(lambda key: estimator(model, x, y, model.rest(x), key).gradient, keys)


def _drawn(rows: list[dict[str, Any]], averaged: int) -> Figure:
    """Cosines of all parameters against K, of single neurons."""
    lines: dict[str, tuple[list[float], list[float]]] = {}
    for row in rows:
        change = RULES.get(row["rule"])
        if change is not None and "firing" not in change:
            reading = "rates" if change.get("rates") else "probabilities"
            places, values = lines.setdefault(f"{reading}, {row['noise']}", ([], []))
            places.append(change.get("averaged", averaged))
            values.append(row["cosine"][ALL])
    return figures.curves(
        {"": lines}, ("steps K read",), "cosine with deterministic EP", ("log", "linear")
    )
