"""Sequential MNIST by layers of oscillators: the echo, and back-propagation through time from the same
start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from eqprop.estimators.audit import audit
from eqprop.estimators.estimator import Estimator
from eqprop.lagrangian import unroll
from eqprop.papers import figures
from eqprop.papers.call import Call
from eqprop.papers.lagrangian.sequences import Paced, ThroughTime, classifier
from eqprop.papers.study import Asked, Study, over_seeds, spoken, train_seed
from eqprop.training.data.named import MNIST, Named
from eqprop.training.optimisers import Adam, Cosine
from eqprop.training.trained import Run
from eqprop.training.training import Training, batch_of, prepare

AUDITED = 64


def oscillators_in_time(
    features: int,
    widths: tuple[int, ...],
    rates: tuple[float, float],
    epochs: int,
    batch_size: int = 100,
    learning_rate: float = 1e-2,
    validation: int = 5000,
    examples: int = 0,
    data: Named = MNIST,
    seed: int = 0,
) -> Training:
    """Images as sequences, read by stacked layers of oscillators that learn by their echo.

    Args:
        features: numbers a step: the width of an image for its rows, 1 for its pixels.
        widths: oscillators of each layer.
        rates: of the slowest and the fastest oscillator.
        epochs: passes over the training images.
        batch_size: images a step.
        learning_rate: of Adam, at the start of its cosine.
        validation: training images held out.
        examples: so many training images; 0 is all.
        data: the images.
        seed: of weights and shuffling.
    """
    steps, key = data.features // features, jax.random.key(seed)
    return Training(
        model=classifier(key, steps, features, widths, rates, data.classes),
        estimator=ThroughTime(),
        data=data,
        optimiser=Paced(learning_rate, Adam(), Cosine(), clip_norm=1.0),
        epochs=epochs,
        batch_size=batch_size,
        validation=validation,
        examples=examples,
        seed=seed,
    )


def by_tape(estimator: Estimator) -> Estimator:
    """Back-propagation through time."""
    return ThroughTime(unroll)


WAYS: dict[str, Callable[[Estimator], Estimator] | None] = {"echo": None, "BPTT": by_tape}


@dataclass(frozen=True)
class SequenceLearning(Study):
    """Images read in several ways, each learnt by the echo and by BPTT once for each seed."""

    readings: Mapping[str, Call]
    seeds: tuple[int, ...] = (0,)

    def results(self, asked: Asked) -> dict[str, Any]:
        """Train every way and seed, resuming whatever was begun. A quick trial is of the first reading."""
        seeds = self.seeds[:1] if asked.quick else self.seeds
        cases = []
        for label, call in list(self.readings.items())[: 1 if asked.quick else None]:
            call = _in_short(call) if asked.quick else call
            for way, by in WAYS.items():
                folder, one = f"{asked.name}/{label}-{way}", call.but(by=by)
                runs = [_told(train_seed(folder, one, seed, asked), one, asked) for seed in seeds]
                cases.append(_case(f"{label}, {way}", call, runs))
        asked.save("accuracies", figures.accuracies(cases))
        return {"seeds": list(seeds), "cases": cases}

    def summary(self, found: Mapping[str, Any]) -> list[str]:
        return [
            f"{case['line']}: test error {spoken(case['test_error_percent'], found['seeds'])}"
            for case in found["cases"]
        ]


def _in_short(call: Call) -> Call:
    """What `Call.in_short` trains, in the arguments that the result tells."""
    short = call.in_short()
    return call.but(epochs=short.epochs, examples=short.examples, validation=short.validation)


def _told(run: Run, call: Call, asked: Asked) -> dict[str, Any]:
    kept = ("test_error_percent", "best_epoch", "seconds", "seed")
    return {
        **{name: run.result[name] for name in kept},
        "validation_accuracy": list(run.history["validation_accuracy"]),
        "gradient_error": _error(run, call.training(), asked),
    }


def _error(run: Run, training: Training, asked: Asked) -> float:
    """Of the echo against BPTT, relative, over all parameters, on the first images held out."""
    x, y = batch_of(prepare(training, asked.data_dir).validation, run.model, AUDITED)
    echo, tape = ThroughTime(), ThroughTime(unroll)
    return audit(run.model, x, y, echo, tape, jax.random.key(0))[-1].relative_error


def _case(line: str, call: Call, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found = over_seeds(runs)
    others = ("data", "seed")
    return {
        "line": line,
        "reading": {name: value for name, value in call.arguments.items() if name not in others},
        "validation_accuracy": [run["validation_accuracy"] for run in runs],
        "test_error_percent": found["test_error_percent"],
        "seconds": found["seconds"]["mean"],
        "runs": list(runs),
    }


READINGS = {
    "row-wise": Call(
        oscillators_in_time,
        {"features": 28, "widths": (128, 128), "rates": (0.05, 1.0), "epochs": 12},
    ),
    "pixel-wise": Call(
        oscillators_in_time,
        {"features": 1, "widths": (128, 128), "rates": (0.005, 0.2), "epochs": 8},
    ),
}
