"""Experiments that train one recipe in several ways: along an axis, or followed epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from eqprop.papers import figures
from eqprop.papers.call import Call
from eqprop.papers.study import Asked, Study, over_seeds, spoken, train_seed
from eqprop.training.predict import predicted
from eqprop.training.terminal import tell
from eqprop.training.trained import Run


class Case(NamedTuple):
    """One point of a sweep: on which line, at which value, and what is trained there."""

    line: str
    value: float
    call: Call


@dataclass(frozen=True)
class Sweep(Study):
    """Recipes along an axis, each trained once for each seed."""

    axis: str
    """What the values are."""
    cases: tuple[Case, ...]
    seeds: tuple[int, ...] = (0, 1, 2)

    def results(self, asked: Asked) -> dict[str, Any]:
        """Train every case and seed, resuming whatever was begun. The second case is a quick trial's: the
        first is often the recipe as it is."""
        seeds = self.seeds[:1] if asked.quick else self.seeds
        rows = []
        for case in self.cases[:2][-1:] if asked.quick else self.cases:
            label = f"{asked.name}/{slug(case.line)}-{case.value:g}"
            runs = [train_seed(label, case.call, seed, asked) for seed in seeds]
            rows.append({"line": case.line, "value": case.value, **_row(case.call, runs)})
        asked.save("sweep", figures.sweep(rows, self.axis))
        return {"axis": self.axis, "seeds": list(seeds), "cases": rows}

    def summary(self, found: Mapping[str, Any]) -> list[str]:
        return [
            f"{row['line']} at {row['value']:g}: test error "
            f"{spoken(row['test_error_percent'], found['seeds'])}"
            for row in found["cases"]
        ]


@dataclass(frozen=True)
class Comparison(Study):
    """A recipe in several ways, each trained once for each seed, followed epoch by epoch."""

    ways: Mapping[str, Call]
    seeds: tuple[int, ...] = (0, 1, 2)

    def results(self, asked: Asked) -> dict[str, Any]:
        """Train every way and seed, resuming whatever was begun."""
        seeds = self.seeds[:1] if asked.quick else self.seeds
        rows = []
        for line, call in some(self.ways, 4 if asked.quick else 1).items():
            label = f"{asked.name}/{slug(line)}"
            training = call.in_short() if asked.quick else call.training()
            if seconds := predicted(training, asked.data_dir):
                tell(f"{label}: at most {seconds / 60:.1f} minutes a run are predicted")
            runs = [train_seed(label, call, seed, asked) for seed in seeds]
            accuracies = [list(run.history["validation_accuracy"]) for run in runs]
            rows.append({"line": line, "validation_accuracy": accuracies, **_row(call, runs)})
        asked.save("accuracies", figures.accuracies(rows))
        return {"seeds": list(seeds), "cases": rows}

    def summary(self, found: Mapping[str, Any]) -> list[str]:
        return [
            f"{row['line']}: test error {spoken(row['test_error_percent'], found['seeds'])}"
            for row in found["cases"]
        ]


def slug(line: str) -> str:
    """The name of a folder for a way: ``beta-0.01-common-noise``."""
    words = line.replace("β", "beta").replace("=", " ").replace(",", " ").split()
    return "-".join(words).lower()


def some(ways: Mapping[str, Any], every: int) -> dict[str, Any]:
    """The first of so many, and the first of the next."""
    return dict(list(ways.items())[::every])


def _row(call: Call, runs: list[Run]) -> dict[str, Any]:
    found = over_seeds([run.result for run in runs])
    return {**call.told(), **found, "seconds": found["seconds"]["mean"]}
