"""The updates of equilibrium propagation and of back-propagation through time, step by step."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from eqprop.estimators.audit import follow_updates
from eqprop.papers.study import command
from eqprop.solvers import GradientDescent, Iterative
from eqprop.training.assemble import make_contrast, make_solver
from eqprop.training.examine import audit_batch
from eqprop.training.figures import plots
from eqprop.training.figures.canvas import Numbers, drawable, dress, require, sheet
from eqprop.training.files import AnyPath, write_json
from eqprop.training.recipe import Recipe
from eqprop.training.surroundings import surroundings
from eqprop.training.task import prepare
from eqprop.training.terminal import tell


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
class Curves:
    """EP's update after each number of nudged steps against BPTT's, at initialisation, on one batch."""

    name: str
    about: str
    recipe: Recipe
    steps: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)

    def reproduce(
        self, out: AnyPath, data_dir: AnyPath | None = None, quick: bool = False
    ) -> dict[str, Any]:
        """Write ``<out>/<name>/result.json`` and a figure beside it."""
        about, steps = surroundings(), self.steps[:3] if quick else self.steps
        name = f"{self.name}-quick" if quick else self.name
        task = prepare(self.recipe, data_dir)
        model = self.recipe.build(task.data)
        x, y = audit_batch(task, model)

        def after(count: int) -> Iterative:
            return GradientDescent(None, count, self.recipe.step_size)

        free, contrast = make_solver(self.recipe), make_contrast(self.recipe)
        rows = follow_updates(model, x, y, free, after, contrast, steps)
        norms = [row.norm for row in rows], [row.agreement.norm for row in rows]
        tell(f"  {plots.save(updates(steps, *norms), Path(out) / name / 'updates.png')}")
        summary = {
            "name": name,
            "command": command(self.name, quick),
            "recipe": dataclasses.asdict(self.recipe),
            "curves": [
                {"steps": row.steps, "ep": row.norm, **row.agreement._asdict()} for row in rows
            ],
            **about,
        }
        path = write_json(Path(out) / name / "result.json", summary)
        worst = min(row.agreement.cosine for row in rows)
        tell(f"{name}: cosine of EP with BPTT at least {worst:.6f} over {len(rows)} steps; {path}")
        return summary
