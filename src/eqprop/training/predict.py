"""How much work a run is, and how long it will take, before it begins."""

from __future__ import annotations

import math
import time

import equinox as eqx
import jax

from eqprop.energies.network import INPUT, Network
from eqprop.energies.ops import Conv, Dense, Scaled
from eqprop.solvers import Blockwise
from eqprop.solvers.relax import relax
from eqprop.training.data.datasets import Dataset, load_dataset
from eqprop.training.epoch import epoch_length
from eqprop.training.files import AnyPath
from eqprop.training.recipe import Recipe
from eqprop.training.vision import VisionRecipe

SWEEPS, FORWARD_AND_BACK = 10, 3


def longest(recipe: VisionRecipe, data: Dataset) -> float:
    """Seconds of a run none of whose phases settles before its last step, from the time of a few sweeps
    now; two nudged phases, and an evaluation of the validation images every epoch."""
    model = recipe.build(data)
    x = jax.random.uniform(jax.random.key(0), (recipe.batch_size, *data.image_shape))

    @eqx.filter_jit
    def sweep(model, x):
        return relax(model, x, model.rest(x), Blockwise(None, SWEEPS))[0]

    jax.block_until_ready(sweep(model, x))
    began = time.perf_counter()
    jax.block_until_ready(sweep(model, x))
    a_sweep = (time.perf_counter() - began) / SWEEPS
    held_out = recipe.validation
    calls, length = epoch_length(recipe.examples or len(data.train.y) - held_out, recipe.batch_size)
    free, nudged = recipe.max_steps, recipe.nudged_steps or recipe.max_steps
    if recipe.estimator == "backprop":
        training, evaluating = FORWARD_AND_BACK, 1
    else:
        training, evaluating = free + 2 * nudged, free
    sweeps = calls * length * training + held_out / recipe.batch_size * evaluating
    return a_sweep * recipe.epochs * sweeps


def sweep_flops(network: Network) -> int:
    """Of one sweep of one image by a network of dense and convolutional edges: every coupling between
    layers is applied forth and back, and a multiply-add counts two. ``ValueError`` for other edges."""
    products = 0
    for name, edge in network.edges.items():
        op = edge.op.op if isinstance(edge.op, Scaled) else edge.op
        if not isinstance(op, Dense | Conv):
            raise ValueError(
                f"sweep_flops: edge {name!r} expected Dense or Conv, got {type(op).__name__}."
            )
        if edge.source != INPUT:
            weight = op.weight if isinstance(op, Dense) else op.kernel
            products += weight.size * math.prod(network.shapes[edge.target][:-1])
    return 4 * products


def predicted(recipe: Recipe, data_dir: AnyPath | None) -> float | None:
    """`longest` of the recipe with its data; of other kinds of recipe, nothing."""
    if not isinstance(recipe, VisionRecipe):
        return None
    return longest(recipe, recipe.framed(load_dataset(recipe.data, data_dir)))
