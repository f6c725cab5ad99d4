"""The training loop: epochs, checkpoints, the choice on validation, one look at the test."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import optax

from eqprop._arguments import Count, checked
from eqprop.energies.model import Model
from eqprop.estimators.estimator import Estimator, mean_loss
from eqprop.estimators.health import not_finite
from eqprop.training.alarms import noted, warn_if_rising, warn_of_epoch, warn_of_names
from eqprop.training.callbacks import Callback
from eqprop.training.devices import ONE, Devices
from eqprop.training.epoch import (
    DivergedError,
    Evaluation,
    TrainState,
    epoch_length,
    evaluate,
    keep_best,
    require_finite,
    start,
    train_epoch,
)
from eqprop.training.examined import (
    audited,
    beside_more_steps,
    warn_of_few_steps,
    warn_of_steps,
)
from eqprop.training.files import AnyPath, read_json
from eqprop.training.hosts import from_first, in_all, is_first, require_agreement
from eqprop.training.predict import seconds_of
from eqprop.training.results import read_result
from eqprop.training.rounding import warn_of_rounding
from eqprop.training.runs import Folder, Nowhere, require_same
from eqprop.training.surroundings import surroundings
from eqprop.training.terminal import TrainingBar, doing, tell, waiting
from eqprop.training.trained import Run, Trained, load
from eqprop.training.training import Prepared, Training, batch_of, prepare

SHUFFLES, AUDITED = 1, 32
LONG = 600.0
"""Seconds of a training whose gradient is compared with the exact one before it begins."""
NOT_AUDITED: dict[str, Any] = {
    "audit": [],
    "not_audited": "not asked for",
    "mixing": [],
    "spikes": None,
}
WATCHED = ("loss", "gradient_norm")
FOLLOWED = (
    *("free_", "nudged_", "first_", "last_", "objective", "divergence", "displacement_snr"),
    *("drift", "acceptance", "swap_rate", "rate", "silent", "busy"),
)


@checked
def fit(
    training: Training,
    folder: AnyPath | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    data_dir: AnyPath | None = None,
    devices: Devices = ONE,
    audit: bool = False,
    progress: bool = True,
    about: Mapping[str, Any] | None = None,
    checkpoint_every: Count = 1,
) -> Run:
    """Train, keep the epoch that is best on the examples held out, and test it once.

    Args:
        training: what is trained, by what, and on what.
        folder: where config, metrics, checkpoints and result go; without one nothing is written.
        resume: go on with the run in the folder, where there is one; a finished run of more epochs too.
        callbacks: what sees every epoch and every step of progress.
        data_dir: where the files of a named data set lie.
        devices: over which each batch is split (`eqprop.training.devices.over`).
        audit: compare the best model's gradient with the exact one at the end, and examine its phases;
            where these have a number of steps, compare with twice as many after every epoch, and where the
            training is long with the exact gradient before it begins.
        progress: show a bar on stderr; where that is no terminal, a line an epoch.
        about: what the result says besides, as the name of a recipe and its arguments.
        checkpoint_every: epochs from one checkpoint to the next, after that of the first epoch; the last
            one is always kept, and where a callback ends the run. A run that is killed goes on from the
            latest.

    Raises `DivergedError`, `RunError`, `DataError` and ``ValueError``, each with its remedy.

    Examples:
        >>> import jax
        >>> import eqprop as eq
        >>> from eqprop.training import DIGITS
        >>> model = eq.layered((64, 16, 10), jax.random.key(0))
        >>> learner = eq.EquilibriumPropagation(eq.Blockwise(1e-2), eq.symmetric(0.2))
        >>> training = eq.Training(model, learner, DIGITS, epochs=1, validation=200, examples=320)
        >>> len(eq.fit(training, progress=False).history["loss"])
        1
    """
    place = None if folder is None else Path(folder)
    if resume and place is None:
        raise ValueError("fit: expected a folder with resume, which holds what goes on; got none.")
    facts = {**(about or {})}
    config = facts | training.config()
    resume = resume and place is not None and from_first((place / "config.json").exists)
    require_agreement("training", (config, resume))
    if resume and place is not None and from_first((place / "result.json").exists):
        from_first(lambda: require_same(place, config))
        finished = from_first(lambda: read_result(place / "result.json"))
        asked = from_first(lambda: read_json(place / "config.json"))["epochs"]
        done = asked if finished.get("stopped") else finished["epochs"]
        if done >= training.epochs:
            return load(place)
    facts |= surroundings()
    shown = progress and is_first()
    with noted([]) as told:
        if place is not None:
            warn_of_names(config["model"], config["estimator"])
        with waiting("reading the data", shown):
            data = in_all(lambda: prepare(training, data_dir, devices))
            require_agreement("data", (data.data.train, data.data.test))
        with doing("trying one step", shown):
            _try_out(training, data, audit)
    calls, length = epoch_length(data.train.x.shape[0], training.batch_size)
    optimiser = training.transform(training.epochs * calls * length)
    opened = Nowhere() if place is None else Folder(place, config, resume, from_first)
    bars = [TrainingBar(training.epochs, training.fixed_steps)] if shown else []
    watching: list[Callback] = [*bars, *callbacks]
    with opened as run, ExitStack() as held:
        for callback in watching:
            if isinstance(callback, AbstractContextManager):
                held.enter_context(callback)
        state = devices.place(run.restore(start(training.model, optimiser)))
        run.keep_rows(int(state.epoch))
        told = held.enter_context(noted([*run.warnings(), *told]))
        state, stopped = _epochs(
            training, data, state, optimiser, run, watching, told, checkpoint_every, audit
        )
        facts |= {"stopped": stopped}
        return _conclude(training, data, state, run, audit, facts, told, bars)


def _try_out(training: Training, data: Prepared, audit: bool) -> None:
    """Trace one step, so that what cannot run fails before it has a folder."""
    model, estimator = training.model, training.estimator
    x, y = batch_of(data.validation, model, AUDITED)
    if (lost := not_finite(model, x)) is not None:
        raise DivergedError(
            f"Training cannot begin: expected finite numbers, got others in {lost}."
        )
    inner, met = estimator.inside(model)
    warn_if_rising(getattr(inner, "solver", None), met, x)
    estimator.check(model, x, y)
    warn_of_rounding(inner, met, x, y)
    eqx.filter_eval_shape(estimator, model, x, y, model.rest(x), jax.random.key(0))
    if audit and training.fixed_steps and (seconds_of(training, data) or 0.0) > LONG:
        warn_of_few_steps(estimator, model, x, y)


def _epochs(
    training: Training,
    data: Prepared,
    state: TrainState,
    optimiser: optax.GradientTransformation,
    run: Folder | Nowhere,
    callbacks: Sequence[Callback],
    told: list[str],
    every: int,
    watched: bool,
) -> tuple[TrainState, bool]:
    """The state after the last epoch, and whether a callback ended the training before."""
    estimator = training.estimator
    x, y = batch_of(data.validation, training.model, AUDITED)
    rest = float(mean_loss(training.model, training.model.rest(x), y))
    key = jax.random.fold_in(jax.random.key(training.seed), SHUFFLES)
    rows, kept = run.rows(), run.folder is not None
    stopped = [callback.epoch(row) for row in rows for callback in callbacks]
    began = time.perf_counter() - (rows[-1]["seconds"] if rows else 0.0)
    while int(state.epoch) < training.epochs and not any(stopped):
        calls = []
        steps = train_epoch(
            state, data.train, estimator, optimiser, training.batch_size, key, training.augment
        )
        for updated, progress in steps:
            state = updated
            where = f"in epoch {progress.epoch + 1}, step {progress.step}"
            require_finite({name: progress.metrics[name] for name in WATCHED}, where, kept)
            calls.append(progress.metrics)
            for callback in callbacks:
                callback.step(progress)
        held_out = evaluate(state.model, data.validation, estimator)
        where = f"after epoch {int(state.epoch) + 1}"
        require_finite({"validation loss": held_out.loss}, where, kept)
        state = keep_best(state, held_out.score, training.test_last)
        row = {"epoch": int(state.epoch), "seconds": time.perf_counter() - began}
        row |= {name: float(np.mean([call[name] for call in calls])) for name in calls[0]}
        row |= {f"validation_{name}": value for name, value in _seen(held_out).items()}
        rows.append(row)
        row |= (
            beside_more_steps(estimator, data.devices.fetch(state.model), x, y) if watched else {}
        )
        warn_of_epoch(row, rows[0], rest)
        warn_of_steps(row, told)
        run.log(row)
        run.warn(told)
        epoch = int(state.epoch)
        kept = epoch in (1, training.epochs) or epoch % every == 0
        if kept:
            run.save(epoch, state)
        stopped = [callback.epoch(row) for callback in callbacks]
        if any(stopped) and not kept:
            run.save(epoch, state)
    return state, any(stopped)


def _seen(found: Evaluation) -> dict[str, float]:
    right = {} if np.isnan(found.accuracy) else {"accuracy": found.accuracy}
    return {**right, "loss": found.loss, **found.metrics}


def _conclude(
    training: Training,
    data: Prepared,
    end: TrainState,
    run: Folder | Nowhere,
    audit: bool,
    facts: Mapping[str, Any],
    told: list[str],
    bars: list[TrainingBar],
) -> Run:
    say = bars[0].doing if bars else nullcontext
    estimator, rows = training.estimator, run.rows()
    best: Model = data.devices.fetch(end.best_model)
    x, y = batch_of(data.validation, best, AUDITED)
    inner, met = estimator.inside(best)
    warn_if_rising(getattr(inner, "solver", None), met, x)
    shared = data.devices.place(best)
    with say("testing"):
        validation = evaluate(shared, data.validation, estimator)
        tests = _tests(estimator, shared, data, training.test_seeds)
    with say("auditing the gradient"):
        examined = audited(estimator, best, x, y) if audit else NOT_AUDITED
    if bars and audit and (why := examined.get("not_audited")):
        tell(f"gradient not audited: {why}")
    run.warn(told)
    losses = [test.loss for test in tests]
    result = {
        "data": data.data.name,
        "test_loss": float(np.mean(losses)),
        "validation_loss": validation.loss,
        **_accuracies(validation, tests),
        "best_epoch": int(end.best_epoch) + 1,
        "epochs": len(rows),
        "seconds": rows[-1]["seconds"],
        "relaxation": _relaxation(rows, tests[0]),
        **examined,
        "seed": training.seed,
        "devices": data.devices.count,
        "fixed_steps": training.fixed_steps,
        **facts,
        "warnings": told,
    }
    kept = run.finish(result)
    trained = Trained(best, estimator, training.preprocessing, data.data.scale, data.data.classes)
    return Run(rows, trained, kept, run.folder)


def _tests(estimator: Estimator, model: Model, data: Prepared, seeds: int) -> list[Evaluation]:
    return [
        evaluate(model, data.test, estimator, key=jax.random.key(seed)) for seed in range(seeds)
    ]


def _accuracies(validation: Evaluation, tests: list[Evaluation]) -> dict[str, Any]:
    if np.isnan(validation.accuracy):
        return {}
    found = [test.accuracy for test in tests]
    return {
        "test_accuracy": float(np.mean(found)),
        "test_error_percent": 100 * (1 - float(np.mean(found))),
        "test_accuracy_by_noise": found,
        "test_error_std_over_noise": 100 * float(np.std(found, ddof=int(len(found) > 1))),
        "validation_accuracy": validation.accuracy,
    }


def _relaxation(rows: list[dict[str, float]], test: Evaluation) -> dict[str, float]:
    kept = [name for name in rows[0] if name.startswith(FOLLOWED)]
    means = {name: float(np.mean([row[name] for row in rows])) for name in kept}
    return means | {f"test_{name}": value for name, value in test.metrics.items()}
