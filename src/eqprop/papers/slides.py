"""Figures for a talk: one message over one or two panels, in letters that are read from the last row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from eqprop.training.figures.canvas import sheet

INCHES = 12.8, 7.2
"""Of a slide, 16 : 9."""
MESSAGE, AXIS, LEGEND, TICK, SOURCE = 27, 20, 17, 16, 13
"""Sizes of letters in points."""
INK, QUIET, STRONG = "0.15", "0.55", "#D55E00"


def slide(message: str, source: str, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure with its ``message`` as title, where it is ``source`` below, and ``panels`` side by side."""
    width, height = INCHES
    figure, axes = sheet(width / panels, height, panels, panels)
    figure.set_layout_engine("constrained", w_pad=0.25, h_pad=0.2, wspace=0.04)
    figure.suptitle(message, x=0.02, ha="left", fontsize=MESSAGE, weight="bold", color=INK)
    figure.supxlabel(source, x=0.985, ha="right", fontsize=SOURCE, color=QUIET)
    return figure, axes


def plain(axes: Axes, x: str, y: str, title: str = "") -> None:
    """Labels in large letters, and no more lines than are needed."""
    axes.set_xlabel(x, fontsize=AXIS, color=INK)
    axes.set_ylabel(y, fontsize=AXIS, color=INK)
    axes.set_title(title, loc="left", fontsize=AXIS, color=INK, pad=14)
    axes.tick_params(which="both", labelsize=TICK, color=QUIET, labelcolor=INK)
    axes.tick_params(which="minor", length=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)


def name_line(axes: Axes, x: Any, y: Any, text: str, colour: str, **place: Any) -> None:
    """A line's name beside it, in its colour, in place of a legend."""
    where = {"xytext": (10, 0), "textcoords": "offset points", "va": "center"} | place
    axes.annotate(text, (x, y), color=colour, fontsize=AXIS - 1, annotation_clip=False, **where)


def legend(axes: Axes, where: Any) -> None:
    """The names of the lines, at ``where`` in matplotlib's words."""
    axes.legend(frameon=False, fontsize=LEGEND, loc=where, labelcolor=INK)


def learning(axes: Axes, curves: Mapping[str, Sequence[float]], title: str) -> None:
    """Validation accuracies in percent by epoch, one line a way; room for the legend below."""
    for (name, values), style in zip(curves.items(), ("o-", "o--"), strict=True):
        axes.plot(np.arange(1, len(values) + 1), values, style, ms=9, lw=4, label=name)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    legend(axes, "lower right")
    plain(axes, "epoch", "validation accuracy (%)", title)
