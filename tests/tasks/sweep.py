import jax
import jax.numpy as jnp

import eqprop as eq

x, y = jax.random.normal(jax.random.key(1), (8, 5)), jnp.eye(3)[jnp.arange(8) % 3]


def norm(beta, seed):
    model = eq.layered((5, 7, 3), jax.random.key(seed))
    learner = eq.EquilibriumPropagation(eq.Blockwise(1e-5, 100), eq.symmetric(beta))
    found = learner(model, x, y, model.rest(x), jax.random.key(0))
    return jnp.linalg.norm(found.gradient.energy.edges["x-h1"].op.weight)


seeds = jax.vmap(jax.jit(norm), (None, 0))
norms = jax.vmap(seeds, (0, None))(jnp.asarray([0.1, 0.3, 0.5]), jnp.arange(4))
assert norms.shape == (3, 4) and bool(jnp.all(norms > 0))
