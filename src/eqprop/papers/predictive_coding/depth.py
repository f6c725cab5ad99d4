"""How far a nudge reaches in networks of predictive coding, by depth, in states and in errors; and how
exact the gradient of its phases is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array
from rich.table import Table

from eqprop.energies.energy import Clamped
from eqprop.energies.model import Model
from eqprop.energies.ops import cast
from eqprop.energies.skips import predictive_residual
from eqprop.energies.units.sigmoid import Tanh
from eqprop.estimators.audit import compare, exact_gradient
from eqprop.estimators.backpropagation import FeedForward
from eqprop.estimators.contrast import symmetric
from eqprop.estimators.equilibrium import EquilibriumPropagation
from eqprop.papers import figures
from eqprop.papers.study import Asked, Study
from eqprop.solvers import ErrorDescent, GradientDescent, Iterative

ERRORS, STATES = "in errors", "in states"

SOLVERS: dict[str, Iterative[Any]] = {
    ERRORS: ErrorDescent(None, 1, 0.5),
    STATES: GradientDescent(None, 1, 0.4),
}

SHARP = ErrorDescent(1e-13, 5000)


class Problem(NamedTuple):
    """A residual network of smooth units in float64, and a batch."""

    model: Model
    x: Array
    y: Array


def problem(depth: int, width: int = 32, inputs: int = 16, batch: int = 8) -> Problem:
    keys = jax.random.split(jax.random.key(depth), 3)
    model = predictive_residual(inputs, width, depth, 4, keys[0], Tanh())
    x, y = jax.random.normal(keys[1], (batch, inputs)), jnp.eye(4)[jnp.arange(batch) % 4]
    return Problem(*cast((model, x, y), np.dtype(np.float64)))


@eqx.filter_jit
def missing(solver: Iterative[Any], steps: int, asked: Problem, beta: float) -> Array:
    """What of the nudge's effect on the first layer is missing after each step, on average."""
    model, x, y = asked

    def one(x: Array, y: Array) -> Array:
        rest = model.energy.rest(x.dtype)
        free, _ = SHARP.settle_from_rest(model.free(x), rest)
        phase = model.nudged(x, y, beta)
        end, _ = SHARP.settle(phase, free)
        _, path = lax.scan(partial(_step, solver, phase), solver.init(phase, free), length=steps)
        left = jnp.linalg.norm(path - end["h1"], axis=-1)
        return left / jnp.linalg.norm(free["h1"] - end["h1"])

    return jax.vmap(one)(x, y).mean(0)


def _step(solver: Iterative[Any], phase: Clamped, carry: Any, _: None) -> tuple[Any, Array]:
    moved = solver.step(phase, carry)
    return moved, moved.state["h1"]


def error(found: Any, reference: Any) -> float:
    """The relative error of all parameters together."""
    return compare(found, reference)[-1].relative_error


@dataclass(frozen=True)
class Reach(Study):
    """By depth: the gradient of small nudges against implicit differentiation and against back-propagation;
    and what of a nudge has not reached the first layer, step by step."""

    depths: tuple[int, ...] = (4, 16, 64)
    betas: tuple[float, ...] = (0.3, 0.1, 0.01)
    steps: int = 256
    beta: float = 0.1
    """Nudge of which the effect is followed."""

    def results(self, asked: Asked) -> dict[str, Any]:
        depths = self.depths[:1] if asked.quick else self.depths
        with jax.enable_x64(True):
            rows = [self._row(depth) for depth in depths]
        panels = {f"{row['depth']} layers": _lines(row["missing"]) for row in rows}
        asked.save(
            "reach", figures.curves(panels, ["step"] * len(rows), "missing at the first layer")
        )
        return {"betas": list(self.betas), "beta": self.beta, "rows": rows}

    def _row(self, depth: int) -> dict[str, Any]:
        model, x, y = found = problem(depth)
        key, rest = jax.random.key(0), model.rest(x)

        @eqx.filter_jit
        def gradient(beta: Array) -> Any:
            learner = EquilibriumPropagation(SHARP, symmetric(beta), SHARP)
            return learner(model, x, y, rest, key).gradient

        implicit = exact_gradient(model, x, y, SHARP)
        backward = eqx.filter_jit(FeedForward())(model, x, y, rest, key).gradient
        return {
            "depth": depth,
            "errors": [error(gradient(jnp.asarray(beta)), implicit) for beta in self.betas],
            "implicit_beside_back_propagation": error(implicit, backward),
            "missing": {
                name: np.asarray(missing(solver, self.steps, found, self.beta)).tolist()
                for name, solver in SOLVERS.items()
            },
        }

    def summary(self, found: Mapping[str, Any]) -> list[Table]:
        shown = Table(title=f"{found['name']}: relative error of the gradient")
        for head in (
            "layers",
            *(f"beta = {beta:g}" for beta in found["betas"]),
            "step to reach half",
        ):
            shown.add_column(head)
        for row in found["rows"]:
            errors = (f"{value:.0e}" for value in row["errors"])
            shown.add_row(str(row["depth"]), *errors, until(row["missing"]))
        return [shown]


def until(left: Mapping[str, list[float]], share: float = 0.5) -> str:
    """After how many steps less than a share is missing, by solver, in words."""
    found = []
    for name, values in left.items():
        met = [step for step, value in enumerate(values, 1) if value < share]
        found.append(f"{met[0] if met else f'more than {len(values)}'} {name}")
    return ", ".join(found)


def _lines(left: Mapping[str, list[float]]) -> dict[str, tuple[list[int], list[float]]]:
    return {name: (list(range(1, len(seen) + 1)), seen) for name, seen in left.items()}
