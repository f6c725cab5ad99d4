"""What each subcommand does."""

from __future__ import annotations

import dataclasses
import difflib
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from functools import singledispatch
from pathlib import Path
from typing import Any

import jax
import numpy as np

from eqprop.cli import options as jobs
from eqprop.energies.model import Model
from eqprop.estimators.audit import ALL, Agreement, BetaSweep, sweep_beta
from eqprop.papers.catalogue import EXPERIMENTS, GROUPS, home, resized
from eqprop.thermal.mixing import Mixing, warn_if_unmixed
from eqprop.training.assemble import make_contrast, make_learner, make_program, make_solver
from eqprop.training.callbacks import Callback, TensorBoard
from eqprop.training.choices import SPIKING
from eqprop.training.claims import new_folder
from eqprop.training.devices import over
from eqprop.training.examine import (
    DRAWN,
    audit_batch,
    audit_recipe,
    mixing_of,
    reference,
    reference_name,
    spread_of,
)
from eqprop.training.figures import plots
from eqprop.training.figures.run import draw_run
from eqprop.training.files import RunError, dumps, read_json, require_writable, write_json
from eqprop.training.hosts import from_first, is_first
from eqprop.training.recipe import Recipe
from eqprop.training.recipe_fit import fit, load_best
from eqprop.training.recipe_uses import require_used
from eqprop.training.recipes import RECIPES
from eqprop.training.task import Task, prepare, prepare_run, recipe_of
from eqprop.training.terminal import TrainingBar, agreement_table, console, show, tell

RUNS = Path("runs")

SWEPT = ("contrast", "points")
"""What an audit looks at whatever the estimator."""

BETAS = tuple(float(b) for b in np.geomspace(1e-3, 0.9, 12))


@singledispatch
def run(job: Any) -> None:
    """Carry out one parsed command."""
    raise TypeError(f"No command for {type(job).__name__}.")


@run.register
def _(job: jobs.Train) -> None:
    job.hosts.join()
    if not job.resume:
        require_used(job.recipe, RECIPES[job.name])
    with ExitStack() as held:
        _train(job, from_first(lambda: _folder(job, held)))


def _train(job: jobs.Train, folder: Path) -> None:
    devices, recipe = over(job.devices), job.recipe
    if job.resume:
        recipe = from_first(lambda: _changed(job.recipe, job.name, folder))
        require_used(job.recipe, RECIPES[job.name], recipe)
    if not is_first():
        fit(job.name, recipe, folder, job.data_dir, job.resume, devices=devices)
        return
    note = TensorBoard(folder).epoch if job.tensorboard else Callback().epoch
    tell(f"{job.name} in {folder}")
    with TrainingBar(recipe.epochs, recipe.fixed_steps) as bar:

        def seen(row: Mapping[str, float]) -> None:
            bar.epoch(row)
            note(row)

        result = fit(job.name, recipe, folder, job.data_dir, job.resume, bar.step, seen, devices)
    with console.status("drawing"):
        paths = draw_run(folder, job.data_dir)
    if rows := [Agreement.read(row) for row in result["audit"]]:
        title = f"{recipe.estimator} against {reference_name(recipe)}"
        show(agreement_table(rows, title))
    else:
        tell(f"gradient not audited: {result['not_audited']}")
    _tell_mixing([Mixing.read(row) for row in result["mixing"]])
    _tell_spikes(result.get("spikes"))
    tell(
        f"validation {result['validation_accuracy']:.2%}  test {result['test_accuracy']:.2%}  "
        f"(epoch {result['best_epoch']} of {result['epochs']}, {result['seconds']:.0f} s)"
    )
    for path in (folder / "result.json", *paths):
        tell(f"  {path}")
    _say(job.json, result | {"folder": folder})


def _tell_mixing(rows: list[Mixing]) -> None:
    if rows:
        largest, least = np.max([r.r_hat for r in rows]), np.min([r.effective for r in rows])
        tell(
            f"chains: split R-hat at most {largest:.3f}, at least {least:.0f} effective of {rows[0].draws} "
            "draws, for cost and energy"
        )


def _tell_spikes(seen: Mapping[str, Any] | None) -> None:
    if seen is not None:
        shares = ", ".join(f"{name} {rate:.2f}" for name, rate in seen["rates"]["free"].items())
        tell(
            f"free firing rates: {shares}; {seen['synaptic_operations']:.2g} synaptic operations and "
            f"{seen['draws']:.2g} draws an example, all phases; {seen['microjoules']:.2g} uJ at 0.9 pJ each"
        )


@run.register
def _(job: jobs.Audit) -> None:
    require_writable(_spelt(job.out))
    name, task, model = _audited(job)
    recipe = task.recipe
    with console.status("comparing gradients"):
        rows = audit_recipe(task, model)
        sweep = None if recipe.estimator in (*DRAWN, *SPIKING) else _sweep(task, model)
    show(agreement_table(rows, f"{recipe.estimator} against {reference_name(recipe)}"))
    drawn = {"agreement": plots.agreement(rows)}
    if sweep is not None:
        order = "no order to see" if np.isnan(sweep.order) else f"order {sweep.order:.2f}"
        tell(
            f"{recipe.contrast}: {order} in beta; at tolerance {recipe.tolerance:g} "
            f"the best beta is {sweep.best:.3g} (relative error {np.nanmin(sweep.errors):.1e})"
        )
        drawn["beta"] = plots.beta_sweep({recipe.contrast: sweep})
    for figure_name, figure in drawn.items():
        tell(f"  {plots.save(figure, job.out / f'{figure_name}.png')}")
    noise = spread_of(task, model)
    if noise is not None:
        tell(
            f"one estimate: signal / noise {noise.snr:.2f}, relative bias {noise.bias:.3f}, deviation "
            f"{noise.deviation:.3f}; cosine {noise.cosine:.3f}"
        )
    mixed = mixing_of(task, model)
    warn_if_unmixed(mixed)
    _tell_mixing(mixed)
    result = {
        "name": name,
        "audit": [row._asdict() for row in rows],
        "mixing": [row._asdict() for row in mixed],
        "spread": None if noise is None else noise._asdict(),
        "cosine": next(row.cosine for row in rows if row.name == ALL),
        "beta_sweep": None if sweep is None else sweep._asdict(),
    }
    tell(f"  {write_json(job.out / 'audit.json', result)}")
    _say(job.json, result)


@run.register
def _(job: jobs.Plot) -> None:
    for path in draw_run(job.run, job.data_dir):
        tell(f"  {path}")


@run.register
def _(job: jobs.List) -> None:
    print("recipes  (eqprop train NAME, eqprop audit NAME)")
    for name, recipe in RECIPES.items():
        print(f"  {name:31} {recipe.data}: {_shape(recipe)}")
    print("experiments  (eqprop reproduce NAME)")
    for group, names in GROUPS.items():
        print(f"  {group:31} a paper: all {len(names)} from {names[0]} to {names[-1]}")
    for experiment in EXPERIMENTS.values():
        print(f"  {experiment.name:31} {experiment.about}")


@run.register
def _(job: jobs.Reproduce) -> None:
    if not job.name:
        run(jobs.List())
        return
    known = (*GROUPS, *EXPERIMENTS)
    if job.name not in known:
        close = difflib.get_close_matches(job.name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"reproduce: expected one of {', '.join(known)}; got {job.name!r}.{hint}")
    names = GROUPS.get(job.name, (job.name,))
    out = _spelt(home(names[0]) if job.out is None else job.out)
    require_writable(out)
    studies = [resized(EXPERIMENTS[name], width=job.width, epochs=job.epochs) for name in names]
    found = [study.reproduce(out, job.data_dir, job.quick) for study in studies]
    _say(job.json, found if job.name in GROUPS else found[0])


def _folder(job: jobs.Train, held: ExitStack) -> Path:
    if job.out is not None:
        _spelt(job.out)
        if job.resume and not (job.out / "config.json").exists():
            raise RunError(
                f"Nothing to resume: expected {job.out}/config.json; run without --resume first."
            )
        return job.out
    home = _spelt(RUNS / job.name)
    if not job.resume:
        return held.enter_context(new_folder(home, datetime.now().strftime("%Y%m%d-%H%M%S")))
    begun = sorted(path.parent for path in home.glob("????????-??????*/config.json"))
    if not begun:
        raise RunError(f"Nothing to resume: {home} holds no run; run without --resume first.")
    return begun[-1]


def _spelt(folder: Path) -> Path:
    """The folder. Raises ``ValueError`` before the work for a name that cannot be written down."""
    try:
        os.fsencode(folder.absolute())
        str(folder.absolute()).encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"out: expected a folder whose name {sys.getfilesystemencoding()}, the locale's, and UTF-8 can "
            f"encode, got {str(folder)!a}; choose another with --out, or set LC_ALL=C.UTF-8."
        ) from error
    return folder


def _changed(asked: Recipe, name: str, folder: Path) -> Recipe:
    """The recipe of a run folder, but for what is asked otherwise than by default."""
    found = recipe_of(folder)
    defaults = dataclasses.asdict(RECIPES[name])
    given = {k: v for k, v in dataclasses.asdict(asked).items() if v != defaults[k]}
    foreign = sorted(set(given) - set(dataclasses.asdict(found)))
    if foreign:
        raise ValueError(
            f"{folder} holds a {type(found).__name__}, which has no {foreign}; leave these options out."
        )
    return dataclasses.replace(found, **given)


def _audited(job: jobs.Audit) -> tuple[str, Task, Model]:
    """What to audit: its name, its data under the recipe to audit, and the model."""
    if job.run is None:
        require_used(job.recipe, RECIPES[job.name], spared=SWEPT)
        task = prepare(job.recipe, job.data_dir)
        return job.name, task, task.recipe.build(task.data)
    name = read_json(job.run / "config.json")["name"]
    if name in RECIPES and name != job.name:
        raise ValueError(
            f"{job.run} holds a run of {name}, not of {job.name}; say eqprop audit {name} --run {job.run}."
        )
    task = prepare_run(job.run, job.data_dir)
    model = load_best(task, job.run)
    recipe = _changed(job.recipe, job.name, job.run)
    recipe.check()
    require_used(job.recipe, RECIPES[job.name], recipe, SWEPT)
    return name, dataclasses.replace(task, recipe=recipe), model


def _sweep(task: Task, model: Model) -> BetaSweep:
    recipe = task.recipe
    x, y = audit_batch(task, model)
    model = make_program(recipe)(model)
    solver, exact = make_solver(recipe), reference(recipe, model, x, y)

    def contrast(beta: float):
        return make_contrast(recipe, beta)

    key, learner = jax.random.key(0), make_learner(recipe)
    return sweep_beta(model, x, y, solver, contrast, BETAS, exact, key, learner)


def _shape(recipe: Recipe) -> str:
    inner = getattr(recipe, "hidden", ()) or getattr(recipe, "channels", ())
    return f"{type(recipe).__name__.removesuffix('Recipe').lower()} {'-'.join(map(str, inner))}"


def _say(wanted: bool, result: Mapping[str, Any] | list[dict[str, Any]]) -> None:
    if wanted:
        print(dumps(result))
