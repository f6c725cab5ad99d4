"""A path between given ends: free, and nudged towards another."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import eqprop as eq
from eqprop import lagrangian as lg
from eqprop.training.figures.canvas import dress, sheet

STEPS, DT = 60, 0.05

NUDGES = (0.0, 0.3, 1.0)


def anharmonic(q: jax.Array, v: jax.Array, params: dict, t: jax.Array) -> jax.Array:
    return 0.5 * v @ v - 0.25 * params["k"] * jnp.sum(q**4)


def draw() -> Figure:
    times = DT * np.arange(STEPS + 1)
    wanted = 1.2 * np.sin(np.pi * times / times[-1]) + 0.5 * times / times[-1]
    with jax.enable_x64(True):
        paths = stationary(wanted)
    figure, (axes,) = sheet(5.4, 3.0)
    for beta, path in paths.items():
        axes.plot(times, path, label=f"β = {beta:g}")
    axes.plot(times, wanted, ":", color="0.5", label="target")
    dress(axes, "time", "position q", title="each path makes S + βC stationary")
    return figure


def stationary(wanted: np.ndarray) -> dict[float, np.ndarray]:
    """The path of each nudge, found from that of the one before."""
    ends = lg.FixedEnds((0.0,), (0.5,))
    action = lg.Action(anharmonic, {"k": jnp.array(0.3)}, size=1, steps=STEPS, dt=DT, boundary=ends)
    model = eq.Model(action, lg.PathError(weight=DT))
    x, y = jnp.zeros(1), jnp.asarray(wanted[1:-1, None])
    state, paths = model.energy.rest(x.dtype), {}
    for beta in NUDGES:
        state, _ = lg.Newton().settle(model.nudged(x, y, beta), state)
        paths[beta] = np.asarray(ends.complete(state["path"], x))[:, 0]
    return paths
