"""Plots: pure functions from data to a `matplotlib.figure.Figure`, and `save`.

None touches pyplot or a global setting, so all work without a display. What cannot be shown (not finite;
not positive on a logarithmic axis) is a gap, counted in the title. Wrong shapes raise ``ValueError``.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, SupportsFloat

import numpy as np
from jaxtyping import Array
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler

Numbers = np.ndarray | Array | Sequence[float]
Number = float | None
Traces = Mapping[str, tuple[Numbers, Numbers]]
COLOURS = cycler(color=("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"))
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
REQUIRED = {"epoch", "seconds", "loss", "accuracy", "validation_loss", "validation_accuracy"}


def learning_curves(rows: Sequence[Mapping[str, SupportsFloat | None]]) -> Figure:
    """Error, loss and time by epoch; below them how relaxation went, as far as ``rows`` tell.

    A row is an epoch: ``epoch, seconds, loss, accuracy, validation_loss, validation_accuracy``
    (accuracies as fractions), perhaps ``{free,nudged}_{steps,converged,residual}``; None is a gap.
    """
    _check(rows, "learning_curves: rows", "at least one epoch", rows, "train first")
    for index, row in enumerate(rows):
        name, missing = f"learning_curves: rows[{index}]", sorted(REQUIRED - row.keys())
        _check(not missing, name, f"the keys {sorted(REQUIRED)}", f"no {missing}", "log them")
    table = {key: _finite([row.get(key) for row in rows]) for key in set().union(*rows)}
    table |= {f"{p}error": 100 * (1 - table[f"{p}accuracy"]) for p in SPLITS.values()}
    curves = [c for c in CURVES if any(prefix + c[0] in table for prefix in c[3].values())]
    figure, panels = _figure(3.4, 2.7, len(curves), 3)
    for axes, (key, label, scale, prefixes) in zip(panels, curves, strict=True):
        shown = {n: _finite(table[p + key], scale) for n, p in prefixes.items() if p + key in table}
        for name, values in shown.items():
            axes.plot(table["epoch"], values, "o-", ms=3, label=name)
        axes.set_yscale(scale)
        axes.locator_params(axis="x", integer=True, min_n_ticks=1)
        _dress(axes, "epoch", label, *shown.values())
    return figure


def relaxation(traces: Traces, tolerance: Number = None) -> Figure:
    """Energy above its minimum and relative residual against step, by phase.

    ``traces``: label -> (energies, residuals), each (steps,) or (batch, steps), as
    `eqprop.solvers.Iterative.trace` gives them; batches show median and 10-90 % band. What is below
    rounding, such as an energy at its minimum, is drawn at rounding.
    """
    _check(traces, "relaxation: traces", "at least one phase", traces, "trace one")
    _check(tolerance is None or tolerance > 0, "relaxation: tolerance", "> 0", tolerance, "or None")
    phases = zip(*(_trace(label, *pair) for label, pair in traces.items()), strict=True)
    figure, (left, right) = _figure(4.5, 3.4, 2, 2)
    labels = {left: "energy above its minimum", right: "relative residual"}
    for (axes, label), shown in zip(labels.items(), phases, strict=True):
        axes.set_yscale("log")
        for name, values in zip(traces, shown, strict=True):
            _band(axes, name, values)
        if axes is right and tolerance is not None:
            axes.axhline(tolerance, color="0.4", ls="--", lw=1, label=f"tolerance {tolerance:g}")
        _dress(axes, "step", label, *shown)
    return figure


def agreement(rows: Sequence[Any]) -> Figure:
    """``1 - cosine`` and relative error to a reference gradient, one line a parameter, first on top.

    A row is like `eqprop.diagnose.Agreement`. What is below rounding, such as 0, is drawn at rounding.
    """
    _check(rows, "agreement: rows", "at least one parameter", rows, "compare two gradients")
    figure, panels = _figure(4.5, min(1.0 + 0.28 * len(rows), 40.0), 2, 2)
    shown = (_finite([1 - r.cosine for r in rows]), _finite([r.relative_error for r in rows]))
    for axes, label, values in zip(panels, ("1 − cosine", "relative error"), shown, strict=True):
        axes.set(xscale="log", ylim=(len(rows) - 0.4, -0.6))
        axes.plot(np.maximum(values, np.finfo(float).eps), range(len(rows)), "o")
        axes.set_yticks(range(len(rows)), [r.name if axes is panels[0] else "" for r in rows])
        _dress(axes, label, "", values)
    return figure


def beta_sweep(
    betas: Any, errors: Numbers = (), order: Number = None, best: Number = None, label: str = "EP"
) -> Figure:
    """Relative error of the gradient against the nudge, both logarithmic.

    One sweep: ``betas`` and ``errors`` of shape (nudges,), the fitted ``order`` (None or NaN: no line)
    and the ``best`` nudge, ringed; or a mapping label -> (betas, errors, order, best) to overlay.
    """
    sweeps = betas if isinstance(betas, Mapping) else {label: (betas, errors, order, best)}
    _check(sweeps, "beta_sweep: betas", "at least one sweep", sweeps, "see diagnose.sweep_beta")
    figure, (axes,) = _figure(5.6, 4.0)
    axes.set(xscale="log", yscale="log")
    shown = [_sweep(axes, name, *sweep) for name, sweep in sweeps.items()]
    _dress(axes, "nudge |β|", "relative error of the gradient", *shown)
    return figure


def sweep(rows: Sequence[Mapping[str, Any]], axis: str) -> Figure:
    """Test error against what was swept, mean ± std over seeds, one line each.

    A row is a case: ``line``, ``value``, ``test_error_percent`` with ``mean`` and ``std``. Values stand at
    equal distances; ``axis`` says what they are.
    """
    _check(rows, "sweep: rows", "at least one case", rows, "run some")
    places = {value: at for at, value in enumerate(sorted({row["value"] for row in rows}))}
    figure, (axes,) = _figure(6.4, 4.0)
    shown = []
    for name in dict.fromkeys(row["line"] for row in rows):
        line = sorted((row for row in rows if row["line"] == name), key=lambda row: row["value"])
        errors = [row["test_error_percent"] for row in line]
        mean, std = (_finite([error[key] for error in errors]) for key in ("mean", "std"))
        at = [places[row["value"]] for row in line]
        axes.errorbar(at, mean, std, fmt="o-", ms=4, capsize=2, label=name)
        shown.append(mean)
    axes.set_xticks(list(places.values()), [f"{value:g}" for value in places])
    _dress(axes, axis, "test error (%)", *shown)
    return figure


def updates(steps: Numbers, ep: Numbers, bptt: Numbers) -> Figure:
    """Norm of EP's update after each number of nudged steps, and of BPTT's through as many."""
    ep, bptt = _finite(ep), _finite(bptt)
    count = len(np.asarray(steps))
    wanted, got = f"{count} norms, one a step", f"{len(ep)} and {len(bptt)}"
    _check(len(ep) == len(bptt) == count, "updates", wanted, got, "see diagnose.follow_updates")
    figure, (axes,) = _figure(5.6, 4.0)
    axes.plot(steps, bptt, "-", lw=4, alpha=0.4, label="back-propagation through time")
    axes.plot(steps, ep, "o--", ms=4, label="equilibrium propagation")
    axes.set_xscale("log")
    _dress(axes, "steps", "norm of the update", ep, bptt)
    return figure


def first_layer_weights(weight: Numbers, image_shape: tuple[int, ...], count: int = 64) -> Figure:
    """Receptive fields, the largest norms first, on one colour scale symmetric about zero.

    ``weight``: (height * width * channels, outputs) or (k, k, channels, outputs); ``image_shape``:
    (height, width, channels). Three channels are shown as colours (grey is 0), others by their mean.
    """
    fields = _fields(_finite(weight), image_shape)
    _check(count > 0, "first_layer_weights: count", "at least 1", count, "raise it")
    tiles = fields[np.argsort(-np.nansum(fields**2, axis=(1, 2, 3)), kind="stable")[:count]]
    colours, title = tiles.shape[3] == 3, f"{len(tiles)} of {len(fields)} units, largest norm first"
    tiles = _mosaic(tiles if colours else tiles.mean(axis=3))
    limit = np.fmax.reduce(np.abs(tiles), axis=None, initial=0.0) or 1.0
    figure, (axes,) = _figure(6.4, 0.6 + min(5.4 * len(tiles) / tiles.shape[1], 12.0))
    image = np.nan_to_num(0.5 + 0.5 * tiles / limit, nan=1.0) if colours else tiles
    shown = axes.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit)
    if not colours:
        figure.colorbar(shown, ax=axes, shrink=0.7, label="weight").outline.set_visible(False)
    _dress(axes, "", "", fields, title=title)
    axes.set_axis_off()
    return figure


def activity(shown: Mapping[str, Numbers]) -> Figure:
    """How often each layer shows which value, and how much of it is at the least and greatest one.

    ``shown``: layer -> (batch, ...), of which the first 12 layers; "at" is within 0.1 % of the range.
    """
    _check(shown, "activity: shown", "at least one layer", shown, "embed a state")
    names = list(shown)[:12]
    figure, panels = _figure(2.8, 2.4, len(names), min(4, len(names)))
    for axes, name in zip(panels, names, strict=True):
        _histogram(axes, name, _finite(shown[name]).ravel())
    if len(shown) > len(names):
        figure.suptitle(f"The first {len(names)} of {len(shown)} layers", fontsize=10)
    return figure


def save(figure: Figure, path: str | Path) -> Path:
    """Write a PNG at 150 dots an inch, whole or not at all, in a folder made if need be.

    Raises ``OSError`` that names ``path`` where it cannot be written; an older file then stays.
    """
    path = Path(path)
    _check(path.suffix.lower() == ".png", "save: path", "a name ending in .png", path, "rename it")
    part = path.with_name(f".{path.stem}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            figure.savefig(part, format="png", dpi=150)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        text = f"Cannot write {path}: {error.strerror or error}; free space or change the folder"
        raise OSError(error.errno, text) from error
    return path


def _check(right: object, name: str, expected: str, got: object, remedy: str) -> None:
    if not right:
        raise ValueError(f"{name}: expected {expected}, got {got}; {remedy}.")


def _figure(width: float, height: float, count: int = 1, columns: int = 1) -> tuple[Figure, list]:
    """A figure and its ``count`` panels, each of ``width`` by ``height`` inches."""
    lines, at = math.ceil(count / columns), range(1, count + 1)
    figure = Figure(figsize=(width * columns, height * lines), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(lines, columns, i, prop_cycle=COLOURS) for i in at]


def _dress(axes: Axes, x: str, y: str, *shown: np.ndarray, title: str = "") -> None:
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
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)


def _finite(values: Any, scale: str = "linear") -> np.ndarray:
    """An array with NaN where a value cannot be shown."""
    values = np.asarray(values, float)
    return np.where(np.isfinite(values) & ((scale != "log") | (values > 0)), values, np.nan)


def _trace(label: str, energy: Numbers, residual: Numbers) -> tuple[np.ndarray, np.ndarray]:
    """Excess energy and residual, (batch, steps), not below rounding."""
    got, name = (np.shape(energy), np.shape(residual)), f"relaxation: traces[{label!r}]"
    proper = got[0] == got[1] and len(got[0]) in (1, 2) and np.size(energy)
    _check(proper, name, "two of (steps,) or (batch, steps)", got, "see Iterative.trace")
    eps = np.finfo(np.result_type(np.asarray(energy), np.float16)).eps
    energies, residuals = np.atleast_2d(_finite(energy), _finite(residual))
    floor = eps * np.fmax.reduce(np.abs(energies), axis=None, initial=1.0)
    excess = energies - np.fmin.reduce(energies, axis=1, keepdims=True)
    return np.maximum(excess, floor), np.maximum(residuals, eps)


def _band(axes: Axes, label: str, values: np.ndarray) -> None:
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        low, middle, high = np.nanpercentile(values, (10, 50, 90), axis=0)
    (line,) = axes.plot(middle, ".-" if len(middle) < 40 else "-", label=label)
    if len(values) > 1:
        axes.fill_between(range(len(low)), low, high, color=line.get_color(), alpha=0.2, lw=0)


def _sweep(axes: Axes, label: str, betas: Any, errors: Any, order: Number, best: Number) -> Any:
    """Draw one sweep, and its order where the nudge is small but not too small; give the errors."""
    sizes, found = np.abs(_finite(betas)), _finite(errors, "log")
    proper = sizes.ndim == 1 and sizes.shape == found.shape and sizes.size and np.all(sizes > 0)
    name, got = f"beta_sweep: {label}", f"{betas} and {errors}"
    _check(proper, name, "nonzero betas with an error each", got, "see diagnose.sweep_beta")
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
    _check(proper and weight.size, "first_layer_weights: weight", expected, weight.shape, remedy)
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
    _dress(axes, "value shown", "share (%)", values, title=name + ends)
