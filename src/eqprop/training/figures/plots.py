"""Plots: pure functions from data to a `matplotlib.figure.Figure`, and `save`.

None touches pyplot or a global setting, so all work without a display. What cannot be shown (not finite;
not positive on a logarithmic axis) is a gap, counted in the title. Wrong shapes raise ``ValueError``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eqprop.training.figures.canvas import (
    Numbers,
    band,
    drawable,
    dress,
    require,
    save,
    sheet,
    with_zero,
)

Number = float | None

Traces = Mapping[str, tuple[Numbers, Numbers]]

SPLITS = {"train": "", "validation": "validation_"}

PHASES = {"free": "free_", "nudged": "nudged_"}

CURVES = (
    ("error", "error (%)", "log", SPLITS),
    ("loss", "mean loss", "linear", SPLITS),
    ("seconds", "time since the start (s)", "linear", {"": ""}),
    ("steps", "relaxation steps", "linear", PHASES),
    ("converged", "fraction converged", "linear", PHASES),
    ("residual", "relative residual", "log", PHASES),
)

FROM_ZERO = ("seconds", "steps", "converged")

OBJECTIVE = {
    "mean cost of the first phase": "first_cost",
    "objective J": "objective",
    "mean cost of the last phase": "last_cost",
}

REQUIRED = {"epoch", "seconds", "loss", "validation_loss"}


def learning_curves(rows: Sequence[Mapping[str, SupportsFloat | None]]) -> Figure:
    """Error, loss and time by epoch; below them how relaxation went, as far as ``rows`` tell.

    A row is an epoch: ``epoch, seconds, loss, validation_loss``, of classes ``accuracy`` and
    ``validation_accuracy`` (as fractions), perhaps ``{free,nudged}_{steps,converged,residual}``; None is a
    gap.
    """
    require(rows, "learning_curves: rows", "at least one epoch", rows, "train first")
    for index, row in enumerate(rows):
        name, missing = f"learning_curves: rows[{index}]", sorted(REQUIRED - row.keys())
        require(not missing, name, f"the keys {sorted(REQUIRED)}", f"no {missing}", "log them")
    table = {key: drawable([row.get(key) for row in rows]) for key in set().union(*rows)}
    split = [p for p in SPLITS.values() if f"{p}accuracy" in table]
    table |= {f"{p}error": 100 * (1 - table[f"{p}accuracy"]) for p in split}
    curves = [c for c in CURVES if any(prefix + c[0] in table for prefix in c[3].values())]
    figure, panels = sheet(3.4, 2.7, len(curves), 3)
    for axes, (key, label, scale, prefixes) in zip(panels, curves, strict=True):
        shown = {n: table[p + key] for n, p in prefixes.items() if p + key in table}
        for name, values in shown.items():
            axes.plot(table["epoch"], values, "o-", ms=3, label=name, clip_on=key != "converged")
        if scale == "log":
            with_zero(axes, *shown.values())
        if key in FROM_ZERO:
            axes.set_ylim(0, 1 if key == "converged" else None)
        axes.locator_params(axis="x", integer=True, min_n_ticks=1)
        dress(axes, "epoch", label, *shown.values())
    return figure


def objective(rows: Sequence[Mapping[str, SupportsFloat | None]]) -> Figure:
    """A thermal run's objective by epoch between the mean costs of its first and last phase, which for a
    finite nudge are its bounds. A row: ``epoch``, ``first_cost``, ``objective``, ``last_cost``."""
    require(rows, "objective: rows", "at least one epoch", rows, "train first")
    figure, (axes,) = sheet(5.6, 4.0)
    epochs = [row["epoch"] for row in rows]
    shown = [drawable([row[key] for row in rows]) for key in OBJECTIVE.values()]
    for label, values in zip(OBJECTIVE, shown, strict=True):
        axes.plot(epochs, values, ".-", label=label)
    dress(axes, "epoch", "cost", *shown)
    return figure


def relaxation(traces: Traces, tolerance: Number = None) -> Figure:
    """Energy above its minimum and relative residual against step, by phase.

    ``traces``: label -> (energies, residuals), each (steps,) or (batch, steps), as
    `eqprop.solvers.Iterative.trace` gives them; batches show median and 10-90 % band. What is below
    rounding, such as an energy at its minimum, is drawn at rounding.
    """
    require(traces, "relaxation: traces", "at least one phase", traces, "trace one")
    require(
        tolerance is None or tolerance > 0, "relaxation: tolerance", "> 0", tolerance, "or None"
    )
    phases = zip(*(_trace(label, *pair) for label, pair in traces.items()), strict=True)
    figure, (left, right) = sheet(4.5, 3.4, 2, 2)
    labels = {left: "energy above its minimum", right: "relative residual"}
    for (axes, label), shown in zip(labels.items(), phases, strict=True):
        axes.set_yscale("log")
        for name, values in zip(traces, shown, strict=True):
            band(axes, name, values)
        if axes is right and tolerance is not None:
            axes.axhline(tolerance, color="0.4", ls="--", lw=1, label=f"tolerance {tolerance:g}")
        dress(axes, "step", label, *shown)
    return figure


def agreement(rows: Sequence[Any]) -> Figure:
    """``1 - cosine`` and relative error to a reference gradient, one line a parameter, first on top.

    A row is like `eqprop.estimators.audit.Agreement`. What is below rounding, such as 0, is drawn at
    rounding.
    """
    require(rows, "agreement: rows", "at least one parameter", rows, "compare two gradients")
    figure, panels = sheet(4.5, min(1.0 + 0.28 * len(rows), 40.0), 2, 2)
    shown = (drawable([1 - r.cosine for r in rows]), drawable([r.relative_error for r in rows]))
    for axes, label, values in zip(panels, ("1 − cosine", "relative error"), shown, strict=True):
        axes.set(xscale="log", ylim=(len(rows) - 0.4, -0.6))
        axes.plot(np.maximum(values, np.finfo(float).eps), range(len(rows)), "o")
        axes.set_yticks(range(len(rows)), [r.name if axes is panels[0] else "" for r in rows])
        dress(axes, label, "", values)
    return figure


def beta_sweep(
    betas: Any, errors: Numbers = (), order: Number = None, best: Number = None, label: str = "EP"
) -> Figure:
    """Relative error of the gradient against the nudge, both logarithmic.

    One sweep: ``betas`` and ``errors`` of shape (nudges,), the fitted ``order`` (None or NaN: no line)
    and the ``best`` nudge, ringed; or a mapping label -> (betas, errors, order, best) to overlay.
    """
    sweeps = betas if isinstance(betas, Mapping) else {label: (betas, errors, order, best)}
    require(sweeps, "beta_sweep: betas", "at least one sweep", sweeps, "see eqprop.sweep_beta")
    figure, (axes,) = sheet(5.6, 4.0)
    axes.set(xscale="log", yscale="log")
    shown = [_sweep(axes, name, *sweep) for name, sweep in sweeps.items()]
    dress(axes, "nudge |β|", "relative error of the gradient", *shown)
    return figure


def first_layer_weights(weight: Numbers, image_shape: tuple[int, ...], count: int = 64) -> Figure:
    """Receptive fields, the largest norms first, on one colour scale symmetric about zero.

    ``weight``: (height * width * channels, outputs) or (k, k, channels, outputs); ``image_shape``:
    (height, width, channels). Three channels are shown as colours (grey is 0), others by their mean.
    """
    fields = _fields(drawable(weight), image_shape)
    require(count > 0, "first_layer_weights: count", "at least 1", count, "raise it")
    tiles = fields[np.argsort(-np.nansum(fields**2, axis=(1, 2, 3)), kind="stable")[:count]]
    colours, title = tiles.shape[3] == 3, f"{len(tiles)} of {len(fields)} units, largest norm first"
    tiles = _mosaic(tiles if colours else tiles.mean(axis=3))
    limit = np.fmax.reduce(np.abs(tiles), axis=None, initial=0.0) or 1.0
    figure, (axes,) = sheet(6.4, 0.6 + min(5.4 * len(tiles) / tiles.shape[1], 12.0))
    image = np.nan_to_num(0.5 + 0.5 * tiles / limit, nan=1.0) if colours else tiles
    shown = axes.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit)
    if not colours:
        figure.colorbar(shown, ax=axes, shrink=0.7, label="weight").outline.set_visible(False)
    dress(axes, "", "", fields, title=title)
    axes.set_axis_off()
    return figure


def activity(shown: Mapping[str, Numbers]) -> Figure:
    """How often each layer shows which value, and how much of it is at the least and greatest one.

    ``shown``: layer -> (batch, ...), of which the first 12 layers; "at" is within 0.1 % of the range.
    """
    require(shown, "activity: shown", "at least one layer", shown, "embed a state")
    names = list(shown)[:12]
    figure, panels = sheet(2.8, 2.4, len(names), min(4, len(names)))
    for axes, name in zip(panels, names, strict=True):
        _histogram(axes, name, drawable(shown[name]).ravel())
    if len(shown) > len(names):
        figure.suptitle(f"The first {len(names)} of {len(shown)} layers", fontsize=10)
    return figure


def _trace(label: str, energy: Numbers, residual: Numbers) -> tuple[np.ndarray, np.ndarray]:
    """Excess energy and residual, (batch, steps), not below rounding."""
    got, name = (np.shape(energy), np.shape(residual)), f"relaxation: traces[{label!r}]"
    proper = got[0] == got[1] and len(got[0]) in (1, 2) and np.size(energy)
    require(proper, name, "two of (steps,) or (batch, steps)", got, "see Iterative.trace")
    eps = np.finfo(np.result_type(np.asarray(energy), np.float16)).eps
    energies, residuals = np.atleast_2d(drawable(energy), drawable(residual))
    floor = eps * np.fmax.reduce(np.abs(energies), axis=None, initial=1.0)
    excess = energies - np.fmin.reduce(energies, axis=1, keepdims=True)
    return np.maximum(excess, floor), np.maximum(residuals, eps)


def _sweep(axes: Axes, label: str, betas: Any, errors: Any, order: Number, best: Number) -> Any:
    """Draw one sweep, and its order where the nudge is small but not too small; give the errors."""
    sizes, found = np.abs(drawable(betas)), drawable(errors, "log")
    proper = sizes.ndim == 1 and sizes.shape == found.shape and sizes.size and np.all(sizes > 0)
    name, got = f"beta_sweep: {label}", f"{betas} and {errors}"
    require(proper, name, "nonzero betas with an error each", got, "see eqprop.sweep_beta")
    sizes, found = sizes[np.argsort(sizes)], found[np.argsort(sizes)]
    (line,) = axes.plot(sizes, found, "o-", ms=4)
    if best:
        at = np.argmin(np.abs(sizes - abs(best)))
        axes.plot(sizes[at], found[at], "o", ms=11, mfc="none", color=line.get_color())
        label += f", best |β| = {abs(best):.2g}"
    fit = (found < 0.5) & (sizes >= abs(best or 0))
    if order is not None and np.isfinite(order) and fit.any():
        scale = np.exp(np.median(np.log(found[fit]) - order * np.log(sizes[fit])))
        axes.plot(sizes[fit], scale * sizes[fit] ** order, "--", color=line.get_color())
        label += f", order {order:.2f}"
    line.set_label(label)
    return found


def _fields(weight: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Weights as (outputs, height, width, channels)."""
    kernel = weight.ndim == 4 and weight.shape[2:3] == tuple(shape)[2:]
    proper = len(shape) == 3 and (kernel or weight.shape[:-1] == (math.prod(shape),))
    expected = f"({math.prod(shape)}, n > 0) or (k, k, channels, n > 0)"
    remedy = f"make image_shape = {shape} its (height, width, channels)"
    require(proper and weight.size, "first_layer_weights: weight", expected, weight.shape, remedy)
    return np.moveaxis(weight if kernel else weight.reshape(*shape, -1), -1, 0)


def _mosaic(tiles: np.ndarray) -> np.ndarray:
    """(n, height, width, ...) -> (rows, columns, ...), at least 16 pixels each, with NaN between."""
    columns, zoom = math.isqrt(len(tiles) - 1) + 1, -(-16 // tiles.shape[1])
    gaps = ((0, -len(tiles) % columns), (0, 1), (0, 1), (0, 0))[: tiles.ndim]
    tiles = np.pad(tiles.repeat(zoom, 1).repeat(zoom, 2), gaps, constant_values=np.nan)
    grid = tiles.reshape(-1, columns, *tiles.shape[1:]).swapaxes(1, 2)
    return grid.reshape(-1, columns * tiles.shape[2], *tiles.shape[3:])[:-1, :-1]


def _histogram(axes: Axes, name: str, values: np.ndarray) -> None:
    seen = values[~np.isnan(values)]
    low, high = (seen.min(), seen.max()) if seen.size else (0.0, 1.0)
    share = np.full(seen.size, 100 / max(seen.size, 1))
    axes.hist(seen, np.linspace(low, high + (low == high), 31).tolist(), weights=share)
    at_low, at_high = (share[abs(seen - end) <= (high - low) / 1000].sum() for end in (low, high))
    ends = f": {at_low:.0f} % at {low:.2g}, {at_high:.0f} % at {high:.2g}" if seen.size else ""
    dress(axes, "value shown", "share (%)", values, title=name + ends)


__all__ = [
    "activity",
    "agreement",
    "beta_sweep",
    "first_layer_weights",
    "learning_curves",
    "objective",
    "relaxation",
    "save",
]
