"""A nudged path tells the gradient where its ends are held, and not where its start alone is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree
from matplotlib.figure import Figure

from eqprop.estimators.audit import compare
from eqprop.estimators.contrast import symmetric
from eqprop.estimators.equilibrium import EquilibriumPropagation
from eqprop.lagrangian import Adjoint, Newton, evolve, unroll
from eqprop.papers.demonstration import Claim, Demonstration, told
from eqprop.papers.lagrangian import duffing as chain
from eqprop.papers.lagrangian.gradients import (
    DT,
    LENGTH,
    by_contrast,
    duffing,
    gradient_of,
    nudged_motion,
    through_time,
)
from eqprop.papers.lagrangian.learning import periodic_response, train
from eqprop.papers.slides import QUIET, STRONG, legend, name_line, plain, slide
from eqprop.papers.study import Asked

PERIODIC, FIXED = "periodic", "fixed ends"
ECHO, STARTED = "echo", "given start alone"

DRAWN = 2
"""Of the three oscillators."""


@dataclass(frozen=True)
class Boundaries(Demonstration):
    """Three coupled Duffing oscillators in float64: errors of a contrast of paths nudged both ways against
    the adjoint or back-propagation through time, by what is known of the ends; and a periodic response
    that learns to be another's."""

    nudges: tuple[float, ...] = (1e-4, 1e-3, 1e-2)
    length: int = LENGTH
    steps: int = 60

    def results(self, asked: Asked) -> dict[str, Any]:
        with jax.enable_x64(True):
            errors = self._errors()
            paths, wanted, losses = self._learnt()
        asked.save("demonstration", drawn(self.nudges, errors, paths, wanted))
        return {
            "nudges": self.nudges,
            "errors": errors,
            "losses": losses,
            "claims": told(
                Claim(
                    "a nudged periodic path tells the gradient",
                    "particularly suited to periodic boundary conditions",
                    "abstract",
                    _spoken(self.nudges, errors[PERIODIC]),
                ),
                Claim(
                    "so does one between a fixed initial and a fixed final state",
                    "or to fixed initial and final states",
                    "abstract",
                    _spoken(self.nudges, errors[FIXED]),
                ),
                Claim(
                    "where the start alone is given, a term at the final time is missing",
                    "other boundaries are not claimed",
                    "abstract",
                    f"relative error {errors[STARTED][0]:.1f} however small the nudge; "
                    f"{errors[ECHO][0]:.0e} by an echo back from the end",
                ),
                Claim(
                    "parameters learn without back-propagation through time",
                    "efficient updates without explicit back-propagation through time",
                    "abstract",
                    f"loss of a response {losses[0]:.1e}, {losses[-1]:.1e} in {self.steps} steps",
                ),
            ),
        }

    def _errors(self) -> dict[str, list[float]]:
        inputs = chain.inputs(self.length, DT)
        motion = (*duffing()[:3], inputs)
        through = through_time(partial(unroll, damping=0.0), motion)

        def echo(nudge: float) -> PyTree:
            return through_time(partial(evolve, damping=0.0, nudge=nudge), motion)

        def started(nudge: float) -> PyTree:
            return nudged_motion(inputs, 0.0, False, jnp.asarray(nudge))

        rules: dict[str, tuple[Callable[[float], PyTree], PyTree]] = {
            label: (partial(_contrast, problem), gradient_of(problem, Adjoint(Newton())))
            for label, problem in ((PERIODIC, chain.periodic()), (FIXED, chain.fixed_ends()))
        }
        rules |= {ECHO: (echo, through), STARTED: (started, through)}
        return {
            label: [compare(rule(nudge), exact)[-1].relative_error for nudge in self.nudges]
            for label, (rule, exact) in rules.items()
        }

    def _learnt(self) -> tuple[dict[str, np.ndarray], np.ndarray, list[float]]:
        """The path of one oscillator under one drive before and after, the one wanted, and losses."""
        model, x, y = periodic_response(jax.random.key(0))
        learner = EquilibriumPropagation(Newton(), symmetric(self.nudges[0]))
        _, losses, paths = train(model, x, y, learner, self.steps, 0.03, "periodic response")
        shown = {"before": paths[0], "after learning": paths[-1]}
        return {name: _one(path) for name, path in shown.items()}, _one(y), losses


def _spoken(nudges: Sequence[float], errors: Sequence[float]) -> str:
    (first, *_, last), (least, *_, most) = nudges, errors
    return f"relative error {least:.0e} at β = {first:g}, {most:.0e} at β = {last:g}"


def _contrast(problem: chain.Problem, nudge: float) -> PyTree:
    return by_contrast(problem, symmetric(nudge))


def _one(path: Array) -> np.ndarray:
    return np.asarray(path)[0, :, DRAWN]


def drawn(
    nudges: tuple[float, ...],
    errors: Mapping[str, list[float]],
    paths: Mapping[str, np.ndarray],
    wanted: np.ndarray,
) -> Figure:
    """Errors against the nudge by boundary, and a path before and after learning over the one wanted."""
    figure, (left, right) = slide(
        "Hold both ends, and a nudged path tells the gradient",
        "Massar, arXiv 2505.07363; echo: Pourcel and Ernoult 2025 · eqprop reproduce lagrangian --quick",
        2,
    )
    left.set(xscale="log", yscale="log")
    left.set_prop_cycle(color=("#0072B2", "#009E73", "#CC79A7"))
    for label, values in errors.items():
        wide = label == STARTED
        pen: dict[str, Any] = {"lw": 5, "color": STRONG} if wide else {"lw": 3, "label": label}
        left.plot(nudges, values, "o-", ms=9, **pen)
    name_line(left, nudges[0], errors[STARTED][0], STARTED, STRONG, xytext=(0, -24))
    legend(left, "lower right")
    plain(left, "nudge", "relative error", "Error of the gradient, by boundary")
    times = chain.PERIOD * np.arange(len(wanted)) / len(wanted)
    right.plot(times, wanted, color="0.8", lw=12, label="wanted")
    for (name, path), colour in zip(paths.items(), (QUIET, "#0072B2"), strict=True):
        right.plot(times, path, "--" if name == "before" else "-", color=colour, lw=3, label=name)
    legend(right, "upper right")
    plain(right, "time", "position", "One period of an oscillator")
    return figure
