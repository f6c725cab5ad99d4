"""Error of the gradient against the nudge, by contrast."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import eqprop as eq
from eqprop.training.figures.canvas import dress, sheet

NUDGES = np.geomspace(1e-3, 0.3, 9)

CONTRASTS = {
    "one-sided": eq.one_sided,
    "symmetric": eq.symmetric,
    "four points": lambda beta: eq.n_point(4, beta),
}


def draw() -> Figure:
    with jax.enable_x64(True):
        errors = measured()
    figure, (axes,) = sheet(5.4, 3.2)
    for (name, found), mark in zip(errors.items(), "os^", strict=True):
        axes.loglog(NUDGES, found, f"{mark}-", ms=4, label=name)
    dress(axes, "nudge β", "relative error of the gradient", title="each order is a steeper line")
    return figure


def measured() -> dict[str, list[float]]:
    keys = jax.random.split(jax.random.key(0), 3)
    model = eq.layered((5, 12, 3), keys[0], eq.Tanh(), eq.Linear())
    x, y = jax.random.normal(keys[1], (8, 5)), jnp.eye(3)[jnp.arange(8) % 3]
    solver = eq.Blockwise(1e-13, 2000)
    exact = eq.exact_gradient(model, x, y, solver)

    @eqx.filter_jit
    def gradient(contrast: eq.Contrast) -> eq.Model:
        learner = eq.EquilibriumPropagation(solver, contrast)
        return learner(model, x, y, model.rest(x), keys[2]).gradient

    def flat(tree: eq.Model) -> np.ndarray:
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])

    def error(contrast: eq.Contrast) -> float:
        off = flat(gradient(contrast)) - flat(exact)
        return float(np.linalg.norm(off) / np.linalg.norm(flat(exact)))

    return {name: [error(make(float(beta))) for beta in NUDGES] for name, make in CONTRASTS.items()}
