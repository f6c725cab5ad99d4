"""Memory of a gradient against the steps of its free phase: flat by EP, growing by BPTT."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

from eqprop.energies.model import Model
from eqprop.papers import figures
from eqprop.papers.study import command
from eqprop.training.assemble import make_estimator
from eqprop.training.choices import EstimatorName
from eqprop.training.figures import plots
from eqprop.training.files import AnyPath, write_json
from eqprop.training.spiking_recipes import SpikingRecipe
from eqprop.training.surroundings import surroundings
from eqprop.training.task import prepare
from eqprop.training.terminal import tell

WAYS: dict[str, EstimatorName] = {"spiking EP": "spiking", "surrogate BPTT": "surrogate"}


@dataclass(frozen=True)
class Memory:
    """Working memory of one compiled gradient of a batch, as the compiler reports it: all buffers but
    those of arguments and results."""

    name: str
    about: str
    recipe: SpikingRecipe
    steps: tuple[int, ...] = (15, 30, 60, 120, 240)

    def reproduce(
        self, out: AnyPath, data_dir: AnyPath | None = None, quick: bool = False
    ) -> dict[str, Any]:
        """Write ``<out>/<name>/result.json`` and a figure beside it."""
        about, began = surroundings(), time.perf_counter()
        name = f"{self.name}-quick" if quick else self.name
        steps = self.steps[:2] if quick else self.steps
        task = prepare(self.recipe, data_dir)
        model = self.recipe.build(task.data)
        lines: dict[str, list[float]] = {way: [] for way in WAYS}
        for count in steps:
            for way, estimator in WAYS.items():
                kept = self.recipe.nudged_steps if estimator == "spiking" else 0
                changed: dict[str, Any] = {"estimator": estimator, "nudged_steps": kept}
                recipe = dataclasses.replace(self.recipe, max_steps=count, **changed)
                lines[way].append(megabytes(recipe, model))
                tell(f"{way}, T1 = {count}: {lines[way][-1]:.1f} MB")
        drawn = figures.curves(
            {"": {way: (steps, values) for way, values in lines.items()}},
            ("steps T1",),
            "working memory (MB)",
        )
        tell(f"  {plots.save(drawn, Path(out) / name / 'memory.png')}")
        summary = {
            "name": name,
            "command": command(self.name, quick),
            "recipe": dataclasses.asdict(self.recipe),
            "seconds": time.perf_counter() - began,
            "steps": steps,
            "megabytes": lines,
            **about,
        }
        path = write_json(Path(out) / name / "result.json", summary)
        tell(f"{name}: {len(steps)} lengths; {path}")
        return summary


def megabytes(recipe: SpikingRecipe, model: Model) -> float:
    """Of the gradient of one batch by the recipe's estimator."""
    estimator = make_estimator(recipe)
    parameters, static = eqx.partition(model, eqx.is_array)
    shape = (recipe.batch_size, *(model.energy.input_shape or ()))
    classes = model.energy.shapes[model.cost.output]

    def gradient(parameters, x, y, key):
        model = eqx.combine(parameters, static)
        return estimator(model, x, y, model.rest(x), key).gradient

    x = jax.ShapeDtypeStruct(shape, jax.numpy.float32)
    y = jax.ShapeDtypeStruct((recipe.batch_size, *classes), jax.numpy.float32)
    lowered = jax.jit(gradient).lower(parameters, x, y, jax.random.key(0))
    analysis = lowered.compile().memory_analysis()
    if analysis is None:
        raise RuntimeError("Memory: this backend's compiler reports no memory; use a CPU or a GPU.")
    return analysis.temp_size_in_bytes / 1e6
