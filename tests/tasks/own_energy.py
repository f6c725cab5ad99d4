import jax
import jax.numpy as jnp
import numpy as np

import eqprop as eq
from eqprop.training import Dataset, Optimiser, Split


def energy(params, state, x):
    a, b = state["a"], state["b"]
    return 0.5 * (a @ a + b @ b) - a @ params["in"] @ x - jnp.tanh(a) @ params["w"] @ jnp.tanh(b)


def examples(count, rng):
    x = rng.standard_normal((count, 4))
    return Split(x, (x[:, 0] > x[:, 1]).astype(np.int32))


rng = np.random.default_rng(0)
params = {"in": 0.3 * rng.standard_normal((6, 4)), "w": 0.1 * rng.standard_normal((6, 3))}
own = eq.FunctionEnergy(energy, params, {"a": (6,), "b": (3,)})
model = eq.Model(own, eq.CrossEntropy.init(jax.random.key(0), 3, 2, "b"))
learner = eq.EquilibriumPropagation(eq.GradientDescent(1e-4, 200), eq.symmetric(0.1))
data = Dataset("larger", examples(500, rng), examples(200, rng), 2)
run = eq.fit(eq.Training(model, learner, data, Optimiser(0.02), 5, 20, validation=100))
assert run.accuracy > 0.9, run.accuracy
