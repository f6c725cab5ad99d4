"""A training step's gradient by equilibrium propagation and by back-propagation of the same layers."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp

import eqprop as eq
from benchmarks.gpu.network import SWEEPS
from benchmarks.gpu.operations import BACKPROPAGATION, Passes, equilibrium
from benchmarks.timing import side_by_side_ms
from eqprop.training.rivals import backprop
from eqprop.training.training import Training

IMAGE, CLASSES = (32, 32, 3), 10


def compared(training: Training, peak: float, rounds: int = 3) -> dict[str, float]:
    """Milliseconds of both, their ratio, and the share of ``peak``, in TFLOP/s, that the operations which
    a step needs reach."""
    model, batch = training.model, training.batch_size
    x = jax.random.normal(jax.random.key(1), (batch, *IMAGE))
    y = jax.nn.one_hot(jnp.arange(batch) % CLASSES, CLASSES)
    ways: dict[str, tuple[eq.Estimator, Passes]] = {
        "equilibrium": (training.estimator, equilibrium(SWEEPS.free, SWEEPS.nudged)),
        "backpropagation": (training.by(backprop).estimator, BACKPROPAGATION),
    }
    calls = {name: _gradient(way, model, x, y) for name, (way, _) in ways.items()}
    spent = side_by_side_ms(calls, rounds)
    row: dict[str, float] = {}
    for name, (_, passes) in ways.items():
        rate = batch * passes.flops(model.energy) / spent[name] / 1e9
        row |= {
            f"{name}_ms": spent[name],
            f"{name}_tflops": rate,
            f"{name}_share_of_convolutions": rate / peak,
        }
    return row | {"ratio": spent["equilibrium"] / spent["backpropagation"]}


def _gradient(estimator: eq.Estimator, model: eq.Model, x: jax.Array, y: jax.Array):
    @eqx.filter_jit
    def gradient(model: eq.Model, x: jax.Array, y: jax.Array):
        start = estimator.start(model, x)
        return estimator(model, x, y, start, jax.random.key(0)).gradient

    return lambda: gradient(model, x, y)
