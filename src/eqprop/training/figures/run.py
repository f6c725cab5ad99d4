"""The figures of a run, from its folder and its best model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from eqprop.energies.energy import Clamped
from eqprop.energies.model import Model
from eqprop.energies.network import INPUT, Network
from eqprop.energies.ops import cast, freeze
from eqprop.energies.units.oscillator import Oscillator, phases
from eqprop.energies.units.unit import State, embed
from eqprop.estimators.audit import Agreement, estimate
from eqprop.solvers import Iterative
from eqprop.solvers.relax import relax
from eqprop.training.assemble import (
    make_contrast,
    make_estimator,
    make_nudged_solver,
    make_program,
    make_solver,
    make_source,
    make_spiking,
    make_thermal,
)
from eqprop.training.choices import SPIKING
from eqprop.training.examine import audit_batch, recorded
from eqprop.training.figures import animations as animate
from eqprop.training.figures import plots
from eqprop.training.figures.spikes import firing_rates, raster
from eqprop.training.files import AnyPath
from eqprop.training.recipe_fit import load_state
from eqprop.training.results import read_result
from eqprop.training.runs import read_rows, require_rows
from eqprop.training.task import DataSource, Task, prepare_run

TRACED, FOLLOWED = 60, 40

SEED = 0


def draw_run(folder: AnyPath, source: DataSource = None) -> list[Path]:
    """The figures of a run folder, finished or not, by its own recipe."""
    folder, task = Path(folder), prepare_run(folder, source)
    result = folder / "result.json"
    read = read_result(result)["audit"] if result.exists() else []
    state = load_state(task, folder)
    rows = read_rows(folder, plots.REQUIRED)
    require_rows(folder, rows, int(state.epoch))
    model = make_program(task.recipe)(state.best_model)
    return draw(folder, task, model, rows, [Agreement.read(row) for row in read])


def draw(
    folder: Path,
    task: Task,
    model: Model,
    rows: list[dict[str, float]],
    audit: list[Agreement],
) -> list[Path]:
    """Every figure that applies to the model, as PNG files in the run folder."""
    recipe = task.recipe
    figures: dict[str, Any] = {
        "learning": plots.learning_curves(rows),
        "activity": plots.activity(shown(task, model)),
    }
    if recipe.estimator == "thermal":
        figures["objective"] = plots.objective(rows)
    if recipe.estimator in SPIKING:
        spikes = recorded(task, model)
        figures |= {"raster": raster(spikes), "rates": firing_rates(spikes)}
    if audit:
        figures["agreement"] = plots.agreement(audit)
    if isinstance(make_source(recipe), Iterative):
        figures["relaxation"] = plots.relaxation(traces(task, model), recipe.tolerance or None)
    weight = first_weight(model)
    if weight is not None:
        figures["weights"] = plots.first_layer_weights(weight, task.data.image_shape)
    paths = [plots.save(figure, folder / f"{name}.png") for name, figure in figures.items()]
    return [*paths, *_animated(folder, task, model)]


def _animated(folder: Path, task: Task, model: Model) -> list[Path]:
    """The oscillators of one example, settling and being nudged."""
    if not isinstance(make_source(task.recipe), Iterative) or not _oscillating(model):
        return []
    labels = {model.cost.output: [str(label) for label in range(task.data.classes)]}
    animation = animate.phases(phase_paths(task, model), labels)
    return [animate.save(animation, folder / "phases.gif")]


def _oscillating(model: Model) -> list[str]:
    return [n for n, unit in model.energy.units.items() if isinstance(unit, Oscillator)]


def phase_paths(task: Task, model: Model) -> dict[str, dict[str, np.ndarray]]:
    """Angles of every layer of oscillators, (steps, neurons), for the first audited example: the free
    phase, and the one with the largest nudge from its end."""
    x, y = audit_batch(task, model)
    names, frozen = _oscillating(model), freeze(model)
    free, nudged = make_solver(task.recipe), make_nudged_solver(task.recipe)
    assert isinstance(free, Iterative) and isinstance(nudged, Iterative)
    beta = float(np.max(np.real(make_contrast(task.recipe).draw(jax.random.key(SEED))[0])))

    def follow(phase: Clamped, solver: Iterative, state: State, steps: int):
        def advance(carry, _):
            angles = {name: phases(carry.state[name]).reshape(-1) for name in names}
            return solver.step(phase, carry), angles

        carry, angles = lax.scan(advance, solver.init(phase, state), length=steps)
        return carry.state, jax.tree.map(np.asarray, angles)

    settled, quiet = follow(frozen.free(x[0]), free, model.energy.rest(x.dtype), FOLLOWED)
    _, pulled = follow(frozen.nudged(x[0], y[0], beta), nudged, settled, FOLLOWED // 2)
    return {"free": quiet, f"β = {beta:.3g}": pulled}


def shown(task: Task, model: Model) -> dict[str, np.ndarray]:
    """What each layer shows in the free phase of the audited batch."""
    x, y = audit_batch(task, model)
    if task.recipe.estimator == "backprop":
        return {n: np.asarray(u) for n, u in _passed(task, model, x, y).items()}
    if task.recipe.estimator == "thermal":
        members = estimate(model, x, y, make_thermal(task.recipe), jax.random.key(SEED)).state
        states = {name: z[:, 0] for name, z in members.items()}
        return {name: np.asarray(u) for name, u in embed(model.energy.units, states).items()}
    key = jax.random.key(SEED)
    if task.recipe.estimator in SPIKING:
        states = eqx.filter_jit(make_spiking(task.recipe).free)(model, x, model.rest(x), key).state
    else:
        solver = make_solver(task.recipe)
        states, _ = jax.jit(lambda x: relax(model, x, model.rest(x), solver, key))(x)
    return {name: np.asarray(u) for name, u in embed(model.energy.units, states).items()}


def _passed(task: Task, model: Model, x: Array, y: Array) -> State:
    """What each layer shows after a feed-forward pass."""
    states = estimate(model, x, y, make_estimator(task.recipe), jax.random.key(SEED)).state
    return embed(model.energy.units, states)


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
