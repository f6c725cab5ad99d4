"""Studies of gradients at initialisation, on one batch: against the nudge, and step by step."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from jaxtyping import Array, PyTree
from rich.progress import track

from eqprop import charts, plots
from eqprop.assemble import make_contrast, make_solver, make_thermal
from eqprop.auditing import audit_batch
from eqprop.diagnose import compare, estimate, follow_updates
from eqprop.display import console, tell
from eqprop.model import Model
from eqprop.recipes import Recipe, ThermalRecipe
from eqprop.reproduce import command
from eqprop.runs import AnyPath, surroundings, write_json
from eqprop.solvers import GradientDescent, Iterative
from eqprop.studies import some
from eqprop.task import prepare
from eqprop.variance import spread

MANY, INFINITESIMAL = 256, 1e-3


@dataclass(frozen=True)
class Nudges:
    """A sampled gradient against the nudge, at initialisation, on one batch: how it agrees with the
    gradients of ``<C>`` in the free phase (``J`` at a nudge of 1e-3) and of ``J_beta``, and how noisy it
    is."""

    name: str
    about: str
    recipe: ThermalRecipe
    ways: Mapping[str, Mapping[str, Any]]
    """What each way changes in the recipe."""
    betas: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)
    repeats: int = 16

    def reproduce(
        self, out: AnyPath, data_dir: AnyPath | None = None, quick: bool = False
    ) -> dict[str, Any]:
        """Write ``<out>/<name>/result.json`` and a figure beside it."""
        about, began = surroundings(), time.perf_counter()
        name = f"{self.name}-quick" if quick else self.name
        betas, ways = (self.betas[::3], some(self.ways, 3)) if quick else (self.betas, self.ways)
        task = prepare(self.recipe, data_dir)
        model = self.recipe.build(task.data)
        x, y = audit_batch(task, model)
        lines: dict[str, dict[str, list[float]]] = {way: {} for way in ways}
        agreed, free = [], target(self.recipe, INFINITESIMAL, model, x, y, 1)
        for beta in track(betas, "nudges", console=console):
            nudged, again = (target(self.recipe, beta, model, x, y, seed) for seed in (2, 3))
            references = {"cosine_free": free, "cosine": nudged}
            agreed.append(compare(again, nudged)[-1].cosine)
            for way, change in ways.items():
                recipe = dataclasses.replace(self.recipe, beta=beta, **change)
                found = nudged_line(recipe, model, x, y, references, self.repeats)
                for key, value in ({"beta": beta} | found).items():
                    lines[way].setdefault(key, []).append(value)
        tell(f"  {plots.save(charts.nudges(lines), Path(out) / name / 'nudges.png')}")
        summary = {
            "name": name,
            "command": command(self.name, quick),
            "recipe": dataclasses.asdict(self.recipe),
            "repeats": self.repeats,
            "seconds": time.perf_counter() - began,
            "agreement_of_two_references": agreed,
            "lines": lines,
            **about,
        }
        path = write_json(Path(out) / name / "result.json", summary)
        tell(f"{name}: {len(ways)} ways at {len(betas)} nudges; {path}")
        return summary


@dataclass(frozen=True)
class Curves:
    """EP's update after each number of nudged steps against BPTT's, at initialisation, on one batch."""

    name: str
    about: str
    recipe: Recipe
    steps: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)

    def reproduce(
        self, out: AnyPath, data_dir: AnyPath | None = None, quick: bool = False
    ) -> dict[str, Any]:
        """Write ``<out>/<name>/result.json`` and a figure beside it."""
        about, steps = surroundings(), self.steps[:3] if quick else self.steps
        name = f"{self.name}-quick" if quick else self.name
        task = prepare(self.recipe, data_dir)
        model = self.recipe.build(task.data)
        x, y = audit_batch(task, model)

        def after(count: int) -> Iterative:
            return GradientDescent(None, count, self.recipe.step_size)

        free, contrast = make_solver(self.recipe), make_contrast(self.recipe)
        rows = follow_updates(model, x, y, free, after, contrast, steps)
        norms = [row.norm for row in rows], [row.agreement.norm for row in rows]
        tell(f"  {plots.save(charts.updates(steps, *norms), Path(out) / name / 'updates.png')}")
        summary = {
            "name": name,
            "command": command(self.name, quick),
            "recipe": dataclasses.asdict(self.recipe),
            "curves": [
                {"steps": row.steps, "ep": row.norm, **row.agreement._asdict()} for row in rows
            ],
            **about,
        }
        path = write_json(Path(out) / name / "result.json", summary)
        worst = min(row.agreement.cosine for row in rows)
        tell(f"{name}: cosine of EP with BPTT at least {worst:.6f} over {len(rows)} steps; {path}")
        return summary


def target(
    recipe: ThermalRecipe, beta: float, model: Model, x: Array, y: Array, seed: int
) -> PyTree:
    """The gradient of ``J_beta`` by the finite nudge with common noise, means and many chains."""
    many: dict[str, Any] = {
        "rule": "contrast",
        "reading": "means",
        "independent_noise": False,
        "chains": MANY,
    }
    thermal = make_thermal(dataclasses.replace(recipe, beta=beta, **many))
    return estimate(model, x, y, thermal, jax.random.key(seed)).gradient


def nudged_line(
    recipe: ThermalRecipe,
    model: Model,
    x: Array,
    y: Array,
    references: Mapping[str, PyTree],
    repeats: int,
) -> dict[str, float]:
    """How the recipe's gradient agrees with each reference, its bias and deviation for the last of them,
    and the SNR of gradient and displacement."""
    estimator, key = make_thermal(recipe), jax.random.key(4)
    found, seen = spread(model, x, y, estimator, references, key, repeats)
    last = found["cosine"]
    return {
        **{name: one.cosine for name, one in found.items()},
        "bias": last.bias,
        "deviation": last.deviation,
        "gradient_snr": last.snr,
        "displacement_snr": seen.get("displacement_snr", math.nan),
    }
