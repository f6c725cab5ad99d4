import jax
import jax.numpy as jnp

import eqprop as eq
from eqprop.energies import displacement
from eqprop.solvers.solver import report


class Damped(eq.Solver):
    """Steps of ``rate`` along the way to the minimum of each neuron, so many."""

    rate: float = 0.3
    steps: int = 200

    def settle(self, phase, state, key=None):
        def step(_, z):
            return jax.tree.map(lambda z, d: z + self.rate * d, z, displacement(phase, z))

        end = jax.lax.fori_loop(0, self.steps, step, state)
        return end, report(phase, end, jnp.asarray(self.steps, jnp.int32), None)


model, x = eq.layered((4, 8, 3), jax.random.key(0)), jnp.ones((2, 4))
_, info = jax.jit(lambda x: eq.relax(model, x, model.rest(x), Damped()))(x)
assert float(info.residual.max()) < 1e-4, info
