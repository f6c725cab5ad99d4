"""The updates of equilibrium propagation and of back-propagation through time, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from eqprop.estimators.equilibrium import EquilibriumPropagation
from eqprop.estimators.updates import follow_updates
from eqprop.papers.call import Call
from eqprop.papers.oim.machine import STEP
from eqprop.papers.study import Asked, Study
from eqprop.solvers import GradientDescent, Iterative
from eqprop.training.figures.canvas import Numbers, drawable, dress, require, sheet
from eqprop.training.fit import AUDITED
from eqprop.training.training import batch_of, prepare

SETTLED = GradientDescent(1e-6, 5000, STEP)


def updates(steps: Numbers, ep: Numbers, bptt: Numbers) -> Figure:
    """Norm of EP's update after each number of nudged steps, and of BPTT's through as many."""
    ep, bptt = drawable(ep), drawable(bptt)
    count = len(np.asarray(steps))
    wanted, got = f"{count} norms, one a step", f"{len(ep)} and {len(bptt)}"
    require(len(ep) == len(bptt) == count, "updates", wanted, got, "see follow_updates")
    figure, (axes,) = sheet(5.6, 4.0)
    axes.plot(steps, bptt, "-", lw=4, alpha=0.4, label="back-propagation through time")
    axes.plot(steps, ep, "o--", ms=4, label="equilibrium propagation")
    axes.set_xscale("log")
    dress(axes, "steps", "norm of the update", ep, bptt)
    return figure


@dataclass(frozen=True)
class Curves(Study):
    """EP's update after each number of nudged steps against BPTT's, at initialisation, on one batch."""

    call: Call
    steps: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)

    def results(self, asked: Asked) -> dict[str, Any]:
        steps = self.steps[:3] if asked.quick else self.steps
        training = self.call.training()
        model, learner = training.model, training.estimator
        assert isinstance(learner, EquilibriumPropagation)
        x, y = batch_of(prepare(training, asked.data_dir).validation, model, AUDITED)

        def after(count: int) -> Iterative:
            return GradientDescent(None, count, STEP)

        rows = follow_updates(model, x, y, SETTLED, after, learner.contrast, steps)
        norms = [row.norm for row in rows], [row.agreement.norm for row in rows]
        asked.save("updates", updates(steps, *norms))
        curves = [{"steps": row.steps, "ep": row.norm, **row.agreement._asdict()} for row in rows]
        return {**self.call.told(), "curves": curves}

    def summary(self, found: Mapping[str, Any]) -> list[str]:
        worst = min(row["cosine"] for row in found["curves"])
        return [f"cosine of EP with BPTT at least {worst:.6f} over {len(found['curves'])} steps"]
