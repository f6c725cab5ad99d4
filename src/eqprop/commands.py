"""What each subcommand does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import singledispatch
from pathlib import Path
from typing import Any

import jax
import numpy as np

from eqprop import cli, plots
from eqprop.assemble import make_contrast, make_solver
from eqprop.diagnose import ALL, Agreement, BetaSweep, exact_gradient, sweep_beta
from eqprop.display import TrainingBar, agreement_table, console
from eqprop.experiments import EXPERIMENTS, reproduce
from eqprop.figures import draw
from eqprop.fit import Task, audit_batch, audit_recipe, fit, load_best, prepare
from eqprop.model import Model
from eqprop.recipes import RECIPES, Recipe, from_config
from eqprop.runs import RunError, read_json, write_json

RUNS = Path("runs")
BETAS = tuple(float(b) for b in np.geomspace(1e-3, 0.9, 12))


@singledispatch
def run(job: Any) -> None:
    """Carry out one parsed command."""
    raise TypeError(f"No command for {type(job).__name__}.")


@run.register
def _(job: cli.Train) -> None:
    job.recipe.check()
    folder = _folder(job)
    note = _tensorboard(folder) if job.tensorboard else lambda row: None
    console.print(f"[bold]{job.name}[/] in {folder}", highlight=False)
    with TrainingBar(job.recipe.epochs) as bar:

        def seen(row: Mapping[str, float]) -> None:
            bar.epoch(row)
            note(row)

        result = fit(job.name, job.recipe, folder, job.data_dir, job.resume, bar.step, seen)
    rows = [Agreement(**row) for row in result["audit"]]
    with console.status("drawing"):
        task = prepare(job.recipe, job.data_dir)
        paths = draw(folder, task, load_best(task, folder), rows)
    if rows:
        title = f"{job.recipe.estimator} against implicit differentiation"
        console.print(agreement_table(rows, title))
    else:
        console.print(f"[yellow]gradient not audited:[/] {result['not_audited']}", highlight=False)
    console.print(
        f"validation {result['validation_accuracy']:.2%}  test {result['test_accuracy']:.2%}  "
        f"(epoch {result['best_epoch']} of {result['epochs']}, {result['seconds']:.0f} s)",
        highlight=False,
    )
    for path in (folder / "result.json", *paths):
        console.print(f"  {path}", highlight=False)
    _say(job.json, result)


@run.register
def _(job: cli.Audit) -> None:
    job.recipe.check()
    task, model = _audited(job)
    with console.status("comparing gradients"):
        rows = audit_recipe(task, model)
        sweep = _sweep(task, model)
    console.print(
        agreement_table(rows, f"{task.recipe.estimator} against implicit differentiation")
    )
    console.print(
        f"{task.recipe.contrast}: order {sweep.order:.2f} in beta; at tolerance {task.recipe.tolerance:g} "
        f"the best beta is {sweep.best:.3g} (relative error {np.nanmin(sweep.errors):.1e})",
        highlight=False,
    )
    drawn = {
        "agreement": plots.agreement(rows),
        "beta": plots.beta_sweep({task.recipe.contrast: sweep}),
    }
    for name, figure in drawn.items():
        console.print(f"  {plots.save(figure, job.out / f'{name}.png')}", highlight=False)
    result = {
        "name": job.name,
        "audit": [row._asdict() for row in rows],
        "cosine": next(row.cosine for row in rows if row.name == ALL),
        "beta_sweep": sweep._asdict(),
    }
    console.print(f"  {write_json(job.out / 'audit.json', result)}", highlight=False)
    _say(job.json, result)


@run.register
def _(job: cli.Plot) -> None:
    config = read_json(job.run / "config.json")
    task = prepare(from_config(config), job.data_dir)
    result = read_json(job.run / "result.json")
    rows = [Agreement(**row) for row in result["audit"]]
    for path in draw(job.run, task, load_best(task, job.run), rows):
        console.print(f"  {path}", highlight=False)


@run.register
def _(job: cli.List) -> None:
    print("recipes  (eqprop train NAME, eqprop audit NAME)")
    for name, recipe in RECIPES.items():
        print(f"  {name:22} {recipe.data}: {_shape(recipe)}")
    print("experiments  (eqprop reproduce NAME)")
    for experiment in EXPERIMENTS.values():
        print(f"  {experiment.name:22} {experiment.about}")


@run.register
def _(job: cli.Reproduce) -> None:
    if not job.name:
        run(cli.List())
        return
    if job.name not in EXPERIMENTS:
        raise ValueError(f"reproduce: expected one of {', '.join(EXPERIMENTS)}; got {job.name!r}.")
    result = reproduce(EXPERIMENTS[job.name], job.out, job.data_dir, job.quick)
    _say(job.json, result)


def _folder(job: cli.Train) -> Path:
    if job.out is not None:
        return job.out
    home = RUNS / job.name
    if not job.resume:
        return home / datetime.now().strftime("%Y%m%d-%H%M%S")
    begun = sorted(path.parent for path in home.glob("????????-??????/config.json"))
    if not begun:
        raise RunError(f"Nothing to resume: {home} holds no run; run without --resume first.")
    return begun[-1]


def _audited(job: cli.Audit) -> tuple[Task, Model]:
    if job.run is None:
        task = prepare(job.recipe, job.data_dir)
        return task, task.recipe.build(task.data)
    task = prepare(from_config(read_json(job.run / "config.json")), job.data_dir)
    return task, load_best(task, job.run)


def _sweep(task: Task, model: Model) -> BetaSweep:
    x, y = audit_batch(task, model)
    recipe = task.recipe
    solver, exact = make_solver(recipe), exact_gradient(model, x, y)

    def contrast(beta: float):
        return make_contrast(recipe, beta)

    return sweep_beta(model, x, y, solver, contrast, BETAS, exact, jax.random.key(0))


def _shape(recipe: Recipe) -> str:
    inner = getattr(recipe, "hidden", ()) or getattr(recipe, "channels", ())
    return f"{type(recipe).__name__.removesuffix('Recipe').lower()} {'-'.join(map(str, inner))}"


def _tensorboard(folder: Path):
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ImportError(
            "--tensorboard needs tensorboardX; install it with pip install 'eqprop[tensorboard]'."
        ) from error
    writer = SummaryWriter(str(folder))

    def note(row: Mapping[str, float]) -> None:
        for name, value in row.items():
            writer.add_scalar(name, value, int(row["epoch"]))
        writer.flush()

    return note


def _say(wanted: bool, result: Mapping[str, Any]) -> None:
    if wanted:
        print(json.dumps(result, default=lambda value: np.asarray(value).tolist()))
