"""Memory of a gradient against the steps of its free phase: flat by EP, growing by BPTT."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax

from eqprop.papers import figures
from eqprop.papers.call import Call
from eqprop.papers.study import Asked, Study
from eqprop.training.rivals import surrogate
from eqprop.training.terminal import tell
from eqprop.training.training import Training


@dataclass(frozen=True)
class Memory(Study):
    """Working memory of one compiled gradient of a batch, as the compiler reports it: all buffers but
    those of arguments and results."""

    call: Call
    steps: tuple[int, ...] = (15, 30, 60, 120, 240)

    def results(self, asked: Asked) -> dict[str, Any]:
        steps = self.steps[:2] if asked.quick else self.steps
        ways = {"spiking EP": self.call, "surrogate BPTT": self.call.but(by=surrogate)}
        lines: dict[str, list[float]] = {way: [] for way in ways}
        spikes = self.call.arguments["spikes"]
        for count in steps:
            longer = dataclasses.replace(spikes, free_steps=count)
            for way, call in ways.items():
                lines[way].append(megabytes(call.but(spikes=longer).training()))
                tell(f"{way}, T1 = {count}: {lines[way][-1]:.1f} MB")
        drawn = figures.curves(
            {"": {way: (steps, values) for way, values in lines.items()}},
            ("steps T1",),
            "working memory (MB)",
        )
        asked.save("memory", drawn)
        batch_size = self.call.training().batch_size
        return {
            **self.call.told(),
            "batch_size": batch_size,
            "steps": steps,
            "megabytes": lines,
        }


def megabytes(training: Training) -> float:
    """Of the gradient of one batch by the training's estimator."""
    model, estimator = training.model, training.estimator
    parameters, static = eqx.partition(model, eqx.is_array)
    shape = (training.batch_size, *(model.energy.input_shape or ()))
    classes = model.energy.shapes[model.cost.output]

    def gradient(parameters, x, y, key):
        model = eqx.combine(parameters, static)
        return estimator(model, x, y, model.rest(x), key).gradient

    x = jax.ShapeDtypeStruct(shape, jax.numpy.float32)
    y = jax.ShapeDtypeStruct((training.batch_size, *classes), jax.numpy.float32)
    lowered = jax.jit(gradient).lower(parameters, x, y, jax.random.key(0))
    analysis = lowered.compile().memory_analysis()
    if analysis is None:
        raise RuntimeError("Memory: this backend's compiler reports no memory; use a CPU or a GPU.")
    return analysis.temp_size_in_bytes / 1e6
