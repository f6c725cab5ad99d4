"""How good a recipe's gradient is, and which nudge serves best."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from eqprop.cli import options
from eqprop.cli.commands import (
    Arguments,
    Begun,
    Recipe,
    asked_for,
    resumed,
    say,
    spelt,
    tell_examined,
    title,
)
from eqprop.energies.model import Model
from eqprop.estimators.audit import ALL, Agreement, BetaSweep, sweep_beta
from eqprop.estimators.contrast import Contrast, Rescaled
from eqprop.estimators.estimator import Estimator
from eqprop.estimators.spread import Spread, spread
from eqprop.papers.call import Call, name_of
from eqprop.solvers import Solver
from eqprop.training.examined import audited, exact_of
from eqprop.training.figures import plots
from eqprop.training.files import require_writable, write_json
from eqprop.training.fit import AUDITED
from eqprop.training.terminal import agreement_table, doing, show, tell, tell_verdict
from eqprop.training.trained import load
from eqprop.training.training import batch_of, prepare

BETAS = tuple(float(b) for b in np.geomspace(1e-3, 0.9, 12))


def audit(recipe: Recipe, arguments: Arguments, asked: options.Audit) -> None:
    """Compare a recipe's gradient with the exact one, by parameter, and find the best nudge."""
    out = _unused(spelt(asked.out))
    require_writable(out)
    begun = Begun(Call(recipe, arguments))
    if asked.run is not None:
        begun = resumed(recipe, arguments, asked.run)
    training = asked_for(begun, asked).training()
    model = training.model if asked.run is None else load(asked.run).model
    data = prepare(training, asked.data_dir)
    x, y = batch_of(data.validation, model, AUDITED)
    training.estimator.check(model, x, y)
    with doing("comparing its gradient with the exact one"):
        exact = exact_of(training.estimator, model, x, y)
        found = audited(training.estimator, model, x, y, exact)
    rows = [Agreement(**row) for row in found["audit"]]
    by = title(training)
    state = (
        "as initialised; --run takes a trained one"
        if asked.run is None
        else f"trained, {asked.run}"
    )
    show(agreement_table(rows, f"{by} ({state}) against {found['against']}"))
    tell_verdict(rows)
    with doing("trying other nudges"):
        sweep = _sweep(training.estimator, model, x, y, exact.gradient)
        noise = _spread(training.estimator, model, x, y, exact.gradient)
    drawn = {"agreement": plots.agreement(rows)}
    if sweep is not None:
        order = "" if np.isnan(sweep.order) else f"; errors fall as beta^{sweep.order:.2f}"
        tell(
            f"{by}: of all nudges tried, beta = {sweep.best:.3g} comes nearest (relative error "
            f"{np.nanmin(sweep.errors):.1e}){order}"
        )
        drawn["beta"] = plots.beta_sweep({by: sweep})
    for figure_name, figure in drawn.items():
        tell(f"  {plots.save(figure, out / f'{figure_name}.png')}")
    if noise is not None:
        tell(
            f"one estimate: signal / noise {noise.snr:.2f}, relative bias {noise.bias:.3f}, deviation "
            f"{noise.deviation:.3f}; cosine {noise.cosine:.3f}"
        )
    tell_examined(found)
    result = {
        "name": name_of(recipe),
        "audit": found["audit"],
        "mixing": found["mixing"],
        "spread": None if noise is None else noise._asdict(),
        "cosine": next(row.cosine for row in rows if row.name == ALL),
        "beta_sweep": None if sweep is None else sweep._asdict(),
    }
    tell(f"  {write_json(out / 'audit.json', result)}")
    say(asked.json, result)


def _unused(folder: Path) -> Path:
    """The folder, or, where it holds an audit already, the next of its name with a number."""
    others = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))
    places = itertools.chain([folder], others)
    return next(place for place in places if not (place / "audit.json").exists())


def _sweep(
    estimator: Estimator, model: Model, x: jax.Array, y: jax.Array, exact: PyTree
) -> BetaSweep | None:
    """The error over nudges, of an estimator without noise that has some."""
    inner, met = estimator.inside(model)
    contrast = getattr(inner, "contrast", None)
    if contrast is None or inner.drawn:
        return None
    largest = float(np.max(np.abs(contrast.draw(jax.random.key(0))[0])))

    def rescaled(beta: float) -> Contrast:
        return Rescaled(contrast, beta / largest)

    def learner(solver: Solver, contrast: Contrast) -> Estimator:
        changed: dict[str, Any] = {"solver": solver, "contrast": contrast}
        return dataclasses.replace(inner, **changed)

    solver = inner.solver  # type: ignore[attr-defined]
    return sweep_beta(met, x, y, solver, rescaled, BETAS, exact, jax.random.key(0), learner)


def _spread(
    estimator: Estimator, model: Model, x: jax.Array, y: jax.Array, exact: PyTree
) -> Spread | None:
    """Bias and variance of a gradient that is drawn at random."""
    if not estimator.inside(model)[0].drawn:
        return None
    found, _ = spread(model, x, y, estimator, {"reference": exact}, jax.random.key(3))
    return found["reference"]
