"""Spiking EP beside what else trains the same network, and every result against the steps of the test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
from matplotlib.figure import Figure

from eqprop.energies.model import Model
from eqprop.papers import figures
from eqprop.papers.call import Call
from eqprop.papers.comparison import slug
from eqprop.papers.stochep.spikes import Spikes
from eqprop.papers.study import Asked, Study, mean_and_std, over_seeds, train_seed
from eqprop.training.epoch import Examples, evaluate
from eqprop.training.rivals import SETTLED
from eqprop.training.training import prepare


@dataclass(frozen=True)
class Baselines(Study):
    """A recipe trained in several ways, once for each seed; each best model is then tested without spikes,
    and with spikes after free phases of several lengths, whatever it was trained with. A network trained
    without spikes and tested with them is the rate-trained baseline."""

    ways: Mapping[str, Call]
    steps: tuple[int, ...] = (2, 5, 10, 20, 30, 60, 120)
    """Steps T of the free phases of the test."""
    seeds: tuple[int, ...] = (0, 1, 2)

    def results(self, asked: Asked) -> dict[str, Any]:
        """Train every way and seed, resuming whatever was begun."""
        seeds = self.seeds[:1] if asked.quick else self.seeds
        steps = self.steps[1:3] if asked.quick else self.steps
        ways = dict(list(self.ways.items())[2:]) if asked.quick else self.ways
        rows = []
        for line, call in ways.items():
            training = call.in_short() if asked.quick else call.training()
            images = prepare(training, asked.data_dir).test
            label = f"{asked.name}/{slug(line)}"
            runs = [train_seed(label, call, seed, asked) for seed in seeds]
            tested = [by_steps(run.model, images, steps) for run in runs]
            found = over_seeds([run.result for run in runs])
            rows.append(
                {
                    "line": line,
                    **call.told(),
                    **found,
                    "seconds": found["seconds"]["mean"],
                    "accuracy_without_spikes": mean_and_std(
                        [test["without spikes"] for test in tested]
                    ),
                    "accuracy_by_steps": [
                        mean_and_std([test[str(count)] for test in tested]) for count in steps
                    ],
                }
            )
        asked.save("steps", _drawn(rows, steps))
        return {"seeds": list(seeds), "steps": steps, "cases": rows}

    def summary(self, found: Mapping[str, Any]) -> list[str]:
        return [
            f"{row['line']}: without spikes {row['accuracy_without_spikes']['mean']:.2f} %, with spikes "
            + ", ".join(
                f"T = {t}: {s['mean']:.2f} %"
                for t, s in zip(found["steps"], row["accuracy_by_steps"], strict=True)
            )
            for row in found["cases"]
        ]


def by_steps(model: Model, images: Examples, steps: tuple[int, ...]) -> dict[str, float]:
    """Test accuracy % without spikes, and with spikes after so many steps, of which the second half is
    averaged."""
    settled = evaluate(model, images, SETTLED)
    found = {"without spikes": 100 * settled.accuracy}
    layers = tuple(model.energy.shapes)
    for count in steps:
        spikes = Spikes(free_steps=count, predicted=max(1, count // 2))
        seen = evaluate(model, images, spikes.learner(layers, 0.5), key=jax.random.key(9))
        found[str(count)] = 100 * seen.accuracy
    return found


def _drawn(rows: list[dict[str, Any]], steps: tuple[int, ...]) -> Figure:
    lines = {
        row["line"]: (steps, [100 - one["mean"] for one in row["accuracy_by_steps"]])
        for row in rows
    }
    return figures.curves({"": lines}, ("steps T of the test",), "test error with spikes (%)")
