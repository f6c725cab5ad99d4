"""Seeds of a small network one after another, and as one vmap: ``python -m benchmarks.seeds``.

`eqprop sweep` trains seed by seed, since a vmap must be 1.5 times as fast to be worth a second loop.
"""

from __future__ import annotations

import time

import equinox as eqx
import jax
import numpy as np
import optax
from jax import lax

from eqprop.papers.foundation.recipes import digits
from eqprop.training.training import prepare

SEEDS, REPEATS, EPOCHS = 5, 5, 4


def main() -> None:
    jax.config.update("jax_default_matmul_precision", "highest")
    for hidden in (16, 64, 256):
        one, many = (np.median(times) for times in zip(*_times(hidden), strict=True))
        print(
            f"64-{hidden}-10, {SEEDS} seeds, {EPOCHS} epochs: one after another {one:.2f} s, as one vmap "
            f"{many:.2f} s, {one / many:.2f} times as fast"
        )


def _times(hidden: int) -> list[tuple[float, float]]:
    """Seconds of both ways, compiled, in turn."""
    trainings = [digits((hidden,), seed=seed) for seed in range(SEEDS)]
    data, learner = prepare(trainings[0]), trainings[0].estimator
    size = trainings[0].batch_size
    x, y = data.train.batch(data.train.x, data.train.y, (64,))
    steps = len(y) // size
    xs, ys = (a[: steps * size].reshape(steps, size, -1) for a in (x, y))
    optimiser, key = optax.adam(2e-3), jax.random.key(0)
    models = [training.model for training in trainings]
    _, static = eqx.partition(models[0], eqx.is_array)

    def trained(arrays):
        def step(carry, batch):
            arrays, memory = carry
            model = eqx.combine(arrays, static)
            found = learner(model, *batch, model.rest(batch[0]), key)
            updates, memory = optimiser.update(found.gradient, memory)
            model = eqx.apply_updates(model, updates)
            return (eqx.filter(model, eqx.is_array), memory), found.value

        def epoch(carry, _):
            return lax.scan(step, carry, (xs, ys))

        start = arrays, optimiser.init(eqx.filter(arrays, eqx.is_inexact_array))
        return lax.scan(epoch, start, length=EPOCHS)[1]

    arrays = [eqx.filter(model, eqx.is_array) for model in models]
    stacked = jax.tree.map(lambda *parts: jax.numpy.stack(parts), *arrays)
    single, together = jax.jit(trained), jax.jit(jax.vmap(trained))
    found = np.stack([single(one) for one in arrays])
    np.testing.assert_allclose(found, together(stacked), rtol=0.02, atol=0.02)

    def clocked(run) -> float:
        began = time.perf_counter()
        jax.block_until_ready(run())
        return time.perf_counter() - began

    return [
        (clocked(lambda: [single(one) for one in arrays]), clocked(lambda: together(stacked)))
        for _ in range(REPEATS)
    ]


if __name__ == "__main__":
    main()
