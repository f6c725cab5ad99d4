"""Gradient error against time, by method and network, of `benchmarks.frontier`."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from eqprop.training.figures.canvas import drawable, dress, sheet
from eqprop.training.files import read_json

RESULT = Path(__file__).parents[2] / "benchmarks" / "frontier.json"


def draw() -> Figure:
    networks = read_json(RESULT)["networks"]
    figure, panels = sheet(3.9, 3.5, len(networks), len(networks))
    for axes, (name, found) in zip(panels, networks.items(), strict=True):
        shown = []
        for method, line in found["lines"].items():
            errors = drawable([row["error"] for row in line], "log")
            axes.plot([row["ms"] for row in line], errors, ".-", label=method)
            shown.append(errors)
        axes.axvline(found["backprop_ms"], ls=":", color="0.4", lw=1, label="back-propagation")
        axes.set(xscale="log", yscale="log")
        label = "relative error of the gradient" if axes is panels[0] else ""
        dress(axes, "milliseconds of one gradient", label, *shown, title=name)
        axes.get_legend().remove()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure
