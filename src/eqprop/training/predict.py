"""How much work a run is, and how long it will take, before it begins."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax

from eqprop.energies.model import Model
from eqprop.energies.network import INPUT, Network
from eqprop.energies.ops import Conv, Dense, Scaled
from eqprop.energies.units.unit import State
from eqprop.estimators.estimator import Estimator
from eqprop.solvers import Blockwise, Iterative
from eqprop.solvers.relax import relax
from eqprop.training.epoch import epoch_length
from eqprop.training.files import AnyPath
from eqprop.training.training import Prepared, Training, batch_of, prepare

SWEEPS, FORWARD_AND_BACK, PRODUCTS = 10, 3, 2
"""How many sweeps are timed; what passing through a step forth and back costs, in steps; how many gradients
in the parameters a phase takes, at most: a difference takes two."""


def predicted(training: Training, data_dir: AnyPath | None) -> float | None:
    """Seconds of a run none of whose phases settles before its last step, from the time of a few sweeps
    and of one gradient now, with an evaluation of the validation examples every epoch; of phases without
    steps, nothing."""
    return seconds_of(training, prepare(training, data_dir))


def seconds_of(training: Training, data: Prepared) -> float | None:
    """The same of data at hand."""
    estimator, model = training.estimator.inside(training.model)
    solver = getattr(estimator, "solver", None)
    if not isinstance(solver, Iterative) or not isinstance(model.energy, Network):
        return None
    x, _ = batch_of(data.train, model, training.batch_size)
    calls, length = epoch_length(len(data.train.y), training.batch_size)
    evaluated = len(data.validation.y) / training.batch_size * solver.max_steps
    sweeps, gradients = _work(estimator, solver)
    sweep, gradient = _sweep(model, x), _gradient(model, x) if gradients else 0.0
    steps = calls * length
    return training.epochs * (steps * (sweeps * sweep + gradients * gradient) + evaluated * sweep)


def _work(estimator: Estimator, solver: Iterative) -> tuple[int, int]:
    """Sweeps and gradients of one training step, at most."""
    contrast = getattr(estimator, "contrast", None)
    if contrast is None:
        return FORWARD_AND_BACK * solver.max_steps, 0
    phases = len(contrast.draw(jax.random.key(0))[0])
    nudged = getattr(estimator, "nudged_solver", None) or solver
    return solver.max_steps + phases * nudged.max_steps, PRODUCTS * phases


def _sweep(model: Model, x: jax.Array) -> float:
    """Seconds of one sweep of a batch."""

    @eqx.filter_jit
    def sweep(model: Model, x: jax.Array):
        return relax(model, x, model.rest(x), Blockwise(None, SWEEPS))[0]

    return _seconds(sweep, model, x) / SWEEPS


def _gradient(model: Model, x: jax.Array) -> float:
    """Seconds of one gradient in the parameters of the energies of a batch."""

    @eqx.filter_jit
    def gradient(model: Model, x: jax.Array, state: State):
        return eqx.filter_grad(lambda model: energies(model, x, state))(model)

    def energies(model: Model, x: jax.Array, state: State) -> jax.Array:
        return jax.numpy.sum(jax.vmap(lambda x, z: model.free(x)(z))(x, state))

    return _seconds(gradient, model, x, model.rest(x))


def _seconds(function: Callable[..., Any], *given: Any) -> float:
    jax.block_until_ready(function(*given))
    began = time.perf_counter()
    jax.block_until_ready(function(*given))
    return time.perf_counter() - began


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
