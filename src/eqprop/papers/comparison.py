"""Studies: recipes changed in one thing after another, and the figures that say what it did."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eqprop.papers import figures
from eqprop.papers.study import (
    command,
    folder_of,
    in_short,
    mean_and_std,
    over_seeds,
    train_seed,
)
from eqprop.training.figures import plots
from eqprop.training.files import AnyPath, write_json
from eqprop.training.predict import predicted
from eqprop.training.recipe import Recipe
from eqprop.training.runs import read_rows
from eqprop.training.surroundings import surroundings
from eqprop.training.terminal import tell


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
        self, out: AnyPath, data_dir: AnyPath | None = None, quick: bool = False
    ) -> dict[str, Any]:
        """Train every case and seed, resuming whatever was begun; write ``<out>/<name>/result.json`` and a
        figure beside it. The second case is a quick trial's: the first is often the recipe as it is."""
        about, seeds = surroundings(), self.seeds[:1] if quick else self.seeds
        cases = self.cases[:2][-1:] if quick else self.cases
        name, recipe = in_short(self.name, self.recipe, quick)
        rows = [_row(name, case, recipe, seeds, data_dir, not quick) for case in cases]
        figure = figures.sweep(rows, self.axis)
        tell(f"  {plots.save(figure, Path(out) / name / 'sweep.png')}")
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
        return _reported(Path(out) / name, summary)


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
        self, out: AnyPath, data_dir: AnyPath | None = None, quick: bool = False
    ) -> dict[str, Any]:
        """Train every way and seed, resuming whatever was begun; write ``<out>/<name>/result.json`` and a
        figure beside it."""
        about, seeds = surroundings(), self.seeds[:1] if quick else self.seeds
        name, recipe = in_short(self.name, self.recipe, quick)
        rows = []
        for line, change in some(self.ways, 4 if quick else 1).items():
            changed = dataclasses.replace(recipe, **change)
            label = f"{name}/{slug(line)}"
            if seconds := predicted(changed, data_dir):
                tell(f"{label}: at most {seconds / 60:.1f} minutes a run are predicted")
            row = _trained(label, changed, seeds, data_dir, not quick)
            epochs = [read_rows(folder_of(label, seed)) for seed in seeds]
            accuracies = [[epoch["validation_accuracy"] for epoch in run] for run in epochs]
            rows.append({"line": line, "change": change, "validation_accuracy": accuracies, **row})
        tell(f"  {plots.save(figures.accuracies(rows), Path(out) / name / 'accuracies.png')}")
        summary = {
            "name": name,
            "command": command(self.name, quick),
            "recipe": dataclasses.asdict(recipe),
            "seeds": list(seeds),
            "cases": rows,
            **about,
        }
        return _reported(Path(out) / name, summary)


def slug(line: str) -> str:
    """The name of a folder for a way: ``beta-0.01-common-noise``."""
    words = line.replace("β", "beta").replace("=", " ").replace(",", " ").split()
    return "-".join(words).lower()


def some(ways: Mapping[str, Any], every: int) -> dict[str, Any]:
    """The first of so many, and the first of the next."""
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
    name: str, recipe: Recipe, seeds: Sequence[int], data_dir: AnyPath | None, audited: bool
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
    data_dir: AnyPath | None,
    audited: bool,
) -> dict[str, Any]:
    label = ",".join(f"{field}={value}" for field, value in case.change.items()) or "as it is"
    changed = dataclasses.replace(recipe, **case.change)
    return dataclasses.asdict(case) | _trained(f"{name}/{label}", changed, seeds, data_dir, audited)
