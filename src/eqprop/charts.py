"""Figures of experiments: pure functions from the rows of a result to a figure, as in `eqprop.plots`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from eqprop.panels import Numbers, dress, finite, require, sheet


def sweep(rows: Sequence[Mapping[str, Any]], axis: str) -> Figure:
    """Test error against what was swept, mean ± std over seeds, one line each.

    A row is a case: ``line``, ``value``, ``test_error_percent`` with ``mean`` and ``std``. Values stand at
    equal distances; ``axis`` says what they are.
    """
    require(rows, "sweep: rows", "at least one case", rows, "run some")
    places = {value: at for at, value in enumerate(sorted({row["value"] for row in rows}))}
    figure, (axes,) = sheet(6.4, 4.0)
    shown = []
    for name in dict.fromkeys(row["line"] for row in rows):
        line = sorted((row for row in rows if row["line"] == name), key=lambda row: row["value"])
        errors = [row["test_error_percent"] for row in line]
        mean, std = (finite([error[key] for error in errors]) for key in ("mean", "std"))
        at = [places[row["value"]] for row in line]
        axes.errorbar(at, mean, std, fmt="o-", ms=4, capsize=2, label=name)
        shown.append(mean)
    axes.set_xticks(list(places.values()), [f"{value:g}" for value in places])
    dress(axes, axis, "test error (%)", *shown)
    return figure


def updates(steps: Numbers, ep: Numbers, bptt: Numbers) -> Figure:
    """Norm of EP's update after each number of nudged steps, and of BPTT's through as many."""
    ep, bptt = finite(ep), finite(bptt)
    count = len(np.asarray(steps))
    wanted, got = f"{count} norms, one a step", f"{len(ep)} and {len(bptt)}"
    require(len(ep) == len(bptt) == count, "updates", wanted, got, "see diagnose.follow_updates")
    figure, (axes,) = sheet(5.6, 4.0)
    axes.plot(steps, bptt, "-", lw=4, alpha=0.4, label="back-propagation through time")
    axes.plot(steps, ep, "o--", ms=4, label="equilibrium propagation")
    axes.set_xscale("log")
    dress(axes, "steps", "norm of the update", ep, bptt)
    return figure


def accuracies(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Validation accuracy by epoch, mean and range over seeds, one line a case.

    A row is a case: ``line``, and ``validation_accuracy``, (seeds, epochs) as fractions.
    """
    require(rows, "accuracies: rows", "at least one case", rows, "run some")
    figure, (axes,) = sheet(6.4, 4.6)
    shown = []
    for row in rows:
        seen = 100 * np.atleast_2d(finite(row["validation_accuracy"]))
        epochs = np.arange(1, seen.shape[1] + 1)
        (line,) = axes.plot(epochs, seen.mean(0), marker=".", label=row["line"])
        axes.fill_between(epochs, seen.min(0), seen.max(0), color=line.get_color(), alpha=0.2, lw=0)
        shown.append(seen)
    dress(axes, "epoch", "validation accuracy (%)", *shown)
    axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def nudges(lines: Mapping[str, Mapping[str, Numbers]]) -> Figure:
    """A sampled gradient against the nudge: cosine with each target, signal-to-noise ratio of the gradient
    and of the displacement.

    ``lines``: label -> ``beta``, ``cosine_free``, ``cosine``, ``gradient_snr`` and ``displacement_snr``,
    each (nudges,).
    """
    require(lines, "nudges: lines", "at least one line", lines, "see diagnose.spread")
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
        shown = [finite(line[key], scale) for line in lines.values()]
        for (name, line), values in zip(lines.items(), shown, strict=True):
            label_once = name if axes is all_axes[0] else None
            axes.plot(np.asarray(line["beta"]), values, ".-", label=label_once)
        dress(axes, "nudge β", label, *shown)
    return figure


def errors(lines: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Relative gradient error against the nudge, one line a rule, with its fitted order.

    ``lines``: label -> ``beta`` and ``error``, each (nudges,), and ``order``.
    """
    require(lines, "errors: lines", "at least one line", lines, "compare some gradients")
    figure, (axes,) = sheet(6.4, 4.6)
    axes.set(xscale="log", yscale="log")
    shown = []
    for name, line in lines.items():
        values = finite(line["error"], "log")
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
        values = finite(line["error"], "log")
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
        for path in finite(shown):
            axes.plot(*path.T, "-", lw=1)
        dress(axes, x, y, finite(shown), title=stage)
    return figure


def losses(lines: Mapping[str, Numbers]) -> Figure:
    """Loss by step, one line a way."""
    require(lines, "losses: lines", "at least one line", lines, "train something")
    figure, (axes,) = sheet(5.6, 4.0)
    axes.set_yscale("log")
    shown = [finite(line, "log") for line in lines.values()]
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
        values = finite(line["step_seconds"], "log")
        axes.plot(line[x], values, "o-", label=f"order {line['order']:.2f}")
        dress(axes, f"{x} of the path", "seconds a step of Newton's method", values)
    second.set_xticks([], minor=True)
    second.set_xticks(by_size["size"], [str(size) for size in by_size["size"]])
    shown = [finite(values, "log") for values in memory["bytes"].values()]
    for label, values in zip(memory["bytes"], shown, strict=True):
        third.plot(memory["lengths"], values, "o-", label=label)
    dress(third, "length of the sequence", "bytes of a gradient", *shown)
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
            shown.append(finite(values, scales[1]))
            axes.plot(places, shown[-1], ".-", label=name)
        dress(axes, label, y, *shown, title=title)
    return figure
