"""Phases on the circle, settling and being nudged, and paths that learn, as animated GIFs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from eqprop.training.files import written_whole

Paths = Mapping[str, Mapping[str, np.ndarray]]


def phases(paths: Paths, labels: Mapping[str, list[str]] | None = None) -> FuncAnimation:
    """One panel a layer. ``paths``: phase -> layer -> angles of shape (steps, neurons), in order of time.

    ``labels`` names the neurons of a layer beside their points. Raises ``ValueError`` where the layers
    of the phases differ.
    """
    layers = [list(path) for path in paths.values()]
    if not layers or any(names != layers[0] for names in layers):
        raise ValueError(f"phases: expected one or more phases with the same layers, got {layers}.")
    frames = [
        (name, step, {layer: angles[step] for layer, angles in path.items()})
        for name, path in paths.items()
        for step in range(len(next(iter(path.values()))))
    ]
    figure = Figure(figsize=(2.8 * len(layers[0]), 3.1))
    FigureCanvasAgg(figure)
    points, texts = {}, {}
    turn = np.linspace(0, 2 * np.pi, 200)
    for i, layer in enumerate(layers[0]):
        axes = figure.add_subplot(1, len(layers[0]), i + 1)
        axes.plot(np.cos(turn), np.sin(turn), color="0.85", lw=1)
        axes.set(xlim=(-1.35, 1.35), ylim=(-1.35, 1.35), aspect="equal", title=layer)
        axes.axis("off")
        (points[layer],) = axes.plot([], [], "o", ms=4, alpha=0.5, color="#0072B2")
        names = (labels or {}).get(layer, [])
        texts[layer] = [axes.text(0, 0, name, ha="center", va="center", size=9) for name in names]
    caption = figure.text(0.5, 0.02, "", ha="center")

    def draw(frame):
        name, step, angles = frame
        caption.set_text(f"{name}, step {step}")
        for layer, phi in angles.items():
            points[layer].set_data(np.cos(phi), np.sin(phi))
            for text, angle in zip(texts[layer], phi, strict=False):
                text.set_position((1.18 * np.cos(angle), 1.18 * np.sin(angle)))
        return []

    return FuncAnimation(figure, draw, frames, cache_frame_data=False)


def paths(moving: Sequence[np.ndarray], wanted: np.ndarray, frames: int = 60) -> FuncAnimation:
    """Paths of several examples in a plane, step by step towards the ``wanted`` ones.

    ``moving``: one array (examples, nodes, 2) a step, of which about ``frames`` are shown, the first ones
    more densely; ``wanted``: (examples, nodes, 2). Raises ``ValueError`` where there is no step.
    """
    if not moving:
        raise ValueError("paths: expected at least one step, got none; train something first.")
    chosen = np.unique(np.rint(np.linspace(0, np.sqrt(len(moving) - 1), frames) ** 2).astype(int))
    figure = Figure(figsize=(4.4, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for path in wanted:
        axes.plot(*path.T, "-", color="0.8", lw=3)
    drawn = [axes.plot(*path.T, "-", lw=1.2)[0] for path in moving[0]]
    everything = np.concatenate([*moving, wanted])
    low, high = everything.min((0, 1)), everything.max((0, 1))
    margin = 0.05 * (high - low)
    axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
    axes.set_ylim(low[1] - margin[1], high[1] + margin[1])

    def draw(step):
        axes.set_title(f"step {step}", loc="left", fontsize=9)
        for line, path in zip(drawn, moving[step], strict=True):
            line.set_data(*path.T)
        return []

    return FuncAnimation(figure, draw, chosen.tolist(), cache_frame_data=False)


def save(animation: FuncAnimation, path: str | Path, rate: int = 12) -> Path:
    """Write a GIF of ``rate`` frames a second, whole or not at all."""
    with written_whole(path) as part:
        animation.save(str(part), writer=PillowWriter(fps=rate), dpi=80)
    return Path(path)
