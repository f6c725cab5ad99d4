"""The figures of a run, from its folder and its best model."""

from __future__ import annotations

from functools import singledispatch
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array
from matplotlib.figure import Figure

from eqprop.energies.energy import Clamped
from eqprop.energies.model import Model
from eqprop.energies.network import INPUT, Network
from eqprop.energies.ops import cast, freeze
from eqprop.energies.units.oscillator import Oscillator, phases
from eqprop.energies.units.unit import State, embed
from eqprop.estimators.audit import Agreement, estimate
from eqprop.estimators.backpropagation import Backpropagation
from eqprop.estimators.differences import DeltaPropagation
from eqprop.estimators.equilibrium import EquilibriumPropagation
from eqprop.estimators.estimator import Estimator
from eqprop.estimators.implicit import ImplicitDifferentiation
from eqprop.solvers import Iterative
from eqprop.spiking import SpikingPropagation, SurrogateBackpropagation
from eqprop.spiking.estimator import FEW
from eqprop.spiking.record import record
from eqprop.training.again import DataSource, prepared, training_of
from eqprop.training.figures import animations as animate
from eqprop.training.figures import canvas, plots
from eqprop.training.figures.spikes import firing_rates, raster
from eqprop.training.files import AnyPath, read_json
from eqprop.training.fit import AUDITED
from eqprop.training.results import read_result
from eqprop.training.runs import read_rows
from eqprop.training.trained import load
from eqprop.training.training import batch_of

TRACED, FOLLOWED = 60, 40

SEED = 0

Figures = dict[str, Figure]
Paths = dict[str, dict[str, np.ndarray]]


def draw_run(folder: AnyPath, source: DataSource = None) -> list[Path]:
    """The figures of a run folder, finished or not, as PNG files in it; of oscillators an animation too.

    ``source`` is where its data set lies, or a data set of one's own that it was trained on.
    """
    folder = Path(folder)
    read_json(folder / "config.json")  # no run, such as a sweep, is said to be none
    result = folder / "result.json"
    audit = read_result(result)["audit"] if result.exists() else ()
    rows, run = read_rows(folder, plots.REQUIRED), load(folder)
    if training_of(run, source).fixed_steps:  # where nothing is asked to settle
        rows = [{k: v for k, v in row.items() if not k.endswith("_converged")} for row in rows]
    data = prepared(run, source)
    estimator, model = run.best.estimator.inside(run.model)
    x, y = batch_of(data.validation, model, AUDITED)
    figures: Figures = {
        "learning": plots.learning_curves(rows),
        "activity": plots.activity(shown(estimator, model, x, y)),
    }
    if "objective" in rows[0]:
        figures["objective"] = plots.objective(rows)
    figures |= settling(estimator, model, x, y)
    if audit:
        figures["agreement"] = plots.agreement([Agreement.read(row) for row in audit])
    if data.data.train.x.ndim == 4 and (weight := first_weight(model)) is not None:
        figures["weights"] = plots.first_layer_weights(weight, data.data.image_shape)
    for figure in figures.values():
        canvas.name(figure, f"{_name(folder)}, {folder.absolute().name}")
    paths = [plots.save(figure, folder / f"{name}.png") for name, figure in figures.items()]
    if moving := phase_paths(estimator, model, x, y):
        labels = {model.cost.output: [str(label) for label in range(data.data.classes)]}
        animation = animate.phases(moving, labels)
        paths.append(animate.save(animation, folder / "phases.gif"))
    return paths


def _name(folder: Path) -> str:
    config = read_json(folder / "config.json")
    return str(config.get("name", config["data"]["name"]))


def shown(estimator: Estimator, model: Model, x: Array, y: Array) -> dict[str, np.ndarray]:
    """What each layer shows in the free phase of a batch; of several chains, the first."""
    states = estimate(model, x, y, estimator, jax.random.key(SEED)).state
    rest = jax.eval_shape(model.rest, x)
    first = {name: z if z.ndim == rest[name].ndim else z[:, 0] for name, z in states.items()}
    return {name: np.asarray(u) for name, u in embed(model.energy.units, first).items()}


@singledispatch
def settling(estimator: Estimator, model: Model, x: Array, y: Array) -> Figures:
    """How the phases of an estimator came to their end."""
    return {}


@settling.register
def _(
    estimator: EquilibriumPropagation
    | DeltaPropagation
    | ImplicitDifferentiation
    | Backpropagation,
    model: Model,
    x: Array,
    y: Array,
) -> Figures:
    solver = getattr(estimator.solver, "solver", estimator.solver)
    if not isinstance(solver, Iterative):
        return {}
    contrast = getattr(estimator, "contrast", None)
    nudges = np.zeros(0, x.dtype) if contrast is None else contrast.draw(jax.random.key(SEED))[0]
    drawn = plots.relaxation(traces(solver, np.asarray(nudges), model, x, y), solver.tolerance)
    return {"relaxation": drawn}


@settling.register
def _(
    estimator: SpikingPropagation | SurrogateBackpropagation, model: Model, x: Array, y: Array
) -> Figures:
    spikes = record(estimator, model, x[:FEW], y[:FEW], jax.random.key(SEED))
    return {"raster": raster(spikes), "rates": firing_rates(spikes)}


def _oscillating(model: Model) -> list[str]:
    return [n for n, unit in model.energy.units.items() if isinstance(unit, Oscillator)]


@singledispatch
def phase_paths(estimator: Estimator, model: Model, x: Array, y: Array) -> Paths:
    """Angles of every layer of oscillators, (steps, neurons), for the first example: the free phase, and
    the one with the largest nudge from its end; none where there are none."""
    return {}


@phase_paths.register
def _(estimator: EquilibriumPropagation, model: Model, x: Array, y: Array) -> Paths:
    names, frozen = _oscillating(model), freeze(model)
    if not names:
        return {}
    free, nudged = estimator.solver, estimator.nudged_solver or estimator.solver
    assert isinstance(free, Iterative) and isinstance(nudged, Iterative)
    beta = float(np.max(np.real(estimator.contrast.draw(jax.random.key(SEED))[0])))

    def follow(phase: Clamped, solver: Iterative, state: State, steps: int):
        def advance(carry, _):
            angles = {name: phases(carry.state[name]).reshape(-1) for name in names}
            return solver.step(phase, carry), angles

        carry, angles = lax.scan(advance, solver.init(phase, state), length=steps)
        return carry.state, jax.tree.map(np.asarray, angles)

    settled, quiet = follow(frozen.free(x[0]), free, model.energy.rest(x.dtype), FOLLOWED)
    _, pulled = follow(frozen.nudged(x[0], y[0], beta), nudged, settled, FOLLOWED // 2)
    return {"free": quiet, f"β = {beta:.3g}": pulled}


def traces(
    solver: Iterative, nudges: np.ndarray, model: Model, x: Array, y: Array
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Energy and residual against the step: the free phase from rest, the nudged ones from it."""
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
