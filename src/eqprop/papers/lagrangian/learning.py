"""Dynamical systems that learn: by nudging their paths, and by the adjoint from the same start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PRNGKeyArray, PyTree
from rich.progress import track

from eqprop.energies.model import Model
from eqprop.energies.units.unit import State
from eqprop.estimators.contrast import symmetric
from eqprop.estimators.equilibrium import EquilibriumPropagation
from eqprop.estimators.estimator import Estimator
from eqprop.lagrangian import Action, Adjoint, FixedEnds, Newton, PathError
from eqprop.papers.lagrangian import duffing as chain
from eqprop.papers.lagrangian import figures as own
from eqprop.papers.lagrangian.duffing import cheaply
from eqprop.papers.study import Asked, Study
from eqprop.solvers.relax import relax
from eqprop.training.figures import animations as animate
from eqprop.training.terminal import console, tell

Built = tuple[Model, Array, Array]
"""The model to train, inputs and targets."""


@dataclass(frozen=True)
class PathTask:
    """What is learnt: a system, targets, and how long and how fast."""

    build: Callable[[PRNGKeyArray], Built]
    axes: tuple[int | None, int]
    """Which coordinates are drawn against each other; None is the time."""
    steps: int
    rate: float
    nudge: float
    """Of the nudged paths that are drawn; those that train take `PathLearning.beta`."""


@dataclass(frozen=True)
class PathLearning(Study):
    """Systems whose paths learn, by equilibrium propagation and by the adjoint, with Adam, in float64."""

    tasks: dict[str, PathTask]
    beta: float = 1e-3
    seed: int = 0

    def results(self, asked: Asked) -> dict[str, Any]:
        tasks = list(self.tasks.items())[: 1 if asked.quick else None]
        with jax.enable_x64(True):
            found = {label: self._learn(label, task, asked) for label, task in tasks}
        return {"beta": self.beta, "seed": self.seed, "tasks": found}

    def summary(self, found: Mapping[str, Any]) -> list[str]:
        return [_spoken(label, row) for label, row in found["tasks"].items()]

    def _learn(self, label: str, task: PathTask, asked: Asked) -> dict[str, Any]:
        model, x, y = task.build(jax.random.key(self.seed))
        newton, steps = Newton(), 5 if asked.quick else task.steps
        estimators = {
            "EP": EquilibriumPropagation(newton, symmetric(self.beta)),
            "adjoint": Adjoint(newton),
        }
        losses, trained, paths = {}, {}, {}
        for way, estimator in estimators.items():
            trained[way], losses[way], paths[way] = train(
                model, x, y, estimator, steps, task.rate, f"{label}, {way}"
            )
        begun, ended = (_flat(m) for m in (model, trained["EP"]))
        other = _flat(trained["adjoint"])
        before, after = paths["EP"][0], paths["EP"][-1]
        nudged = settle_nudged(model, x, y, jnp.asarray(task.nudge), {"path": before})
        shown = {"before": before, f"nudged, β = {task.nudge:g}": nudged, "after": after}
        whole = {way: _drawn(model, x, path, task.axes) for way, path in shown.items()}
        wanted = _drawn(model, x, y, task.axes)
        stem = label.replace(" ", "-")
        asked.save(stem, own.trajectories(whole, wanted, *_labels(task.axes)))
        moving = [_drawn(model, x, path, task.axes) for path in paths["EP"]]
        tell(f"  {animate.save(animate.paths(moving, wanted), asked.folder / f'{stem}.gif')}")
        asked.save(f"{stem}-losses", own.losses(losses))
        return {
            "losses": losses,
            "parameters": {way: _flat(m) for way, m in trained.items()},
            "parameters_apart": float(
                jnp.linalg.norm(ended - other) / jnp.linalg.norm(other - begun)
            ),
        }


def _spoken(label: str, row: Mapping[str, Any]) -> str:
    by_ep, by_adjoint = (row["losses"][way] for way in ("EP", "adjoint"))
    return (
        f"{label}: loss {by_ep[0]:.2e} to {by_ep[-1]:.2e} by EP, {by_adjoint[-1]:.2e} by the adjoint; "
        f"parameters {row['parameters_apart']:.1e} apart"
    )


def train(
    model: Model, x: Array, y: Array, estimator: Estimator, steps: int, rate: float, label: str
) -> tuple[Model, list[float], list[Array]]:
    """Adam on the whole batch, each path settling from where it was; losses and paths by step, before the
    first and after the last too."""
    optimiser = optax.adam(rate)
    key = jax.random.key(0)

    @cheaply
    def step(model: Model, memory: PyTree, state: State) -> tuple[Model, PyTree, State, Array]:
        found = estimator(model, x, y, state, key)
        updates, memory = optimiser.update(found.gradient, memory)
        return eqx.apply_updates(model, updates), memory, found.state, found.value

    memory = optimiser.init(eqx.filter(model, eqx.is_inexact_array))
    state, losses, paths = model.rest(x), [], []
    for _ in track(range(steps + 1), label, console=console, transient=True):
        trained = model
        model, memory, state, value = step(model, memory, state)
        losses.append(float(value))
        paths.append(state["path"])
    return trained, losses, paths


@cheaply
def settle_nudged(model: Model, x: Array, y: Array, beta: Array, state: State) -> Array:
    """The paths (batch, nodes, size) nudged by ``beta``."""

    def one(x: Array, y: Array, state: State) -> Array:
        return Newton().settle(model.nudged(x, y, beta), state)[0]["path"]

    return jax.vmap(one)(x, y, state)


def _flat(model: Model) -> Array:
    return ravel_pytree(eqx.filter(model.energy, eqx.is_inexact_array))[0]


def _drawn(model: Model, x: Array, path: Array, axes: tuple[int | None, int]) -> np.ndarray:
    """(batch, nodes, 2): the chosen coordinates, with the ends that are given."""
    action = model.energy
    assert isinstance(action, Action)
    nodes = np.asarray(jax.vmap(action.boundary.complete)(path, x))
    times = np.broadcast_to(action.dt * np.arange(nodes.shape[1]), nodes.shape[:2])
    across, up = axes
    return np.stack([times if across is None else nodes[..., across], nodes[..., up]], -1)


def _labels(axes: tuple[int | None, int]) -> list[str]:
    return ["time" if axis is None else f"q{axis}" for axis in axes]


def periodic_response(key: PRNGKeyArray) -> Built:
    """Duffing oscillators, and what others of their kind answer to four drives."""
    dt = chain.PERIOD / chain.STEPS
    x = jnp.array([[0.3, 0.15], [0.1, -0.3], [-0.2, 0.2], [0.0, 0.35]])
    teacher = Action(
        chain.driven,
        jax.tree.map(
            lambda a: a * (1 + 0.3 * jax.random.uniform(key, a.shape)), chain.parameters()
        ),
        size=3,
        steps=chain.STEPS,
        dt=dt,
    )
    action = Action(chain.driven, chain.parameters(), size=3, steps=chain.STEPS, dt=dt)
    return Model(action, PathError(weight=dt)), x, _observed(teacher, x)  # type: ignore[call-arg]


class Landscape(eqx.Module):
    """``L = v^2 / 2 - V(q)`` with a potential of two coordinates that is a small network."""

    network: eqx.nn.MLP

    def __call__(self, q: Array, v: Array, t: Array) -> Array:
        return 0.5 * (v @ v) - self.network(q)


def hills(q: Array, v: Array, params: PyTree, t: Array) -> Array:
    """Of a particle among two wells: ``V = (q_0^2 - 1)^2 / 2 + q_0 q_1 / 2 + q_1^2``."""
    return 0.5 * (v @ v) - 0.5 * (q[0] ** 2 - 1) ** 2 - 0.5 * q[0] * q[1] - q[1] ** 2


def potential(key: PRNGKeyArray) -> Built:
    """A landscape, and trajectories of a particle among two wells between given ends."""
    ends = FixedEnds(lambda x: x[:2], lambda x: x[2:])
    size, steps, dt = 2, 24, 0.05
    keys = jax.random.split(key)
    x = jax.random.uniform(keys[0], (16, 4), minval=-1.2, maxval=1.2)
    network = eqx.nn.MLP(2, "scalar", 16, 2, jax.nn.tanh, key=keys[1])
    action = Action(Landscape(network), size=size, steps=steps, dt=dt, boundary=ends)
    teacher = Action(hills, size=size, steps=steps, dt=dt, boundary=ends)
    return Model(action, PathError(weight=dt)), x, _observed(teacher, x)  # type: ignore[call-arg]


def _observed(teacher: Action, x: Array) -> Array:
    model = Model(teacher, PathError())  # type: ignore[call-arg]
    return cheaply(relax)(model, x, model.rest(x), Newton())[0]["path"]


TASKS = {
    "periodic response": PathTask(periodic_response, (None, 2), 150, 0.02, -0.3),
    "potential": PathTask(potential, (0, 1), 300, 0.02, 2.5),
}
