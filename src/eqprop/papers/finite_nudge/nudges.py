"""A sampled gradient against the nudge, at initialisation, on one batch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, PyTree
from matplotlib.figure import Figure
from rich.progress import track

from eqprop.energies.model import Model
from eqprop.estimators.audit import compare, estimate
from eqprop.estimators.spread import spread
from eqprop.papers.call import Call
from eqprop.papers.comparison import some
from eqprop.papers.study import Asked, Study
from eqprop.thermal.chains import Chains
from eqprop.thermal.estimator import Thermal
from eqprop.thermal.readings import ConditionalMeans
from eqprop.thermal.rules import finite_nudge
from eqprop.training.figures.canvas import Numbers, drawable, dress, require, sheet
from eqprop.training.fit import AUDITED
from eqprop.training.terminal import console
from eqprop.training.training import batch_of, prepare


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
class Nudges(Study):
    """A sampled gradient against the nudge, at initialisation, on one batch: how it agrees with the
    gradients of ``<C>`` in the free phase (``J`` at a nudge of 1e-3) and of ``J_beta``, and how noisy it
    is."""

    ways: Mapping[str, Call]
    betas: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)
    repeats: int = 16

    def results(self, asked: Asked) -> dict[str, Any]:
        betas, ways = (
            (self.betas[::3], some(self.ways, 3)) if asked.quick else (self.betas, self.ways)
        )
        training = next(iter(ways.values())).training()
        model, thermal = training.model, training.estimator
        assert isinstance(thermal, Thermal) and isinstance(thermal.source, Chains)
        x, y = batch_of(prepare(training, asked.data_dir).validation, model, AUDITED)
        lines: dict[str, dict[str, list[float]]] = {way: {} for way in ways}
        agreed, free = [], target(thermal.source, INFINITESIMAL, model, x, y, 1)
        for beta in track(betas, "nudges", console=console):
            nudged, again = (target(thermal.source, beta, model, x, y, seed) for seed in (2, 3))
            references = {"cosine_free": free, "cosine": nudged}
            agreed.append(compare(again, nudged)[-1].cosine)
            for way, call in ways.items():
                estimator = call.but(beta=beta).training().estimator
                assert isinstance(estimator, Thermal)
                found = nudged_line(estimator, model, x, y, references, self.repeats)
                for key, value in ({"beta": beta} | found).items():
                    lines[way].setdefault(key, []).append(value)
        asked.save("nudges", nudges(lines))
        return {
            "ways": {way: call.told() for way, call in ways.items()},
            "repeats": self.repeats,
            "agreement_of_two_references": agreed,
            "lines": lines,
        }


def target(source: Chains, beta: float, model: Model, x: Array, y: Array, seed: int) -> PyTree:
    """The gradient of ``J_beta`` by the finite nudge with common noise, means and many chains."""
    many = dataclasses.replace(source, common_noise=True, chains=MANY)
    thermal = Thermal(many, finite_nudge(beta), ConditionalMeans())
    return estimate(model, x, y, thermal, jax.random.key(seed)).gradient


def nudged_line(
    estimator: Thermal,
    model: Model,
    x: Array,
    y: Array,
    references: Mapping[str, PyTree],
    repeats: int,
) -> dict[str, float]:
    """How an estimator's gradient agrees with each reference, its bias and deviation for the last of them,
    and the SNR of gradient and displacement."""
    found, seen = spread(model, x, y, estimator, references, jax.random.key(4), repeats)
    last = found["cosine"]
    return {
        **{name: one.cosine for name, one in found.items()},
        "bias": last.bias,
        "deviation": last.deviation,
        "gradient_snr": last.snr,
        "displacement_snr": seen.get("displacement_snr", math.nan),
    }
