"""States at three temperatures, drawn by Langevin dynamics, and the law that they have."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import eqprop as eq
from docs.pictures.landscape import energies, model
from eqprop.training.figures.canvas import dress, sheet

TEMPERATURES = (0.02, 0.2, 1.0)


def draw() -> Figure:
    figure, panels = sheet(2.6, 2.6, 3, 3)
    at = np.linspace(-3, 3, 300)
    for axes, temperature in zip(panels, TEMPERATURES, strict=True):
        law = np.exp(-energies(0.0, at) / temperature)
        law /= law.sum() * (at[1] - at[0])
        axes.hist(drawn(temperature), 60, range=(-3, 3), density=True, color="0.8", label="drawn")
        axes.plot(at, law, label="exp(−E / T) / Z")
        dress(axes, "state u", "density", title=f"T = {temperature:g}")
    return figure


def drawn(temperature: float, chains: int = 4000) -> np.ndarray:
    """One state of each of many chains."""
    phase = model().free(jnp.zeros(1))
    solver = eq.Langevin(temperature, steps=600, step_size=0.03)
    keys = jax.random.split(jax.random.key(0), chains)
    settle = jax.jit(jax.vmap(lambda key: solver.settle(phase, {"u": jnp.zeros(1)}, key)[0]["u"]))
    return np.asarray(settle(keys)).reshape(-1)
