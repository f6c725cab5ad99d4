"""Sequential MNIST by layers of oscillators: the echo, and back-propagation through time from the same
start."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from eqprop.estimators.audit import compare
from eqprop.lagrangian import evolve, unroll
from eqprop.lagrangian.oscillators import Passage
from eqprop.papers import figures
from eqprop.papers.lagrangian.sequences import (
    Classifier,
    Images,
    SequenceState,
    cross_entropy,
    evaluate,
    optimiser_of,
    run_epoch,
)
from eqprop.papers.study import QUICK, RUNS, command, mean_and_std, over_seeds
from eqprop.training.data import datasets as data_sets
from eqprop.training.data.sources import Split
from eqprop.training.figures import plots
from eqprop.training.files import AnyPath, read_json, write_json
from eqprop.training.runs import Folder, require_same
from eqprop.training.surroundings import surroundings
from eqprop.training.terminal import tell

PASSAGES: dict[str, Passage] = {"echo": evolve, "BPTT": unroll}

AUDITED = 64

HELD_OUT = 500
"""Images that judge a quick run, of both kinds."""


@dataclass(frozen=True)
class SequenceSetup:
    """How images are read, and by what: ``features`` numbers a step (28 a row, 1 a pixel), layers of these
    ``widths``, ``rates`` of the slowest and the fastest oscillator, trained by `optimiser_of`."""

    features: int
    widths: tuple[int, ...]
    rates: tuple[float, float]
    epochs: int
    batch_size: int = 100
    learning_rate: float = 1e-2
    validation: int = 5000
    examples: int = 0
    """So many training images; 0 for all."""


@dataclass(frozen=True)
class SequenceLearning:
    """MNIST read in several ways, each learnt by the echo and by BPTT once for each seed."""

    name: str
    about: str
    readings: Mapping[str, SequenceSetup]
    seeds: tuple[int, ...] = (0,)
    data_set: str = "mnist"
    passages: Mapping[str, Passage] = field(default_factory=lambda: PASSAGES)

    def reproduce(
        self, out: AnyPath, data_dir: AnyPath | None = None, quick: bool = False
    ) -> dict[str, Any]:
        """Train every way and seed, resuming whatever was begun; write ``<out>/<name>/result.json`` and a
        figure beside the runs."""
        about, seeds = surroundings(), self.seeds[:1] if quick else self.seeds
        name = f"{self.name}-quick" if quick else self.name
        source = data_sets.load_dataset(self.data_set, data_dir)
        cases = []
        for label, reading in list(self.readings.items())[: 1 if quick else None]:
            asked = _in_short(reading) if quick else reading
            for passage in self.passages:
                folder = RUNS / name / f"{label}-{passage}"
                runs = [self._run(folder, asked, passage, seed, source, quick) for seed in seeds]
                cases.append(_case(f"{label}, {passage}", asked, runs))
                error = cases[-1]["test_error_percent"]
                tell(f"{label}, {passage}: test error {over_seeds(error, len(seeds))}")
        tell(f"  {plots.save(figures.accuracies(cases), RUNS / name / 'accuracies.png')}")
        summary = {
            "name": name,
            "command": command(self.name, quick),
            "seeds": list(seeds),
            "cases": cases,
            **about,
        }
        tell(f"{name}: {write_json(Path(out) / name / 'result.json', summary)}")
        return summary

    def _run(
        self,
        parent: Path,
        reading: SequenceSetup,
        passage: str,
        seed: int,
        source: data_sets.Dataset,
        quick: bool,
    ) -> dict[str, Any]:
        folder = parent / f"seed-{seed}"
        config = dataclasses.asdict(reading) | {
            "passage": passage,
            "seed": seed,
            "data": self.data_set,
        }
        if (folder / "result.json").exists():
            require_same(folder, config)
            return read_json(folder / "result.json")
        run = Folder(folder, config, resume=(folder / "config.json").exists())
        train, held_out = data_sets.split_validation(source.train, reading.validation, seed=0)
        count = reading.examples or len(train.y)
        images = Images.of(Split(train.x[:count], train.y[:count]), source.scale)
        validation = Images.of(held_out, source.scale)
        steps = reading.epochs * (count // reading.batch_size)
        optimiser = optimiser_of(reading.learning_rate, steps)
        model = Classifier(
            jax.random.key(seed),
            reading.features,
            reading.widths,
            reading.rates,
            self.passages[passage],
        )
        state = run.restore(SequenceState.start(model, optimiser))
        run.keep_rows(int(state.epoch))
        rows = run.rows()
        began = time.perf_counter() - (rows[-1]["seconds"] if rows else 0.0)
        size, features = reading.batch_size, reading.features
        while int(state.epoch) < reading.epochs:
            state, loss, accuracy = run_epoch(state, optimiser, images, size, features, seed)
            right = evaluate(state.model, validation, size, features)
            state = state.after_epoch(right)
            row = {
                "epoch": int(state.epoch),
                "seconds": time.perf_counter() - began,
                "loss": loss,
                "accuracy": accuracy,
                "validation_accuracy": right,
            }
            run.log(row)
            run.save(int(state.epoch), state)
            tell(
                f"epoch {row['epoch']:3.0f}/{reading.epochs}  loss {loss:.4f}  train {accuracy:.2%}  "
                f"validation {right:.2%}  {row['seconds']:.0f} s"
            )
        rows, test = run.rows(), Images.of(source.test, source.scale)
        looked = test.some(slice(HELD_OUT)) if quick else test
        score = evaluate(state.best, looked, size, features)
        return read_json(
            write_json(
                folder / "result.json",
                {
                    "test_error_percent": 100 * (1 - score),
                    "best_epoch": int(state.best_epoch),
                    "seconds": rows[-1]["seconds"],
                    "validation_accuracy": [row["validation_accuracy"] for row in rows],
                    "gradient_error": gradient_error(state.best, validation, features),
                    "seed": seed,
                },
            )
        )


def gradient_error(model: Classifier, images: Images, features: int) -> float:
    """Of the echo against BPTT, relative, over all parameters, on the first images."""
    looked = images.some(slice(AUDITED))
    x, y = looked.sequence(features), looked.y

    def by(passage: Passage) -> Classifier:
        layers = [dataclasses.replace(layer, passage=passage) for layer in model.layers]
        return _gradient(eqx.tree_at(lambda m: m.layers, model, layers), x, y)

    mine, theirs = (jax.tree.leaves(by(passage)) for passage in (evolve, unroll))
    return compare(mine, theirs)[-1].relative_error


@eqx.filter_jit
def _gradient(model: Classifier, x: Array, y: Array) -> Classifier:
    return eqx.filter_grad(lambda model: cross_entropy(model, x, y)[0])(model)


def _in_short(reading: SequenceSetup) -> SequenceSetup:
    held_out = min(reading.validation, HELD_OUT)
    short = QUICK if reading.features > 1 else QUICK // 8
    return dataclasses.replace(reading, epochs=1, examples=short, validation=held_out)


def _case(line: str, reading: SequenceSetup, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "line": line,
        "reading": dataclasses.asdict(reading),
        "validation_accuracy": [run["validation_accuracy"] for run in runs],
        "test_error_percent": mean_and_std([run["test_error_percent"] for run in runs]),
        "seconds": float(np.mean([run["seconds"] for run in runs])),
        "runs": list(runs),
    }


READINGS = {
    "row-wise": SequenceSetup(features=28, widths=(128, 128), rates=(0.05, 1.0), epochs=12),
    "pixel-wise": SequenceSetup(features=1, widths=(128, 128), rates=(0.005, 0.2), epochs=8),
}
