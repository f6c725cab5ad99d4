"""Figures that several papers draw: pure functions from the rows of a result to a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from eqprop.training.figures.canvas import Numbers, drawable, dress, require, sheet


def sweep(
    rows: Sequence[Mapping[str, Any]],
    axis: str,
    measure: str = "test_error_percent",
    label: str = "test error (%)",
) -> Figure:
    """Test error, or another measure, against what was swept, mean ± std over seeds, one line each.

    A row is a case: ``line``, ``value``, and under the name of the measure ``mean`` and ``std``. Values
    stand at equal distances; ``axis`` says what they are, ``label`` what is measured.
    """
    require(rows, "sweep: rows", "at least one case", rows, "run some")
    places = {value: at for at, value in enumerate(sorted({row["value"] for row in rows}))}
    figure, (axes,) = sheet(6.4, 4.0)
    shown = []
    for name in dict.fromkeys(row["line"] for row in rows):
        line = sorted((row for row in rows if row["line"] == name), key=lambda row: row["value"])
        found = [row[measure] for row in line]
        mean, std = (drawable([one[key] for one in found]) for key in ("mean", "std"))
        at = [places[row["value"]] for row in line]
        axes.errorbar(at, mean, std, fmt="o-", ms=4, capsize=2, label=name)
        shown.append(mean)
    axes.set_xticks(list(places.values()), [f"{value:g}" for value in places])
    dress(axes, axis, label, *shown)
    return figure


def accuracies(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Validation accuracy by epoch, mean and range over seeds, one line a case.

    A row is a case: ``line``, and ``validation_accuracy``, (seeds, epochs) as fractions.
    """
    require(rows, "accuracies: rows", "at least one case", rows, "run some")
    figure, (axes,) = sheet(6.4, 4.6)
    shown = []
    for row in rows:
        seen = 100 * np.atleast_2d(drawable(row["validation_accuracy"]))
        epochs = np.arange(1, seen.shape[1] + 1)
        (line,) = axes.plot(epochs, seen.mean(0), marker=".", label=row["line"])
        axes.fill_between(epochs, seen.min(0), seen.max(0), color=line.get_color(), alpha=0.2, lw=0)
        shown.append(seen)
    dress(axes, "epoch", "validation accuracy (%)", *shown)
    axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def curves(
    panels: Mapping[str, Mapping[str, tuple[Numbers, Numbers]]],
    x: Sequence[str],
    y: str,
    scales: tuple[str, str] = ("log", "log"),
) -> Figure:
    """Lines of points, one panel for each entry of ``panels``: label -> (places, values). ``x`` names the
    axis of each panel, ``y`` the one that they share."""
    require(panels, "curves: panels", "at least one panel", panels, "measure something")
    right = len(x) == len(panels)
    require(right, "curves: x", f"{len(panels)} names", x, "name the axis of each panel")
    figure, all_axes = sheet(4.6, 3.6, len(panels), len(panels))
    for axes, label, (title, lines) in zip(all_axes, x, panels.items(), strict=True):
        axes.set(xscale=scales[0], yscale=scales[1])
        shown = []
        for name, (places, values) in lines.items():
            shown.append(drawable(values, scales[1]))
            axes.plot(places, shown[-1], ".-", label=name)
        dress(axes, label, y, *shown, title=title)
    return figure
