"""What a spiking gradient is worth, by what enters the rule: its agreement with deterministic EP."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import lax
from jaxtyping import Array, PyTree

from eqprop.energies.model import Model
from eqprop.estimators.audit import ALL, compare, estimate
from eqprop.estimators.equilibrium import EquilibriumPropagation
from eqprop.estimators.estimator import Estimator
from eqprop.papers import figures
from eqprop.papers.study import command
from eqprop.solvers import Momentum
from eqprop.spiking import SurrogateBackpropagation
from eqprop.training.assemble import make_contrast, make_spiking
from eqprop.training.examine import audit_batch
from eqprop.training.figures import plots
from eqprop.training.files import AnyPath, write_json
from eqprop.training.spiking_recipes import SpikingRecipe
from eqprop.training.surroundings import surroundings
from eqprop.training.task import prepare
from eqprop.training.terminal import tell

RULES: dict[str, dict[str, Any]] = {
    "last spikes": {"reading": "rates", "averaged": 1},
    "last probabilities": {"averaged": 1},
    "spike rates, K = 5": {"reading": "rates", "averaged": 5},
    "probabilities, K = 5": {"averaged": 5},
    "spike rates, K = 15": {"reading": "rates"},
    "probabilities, K = 15": {},
    "spike rates, K = 15, populations of 8": {"reading": "rates", "population": 8},
    "probabilities, K = 15, populations of 8": {"population": 8},
    "spike rates, K = 15, staggered populations of 64": {
        "reading": "rates",
        "firing": "staggered",
        "population": 64,
    },
    "probabilities, K = 15, staggered populations of 64": {"firing": "staggered", "population": 64},
    "spike rates, T2 = 100, K = 90": {"reading": "rates", "nudged_steps": 100, "averaged": 90},
    "probabilities, T2 = 100, K = 90": {"nudged_steps": 100, "averaged": 90},
}
"""What each rule changes in the recipe, of 20 nudged steps with K = 15 probabilities read."""

USUAL: dict[str, Any] = {"nudged_steps": 20, "averaged": 15}


@dataclass(frozen=True)
class SpikingGradients:
    """At initialisation, on one batch: the mean cosine of single estimates, weight by weight, with
    deterministic EP at the same nudge, where phases share their noise and where they do not."""

    name: str
    about: str
    recipe: SpikingRecipe
    repeats: int = 8

    def reproduce(
        self, out: AnyPath, data_dir: AnyPath | None = None, quick: bool = False
    ) -> dict[str, Any]:
        """Write ``<out>/<name>/result.json`` and a figure beside it."""
        about, began = surroundings(), time.perf_counter()
        name = f"{self.name}-quick" if quick else self.name
        repeats = 2 if quick else self.repeats
        rules = dict(list(RULES.items())[:2]) if quick else RULES
        task = prepare(self.recipe, data_dir)
        model = self.recipe.build(task.data)
        x, y = audit_batch(task, model)
        settled = EquilibriumPropagation(Momentum(1e-6, 500), make_contrast(self.recipe))
        reference = estimate(model, x, y, settled, jax.random.key(0)).gradient
        rows = []
        for rule, change in rules.items():
            for independent in (False, True):
                changed = USUAL | change | {"independent_noise": independent}
                recipe = dataclasses.replace(self.recipe, **changed)
                found = agreement(model, x, y, make_spiking(recipe), reference, repeats)
                noise = "independent noise" if independent else "common noise"
                rows.append({"rule": rule, "noise": noise, "cosine": found})
                tell(f"{rule}, {noise}: cosine {found[ALL]:.3f}")
        through_time = SurrogateBackpropagation(self.recipe.free_phase())
        found = agreement(model, x, y, through_time, reference, repeats)
        rows.append({"rule": "surrogate BPTT", "noise": "–", "cosine": found})
        tell(f"  {plots.save(_drawn(rows), Path(out) / name / 'gradient.png')}")
        summary = {
            "name": name,
            "command": command(self.name, quick),
            "recipe": dataclasses.asdict(self.recipe),
            "repeats": repeats,
            "images": len(x),
            "seconds": time.perf_counter() - began,
            "rows": rows,
            **about,
        }
        path = write_json(Path(out) / name / "result.json", summary)
        tell(f"{name}: {len(rows)} rules; {path}")
        return summary


def agreement(
    model: Model, x: Array, y: Array, estimator: Estimator, reference: PyTree, repeats: int
) -> dict[str, float]:
    """Mean cosines over repeats, by parameter and of all together."""
    found = _repeated(model, x, y, estimator, jax.random.split(jax.random.key(5), repeats))
    each = [compare(jax.tree.map(lambda g, i=i: g[i], found), reference) for i in range(repeats)]
    return {
        row.name: float(np.mean([rows[at].cosine for rows in each]))
        for at, row in enumerate(each[0])
    }


@eqx.filter_jit
def _repeated(model: Model, x: Array, y: Array, estimator: Estimator, keys: Array) -> PyTree:
    return lax.map(lambda key: estimator(model, x, y, model.rest(x), key).gradient, keys)


def _drawn(rows: list[dict[str, Any]]) -> Any:
    """Cosines of all parameters against K, of single neurons."""
    lines: dict[str, tuple[list[float], list[float]]] = {}
    for row in rows:
        change = RULES.get(row["rule"])
        if change is not None and "population" not in change:
            reading = change.get("reading", "probabilities")
            places, values = lines.setdefault(f"{reading}, {row['noise']}", ([], []))
            places.append(change.get("averaged", USUAL["averaged"]))
            values.append(row["cosine"][ALL])
    return figures.curves(
        {"": lines}, ("steps K read",), "cosine with deterministic EP", ("log", "linear")
    )
