"""A recipe run to its end: epochs, checkpoints, the choice on validation, one look at the test."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from eqprop.energies.model import Model
from eqprop.estimators.health import not_finite
from eqprop.thermal.mixing import warn_if_unmixed
from eqprop.training.alarms import warn_if_rising, warn_of_epoch
from eqprop.training.assemble import (
    make_augment,
    make_estimator,
    make_optimiser,
    make_precise_solver,
    make_program,
    make_source,
    make_thermal,
)
from eqprop.training.data.datasets import Dataset
from eqprop.training.devices import ONE, Devices
from eqprop.training.epoch import (
    DivergedError,
    Evaluation,
    StepReport,
    TrainState,
    epoch_length,
    evaluate,
    keep_best,
    require_finite,
    start,
    train_epoch,
)
from eqprop.training.examine import audit_batch, audit_recipe, mixing_of, spikes_of, test_often
from eqprop.training.files import AnyPath, RunError, read_json, write_json
from eqprop.training.hosts import from_first, in_all, require_agreement
from eqprop.training.precision import warn_if_unresolved
from eqprop.training.recipe import Recipe
from eqprop.training.recipes import to_config
from eqprop.training.results import read_result
from eqprop.training.runs import Folder, latest, require_same
from eqprop.training.surroundings import surroundings
from eqprop.training.task import DataSource, Task, prepare

SHUFFLES = 1

PHASES = ("free_", "nudged_", "first_", "last_", "objective", "divergence")

CHAINS = ("displacement_snr", "drift", "acceptance", "swap_rate", "rate", "silent", "busy")

NOT_AUDITED: dict[str, Any] = {
    "audit": [],
    "not_audited": "not asked for",
    "mixing": [],
    "spikes": None,
}

WATCHED = ("loss", "gradient_norm")

Observe = Callable[[StepReport], None]

EpochObserve = Callable[[Mapping[str, float]], None]


def fit(
    name: str,
    recipe: Recipe,
    folder: AnyPath,
    source: DataSource = None,
    resume: bool = False,
    observe: Observe = lambda progress: None,
    observe_epoch: EpochObserve = lambda row: None,
    devices: Devices = ONE,
    audited: bool = True,
) -> dict[str, Any]:
    """Train a recipe in a run folder and return what `result.json` holds.

    ``source`` is a folder with the recipe's data set, or a data set of your own in its place. ``resume``
    goes on with the run in the folder, where there is one. Batches are split over ``devices``
    (`eqprop.training.devices.over`); a run may go on with another number of them. ``audited`` asks, at
    the end, for the audits of the best model: of its gradient, its chains and its spikes. Raises
    `DivergedError`, `RunError`, `DataError` and ``ValueError``, each with its remedy.
    """
    folder, about = Path(folder), surroundings()
    resume = resume and from_first((folder / "config.json").exists)
    config = to_config(name, recipe, source.name if isinstance(source, Dataset) else "")
    require_agreement("recipe", (config, resume))
    finished = folder / "result.json"
    if resume and from_first(finished.exists):
        from_first(lambda: require_same(folder, config))
        return from_first(lambda: read_result(finished))
    task = in_all(lambda: prepare(recipe, source, devices))
    require_agreement("data", (task.data.train, task.data.test))
    model = recipe.build(task.data)
    _try_out(task, model)
    calls, length = epoch_length(task.train.x.shape[0], recipe.batch_size)
    steps = recipe.epochs * calls * length
    optimiser = make_optimiser(recipe, model, steps)
    with Folder(folder, config, resume, from_first) as run:
        state = devices.place(run.restore(start(model, optimiser)))
        run.keep_rows(int(state.epoch))
        state = _epochs(task, state, optimiser, run, observe, observe_epoch)
        return _conclude(name, task, state, run, about, audited)


def _try_out(task: Task, model: Model) -> None:
    """Trace one step, so that a recipe that cannot run fails before it has a folder."""
    x, y = audit_batch(task, model)
    if (lost := not_finite(model, x)) is not None:
        raise DivergedError(
            f"Training cannot begin: expected finite numbers, got others in {lost}."
        )
    warn_if_rising(make_source(task.recipe), model, x)
    if task.recipe.estimator == "thermal":
        make_thermal(task.recipe).check(model, x, y)
    estimator = make_estimator(task.recipe)
    eqx.filter_eval_shape(estimator, model, x, y, model.rest(x), jax.random.key(0))
    warn_if_unresolved(task.recipe, model, x, y, make_precise_solver(task.recipe))


def _epochs(
    task: Task, state: TrainState, optimiser, run: Folder, observe, observe_epoch
) -> TrainState:
    recipe = task.recipe
    estimator, solver, program = make_estimator(recipe), make_source(recipe), make_program(recipe)
    augment = make_augment(recipe)
    key = jax.random.fold_in(jax.random.key(recipe.seed), SHUFFLES)
    rows = run.rows()
    before = rows[-1]["seconds"] if rows else 0.0
    began = time.perf_counter()
    while int(state.epoch) < recipe.epochs and not _stale(state, recipe.patience):
        calls = []
        epoch = train_epoch(
            state, task.train, estimator, optimiser, recipe.batch_size, key, augment
        )
        for updated, progress in epoch:
            state = updated
            where = f"in epoch {progress.epoch + 1}, step {progress.step}"
            require_finite({k: progress.metrics[k] for k in WATCHED}, where)
            calls.append(progress.metrics)
            observe(progress)
        held_out = evaluate(program(state.model), task.validation, solver)
        require_finite({"validation loss": held_out.loss}, f"after epoch {int(state.epoch) + 1}")
        state = keep_best(state, held_out.accuracy, recipe.test_last)
        row = {"epoch": int(state.epoch), "seconds": before + time.perf_counter() - began}
        row |= {key: float(np.mean([call[key] for call in calls])) for key in calls[0]}
        seen = {"accuracy": held_out.accuracy, "loss": held_out.loss, **held_out.metrics}
        row |= {f"validation_{key}": value for key, value in seen.items()}
        warn_of_epoch(row, (rows or [row])[0])
        rows.append(row)
        run.log(row)
        run.save(int(state.epoch), state)
        observe_epoch(row)
    return state


def load_best(task: Task, folder: AnyPath) -> Model:
    """The best model of a run folder."""
    return load_state(task, folder).best_model


def load_state(task: Task, folder: AnyPath) -> TrainState:
    """The state after the latest epoch of a run folder."""
    recipe, folder = task.recipe, Path(folder)
    config = to_config(read_json(folder / "config.json")["name"], recipe, task.data.name)
    require_same(folder, config)
    model = recipe.build(task.data)
    state = latest(folder, config, start(model, make_optimiser(recipe, model, 1)))
    if int(state.epoch) == 0:
        raise RunError(f"{folder}: expected at least one finished epoch, got none; train it first.")
    return state


def _stale(state: TrainState, patience: int) -> bool:
    return bool(patience) and int(state.epoch) - 1 - int(state.best_epoch) >= patience


def _conclude(
    name: str, task: Task, end: TrainState, run: Folder, about: Mapping[str, Any], audited: bool
) -> dict[str, Any]:
    best = task.devices.fetch(end.best_model)
    recipe, rows = task.recipe, run.rows()
    solver = make_source(recipe)
    on_device = make_program(recipe)(best)
    warn_if_rising(solver, on_device, audit_batch(task, on_device)[0])
    shared = task.devices.place(on_device)
    validation = evaluate(shared, task.validation, solver)
    tests = test_often(task, shared)
    accuracies = [test.accuracy for test in tests]
    result = {
        "name": name,
        "data": task.data.name,
        "recipe": dataclasses.asdict(recipe),
        "test_accuracy": float(np.mean(accuracies)),
        "test_error_percent": 100 * (1 - float(np.mean(accuracies))),
        "test_accuracy_by_noise": accuracies,
        "test_error_std_over_noise": 100 * float(np.std(accuracies, ddof=int(len(tests) > 1))),
        "validation_accuracy": validation.accuracy,
        "best_epoch": int(end.best_epoch) + 1,
        "epochs": len(rows),
        "seconds": rows[-1]["seconds"],
        "relaxation": _relaxation(rows, tests[0]),
        **(_audits(task, best) if audited else NOT_AUDITED),
        "seed": recipe.seed,
        "devices": task.devices.count,
        **about,
    }
    return from_first(lambda: read_json(write_json(run.folder / "result.json", result)))


def _audits(task: Task, model: Model) -> dict[str, Any]:
    try:
        agreement, not_audited = audit_recipe(task, model), None
    except RuntimeError as error:
        agreement, not_audited = [], str(error)
    mixed = mixing_of(task, model)
    warn_if_unmixed(mixed)
    return {
        "audit": [row._asdict() for row in agreement],
        "not_audited": not_audited,
        "mixing": [row._asdict() for row in mixed],
        "spikes": spikes_of(task, model),
    }


def _relaxation(rows: list[dict[str, float]], test: Evaluation) -> dict[str, float]:
    kept = [k for k in rows[0] if k.startswith(PHASES + CHAINS)]
    means = {key: float(np.mean([row[key] for row in rows])) for key in kept}
    return means | {f"test_{key}": value for key, value in test.metrics.items()}
