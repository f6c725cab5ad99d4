"""An energy, and how a state slides down it."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from docs.pictures.landscape import energies, walk
from eqprop.training.figures.canvas import dress, sheet


def draw() -> Figure:
    figure, (left, right) = sheet(3.6, 2.8, 2, 2)
    at, path = np.linspace(-1.2, 2.2, 200), walk(0.0, 2.1)
    left.plot(at, energies(0.0, at))
    left.plot(path, energies(0.0, path), "o-", ms=3, lw=0.5, label="gradient descent")
    dress(left, "state u", "energy E(u)", title="the state slides down")
    right.plot(energies(0.0, path))
    dress(right, "step", "energy E(u)", title="the energy never rises")
    return figure
