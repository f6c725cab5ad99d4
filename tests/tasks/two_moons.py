import jax
import numpy as np

import eqprop as eq
from eqprop.training import Dataset, Optimiser, Split


def moons(count, rng):
    y = rng.integers(2, size=count).astype(np.int32)
    angle = np.pi * rng.uniform(size=count)
    return Split(np.stack([np.cos(angle) + y, np.sin(angle) * (1 - 2 * y) + y / 2], 1), y)


rng, keys = np.random.default_rng(0), jax.random.split(jax.random.key(0), 4)
dense, lateral = eq.ops.Dense.init, eq.ops.Lateral.init(keys[2], 32, 0.3)
layers = {"h": eq.Layer(32, eq.Box(-1.0, 1.0)), "out": eq.Layer(2, eq.Linear())}
edges = [("x", "h", dense(keys[0], 2, 32, 3.0)), ("h", "out", dense(keys[1], 32, 2))]
edges += [("h", "h", lateral), ("x", "out", dense(keys[3], 2, 2))]
model = eq.Model(eq.Network(2, layers, edges), eq.SquaredError("out"))
learner = eq.EquilibriumPropagation(eq.Momentum(1e-4, 100), eq.symmetric(0.1))
data = Dataset("two moons", moons(600, rng), moons(200, rng), 2)
run = eq.fit(eq.Training(model, learner, data, Optimiser(0.02), 20, 20, validation=100))
assert run.accuracy > 0.95, run.accuracy
