"""A small landscape that several pictures share: one neuron in a double well, nudged to one side."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import eqprop as eq

TARGET = jnp.array([1.6])


def well(params: dict, state: dict, x: jax.Array) -> jax.Array:
    """One neuron in a slightly tilted bowl with a bump."""
    u = state["u"][0]
    return 0.5 * u**2 + params["bump"] * jnp.cos(3 * u) - x[0] * u


def model() -> eq.Model:
    energy = eq.FunctionEnergy(well, {"bump": jnp.array(0.25)}, {"u": 1})
    return eq.Model(energy, eq.SquaredError("u"))


def energies(beta: float, at: np.ndarray) -> np.ndarray:
    """The nudged energy at each place."""
    phase = model().nudged(jnp.zeros(1), TARGET, beta)
    return np.asarray(jax.vmap(lambda u: phase({"u": u[None]}))(jnp.asarray(at, jnp.float32)))


def walk(beta: float, start: float, steps: int = 60, size: float = 0.1) -> np.ndarray:
    """Where gradient descent goes, (steps,)."""
    phase, solver = model().nudged(jnp.zeros(1), TARGET, beta), eq.GradientDescent(None, 1, size)
    return np.asarray(path_of(solver, phase, {"u": jnp.array([start])}, steps)["u"])[:, 0]


@eqx.filter_jit
def path_of(
    solver: eq.solvers.Iterative, phase: eq.energies.Clamped, start: dict, steps: int
) -> dict[str, jax.Array]:
    """The states of so many steps, from the first."""

    def advance(carry, _):
        return solver.step(phase, carry), carry.state

    return jax.lax.scan(advance, solver.init(phase, start), length=steps)[1]
