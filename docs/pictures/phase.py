"""Two coupled neurons: the free phase, and the nudged one that begins where it ended."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import eqprop as eq
from docs.pictures.landscape import path_of
from eqprop.training.figures.canvas import dress, sheet

X, Y, BETA = jnp.array([0.9]), jnp.array([0.9]), 1.0


def pair(params: dict, state: dict, x: jax.Array) -> jax.Array:
    h, o = state["hidden"][0], state["output"][0]
    return 0.5 * (h**2 + o**2) - params["w"] * h * o - x[0] * h


def draw() -> Figure:
    energy = eq.FunctionEnergy(pair, {"w": jnp.array(0.5)}, {"hidden": 1, "output": 1})
    model = eq.Model(energy, eq.SquaredError("output"))
    figure, panels = sheet(3.6, 3.0, 2, 2)
    grid = np.linspace(-0.2, 1.8, 60)
    shown = jnp.asarray(np.stack(np.meshgrid(grid, grid), -1), jnp.float32)
    state = {"hidden": jnp.zeros(1), "output": jnp.zeros(1)}
    solver = eq.GradientDescent(None, 1, 0.2)
    for axes, beta, title in zip(panels, (0.0, BETA), ("free: E", "nudged: E + βC"), strict=True):
        phase = model.nudged(X, Y, beta)
        value = jax.vmap(jax.vmap(lambda s, p=phase: p({"hidden": s[:1], "output": s[1:]})))(shown)
        axes.contour(grid, grid, np.asarray(value), 20, colors="0.75", linewidths=0.6)
        walked = path_of(solver, phase, state, 40)
        path = np.concatenate([walked["hidden"], walked["output"]], 1)
        axes.plot(*path.T, "o-", ms=3, lw=0.8, label="settling")
        axes.plot(*path[-1], "*", ms=12, label="the phase")
        axes.axhline(float(Y[0]), ls=":", color="0.5", lw=1)
        dress(axes, "hidden", "output", title=title)
        state = {name: z[-1] for name, z in walked.items()}
    return figure
