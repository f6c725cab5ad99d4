"""The figures of a run, from its folder and its best model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from eqprop import plots
from eqprop.assemble import make_contrast, make_solver
from eqprop.diagnose import Agreement
from eqprop.estimators import cast, relax
from eqprop.fit import Task, audit_batch, load_best, prepare
from eqprop.model import Model
from eqprop.network import INPUT, Network
from eqprop.ops import freeze
from eqprop.recipes import from_config
from eqprop.runs import read_json, read_rows
from eqprop.solvers import Iterative
from eqprop.units import embed

TRACED = 60
KEY = jax.random.key(0)


def draw_run(folder: Path, data_dir: Path | None = None) -> list[Path]:
    """The figures of a run folder, finished or not, by its own recipe."""
    task = prepare(from_config(read_json(folder / "config.json")), data_dir)
    result = folder / "result.json"
    audit = read_json(result)["audit"] if result.exists() else []
    return draw(folder, task, load_best(task, folder), [Agreement(**row) for row in audit])


def draw(folder: Path, task: Task, model: Model, audit: list[Agreement]) -> list[Path]:
    """Every figure that applies to the model, as PNG files in the run folder."""
    recipe = task.recipe
    figures: dict[str, Any] = {
        "learning": plots.learning_curves(read_rows(folder)),
        "activity": plots.activity(shown(task, model)),
    }
    if audit:
        figures["agreement"] = plots.agreement(audit)
    if isinstance(make_solver(recipe), Iterative):
        figures["relaxation"] = plots.relaxation(traces(task, model), recipe.tolerance)
    weight = first_weight(model)
    if weight is not None:
        figures["weights"] = plots.first_layer_weights(weight, task.data.image_shape)
    return [plots.save(figure, folder / f"{name}.png") for name, figure in figures.items()]


def shown(task: Task, model: Model) -> dict[str, np.ndarray]:
    """What each layer shows in the free phase of the audited batch."""
    x, _ = audit_batch(task, model)
    solver = make_solver(task.recipe)
    states, _ = jax.jit(lambda x: relax(model, x, model.rest(x), solver, KEY))(x)
    return {name: np.asarray(u) for name, u in embed(model.energy.units, states).items()}


def traces(task: Task, model: Model) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Energy and residual against the step: the free phase from rest, the nudged ones from it."""
    x, y = audit_batch(task, model)
    solver = make_solver(task.recipe)
    assert isinstance(solver, Iterative)
    nudges = np.asarray(make_contrast(task.recipe).draw(jax.random.key(0))[0])
    dtype = np.result_type(nudges.dtype, x.dtype)
    frozen = freeze(model)
    lifted = cast(frozen, dtype)

    def follow(x, y, state):
        free, *free_path = solver.trace(frozen.free(x), state, TRACED)
        inputs, start = cast((x, free), dtype)
        paths = {"free": tuple(free_path)}
        for beta in nudges[nudges != 0]:
            phase = lifted.nudged(inputs, y, jnp.asarray(beta, dtype))
            paths[f"β = {beta:.3g}"] = tuple(solver.trace(phase, start, TRACED)[1:])
        return paths

    found = jax.jit(jax.vmap(follow))(x, y, model.rest(x))
    return jax.tree.map(np.asarray, found)


def first_weight(model: Model) -> np.ndarray | None:
    """The weights of the first edge from the input, where it has any that can be seen."""
    if not isinstance(model.energy, Network):
        return None
    edge = next((e for e in model.energy.edges.values() if e.source == INPUT), None)
    leaves = [leaf for leaf in jax.tree.leaves(edge) if leaf.ndim in (2, 4)]
    return np.asarray(leaves[0]) if leaves else None
