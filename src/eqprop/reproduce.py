"""Experiments: recipes over seeds, and the committed results that they regenerate."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from eqprop import plots
from eqprop.assemble import make_contrast, make_solver
from eqprop.diagnose import follow_updates
from eqprop.display import TrainingBar, tell
from eqprop.figures import draw_run
from eqprop.fit import audit_batch, fit, prepare
from eqprop.recipes import Recipe, to_config
from eqprop.runs import Run, read_json, surroundings, write_json
from eqprop.solvers import GradientDescent, Iterative

RUNS = Path("runs")
QUICK = 2000


@dataclass(frozen=True)
class Experiment:
    """A recipe trained once for each seed."""

    name: str
    about: str
    recipe: Recipe
    seeds: tuple[int, ...] = (0, 1, 2)

    def reproduce(
        self, out: Path, data_dir: Path | None = None, quick: bool = False
    ) -> dict[str, Any]:
        """Train every seed, resuming whatever was begun, and write ``<out>/<name>/result.json``."""
        about, seeds = surroundings(), self.seeds[:1] if quick else self.seeds
        name, recipe = _in_short(self.name, self.recipe, quick)
        results = [_seed(name, dataclasses.replace(recipe, seed=seed), data_dir) for seed in seeds]
        for folder in (_folder(name, seed) for seed in seeds):
            if not (folder / "learning.png").exists():
                draw_run(folder, data_dir)
        summary = {
            "name": name,
            "command": _command(self.name, quick),
            "test_error_percent": _spread([result["test_error_percent"] for result in results]),
            "seeds": list(seeds),
            "seconds": {"mean": np.mean([result["seconds"] for result in results])},
            "runs": results,
            **about,
        }
        return _written(out / name, summary, summary["test_error_percent"])


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
        figure beside the runs."""
        about, seeds = surroundings(), self.seeds[:1] if quick else self.seeds
        cases = self.cases[:2] if quick else self.cases
        name, recipe = _in_short(self.name, self.recipe, quick)
        rows = [_row(name, case, recipe, seeds, data_dir) for case in cases]
        figure = plots.sweep(rows, self.axis)
        tell(f"  {plots.save(figure, RUNS / name / 'sweep.png')}")
        summary = {
            "name": name,
            "command": _command(self.name, quick),
            "axis": self.axis,
            "recipe": dataclasses.asdict(recipe),
            "seeds": list(seeds),
            "seconds": {"mean": np.mean([row["seconds"] for row in rows])},
            "cases": rows,
            **about,
        }
        best = min((row["test_error_percent"] for row in rows), key=lambda error: error["mean"])
        return _written(out / name, summary, best)


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
        """Write ``<out>/<name>/result.json`` and a figure beside the runs."""
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
        tell(f"  {plots.save(plots.updates(steps, *norms), RUNS / name / 'updates.png')}")
        summary = {
            "name": name,
            "command": _command(self.name, quick),
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


def _row(
    name: str, case: Case, recipe: Recipe, seeds: Sequence[int], data_dir: Path | None
) -> dict[str, Any]:
    label = ",".join(f"{field}={value}" for field, value in case.change.items()) or "as it is"
    changed = dataclasses.replace(recipe, **case.change)
    results = [
        _seed(f"{name}/{label}", dataclasses.replace(changed, seed=seed), data_dir)
        for seed in seeds
    ]
    return {
        **dataclasses.asdict(case),
        "test_error_percent": _spread([result["test_error_percent"] for result in results]),
        "seconds": np.mean([result["seconds"] for result in results]),
    }


def _in_short(name: str, recipe: Recipe, quick: bool) -> tuple[str, Recipe]:
    if not quick:
        return name, recipe
    return f"{name}-quick", dataclasses.replace(recipe, epochs=1, examples=QUICK)


def _command(name: str, quick: bool) -> str:
    return f"eqprop reproduce {name}" + (" --quick" if quick else "")


def _spread(values: Sequence[float]) -> dict[str, float]:
    several = len(values) > 1
    return {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=int(several)))}


def _written(folder: Path, summary: dict[str, Any], error: dict[str, float]) -> dict[str, Any]:
    path = write_json(folder / "result.json", summary)
    tell(
        f"{summary['name']}: test error {error['mean']:.2f} ± {error['std']:.2f} % over "
        f"{len(summary['seeds'])} seeds; {path}"
    )
    return summary


def _folder(name: str, seed: int) -> Path:
    return RUNS / name / f"seed-{seed}"


def _seed(name: str, recipe: Recipe, data_dir: Path | None) -> dict[str, Any]:
    folder = _folder(name, recipe.seed)
    finished = folder / "result.json"
    if finished.exists():
        Run(folder, to_config(name, recipe), resume=True)
        result = read_json(finished)
        tell(
            f"{name} seed {recipe.seed}: finished before, at commit {result['commit']}, in {folder}"
        )
        return result
    tell(f"{name} seed {recipe.seed} in {folder}")
    with TrainingBar(recipe.epochs, recipe.fixed_steps) as bar:
        begun = (folder / "config.json").exists()
        result = fit(name, recipe, folder, data_dir, begun, bar.step, bar.epoch)
    jax.clear_caches()  # a process may map only so many compiled programs
    return result
