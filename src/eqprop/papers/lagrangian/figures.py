"""Figures of the Lagrangian studies: pure functions from the rows of a result to a figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from eqprop.training.figures.canvas import Numbers, drawable, dress, require, sheet


def errors(lines: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Relative gradient error against the nudge, one line a rule, with its fitted order.

    ``lines``: label -> ``beta`` and ``error``, each (nudges,), and ``order``.
    """
    require(lines, "errors: lines", "at least one line", lines, "compare some gradients")
    figure, (axes,) = sheet(6.4, 4.6)
    axes.set(xscale="log", yscale="log")
    shown = []
    for name, line in lines.items():
        values = drawable(line["error"], "log")
        axes.plot(line["beta"], values, "o-", ms=4, label=f"{name}: order {line['order']:.2f}")
        shown.append(values)
    dress(axes, "nudge", "relative error of the gradient", *shown)
    return figure


def levels(lines: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Relative error of orbits against stationary states by quantum number, one line a quantity.

    ``lines``: label -> ``level`` and ``error``, each (levels,), and ``order``.
    """
    require(lines, "levels: lines", "at least one line", lines, "compare some levels")
    figure, (axes,) = sheet(6.4, 4.6)
    axes.set(xscale="log", yscale="log")
    shown = []
    for name, line in lines.items():
        values = drawable(line["error"], "log")
        half = 0.5 + np.asarray(line["level"])
        axes.plot(half, values, "o-", ms=4, label=f"{name}: order {line['order']:.2f}")
        shown.append(values)
    dress(axes, "n + 1/2", "relative error of the orbit", *shown)
    return figure


def trajectories(paths: Mapping[str, np.ndarray], wanted: np.ndarray, x: str, y: str) -> Figure:
    """Paths of several examples in a plane, one panel a stage, over those that were wanted.

    ``paths``: stage -> (examples, nodes, 2); ``wanted`` of the same shape.
    """
    require(paths, "trajectories: paths", "at least one stage", paths, "settle some paths")
    figure, all_axes = sheet(3.6, 3.4, len(paths), len(paths))
    for axes, (stage, shown) in zip(all_axes, paths.items(), strict=True):
        right = np.shape(shown) == np.shape(wanted)
        got = f"{np.shape(shown)} at {stage!r}"
        require(right, "trajectories", f"paths of shape {np.shape(wanted)}", got, "pass all nodes")
        for path in wanted:
            axes.plot(*path.T, "-", color="0.75", lw=3)
        for path in drawable(shown):
            axes.plot(*path.T, "-", lw=1)
        dress(axes, x, y, drawable(shown), title=stage)
    return figure


def losses(lines: Mapping[str, Numbers]) -> Figure:
    """Loss by step, one line a way."""
    require(lines, "losses: lines", "at least one line", lines, "train something")
    figure, (axes,) = sheet(5.6, 4.0)
    axes.set_yscale("log")
    shown = [drawable(line, "log") for line in lines.values()]
    for i, (name, values) in enumerate(zip(lines, shown, strict=True)):
        axes.plot(
            values, ("-", "--")[i % 2], lw=(4, 1.5)[i % 2], alpha=(0.4, 1.0)[i % 2], label=name
        )
    dress(axes, "step", "loss", *shown)
    return figure


def costs(
    by_steps: Mapping[str, Any], by_size: Mapping[str, Any], memory: Mapping[str, Any]
) -> Figure:
    """Seconds of a step of Newton's method by length and by size of the path, and bytes of a gradient by
    length of the sequence.

    ``by_steps`` and ``by_size``: ``steps`` or ``size``, ``step_seconds`` and ``order``; ``memory``:
    ``lengths``, and ``bytes`` by way.
    """
    figure, (first, second, third) = sheet(4.6, 3.6, 3, 3)
    for axes in (first, second, third):
        axes.set(xscale="log", yscale="log")
    for axes, line, x in ((first, by_steps, "steps"), (second, by_size, "size")):
        values = drawable(line["step_seconds"], "log")
        axes.plot(line[x], values, "o-", label=f"order {line['order']:.2f}")
        dress(axes, f"{x} of the path", "seconds a step of Newton's method", values)
    second.set_xticks([], minor=True)
    second.set_xticks(by_size["size"], [str(size) for size in by_size["size"]])
    shown = [drawable(values, "log") for values in memory["bytes"].values()]
    for label, values in zip(memory["bytes"], shown, strict=True):
        third.plot(memory["lengths"], values, "o-", label=label)
    dress(third, "length of the sequence", "bytes of a gradient", *shown)
    return figure
