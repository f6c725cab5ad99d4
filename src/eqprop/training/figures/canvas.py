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
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

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
    """Few labels on a logarithmic axis, and plain numbers where it spans less than two decades."""
    low, high = axis.get_view_interval()
    if axis.get_scale() != "log" or not 0 < low < high:
        return
    axis.set_minor_formatter(NullFormatter())
    if high < 100 * low:
        narrow = high < 8 * low
        axis.set_major_locator(MaxNLocator(4) if narrow else LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
        axis.set_minor_locator(NullLocator())


def with_zero(axes: Axes, *shown: np.ndarray) -> None:
    """A logarithmic axis upwards on which zeros have a place of their own, below the smallest value."""
    values = np.concatenate([np.ravel(part) for part in shown])
    positive = values[values > 0]
    if not np.any(values == 0) or not positive.size:
        axes.set_yscale("log" if positive.size else "linear")
        return
    least, most = float(positive.min()), float(positive.max())
    axes.set_yscale("symlog", linthresh=least, linscale=0.4)
    axes.set_ylim(-0.15 * least, 1.3 * most)
    decades = 10.0 ** np.arange(math.ceil(math.log10(least)), math.floor(math.log10(most)) + 1)
    axes.yaxis.set_major_locator(FixedLocator([0.0, *decades]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def name(figure: Figure, title: str) -> None:
    """Say above a figure what it is of."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=9, fontweight="bold")


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
