"""Plots of spikes: pure functions from recordings to a `matplotlib.figure.Figure`;
`eqprop.training.figures.plots.save` writes them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from eqprop.training.figures.canvas import Numbers, dress, require, sheet

Recording = Mapping[str, Mapping[str, Numbers]]

SHOWN = 64


def raster(phases: Recording, example: int = 0) -> Figure:
    """A dot for every spike of one example: time, all phases in turn, by neuron, one panel a layer; of a
    large layer 64 neurons at equal distances.

    ``phases[phase][layer]`` holds booleans of (time, batch, ...).
    """
    layers = _checked("raster", phases)
    batch = next(iter(layers.values()))[0].shape[1]
    require(0 <= example < batch, "raster: example", f"one of {batch}", example, "choose another")
    figure, panels = sheet(6.0, 1.8, len(layers))
    for axes, (name, parts) in zip(panels, layers.items(), strict=True):
        fired = np.concatenate([part[:, example].reshape(len(part), -1) for part in parts])
        total = fired.shape[1]
        fired = fired[:, np.linspace(0, total - 1, min(total, SHOWN)).round().astype(int)]
        steps, neurons = np.nonzero(fired)
        axes.plot(steps, neurons, "|", ms=3, color="black")
        for end in np.cumsum([len(part) for part in parts])[:-1]:
            axes.axvline(end - 0.5, color="0.6", lw=0.8)
        axes.set(xlim=(-0.5, len(fired) - 0.5), ylim=(-0.5, fired.shape[1] - 0.5))
        some = f", {SHOWN} of {total} neurons" if total > SHOWN else ""
        dress(axes, "time step", "neuron", title=f"{name}: {', '.join(phases)}{some}")
    return figure


def firing_rates(phases: Recording, bins: int = 20) -> Figure:
    """Histograms of the neurons' firing rates over each phase, one panel a layer; a bin for each rate of a
    phase that is too short for ``bins`` of them."""
    layers = _checked("firing_rates", phases)
    require(bins > 0, "firing_rates: bins", "a positive number", bins, "use 20")
    figure, panels = sheet(3.4, 2.7, len(layers), min(3, len(layers)))
    for axes, (name, parts) in zip(panels, layers.items(), strict=True):
        for phase, part in zip(phases, parts, strict=True):
            found = np.ravel(part.mean(0))
            edges = _edges(len(part), bins)
            density = np.histogram(found, edges, density=True)[0]
            axes.stairs(density, edges, label=f"{phase}: mean {found.mean():.2f}")
        dress(axes, "firing rate", "density of neurons", title=name)
    return figure


def _edges(steps: int, bins: int) -> np.ndarray:
    """Whole numbers of a phase's ``steps + 1`` rates in each bin."""
    each = -(-(steps + 1) // bins)
    return (np.arange(0, steps + 1 + each, each) - 0.5) / steps


def _checked(where: str, phases: Recording) -> dict[str, list[np.ndarray]]:
    """Recordings by layer, a list over phases."""
    require(phases, f"{where}: phases", "at least one phase", phases, "record one")
    names = list(next(iter(phases.values())))
    layers: dict[str, list[np.ndarray]] = {name: [] for name in names}
    require(names, f"{where}: phases", "at least one layer that spikes", "none", "record spikes")
    for phase, held in phases.items():
        require(
            list(held) == names, f"{where}: {phase}", f"layers {names}", list(held), "record alike"
        )
        for name, fired in held.items():
            array = np.asarray(fired)
            right = array.dtype == bool and array.ndim >= 3
            got = f"{array.dtype} of shape {array.shape}"
            require(
                right,
                f"{where}: {phase}, {name}",
                "booleans (time, batch, ...)",
                got,
                "record spikes",
            )
            layers[name].append(array)
    return layers
