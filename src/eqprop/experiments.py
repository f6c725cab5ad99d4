"""Experiments: a recipe over seeds, and the committed result that it regenerates."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eqprop.display import TrainingBar, tell
from eqprop.figures import draw_run
from eqprop.fit import fit
from eqprop.recipes import RECIPES, Recipe, to_config
from eqprop.runs import Run, read_json, surroundings, write_json


@dataclass(frozen=True)
class Experiment:
    """A recipe trained once for each seed."""

    name: str
    about: str
    recipe: Recipe
    seeds: tuple[int, ...] = (0, 1, 2)


def _named(name: str, about: str, recipe: Recipe, seeds: tuple[int, ...] = (0, 1, 2)):
    return name, Experiment(name, about, recipe, seeds)


def _local(recipe: Recipe) -> Recipe:
    """The same by the paper's plain local rule: one rate a parameter, no optimiser."""
    return dataclasses.replace(
        recipe,
        optimiser="sgd",
        learning_rate=1.0,
        layer_rates=(0.1, 0.015),
        bias_rate=0.1,
        weight_decay=0.0,
    )


FIVE = (0, 1, 2, 3, 4)
EXPERIMENTS: dict[str, Experiment] = dict(
    (
        _named("digits", "embedded digits, one hidden layer", RECIPES["digits"]),
        _named("mnist-dense", "MNIST, one hidden layer", RECIPES["mnist-dense"]),
        _named(
            "mnist-dense-shift",
            "the same with random shifts",
            dataclasses.replace(RECIPES["mnist-dense"], shift=1, epochs=30, learning_rate=6e-4),
        ),
        _named(
            "fashion-mnist-dense", "Fashion-MNIST, one hidden layer", RECIPES["fashion-mnist-dense"]
        ),
        _named("mnist-conv", "MNIST, two convolutions", RECIPES["mnist-conv"], (0,)),
        _named(
            "oim-mnist-100",
            "oscillators on MNIST/100: 1000 training and 100 test images",
            RECIPES["mnist-100-oscillators"],
            FIVE,
        ),
        _named(
            "oim-mnist-1000",
            "the same, tested on all 10,000 images",
            dataclasses.replace(RECIPES["mnist-100-oscillators"], data="mnist-1000"),
            FIVE,
        ),
        _named("oim-mnist", "oscillators on MNIST", RECIPES["mnist-oscillators"], FIVE),
        _named(
            "oim-fashion-mnist",
            "oscillators on Fashion-MNIST",
            RECIPES["fashion-mnist-oscillators"],
            FIVE,
        ),
        _named(
            "oim-mnist-local",
            "the same by the plain local rule",
            _local(RECIPES["mnist-oscillators"]),
            FIVE,
        ),
        _named(
            "oim-fashion-mnist-local",
            "the same by the plain local rule",
            _local(RECIPES["fashion-mnist-oscillators"]),
            FIVE,
        ),
    )
)


GROUPS: dict[str, tuple[str, ...]] = {
    "oim": tuple(name for name in EXPERIMENTS if name.startswith("oim-")),
}
"""All the experiments of one paper."""


def reproduce(
    experiment: Experiment, out: Path, data_dir: Path | None = None, quick: bool = False
) -> dict[str, Any]:
    """Train every seed, resuming whatever was begun, and write ``<out>/<name>/result.json``."""
    about = surroundings()
    recipe, seeds = experiment.recipe, experiment.seeds
    name = experiment.name
    if quick:
        recipe, seeds, name = dataclasses.replace(recipe, epochs=1), seeds[:1], f"{name}-quick"
    results = [_seed(name, dataclasses.replace(recipe, seed=seed), data_dir) for seed in seeds]
    errors = np.asarray([result["test_error_percent"] for result in results])
    summary = {
        "name": name,
        "command": f"eqprop reproduce {experiment.name}" + (" --quick" if quick else ""),
        "test_error_percent": {
            "mean": errors.mean(),
            "std": errors.std(ddof=1 if len(errors) > 1 else 0),
        },
        "seeds": list(seeds),
        "seconds": {"mean": np.mean([result["seconds"] for result in results])},
        "runs": results,
        **about,
    }
    path = write_json(out / name / "result.json", summary)
    tell(
        f"{name}: test error {errors.mean():.2f} ± {summary['test_error_percent']['std']:.2f} % "
        f"over {len(seeds)} seeds; {path}"
    )
    return summary


def _seed(name: str, recipe: Recipe, data_dir: Path | None) -> dict[str, Any]:
    folder = Path("runs") / name / f"seed-{recipe.seed}"
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
    draw_run(folder, data_dir)
    return result
