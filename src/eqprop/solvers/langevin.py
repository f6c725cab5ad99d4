"""Langevin dynamics: relaxation with thermal noise."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Count, NotNegative, Positive, checked
from eqprop.energies.energy import Clamped, field
from eqprop.energies.units.noise import normal, typed
from eqprop.energies.units.unit import State, embed
from eqprop.solvers.solver import Info, Solver, report


class Langevin(Solver):
    """``dz = -dE/dz dt + sqrt(2 T) dW`` by Euler-Maruyama: a step ``dt`` carries noise ``sqrt(2 T dt)``.

    The law of what the layers show tends to ``exp(-E / T)``, up to an error of order ``dt``; walls
    reflect. The residual reported is that of the last state.

    Examples:
        >>> import equinox as eqx
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> phase = eq.Network(1, {"u": eq.Layer(1000, eq.Linear())}, []).clamp(jnp.zeros(1))
        >>> solver = eq.Langevin(temperature=0.2, step_size=0.1, steps=1)
        >>> settle, rest = eqx.filter_jit(solver.settle), {"u": jnp.zeros(1000)}
        >>> round(float(settle(phase, rest, jax.random.key(0))[0]["u"].std()), 1)  # sqrt(2 T dt)
        0.2
        >>> round(eq.Langevin.phase_noise(xi=2.0, step_size=0.1).temperature, 3)  # of the same noise
        0.2
    """

    noisy: ClassVar[bool] = True
    temperature: NotNegative = eqx.field(static=True)
    step_size: Positive = eqx.field(default=0.1, static=True)
    steps: Count = eqx.field(default=400, static=True)

    @classmethod
    @checked
    def phase_noise(cls, xi: float, step_size: float = 0.1, steps: int = 400) -> Langevin:
        """The noise ``step_size * xi * N(0, 1)`` a step of Gower (arXiv 2510.12934): the temperature
        ``step_size * xi^2 / 2``, which depends on the step."""
        return cls(0.5 * step_size * xi * xi, step_size, steps)

    def settle(
        self, phase: Clamped, state: State, key: PRNGKeyArray | None = None
    ) -> tuple[State, Info]:
        if key is None:
            raise ValueError("Langevin: expected a random key, got none; pass `key` to `relax`.")
        key = typed(key)

        def advance(step: Array, state: State) -> State:
            draw = jax.random.fold_in(key, step)
            return langevin(phase, state, draw, self.step_size, self.temperature)

        end = lax.fori_loop(0, self.steps, advance, state)
        return end, report(phase, end, jnp.asarray(self.steps, jnp.int32), None)


def langevin(
    phase: Clamped, state: State, key: PRNGKeyArray, step_size: float, temperature: Array | float
) -> State:
    """One step of every layer by its unit's `diffuse`."""
    fields = field(phase, embed(phase.units, state), tuple(state))
    keys = jax.random.split(key, len(state))

    def moved(name: str, z: Array, draw: PRNGKeyArray) -> Array:
        unit = phase.units[name]
        noise = normal(draw, jax.eval_shape(unit.read, z).shape, jnp.real(z).dtype)
        return unit.diffuse(z, fields[name], step_size, temperature, noise)

    return {name: moved(name, z, draw) for (name, z), draw in zip(state.items(), keys, strict=True)}
