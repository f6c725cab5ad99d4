"""Phases on the circle, settling and being nudged, as an animated GIF."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

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


def save(animation: FuncAnimation, path: Path, rate: int = 12) -> Path:
    """Write a GIF of ``rate`` frames a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    animation.save(str(path), writer=PillowWriter(fps=rate), dpi=80)
    return path
