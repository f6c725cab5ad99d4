import jax
import jax.numpy as jnp

import eqprop as eq

hinge = eq.FunctionCost(lambda u, y: jnp.sum(jnp.logaddexp(0.0, (1 - 2 * y) * u)), bound=0.25)
model = eq.Model(eq.layered((4, 8, 3), jax.random.key(0)).energy, hinge)
x, y = jax.random.uniform(jax.random.key(1), (6, 4)), jnp.eye(3)[jnp.arange(6) % 3]
learner = eq.EquilibriumPropagation(eq.Blockwise(1e-5, 200), eq.symmetric(0.05))
rows = eq.audit(model, x, y, learner, eq.ImplicitDifferentiation(learner.solver), jax.random.key(2))
assert rows[-1].cosine > 0.999, rows[-1]
