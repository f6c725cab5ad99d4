"""Continuous time with noise: the relaxation as a stochastic differential equation, by Diffrax."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from eqprop._arguments import NotNegative, Positive
from eqprop.energies.energy import Clamped, displacement
from eqprop.energies.units.noise import typed
from eqprop.energies.units.unit import State, retract
from eqprop.solvers.solver import Info, Solver, report


class Diffusion(Solver):
    """``dz = (retract(a) - z) dt + sqrt(2 T) dW`` along the domain, for a time ``time``.

    Heun's rule (Stratonovich), of second order in ``step_size`` for additive noise: the cross-check of
    `Langevin`. Domains must have no walls.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> solver = eq.Diffusion(temperature=0.25, time=5.0, step_size=0.1)  # 50 steps
        >>> model = eq.layered((4, 8, 2), jax.random.key(0))
        >>> solver.settle(model.free(jnp.ones(4)), model.energy.rest(), jax.random.key(1))
        Traceback (most recent call last):
        ValueError: Diffusion: expected domains without walls, but ['h1'] are intervals; use Langevin...
    """

    noisy: ClassVar[bool] = True
    temperature: NotNegative = eqx.field(static=True)
    time: float = eqx.field(default=40.0, static=True)
    step_size: Positive = eqx.field(default=0.02, static=True)

    def __check_init__(self) -> None:
        if not self.time >= self.step_size:
            raise ValueError(
                f"Diffusion: expected time >= step_size, got {self.time} and {self.step_size}."
            )

    def settle(
        self, phase: Clamped, state: State, key: PRNGKeyArray | None = None
    ) -> tuple[State, Info]:
        if walled := [name for name, unit in phase.units.items() if unit.walled]:
            raise ValueError(
                f"Diffusion: expected domains without walls, but {walled} are intervals; use Langevin, "
                "which reflects."
            )
        if key is None:
            raise ValueError("Diffusion: expected a random key, got none; pass `key` to `relax`.")
        import diffrax
        import lineax as lx

        numbers = {name: jax.eval_shape(phase.units[name].read, z) for name, z in state.items()}
        path = diffrax.VirtualBrownianTree(
            0.0, self.time, tol=0.5 * self.step_size, shape=numbers, key=typed(key)
        )

        def spread(t: Any, z: State, args: None) -> lx.AbstractLinearOperator:
            def along(noise: State) -> State:
                size = (2.0 * self.temperature) ** 0.5
                return {
                    name: size * phase.units[name].tangent(z[name], noise[name]) for name in noise
                }

            return lx.FunctionLinearOperator(along, numbers)

        terms: diffrax.MultiTerm[Any] = diffrax.MultiTerm(
            diffrax.ODETerm(lambda t, z, args: displacement(phase, z)),
            diffrax.ControlTerm(spread, path),
        )
        solution = diffrax.diffeqsolve(
            terms,
            diffrax.Heun(),
            t0=0.0,
            t1=self.time,
            dt0=self.step_size,
            y0=state,
            max_steps=None,
            adjoint=diffrax.ForwardMode(),
        )
        end = retract(phase.units, jax.tree.map(lambda path: path[-1], solution.ys))
        return end, report(phase, end, jnp.asarray(solution.stats["num_steps"], jnp.int32), None)
