"""Spiking EP beside what else trains the same network, and every result against the steps of the test."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from eqprop.energies.model import Model
from eqprop.papers import figures
from eqprop.papers.comparison import slug
from eqprop.papers.study import command, folder_of, in_short, mean_and_std, train_seed
from eqprop.training.assemble import make_solver, make_spiking
from eqprop.training.epoch import evaluate
from eqprop.training.figures import plots
from eqprop.training.files import AnyPath, write_json
from eqprop.training.recipe_fit import load_best
from eqprop.training.spiking_recipes import SpikingRecipe
from eqprop.training.surroundings import surroundings
from eqprop.training.task import Task, prepare
from eqprop.training.terminal import tell


@dataclass(frozen=True)
class Baselines:
    """A recipe trained in several ways, once for each seed; each best model is then tested without spikes,
    and with spikes after free phases of several lengths, whatever it was trained with. A network trained
    without spikes and tested with them is the rate-trained baseline."""

    name: str
    about: str
    recipe: SpikingRecipe
    ways: Mapping[str, Mapping[str, Any]]
    """What each way changes in the recipe."""
    steps: tuple[int, ...] = (2, 5, 10, 20, 30, 60, 120)
    """Steps T of the free phases of the test."""
    seeds: tuple[int, ...] = (0, 1, 2)

    def reproduce(
        self, out: AnyPath, data_dir: AnyPath | None = None, quick: bool = False
    ) -> dict[str, Any]:
        """Train every way and seed, resuming whatever was begun; write ``<out>/<name>/result.json`` and a
        figure beside it."""
        about, seeds = surroundings(), self.seeds[:1] if quick else self.seeds
        name, recipe = in_short(self.name, self.recipe, quick)
        assert isinstance(recipe, SpikingRecipe)
        steps = self.steps[1:3] if quick else self.steps
        ways = dict(list(self.ways.items())[2:]) if quick else self.ways
        rows = []
        for line, change in ways.items():
            changed, label = dataclasses.replace(recipe, **change), f"{name}/{slug(line)}"
            task = prepare(changed, data_dir)
            runs, tested = [], []
            for seed in seeds:
                one = dataclasses.replace(changed, seed=seed)
                runs.append(train_seed(label, one, data_dir, not quick))
                model = load_best(dataclasses.replace(task, recipe=one), folder_of(label, seed))
                tested.append(by_steps(task, recipe, model, steps))
            settled = mean_and_std([test["without spikes"] for test in tested])
            spiking = [mean_and_std([test[str(count)] for test in tested]) for count in steps]
            rows.append(
                {
                    "line": line,
                    "change": change,
                    "test_error_percent": mean_and_std([r["test_error_percent"] for r in runs]),
                    "seconds": float(np.mean([run["seconds"] for run in runs])),
                    "accuracy_without_spikes": settled,
                    "accuracy_by_steps": spiking,
                }
            )
            tell(
                f"{line}: without spikes {settled['mean']:.2f} %, with spikes "
                + ", ".join(
                    f"T = {t}: {s['mean']:.2f} %" for t, s in zip(steps, spiking, strict=True)
                )
            )
        tell(f"  {plots.save(_drawn(rows, steps), Path(out) / name / 'steps.png')}")
        summary = {
            "name": name,
            "command": command(self.name, quick),
            "recipe": dataclasses.asdict(recipe),
            "seeds": list(seeds),
            "steps": steps,
            "cases": rows,
            **about,
        }
        path = write_json(Path(out) / name / "result.json", summary)
        tell(f"{name}: {len(rows)} ways; {path}")
        return summary


def by_steps(
    task: Task, recipe: SpikingRecipe, model: Model, steps: tuple[int, ...]
) -> dict[str, float]:
    """Test accuracy % without spikes, and with spikes after so many steps, of which the second half is
    averaged."""
    settled = evaluate(model, task.test, make_solver(dataclasses.replace(recipe, max_steps=60)))
    found = {"without spikes": 100 * settled.accuracy}
    for count in steps:
        half: dict[str, Any] = {"max_steps": count, "predicted": max(1, count // 2)}
        spiking = make_spiking(dataclasses.replace(recipe, **half))
        seen = evaluate(model, task.test, spiking, key=jax.random.key(9))
        found[str(count)] = 100 * seen.accuracy
    return found


def _drawn(rows: list[dict[str, Any]], steps: tuple[int, ...]) -> Any:
    lines = {
        row["line"]: (steps, [100 - one["mean"] for one in row["accuracy_by_steps"]])
        for row in rows
    }
    return figures.curves({"": lines}, ("steps T of the test",), "test error with spikes (%)")
