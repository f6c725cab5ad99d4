"""A nudge reaches the first of many layers at once in errors, and hardly in states; and deep networks of
predictive coding learn digits as by back-propagation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from eqprop.energies.skips import predictive_residual
from eqprop.estimators.contrast import symmetric
from eqprop.estimators.equilibrium import EquilibriumPropagation
from eqprop.papers.call import Call
from eqprop.papers.demonstration import Claim, Demonstration, told, train
from eqprop.papers.predictive_coding.depth import ERRORS, SOLVERS, STATES, missing, problem, until
from eqprop.papers.slides import learning, legend, plain, slide
from eqprop.papers.study import Asked
from eqprop.solvers import ErrorDescent
from eqprop.training.data.named import DIGITS
from eqprop.training.optimisers import Optimiser
from eqprop.training.rivals import backprop
from eqprop.training.training import Training

EP, BACKPROP = "nudged predictive coding", "back-propagation"

NUDGE, STEPS = 0.1, 100


def digits_predictive_deep(
    width: int = 64, depth: int = 32, epochs: int = 10, seed: int = 0
) -> Training:
    """Embedded digits by a residual network of many layers."""
    model = predictive_residual(DIGITS.features, width, depth, DIGITS.classes, jax.random.key(seed))
    nudged = ErrorDescent(None, 3)
    learner = EquilibriumPropagation(ErrorDescent(None, 1, 1.0), symmetric(NUDGE), nudged)
    return Training(model, learner, DIGITS, Optimiser(0.03), epochs, 32, validation=200, seed=seed)


@dataclass(frozen=True)
class Errors(Demonstration):
    """A residual network trained by nudges and by back-propagation; and what of a nudge is missing at the
    first layer, by step, in states and in errors."""

    call: Call = field(default_factory=lambda: Call(digits_predictive_deep))

    def results(self, asked: Asked) -> dict[str, Any]:
        trained = train({EP: self.call, BACKPROP: self.call.but(backprop)}, asked)
        depth = self.call.arguments["depth"]
        with jax.enable_x64(True):
            left = {
                name: np.asarray(missing(solver, STEPS, problem(depth), NUDGE)).tolist()
                for name, solver in SOLVERS.items()
            }
        asked.save("demonstration", drawn(left, trained.curves, depth))
        ep, rival = trained.tested.values()
        return {
            **self.call.told(),
            **trained.found(),
            "missing": left,
            "claims": told(
                Claim(
                    "descent in errors settles in few steps, however deep the network; in states, it does "
                    "not",
                    "signals decay exponentially with depth in states; errors reach all layers at once",
                    "Goemaere et al. 2025, abstract",
                    f"half of a nudge reaches the first of {depth} layers after {until(left)}",
                ),
                Claim(
                    "scaled rightly, predictive coding trains networks of a hundred layers",
                    "residual networks of up to 128 layers on simple tasks",
                    "Innocenti et al. 2025, abstract",
                    f"{depth} layers, 8×8 digits: test accuracy {ep:.1f} %",
                ),
                Claim(
                    "nudged from both sides it learns as back-propagation does",
                    "13.2 % against 12.2 % top-5 error of ImageNet",
                    "Kerjan, Høier and Scellier 2026",
                    f"the same layers by back-propagation: {rival:.1f} %",
                ),
            ),
        }


def drawn(
    left: Mapping[str, list[float]], curves: Mapping[str, Sequence[float]], depth: int
) -> Figure:
    """What is missing by step, and validation accuracies by epoch."""
    figure, (reach, learnt) = slide(
        "In errors, a nudge reaches every layer at once",
        "Goemaere et al. 2025; Innocenti et al. 2025 · eqprop reproduce predictive-coding --quick",
        2,
    )
    reach.set(xscale="log", yscale="log")
    for name in (ERRORS, STATES):
        reach.plot(np.arange(1, STEPS + 1), left[name], lw=4, label=name)
    legend(reach, "lower left")
    plain(reach, "step", "of the nudge missing", f"At the first of {depth} layers")
    learning(learnt, curves, "Learning 8×8 digits")
    return figure
