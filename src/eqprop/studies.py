"""Studies: recipes changed in one thing after another, and the figures that say what it did."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, PyTree
from rich.progress import track

from eqprop import charts, plots
from eqprop.assemble import make_contrast, make_solver, make_thermal
from eqprop.auditing import audit_batch
from eqprop.diagnose import compare, estimate, follow_updates
from eqprop.display import console, tell
from eqprop.model import Model
from eqprop.predict import predicted
from eqprop.recipes import Recipe, ThermalRecipe
from eqprop.reproduce import (
    command,
    folder_of,
    in_short,
    mean_and_std,
    over_seeds,
    train_seed,
)
from eqprop.runs import read_rows, surroundings, write_json
from eqprop.solvers import GradientDescent, Iterative
from eqprop.task import prepare
from eqprop.variance import spread

MANY, INFINITESIMAL = 256, 1e-3


@runtime_checkable
class Study(Protocol):
    """What `eqprop reproduce` runs."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def about(self) -> str:
        """What it does, in a line."""

    def reproduce(
        self, out: Path, data_dir: Path | None = None, quick: bool = False
    ) -> dict[str, Any]:
        """Run it, or what is left of it, and write ``<out>/<name>/result.json``."""


@dataclass(frozen=True)
class Case:
    """One point of a sweep: on which line, at which value, and what it changes in the recipe."""

    line: str
    value: float
    change: Mapping[str, Any]


@dataclass(frozen=True)
class Sweep:
    """A recipe with some things changed, each case trained once for each seed."""

    name: str
    about: str
    recipe: Recipe
    axis: str
    """What the values are."""
    cases: tuple[Case, ...]
    seeds: tuple[int, ...] = (0, 1, 2)

    def reproduce(
        self, out: Path, data_dir: Path | None = None, quick: bool = False
    ) -> dict[str, Any]:
        """Train every case and seed, resuming whatever was begun; write ``<out>/<name>/result.json`` and a
        figure beside it."""
        about, seeds = surroundings(), self.seeds[:1] if quick else self.seeds
        cases = self.cases[:2] if quick else self.cases
        name, recipe = in_short(self.name, self.recipe, quick)
        rows = [_row(name, case, recipe, seeds, data_dir, not quick) for case in cases]
        figure = charts.sweep(rows, self.axis)
        tell(f"  {plots.save(figure, out / name / 'sweep.png')}")
        summary = {
            "name": name,
            "command": command(self.name, quick),
            "axis": self.axis,
            "recipe": dataclasses.asdict(recipe),
            "seeds": list(seeds),
            "seconds": {"mean": np.mean([row["seconds"] for row in rows])},
            "cases": rows,
            **about,
        }
        return _reported(out / name, summary)


@dataclass(frozen=True)
class Comparison:
    """A recipe in several ways, each trained once for each seed, followed epoch by epoch."""

    name: str
    about: str
    recipe: Recipe
    ways: Mapping[str, Mapping[str, Any]]
    """What each way changes in the recipe."""
    seeds: tuple[int, ...] = (0, 1, 2)

    def reproduce(
        self, out: Path, data_dir: Path | None = None, quick: bool = False
    ) -> dict[str, Any]:
        """Train every way and seed, resuming whatever was begun; write ``<out>/<name>/result.json`` and a
        figure beside it."""
        about, seeds = surroundings(), self.seeds[:1] if quick else self.seeds
        name, recipe = in_short(self.name, self.recipe, quick)
        rows = []
        for line, change in _some(self.ways, 4 if quick else 1).items():
            changed = dataclasses.replace(recipe, **change)
            label = f"{name}/{slug(line)}"
            if seconds := predicted(changed, data_dir):
                tell(f"{label}: at most {seconds / 60:.1f} minutes a run are predicted")
            row = _trained(label, changed, seeds, data_dir, not quick)
            epochs = [read_rows(folder_of(label, seed)) for seed in seeds]
            accuracies = [[epoch["validation_accuracy"] for epoch in run] for run in epochs]
            rows.append({"line": line, "change": change, "validation_accuracy": accuracies, **row})
        tell(f"  {plots.save(charts.accuracies(rows), out / name / 'accuracies.png')}")
        summary = {
            "name": name,
            "command": command(self.name, quick),
            "recipe": dataclasses.asdict(recipe),
            "seeds": list(seeds),
            "cases": rows,
            **about,
        }
        return _reported(out / name, summary)


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
        self, out: Path, data_dir: Path | None = None, quick: bool = False
    ) -> dict[str, Any]:
        """Write ``<out>/<name>/result.json`` and a figure beside it."""
        about, began = surroundings(), time.perf_counter()
        name = f"{self.name}-quick" if quick else self.name
        betas, ways = (self.betas[::3], _some(self.ways, 3)) if quick else (self.betas, self.ways)
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
        tell(f"  {plots.save(charts.nudges(lines), out / name / 'nudges.png')}")
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
        path = write_json(out / name / "result.json", summary)
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
        self, out: Path, data_dir: Path | None = None, quick: bool = False
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
        tell(f"  {plots.save(charts.updates(steps, *norms), out / name / 'updates.png')}")
        summary = {
            "name": name,
            "command": command(self.name, quick),
            "recipe": dataclasses.asdict(self.recipe),
            "curves": [
                {"steps": row.steps, "ep": row.norm, **row.agreement._asdict()} for row in rows
            ],
            **about,
        }
        path = write_json(out / name / "result.json", summary)
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


def slug(line: str) -> str:
    """The name of a folder for a way: ``beta-0.01-common-noise``."""
    words = line.replace("β", "beta").replace("=", " ").replace(",", " ").split()
    return "-".join(words).lower()


def _some(ways: Mapping[str, Any], every: int) -> dict[str, Any]:
    return dict(list(ways.items())[::every])


def _reported(folder: Path, summary: dict[str, Any]) -> dict[str, Any]:
    path = write_json(folder / "result.json", summary)
    for row in summary["cases"]:
        error, value = row["test_error_percent"], row.get("value")
        at = "" if value is None else f" at {value:g}"
        tell(f"{row['line']}{at}: test error {over_seeds(error, len(summary['seeds']))}")
    tell(f"{summary['name']}: {path}")
    return summary


def _trained(
    name: str, recipe: Recipe, seeds: Sequence[int], data_dir: Path | None, audited: bool
) -> dict[str, Any]:
    each = [dataclasses.replace(recipe, seed=seed) for seed in seeds]
    runs = [train_seed(name, one, data_dir, audited) for one in each]
    return {
        "test_error_percent": mean_and_std([run["test_error_percent"] for run in runs]),
        "seconds": np.mean([run["seconds"] for run in runs]),
    }


def _row(
    name: str,
    case: Case,
    recipe: Recipe,
    seeds: Sequence[int],
    data_dir: Path | None,
    audited: bool,
) -> dict[str, Any]:
    label = ",".join(f"{field}={value}" for field, value in case.change.items()) or "as it is"
    changed = dataclasses.replace(recipe, **case.change)
    return dataclasses.asdict(case) | _trained(f"{name}/{label}", changed, seeds, data_dir, audited)
