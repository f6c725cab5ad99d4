"""The nudged energy for several nudges, and where its minimum goes."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from docs.pictures.landscape import energies, walk
from eqprop.training.figures.canvas import dress, sheet

NUDGES = (-0.1, 0.0, 0.3, 1.0)


def draw() -> Figure:
    figure, (axes,) = sheet(5.4, 3.2)
    at = np.linspace(-0.6, 2.2, 200)
    for beta in NUDGES:
        (line,) = axes.plot(at, energies(beta, at), label=f"β = {beta:g}")
        end = walk(beta, 0.9, 400)[-1:]
        axes.plot(end, energies(beta, end), "o", color=line.get_color())
    axes.axvline(1.6, ls=":", color="0.5", lw=1)
    axes.text(1.62, axes.get_ylim()[0] + 0.1, "target", fontsize=8, color="0.4")
    dress(axes, "state u", "E(u) + β C(u)", title="each nudge moves the minimum a little")
    return figure
