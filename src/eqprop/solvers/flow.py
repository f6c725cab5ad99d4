"""Continuous time: the relaxation as an ordinary differential equation, by Diffrax."""

from __future__ import annotations

from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Bound, Count
from eqprop.energies.energy import Clamped, displacement, residual
from eqprop.energies.units.unit import State, retract
from eqprop.solvers.solver import Info, Solver, check_tolerance, report


class Flow(Solver):
    """``dz/dt = retract(a) - z`` by an adaptive Runge-Kutta rule, to the steady state.

    The right-hand side is continuous, points into the domain and lowers the energy at all times; the
    end is moved into the domain from within the rule's error.
    ``max_time`` is in units of the layers' time constant.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> phase = eq.Network(1, {"u": eq.Layer(1, eq.Linear(), jnp.ones(1))}, []).clamp(jnp.zeros(1))
        >>> state = {"u": jnp.array([0.25])}
        >>> eq.energies.displacement(phase, state)["u"].tolist()  # dz/dt
        [0.75]
        >>> solver = eq.Flow(1e-3, max_time=1.0)  # solver.settle(phase, state) goes to 1 - 0.75 exp(-1)
    """

    tolerance: float = eqx.field(default=1e-5, static=True)
    max_time: Annotated[float, Bound(">", 0)] = eqx.field(default=1000.0, static=True)
    max_steps: Count = eqx.field(default=4096, static=True)

    def settle(
        self, phase: Clamped, state: State, key: PRNGKeyArray | None = None
    ) -> tuple[State, Info]:
        import diffrax

        check_tolerance(self.tolerance, state)
        leaves = jax.tree.leaves(state)
        if any(jnp.iscomplexobj(leaf) for leaf in leaves):
            raise ValueError(
                "Flow: expected a real state, got a complex one; for a holomorphic contrast use "
                "Blockwise, Momentum or GradientDescent for the nudged phases."
            )

        def settled(t: Any, z: State, args: None, **unused: Any) -> Array:
            return residual(phase, z) <= self.tolerance

        accuracy = max(0.1 * self.tolerance, 4 * float(jnp.finfo(leaves[0].dtype).eps))
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, z, args: displacement(phase, z)),
            diffrax.Tsit5(),
            t0=0.0,
            t1=self.max_time,
            dt0=None,
            y0=state,
            stepsize_controller=diffrax.PIDController(rtol=accuracy, atol=accuracy),
            event=diffrax.Event(settled),
            max_steps=self.max_steps,
            throw=False,
        )
        end = retract(phase.units, jax.tree.map(lambda path: path[-1], solution.ys))
        return end, report(
            phase, end, solution.stats["num_steps"].astype(jnp.int32), self.tolerance
        )
