"""What plots are drawn on: figures without a display, labels, counted gaps, PNG files."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from matplotlib.ticker import LogFormatter

from eqprop.training.files import written_whole

Numbers = np.ndarray | Array | Sequence[float]

COLOURS = cycler(color=("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"))

LINES = cycler(linestyle=("-", "--", ":")) * COLOURS
"""Colours first: a seventh line is the first one's, dashed."""


def save(figure: Figure, path: str | Path) -> Path:
    """Write a PNG at 150 dots an inch, whole or not at all, in a folder made if need be.

    Raises ``OSError`` that names ``path`` where it cannot be written; an older file then stays.
    """
    path = Path(path)
    require(path.suffix.lower() == ".png", "save: path", "a name ending in .png", path, "rename it")
    with written_whole(path) as part:
        figure.savefig(part, format="png", dpi=150)
    return path


def require(right: object, name: str, expected: str, got: object, remedy: str) -> None:
    if not right:
        raise ValueError(f"{name}: expected {expected}, got {got}; {remedy}.")


def sheet(width: float, height: float, count: int = 1, columns: int = 1) -> tuple[Figure, list]:
    """A figure and its ``count`` panels, each of ``width`` by ``height`` inches."""
    lines, at = math.ceil(count / columns), range(1, count + 1)
    figure = Figure(figsize=(width * columns, height * lines), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(lines, columns, i, prop_cycle=LINES) for i in at]


def dress(axes: Axes, x: str, y: str, *shown: np.ndarray, title: str = "") -> None:
    """Labels, grid, legend, and a title that counts the gaps in ``shown``."""
    gaps, total = sum(int(np.isnan(s).sum()) for s in shown), sum(s.size for s in shown)
    reason = (
        "not a positive number" if "log" in (axes.get_xscale(), axes.get_yscale()) else "not finite"
    )
    title += f"\n({gaps} of {total} values {reason})" if gaps else ""
    axes.set_title(title.strip(), loc="left", fontsize=9)
    axes.set(xlabel=x, ylabel=y, axisbelow=True)
    axes.tick_params(which="both", labelsize=8)
    axes.grid(color="0.9", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    for axis in (axes.xaxis, axes.yaxis):
        _in_plain_numbers(axis)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)


def _in_plain_numbers(axis: Axis) -> None:
    """No powers of ten on a logarithmic axis that spans less than two decades from 1 to 10,000."""
    low, high = axis.get_view_interval()
    if axis.get_scale() == "log" and 1 <= low < high < min(100 * low, 1e4):
        axis.set_major_formatter(LogFormatter(labelOnlyBase=False))
        axis.set_minor_formatter(LogFormatter(labelOnlyBase=False))


def drawable(values: Any, scale: str = "linear") -> np.ndarray:
    """An array with NaN where a value cannot be shown."""
    values = np.asarray(values, float)
    return np.where(np.isfinite(values) & ((scale != "log") | (values > 0)), values, np.nan)


def band(axes: Axes, label: str, values: np.ndarray) -> None:
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        low, middle, high = np.nanpercentile(values, (10, 50, 90), axis=0)
    (line,) = axes.plot(middle, ".-" if len(middle) < 40 else "-", label=label)
    if len(values) > 1:
        axes.fill_between(range(len(low)), low, high, color=line.get_color(), alpha=0.2, lw=0)
