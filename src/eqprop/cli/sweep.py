"""Train a recipe for each of several numbers, over seeds, and choose by validation accuracy."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

from eqprop.cli import options
from eqprop.cli.commands import spelt
from eqprop.papers import figures
from eqprop.papers.call import Call, name_of
from eqprop.papers.study import Asked, folder_of, mean_and_std, train_seed
from eqprop.training import rivals
from eqprop.training.callbacks import Callback
from eqprop.training.epoch import DivergedError, StepReport
from eqprop.training.files import dumps, require_writable, write_json
from eqprop.training.surroundings import surroundings
from eqprop.training.terminal import show, tell
from eqprop.training.training import Training

ACCURACY = "validation_accuracy_percent"


class Case(NamedTuple):
    """A point of the product: its numbers by option, the recipe's arguments, and what was not as usual."""

    values: dict[str, float]
    arguments: dict[str, Any]
    asked: options.Sweep


def sweep(
    recipe: Callable[..., Training],
    parsed: Sequence[tuple[dict[str, float], dict[str, Any], options.Sweep]],
) -> None:
    """Train every `Case` and seed, resuming whatever was begun; a table, a figure, and ``result.json``."""
    cases = [Case(*one) for one in parsed]
    asked, name = cases[0].asked, name_of(recipe)
    if asked.seeds < 1:
        raise ValueError(f"seeds: expected 1 or more, got {asked.seeds}.")
    out = Path("runs") / f"sweep-{name}" if asked.out is None else spelt(asked.out)
    require_writable(out)
    about, seeds = surroundings(), range(asked.seeds)
    place = Asked(f"sweep-{name}", out, asked.data_dir, False)
    calls = [_call(recipe, case) for case in cases]
    labels = [f"sweep-{name}/{slug(call)}" for call in calls]
    waiting = [label for label in labels for seed in seeds if not _finished(label, seed)]
    clock = Clock(len(waiting), calls[0].training().epochs)
    tell(f"{len(cases) * len(seeds)} runs, {len(waiting)} to train")
    rows = []
    for case, call, label in zip(cases, calls, labels, strict=True):
        found = [_accuracy(label, call, seed, place, clock) for seed in seeds]
        rows.append({"values": case.values, **_over(found)})
    best = chosen(rows)
    place.save(
        "sweep", figures.sweep(_lines(rows), *_axis(rows), ACCURACY, "validation accuracy (%)")
    )
    result = {"name": name, "seeds": list(seeds), "cases": rows, "best": best, **about}
    show(as_table(rows, best, f"{name}, validation accuracy over {len(seeds)} seeds"))
    tell(f"  {write_json(out / 'result.json', result)}")
    if asked.json:
        print(dumps(result))


class Clock(Callback):
    """Says once how long all runs will take: after the first epoch, where it has several compiled calls of
    which the first is compilation too, and else after the second."""

    def __init__(self, runs: int, epochs: int):
        self.runs, self.epochs = runs, epochs
        self.known = False
        self.began: tuple[float, float] | None = None

    def step(self, progress: StepReport) -> None:
        if self.began is None:
            self.began = time.perf_counter(), progress.step / progress.steps

    def epoch(self, row: Mapping[str, float]) -> None:
        if self.known or self.began is None:
            return
        since, done = self.began
        passed = row["epoch"] - done
        if passed or self.epochs == 1:
            self.known = True
            each = (time.perf_counter() - since) / passed if passed else row["seconds"]
            left = self.runs * self.epochs - row["epoch"]
            tell(f"all runs: about {spoken(left * each)} more, by the first epochs")


def spoken(seconds: float) -> str:
    """A time in the unit that suits it."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def slug(call: Call) -> str:
    """What of a call is not as usual, as the name of a folder: ``beta-0.2+solver.max_steps-30``."""
    told, usual = call.told(), Call(call.recipe).told()
    parts = dict(_differing(told["arguments"], usual["arguments"]))
    if call.by is not None:
        parts["by"] = told["by"]
    named = "+".join(f"{part}-{_plainly(value)}" for part, value in parts.items())
    return re.sub(r"[^\w.+-]+", "-", named) or "as-it-is"


def _plainly(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, list) else str(value)


def _differing(told: Any, usual: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(told, Mapping) and isinstance(usual, Mapping) and told.keys() == usual.keys():
        return [
            pair
            for part in told
            for pair in _differing(told[part], usual[part], f"{path}.{part}" if path else part)
        ]
    return [] if told == usual else [(path, told)]


def _finished(label: str, seed: int) -> bool:
    return (folder_of(label, seed) / "result.json").exists()


def _call(recipe: Callable[..., Training], case: Case) -> Call:
    by = case.asked.estimator
    return Call(recipe, case.arguments, None if by is None else rivals.named(by))


def _accuracy(label: str, call: Call, seed: int, place: Asked, clock: Clock) -> tuple[float, float]:
    """Validation accuracy in percent, not a number of a run that diverged, and seconds."""
    try:
        run = train_seed(label, call, seed, place, (clock,), audit=False)
    except DivergedError as error:
        tell(f"{label} seed {seed}: {error}")
        return np.nan, np.nan
    return 100 * run.result["validation_accuracy"], run.result["seconds"]


def _over(found: Sequence[tuple[float, float]]) -> dict[str, Any]:
    accuracies, seconds = zip(*found, strict=True)
    return {
        ACCURACY: mean_and_std(accuracies) | {"each": list(accuracies)},
        "seconds": float(np.mean(seconds)),
        "diverged": int(np.isnan(accuracies).sum()),
    }


def chosen(rows: Sequence[Mapping[str, Any]]) -> dict[str, float] | None:
    """The numbers of the highest mean validation accuracy, among those none of whose runs diverged."""
    whole = [row for row in rows if not row["diverged"]]
    return max(whole, key=lambda row: row[ACCURACY]["mean"])["values"] if whole else None


def _axis(rows: Sequence[Mapping[str, Any]]) -> tuple[str]:
    """The option with most numbers, which the figure takes as its axis."""
    several = {option: len({row["values"][option] for row in rows}) for option in rows[0]["values"]}
    return (max(several, key=lambda option: several[option]),)


def _lines(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows for the figure: a line for each choice of the other options."""
    (axis,) = _axis(rows)
    found = []
    for row in rows:
        others = [f"{name} = {value:g}" for name, value in row["values"].items() if name != axis]
        line = ", ".join(others) or "mean ± std over seeds"
        found.append({"line": line, "value": row["values"][axis], ACCURACY: row[ACCURACY]})
    return found


def as_table(
    rows: Sequence[Mapping[str, Any]], best: Mapping[str, float] | None, title: str
) -> Table:
    """A row a case, the best one marked."""
    table = Table(title=title, title_justify="left")
    for option in rows[0]["values"]:
        table.add_column(option, justify="right")
    for column in ("validation %", "seconds a run", ""):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        mean, std = row[ACCURACY]["mean"], row[ACCURACY]["std"]
        deviation = f" ± {std:.2f}" if len(row[ACCURACY]["each"]) > 1 else ""
        shown = f"{row['diverged']} diverged" if row["diverged"] else f"{mean:.2f}{deviation}"
        cells = (f"{value:g}" for value in row["values"].values())
        mark = "best" if row["values"] == best else ""
        table.add_row(*cells, shown, f"{row['seconds']:.0f}", mark)
    return table
