"""Experiments: recipes over seeds, and the committed results that they regenerate."""

from __future__ import annotations

import dataclasses
import itertools
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from eqprop.papers.call import Call
from eqprop.training.callbacks import Callback
from eqprop.training.figures import plots
from eqprop.training.figures.run import draw_run
from eqprop.training.files import AnyPath, write_json
from eqprop.training.fit import fit
from eqprop.training.surroundings import surroundings
from eqprop.training.terminal import show, tell
from eqprop.training.trained import Run

RUNS = Path("runs")

CLEARED_EVERY = 32

_runs = itertools.count(1)


class Asked(NamedTuple):
    """What a study is run with: its name on this occasion, where it writes, where the data lie, and
    whether it is a quick trial."""

    name: str
    folder: Path
    data_dir: AnyPath | None
    quick: bool

    def save(self, name: str, figure: Figure) -> None:
        """A figure beside the result."""
        tell(f"  {plots.save(figure, self.folder / f'{name}.png')}")


@dataclass(frozen=True)
class Study:
    """What `eqprop reproduce` runs."""

    name: str
    about: str

    @abstractmethod
    def results(self, asked: Asked) -> dict[str, Any]:
        """Run it, or what is left of it, save its figures, and say what was found."""

    def summary(self, found: Mapping[str, Any]) -> Sequence[str | Table]:
        """What a reader wants to know first, in lines and tables."""
        return []

    def each(self, change: Callable[[Call], Call]) -> Study:
        """The study with every recipe changed. ``ValueError`` where it has none."""
        met: list[Call] = []

        def changing(part: Any) -> Any:
            if isinstance(part, Call):
                met.append(part)
                return change(part)
            if isinstance(part, Mapping):
                return {name: changing(inner) for name, inner in part.items()}
            if isinstance(part, tuple):
                parts = [changing(inner) for inner in part]
                return part._make(parts) if hasattr(part, "_make") else tuple(parts)
            return part

        changed = {name: changing(part) for name, part in vars(self).items()}
        if not met:
            raise ValueError(
                f"{self.name}: expected an experiment of recipes, such as hopfield-resnet-cifar-10; leave "
                "the options that change them out."
            )
        return dataclasses.replace(self, **changed)

    def reproduce(
        self, out: AnyPath, data_dir: AnyPath | None = None, quick: bool = False
    ) -> dict[str, Any]:
        """Run it, or what is left of it, and write ``<out>/<name>/result.json``."""
        about, began = surroundings(), time.perf_counter()
        name = f"{self.name}-quick" if quick else self.name
        asked = Asked(name, Path(out) / name, data_dir, quick)
        head = {"name": name, "command": command(self.name, quick)}
        found = self.results(asked)
        took = {"seconds": time.perf_counter() - began}
        result = head | took | found | about
        path = write_json(asked.folder / "result.json", result)
        for part in self.summary(result):
            tell(part) if isinstance(part, str) else show(part)
        tell(f"{name}: {path}")
        return result


@dataclass(frozen=True)
class Experiment(Study):
    """A recipe trained once for each seed."""

    call: Call
    seeds: tuple[int, ...] = (0, 1, 2)

    def results(self, asked: Asked) -> dict[str, Any]:
        """Train every seed, resuming whatever was begun; figures are drawn of all but quick trials."""
        seeds = self.seeds[:1] if asked.quick else self.seeds
        runs = [train_seed(asked.name, self.call, seed, asked) for seed in seeds]
        for run in runs:
            if not asked.quick and run.folder and not (run.folder / "learning.png").exists():
                draw_run(run.folder, asked.data_dir)
        results = [run.result for run in runs]
        return {**over_seeds(results), "seeds": list(seeds), "runs": results}

    def summary(self, found: Mapping[str, Any]) -> list[str]:
        return [
            f"{found['name']}: test error {spoken(found['test_error_percent'], found['seeds'])}"
        ]


def command(name: str, quick: bool) -> str:
    """What makes the experiment again; ``name--width-8`` is one with an option."""
    base, *options = name.split("--")
    given = [f"--{option.replace('-', ' ')}" for option in options]
    return " ".join(["eqprop reproduce", base, *given, *(["--quick"] if quick else [])])


def mean_and_std(values: Sequence[float]) -> dict[str, float]:
    several = len(values) > 1
    return {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=int(several)))}


def over_seeds(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Test error and seconds of the runs of one recipe."""
    return {
        "test_error_percent": mean_and_std([one["test_error_percent"] for one in results]),
        "seconds": {"mean": float(np.mean([one["seconds"] for one in results]))},
    }


def spoken(percent: Mapping[str, float], seeds: Sequence[int]) -> str:
    """A mean with its deviation, where there is one."""
    if len(seeds) == 1:
        return f"{percent['mean']:.2f} % (one seed)"
    return f"{percent['mean']:.2f} ± {percent['std']:.2f} % over {len(seeds)} seeds"


def folder_of(name: str, seed: int) -> Path:
    return RUNS / name / f"seed-{seed}"


def train_seed(
    label: str,
    call: Call,
    seed: int,
    asked: Asked,
    callbacks: Sequence[Callback] = (),
    audit: bool = True,
) -> Run:
    """Train one seed, or go on, or read what it gave; a quick trial without audits."""
    folder, one = folder_of(label, seed), call.but(seed=seed)
    finished = (folder / "result.json").exists()
    training = one.in_short() if asked.quick else one.training()
    if not finished:
        tell(f"{label} seed {seed} in {folder}")
    run = fit(
        training,
        folder,
        resume=True,
        callbacks=callbacks,
        data_dir=asked.data_dir,
        audit=audit and not asked.quick,
        about={"name": label, **one.told()},
    )
    if finished:
        commit = run.result["commit"]
        tell(f"{label} seed {seed}: finished before, at commit {commit}, in {folder}")
    if next(_runs) % CLEARED_EVERY == 0:
        jax.clear_caches()  # a process may map only so many compiled programs
    return run
