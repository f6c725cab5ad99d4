"""A sampled gradient against the nudge, at initialisation, on one batch."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, PyTree
from matplotlib.figure import Figure
from rich.progress import track

from eqprop.energies.model import Model
from eqprop.estimators.audit import compare, estimate
from eqprop.estimators.spread import spread
from eqprop.papers.comparison import some
from eqprop.papers.study import command
from eqprop.training.assemble import make_thermal
from eqprop.training.chain_recipes import ThermalRecipe
from eqprop.training.examine import audit_batch
from eqprop.training.figures import plots
from eqprop.training.figures.canvas import Numbers, drawable, dress, require, sheet
from eqprop.training.files import AnyPath, write_json
from eqprop.training.surroundings import surroundings
from eqprop.training.task import prepare
from eqprop.training.terminal import console, tell


def nudges(lines: Mapping[str, Mapping[str, Numbers]]) -> Figure:
    """A sampled gradient against the nudge: cosine with each target, signal-to-noise ratio of the gradient
    and of the displacement.

    ``lines``: label -> ``beta``, ``cosine_free``, ``cosine``, ``gradient_snr`` and ``displacement_snr``,
    each (nudges,).
    """
    require(lines, "nudges: lines", "at least one line", lines, "see eqprop.estimators.spread")
    wanted = {
        "cosine_free": "cosine with the gradient of ⟨C⟩ at β = 0",
        "cosine": "cosine with the gradient of J",
        "gradient_snr": "signal / noise of the gradient",
        "displacement_snr": "signal / noise of the displacement",
    }
    figure, all_axes = sheet(5.2, 3.8, len(wanted), 2)
    for axes, (key, label) in zip(all_axes, wanted.items(), strict=True):
        axes.set_xscale("log")
        if key.endswith("snr"):
            axes.set_yscale("log")
        scale = axes.get_yscale()
        shown = [drawable(line[key], scale) for line in lines.values()]
        for (name, line), values in zip(lines.items(), shown, strict=True):
            label_once = name if axes is all_axes[0] else None
            axes.plot(np.asarray(line["beta"]), values, ".-", label=label_once)
        dress(axes, "nudge β", label, *shown)
    return figure


MANY, INFINITESIMAL = 256, 1e-3


@dataclass(frozen=True)
class Nudges:
    """A sampled gradient against the nudge, at initialisation, on one batch: how it agrees with the
    gradients of ``<C>`` in the free phase (``J`` at a nudge of 1e-3) and of ``J_beta``, and how noisy it
    is."""

    name: str
    about: str
    recipe: ThermalRecipe
    ways: Mapping[str, Mapping[str, Any]]
    """What each way changes in the recipe."""
    betas: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)
    repeats: int = 16

    def reproduce(
        self, out: AnyPath, data_dir: AnyPath | None = None, quick: bool = False
    ) -> dict[str, Any]:
        """Write ``<out>/<name>/result.json`` and a figure beside it."""
        about, began = surroundings(), time.perf_counter()
        name = f"{self.name}-quick" if quick else self.name
        betas, ways = (self.betas[::3], some(self.ways, 3)) if quick else (self.betas, self.ways)
        task = prepare(self.recipe, data_dir)
        model = self.recipe.build(task.data)
        x, y = audit_batch(task, model)
        lines: dict[str, dict[str, list[float]]] = {way: {} for way in ways}
        agreed, free = [], target(self.recipe, INFINITESIMAL, model, x, y, 1)
        for beta in track(betas, "nudges", console=console):
            nudged, again = (target(self.recipe, beta, model, x, y, seed) for seed in (2, 3))
            references = {"cosine_free": free, "cosine": nudged}
            agreed.append(compare(again, nudged)[-1].cosine)
            for way, change in ways.items():
                recipe = dataclasses.replace(self.recipe, beta=beta, **change)
                found = nudged_line(recipe, model, x, y, references, self.repeats)
                for key, value in ({"beta": beta} | found).items():
                    lines[way].setdefault(key, []).append(value)
        tell(f"  {plots.save(nudges(lines), Path(out) / name / 'nudges.png')}")
        summary = {
            "name": name,
            "command": command(self.name, quick),
            "recipe": dataclasses.asdict(self.recipe),
            "repeats": self.repeats,
            "seconds": time.perf_counter() - began,
            "agreement_of_two_references": agreed,
            "lines": lines,
            **about,
        }
        path = write_json(Path(out) / name / "result.json", summary)
        tell(f"{name}: {len(ways)} ways at {len(betas)} nudges; {path}")
        return summary


def target(
    recipe: ThermalRecipe, beta: float, model: Model, x: Array, y: Array, seed: int
) -> PyTree:
    """The gradient of ``J_beta`` by the finite nudge with common noise, means and many chains."""
    many: dict[str, Any] = {
        "rule": "contrast",
        "reading": "means",
        "independent_noise": False,
        "chains": MANY,
    }
    thermal = make_thermal(dataclasses.replace(recipe, beta=beta, **many))
    return estimate(model, x, y, thermal, jax.random.key(seed)).gradient


def nudged_line(
    recipe: ThermalRecipe,
    model: Model,
    x: Array,
    y: Array,
    references: Mapping[str, PyTree],
    repeats: int,
) -> dict[str, float]:
    """How the recipe's gradient agrees with each reference, its bias and deviation for the last of them,
    and the SNR of gradient and displacement."""
    estimator, key = make_thermal(recipe), jax.random.key(4)
    found, seen = spread(model, x, y, estimator, references, key, repeats)
    last = found["cosine"]
    return {
        **{name: one.cosine for name, one in found.items()},
        "bias": last.bias,
        "deviation": last.deviation,
        "gradient_snr": last.snr,
        "displacement_snr": seen.get("displacement_snr", math.nan),
    }
