"""Experiments: recipes over seeds, and the committed results that they regenerate."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from eqprop.training.figures.run import draw_run
from eqprop.training.files import AnyPath, write_json
from eqprop.training.recipe import Recipe
from eqprop.training.recipe_fit import fit
from eqprop.training.recipes import to_config
from eqprop.training.results import read_result
from eqprop.training.runs import require_same
from eqprop.training.surroundings import surroundings
from eqprop.training.terminal import TrainingBar, tell


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
        self, out: AnyPath, data_dir: AnyPath | None = None, quick: bool = False
    ) -> dict[str, Any]:
        """Run it, or what is left of it, and write ``<out>/<name>/result.json``."""


RUNS = Path("runs")

QUICK = 2000

CLEARED_EVERY = 32

_runs = itertools.count(1)


@dataclass(frozen=True)
class Experiment:
    """A recipe trained once for each seed."""

    name: str
    about: str
    recipe: Recipe
    seeds: tuple[int, ...] = (0, 1, 2)

    def reproduce(
        self, out: AnyPath, data_dir: AnyPath | None = None, quick: bool = False
    ) -> dict[str, Any]:
        """Train every seed, resuming whatever was begun, draw its figures unless it is a quick trial, and
        write ``<out>/<name>/result.json``."""
        about, seeds = surroundings(), self.seeds[:1] if quick else self.seeds
        name, recipe = in_short(self.name, self.recipe, quick)
        results = [
            train_seed(name, dataclasses.replace(recipe, seed=seed), data_dir, not quick)
            for seed in seeds
        ]
        for folder in (folder_of(name, seed) for seed in seeds):
            if not quick and not (folder / "learning.png").exists():
                draw_run(folder, data_dir)
        summary = {
            "name": name,
            "command": command(self.name, quick),
            "test_error_percent": mean_and_std(
                [result["test_error_percent"] for result in results]
            ),
            "seeds": list(seeds),
            "seconds": {"mean": np.mean([result["seconds"] for result in results])},
            "runs": results,
            **about,
        }
        return written(Path(out) / name, summary, summary["test_error_percent"])


def in_short(name: str, recipe: Recipe, quick: bool) -> tuple[str, Recipe]:
    if not quick:
        return name, recipe
    held_out = min(recipe.validation, QUICK)
    fewer: dict[str, Any] = {"epochs": 1, "examples": QUICK, "validation": held_out}
    short = dataclasses.replace(recipe, **fewer, **recipe.smaller)
    return f"{name}-quick", short


def command(name: str, quick: bool) -> str:
    """What makes the experiment again; ``name--width-8`` is one with an option."""
    base, *options = name.split("--")
    given = [f"--{option.replace('-', ' ')}" for option in options]
    return " ".join(["eqprop reproduce", base, *given, *(["--quick"] if quick else [])])


def mean_and_std(values: Sequence[float]) -> dict[str, float]:
    several = len(values) > 1
    return {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=int(several)))}


def over_seeds(percent: Mapping[str, float], seeds: int) -> str:
    """A mean with its deviation, where there is one."""
    if seeds == 1:
        return f"{percent['mean']:.2f} % (one seed)"
    return f"{percent['mean']:.2f} ± {percent['std']:.2f} % over {seeds} seeds"


def written(folder: Path, summary: dict[str, Any], error: dict[str, float]) -> dict[str, Any]:
    path = write_json(folder / "result.json", summary)
    tell(f"{summary['name']}: test error {over_seeds(error, len(summary['seeds']))}; {path}")
    return summary


def folder_of(name: str, seed: int) -> Path:
    return RUNS / name / f"seed-{seed}"


def train_seed(
    name: str, recipe: Recipe, data_dir: AnyPath | None, audited: bool = True
) -> dict[str, Any]:
    """Train one seed, or go on, or read what it gave; ``audited`` as in `recipe_fit.fit`."""
    folder = folder_of(name, recipe.seed)
    finished = folder / "result.json"
    if finished.exists():
        require_same(folder, to_config(name, recipe))
        result = read_result(finished)
        tell(
            f"{name} seed {recipe.seed}: finished before, at commit {result['commit']}, in {folder}"
        )
        return result
    tell(f"{name} seed {recipe.seed} in {folder}")
    with TrainingBar(recipe.epochs, recipe.fixed_steps) as bar:
        begun = (folder / "config.json").exists()
        result = fit(name, recipe, folder, data_dir, begun, bar.step, bar.epoch, audited=audited)
    if next(_runs) % CLEARED_EVERY == 0:
        jax.clear_caches()  # a process may map only so many compiled programs
    return result
