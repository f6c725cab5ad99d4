"""Plots: pure functions from data to a `matplotlib.figure.Figure`, and `save`.

None touches pyplot or a global setting, so all work without a display. What cannot be shown (not finite;
not positive on a logarithmic axis) is a gap, counted in the title. Wrong shapes raise ``ValueError``.
"""

from __future__ import annotations

import errno
import io
import math
import os
import uuid
import warnings
from collections.abc import Mapping, Sequence, Sized
from itertools import cycle
from pathlib import Path
from typing import Any, NoReturn, SupportsFloat

import numpy as np
from jaxtyping import Array
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

Numbers = np.ndarray | Array
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
REQUIRED = ("epoch", "loss", "accuracy", "validation_loss", "validation_accuracy")
OPTIONAL = {"steps": "steps to settle", "converged": "fraction", "residual": "relative residual"}
LAYOUTS = {2: "AB", 3: "AABB;.CC.", 4: "AB;CD", 5: "AAABBB;CCDDEE"}
MAX_PANELS = 12


def learning_curves(rows: Sequence[Mapping[str, SupportsFloat | None]]) -> Figure:
    """Error and loss by epoch; below them how relaxation went, as far as ``rows`` tell.

    A row is one epoch: ``epoch, loss, accuracy, validation_loss, validation_accuracy`` (accuracies as
    fractions) and optionally ``{free,nudged}_{steps,converged,residual}``; None is a gap.
    """
    table = _table(rows)
    splits = {"train": "", "validation": "validation_"}
    errors = {s: 100 * (1 - table[f"{p}accuracy"]) for s, p in splits.items()}
    losses = {s: table[f"{p}loss"] for s, p in splits.items()}
    panels = [("Error", "error (%)", errors), ("Loss", "mean loss", losses)]
    for key, label in OPTIONAL.items():
        series = {p: table[f"{p}_{key}"] for p in ("free", "nudged") if f"{p}_{key}" in table}
        panels += [(key.capitalize(), label, series)] if series else []
    figure = _figure(9.0, 3.2 if len(panels) == 2 else 6.0)
    grid = figure.subplot_mosaic(LAYOUTS[len(panels)]).values()
    for axes, (title, label, series) in zip(grid, panels, strict=True):
        log = title in ("Error", "Residual")
        axes.set_yscale("log" if log else "linear")
        shown = {name: _finite(values, positive=log) for name, values in series.items()}
        for colour, (name, values) in zip(COLOURS, shown.items(), strict=False):
            axes.plot(table["epoch"], values, "o-", ms=3, lw=1.5, color=colour, label=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _dress(axes, title, "epoch", label, *shown.values())
    return figure


def relaxation(
    traces: Mapping[str, tuple[Numbers, Numbers]], tolerance: float | None = None
) -> Figure:
    """Energy above its minimum and relative residual against step, by phase.

    ``traces``: label -> (energies, residuals), each (steps,) or (batch, steps), as
    `eqprop.solvers.Iterative.trace` gives them. Batches show their median and 10-90 % band. What is
    below the rounding of the float type (an energy at its minimum) is drawn at that rounding.
    """
    _require(traces, "relaxation: traces", "phase")
    if tolerance is not None and not 0 < tolerance < math.inf:
        _fail("relaxation: tolerance", "a positive number or None", tolerance, "use the solver's")
    read = {label: _trace(label, *pair) for label, pair in traces.items()}
    energies, residuals = zip(*read.values(), strict=True)
    figure = _figure(9.0, 3.4)
    left, right = figure.subplots(1, 2, sharex=True)
    for axes, phases in ((left, energies), (right, residuals)):
        axes.set_yscale("log")
        for colour, label, values in zip(cycle(COLOURS), read, phases, strict=False):
            _band(axes, values, colour, _plain(label))
    if tolerance is not None:
        right.axhline(tolerance, color="#666666", ls="--", lw=1, label=f"tolerance {tolerance:.1e}")
    _dress(left, "Energy", "step", "energy above its minimum", *energies)
    _dress(right, "Residual", "step", "relative residual", *residuals)
    return figure


def agreement(rows: Sequence[Any]) -> Figure:
    """``1 - cosine`` and relative error to a reference gradient, one line a parameter, first on top.

    A row has ``name``, ``cosine`` and ``relative_error``, as `eqprop.diagnose.Agreement`. Values below
    rounding, such as zeros, are drawn at rounding.
    """
    _require(rows, "agreement: rows", "parameter")
    cosine, error = (_finite([getattr(r, k) for r in rows]) for k in ("cosine", "relative_error"))
    if np.any(np.abs(cosine) > 1.001) or np.any(error < 0):
        _fail("agreement: rows", "|cosine| <= 1 and relative_error >= 0", rows, "see diagnose.compare")
    figure = _figure(9.0, min(1.3 + 0.28 * len(rows), 40.0))
    panels = figure.subplots(1, 2, sharey=True)
    panels[0].set_yticks(np.arange(len(rows)), [_plain(row.name) for row in rows])
    panels[0].set_ylim(len(rows) - 0.4, -0.6)
    for axes, colour, values in zip(panels, COLOURS, (1 - cosine, error), strict=False):
        axes.set_xscale("log")
        axes.plot(np.maximum(values, np.finfo(float).eps), np.arange(len(rows)), "o", color=colour)
    _dress(panels[0], "Direction", "1 − cosine", "", cosine)
    _dress(panels[1], "Direction and size", "relative error", "", error)
    return figure


def beta_sweep(
    betas: Numbers | Sequence[float] | Mapping[str, tuple],
    errors: Numbers | Sequence[float] | None = None,
    order: float | None = None,
    best: float | None = None,
    label: str = "gradient",
) -> Figure:
    """Relative error of the gradient against the nudge, both logarithmic.

    One sweep: ``betas`` and ``errors`` of shape (nudges,), the fitted ``order`` (None or NaN: no line)
    and the ``best`` nudge, ringed; or a mapping label -> (betas, errors, order, best) to overlay.
    """
    sweeps = betas if isinstance(betas, Mapping) else {label: (betas, errors, order, best)}
    _require(sweeps, "beta_sweep: betas", "sweep")
    figure = _figure(5.6, 4.0)
    axes = figure.subplots()
    axes.set(xscale="log", yscale="log")
    coloured = zip(cycle(COLOURS), sweeps.items(), strict=False)
    shown = [_sweep(axes, colour, name, *sweep) for colour, (name, sweep) in coloured]
    _dress(axes, "Gradient error by nudge", "|β|", "relative error of the gradient", *shown)
    return figure


def first_layer_weights(
    weight: Numbers, image_shape: tuple[int, int, int], count: int = 64
) -> Figure:
    """Receptive fields, the largest norms first, on one colour scale symmetric about zero.

    ``weight``: (height * width * channels, outputs), or a kernel (k, k, channels, outputs), for images
    of ``image_shape`` (height, width, channels). Three channels are shown as colours (grey is zero),
    other numbers by their mean.
    """
    fields = _fields(_finite(weight), image_shape, count)
    norms = np.nansum(fields**2, axis=(1, 2, 3))
    tiles = fields[np.argsort(-norms, kind="stable")[:count]]
    tiles = tiles if tiles.shape[-1] == 3 else tiles.mean(axis=-1, keepdims=True)
    limit = np.fmax.reduce(np.abs(tiles), axis=None, initial=0.0) or 1.0
    figure = _figure(6.4, 6.0)
    axes = figure.subplots()
    if tiles.shape[-1] == 3:
        axes.imshow(np.nan_to_num(0.5 + 0.5 * _mosaic(tiles) / limit, nan=1.0))
    else:
        shown = axes.imshow(_mosaic(tiles)[..., 0], cmap="RdBu_r", vmin=-limit, vmax=limit)
        figure.colorbar(shown, ax=axes, shrink=0.7, label="weight").outline.set_visible(False)
    _dress(axes, f"{len(tiles)} of {len(fields)} units, largest norm first", "", "", fields)
    axes.set_axis_off()
    return figure


def activity(shown: Mapping[str, Numbers]) -> Figure:
    """How often each layer shows which value, and how much of it is at the least and greatest one.

    ``shown``: layer -> (batch, ...). What is within a thousandth of the range of an extreme counts as at
    it. More than 12 layers: the first 12.
    """
    _require(shown, "activity: shown", "layer")
    layers = list(shown.items())[:MAX_PANELS]
    columns = min(4, len(layers))
    lines = math.ceil(len(layers) / columns)
    figure = _figure(max(2.6 * columns, 4.0), 0.4 + 2.3 * lines)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, (name, values) in zip(panels, layers, strict=False):
        _histogram(axes, name, _finite(values).ravel())
    for axes in panels[len(layers) :]:
        axes.remove()
    if len(shown) > len(layers):
        figure.suptitle(f"The first {len(layers)} of {len(shown)} layers", fontsize=10)
    return figure


def save(figure: Figure, path: str | Path) -> Path:
    """Write a PNG at 150 dots an inch, whole or not at all, in a folder made if need be.

    Raises ``OSError`` that names ``path`` where it cannot be written; an older file then stays.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        _fail("save: path", "a name ending in .png", path, "rename it")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150)
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(content.getbuffer())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        reason = f"Cannot write {path}: {error.strerror or error}; free some space or change folder"
        raise OSError(error.errno or errno.EIO, reason) from error
    return path


def _fail(name: str, expected: str, got: object, remedy: str) -> NoReturn:
    raise ValueError(f"{name}: expected {expected}, got {got}; {remedy}.")


def _require(items: Sized, name: str, what: str) -> None:
    if not len(items):
        _fail(name, f"at least one {what}", "none", "record one first")


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _finite(values: Any, positive: bool = False) -> np.ndarray:
    values = np.asarray(values, float)
    return np.where(np.isfinite(values) & (not positive or values > 0), values, np.nan)


def _plain(label: str) -> str:
    """A label that is shown as it is: no mathematics, not hidden from the legend."""
    label = label.replace("$", r"\$")
    return f" {label}" if label.startswith("_") else label


def _dress(axes: Axes, title: str, x: str, y: str, *shown: np.ndarray) -> None:
    """Title, labels, grid and legend; NaN in ``shown`` are counted in the title."""
    gaps, total = sum(int(np.isnan(s).sum()) for s in shown), sum(s.size for s in shown)
    title += f"\n({gaps} of {total} values cannot be shown)" if gaps else ""
    axes.set_title(title, loc="left", fontsize=10)
    axes.set(xlabel=x, ylabel=y)
    axes.tick_params(labelsize=8)
    axes.grid(color="#e5e5e5", lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)
