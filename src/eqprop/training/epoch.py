"""Training: data, shuffling, augmentation and the steps of an epoch stay on the device.

An epoch is a few calls of one compiled scan, between which progress is shown and Ctrl-C is heard.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, PRNGKeyArray, PyTree

from eqprop.energies.model import Model
from eqprop.energies.units.unit import State
from eqprop.estimators.estimator import Estimator
from eqprop.solvers import Solver
from eqprop.solvers.relax import forecast
from eqprop.training.data.augment import Augment
from eqprop.training.devices import Devices

STEPS_A_CALL = 100

SATURATED = 0.99

TIMES = ("epoch", "seconds")


class DivergedError(RuntimeError):
    """Training met a number that is not finite."""


class Examples(NamedTuple):
    """Examples on the device: ``x`` (N, ...) of any dtype, ``y`` (N,) labels, and their meaning; with
    ``classes`` of 0, targets (N, ...) of a regression.

    A batch enters the model as ``(x / scale - mean) / std`` in the shape of its input and labels one-hot;
    mean and deviation are numbers for each channel, or one for all. With several ``devices`` each
    holds all examples (`Devices.place`), and every batch is split over them.
    """

    x: Array
    y: Array
    scale: float
    classes: int
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    devices: Devices = Devices()

    def batch(self, x: Array, y: Array, shape: tuple[int, ...] | None) -> tuple[Array, Array]:
        x = x.astype(jnp.result_type(float)) / self.scale
        x = (x - jnp.asarray(self.mean, x.dtype)) / jnp.asarray(self.std, x.dtype)
        x = x if shape is None else x.reshape(-1, *_shape(x, shape))
        if not self.classes:
            return x, y.astype(x.dtype)
        return x, jax.nn.one_hot(y, self.classes, dtype=x.dtype)


def _shape(x: Array, shape: tuple[int, ...]) -> tuple[int, ...]:
    if math.prod(x.shape[1:]) != math.prod(shape):
        raise ValueError(
            f"examples: expected N inputs of the model, each {shape} or of as many values, got {x.shape}; "
            "take other data, or a model for these; of one example, x[None]."
        )
    return shape


class TrainState(NamedTuple):
    """All that a resumed run needs, besides what it was asked."""

    model: Model
    optimiser: optax.OptState
    epoch: Array
    best_model: Model
    best_score: Array
    best_epoch: Array


class StepReport(NamedTuple):
    """After each compiled call: where the run is, and the means over that call's steps."""

    epoch: int
    step: int
    steps: int
    metrics: dict[str, float]


def start(model: Model, optimiser: optax.GradientTransformation) -> TrainState:
    """The state before the first epoch."""
    parameters = eqx.filter(model, eqx.is_inexact_array)
    never = jnp.asarray(-1, jnp.int32)
    lowest = jnp.asarray(-jnp.inf, jnp.float32)
    return TrainState(model, optimiser.init(parameters), never + 1, model, lowest, never)


def epoch_length(examples: int, batch_size: int) -> tuple[int, int]:
    """Compiled calls an epoch, and steps a call."""
    count = examples // batch_size
    if count < 1:
        raise ValueError(
            f"batch_size: expected at least one batch of {batch_size} examples, got {examples}; use a "
            "smaller batch_size."
        )
    calls = -(-count // STEPS_A_CALL)
    return calls, count // calls


def train_epoch(
    state: TrainState,
    images: Examples,
    estimator: Estimator,
    optimiser: optax.GradientTransformation,
    batch_size: int,
    key: PRNGKeyArray,
    augment: Augment | None = None,
) -> Iterator[tuple[TrainState, StepReport]]:
    """One pass over shuffled ``images``; yields the state after each compiled call.

    The random numbers of a step follow from ``key`` and the step's number alone, so that a repeated
    epoch repeats exactly. What does not fill the last call is left to the next epoch's shuffle.
    """
    calls, length = epoch_length(images.x.shape[0], batch_size)
    images.devices.check_batch(batch_size)
    shuffle, steps = jax.random.split(jax.random.fold_in(key, int(state.epoch)))
    order = jax.random.permutation(shuffle, images.x.shape[0])
    order = order[: calls * length * batch_size].reshape(calls, length, batch_size)
    keys = jax.random.split(steps, (calls, length))
    first, _ = images.batch(
        images.x[:batch_size], images.y[:batch_size], state.model.energy.input_shape
    )
    phase = estimator.start(state.model, first)
    for call in range(calls):
        model, opt_state, phase, logs = _scan(
            state.model,
            state.optimiser,
            phase,
            order[call],
            keys[call],
            images,
            estimator,
            optimiser,
            augment,
        )
        metrics = {name: float(value) for name, value in logs.items()}
        state = state._replace(model=model, optimiser=opt_state)
        yield state, StepReport(int(state.epoch), (call + 1) * length, calls * length, metrics)


@eqx.filter_jit
def _scan(model, opt_state, phase, order, keys, images, estimator, optimiser, augment):
    parameters, static = eqx.partition(model, eqx.is_inexact_array)
    shape, devices = model.energy.input_shape, images.devices

    def step(carry, at):
        parameters, opt_state, phase = carry
        indices, key = at
        draw, warp = jax.random.split(key)
        model = eqx.combine(parameters, static)
        x, labels = devices.split((images.x[indices], images.y[indices]))
        x = x if augment is None else augment(x, warp)
        x, y = images.batch(x, labels, shape)
        estimate = estimator(model, x, y, phase, draw)
        updates, opt_state = optimiser.update(estimate.gradient, opt_state, parameters)
        scores = estimator.scores(model, estimate.state)
        logs = {
            "loss": estimate.value,
            **_accuracy(images, scores, labels),
            "gradient_norm": optax.tree.norm(estimate.gradient),
            "saturated": _saturated(model, estimate.state),
        }
        logs |= _apart(logs, estimate.report.metrics())
        phase = devices.split(estimator.start(model, x, estimate.state))
        parameters = optax.apply_updates(parameters, updates)
        return (*devices.copied((parameters, opt_state)), phase), logs

    begin = parameters, opt_state, devices.split(phase)
    (parameters, opt_state, phase), logs = lax.scan(step, begin, (order, keys))
    model = eqx.combine(parameters, static)
    return model, opt_state, phase, jax.tree.map(jnp.mean, logs)


def _apart(logs: Mapping[str, Array], seen: dict[str, Array]) -> dict[str, Array]:
    """What a report says, where it takes no name of what is logged besides."""
    taken = [n for n in seen if n in (*logs, *TIMES) or n.startswith("validation_")]
    if taken:
        raise ValueError(
            f"metrics: expected other names than {', '.join((*logs, *TIMES))} and validation_..., got "
            f"{taken}; rename them in the report of the estimator."
        )
    return seen


def _accuracy(images: Examples, scores: Array, labels: Array) -> dict[str, Array]:
    """The share of right answers; of a regression, nothing."""
    return {"accuracy": _hits(scores, labels).mean()} if images.classes else {}


def _hits(scores: Array, labels: Array) -> Array:
    """Scores that are not finite hit nothing."""
    hits = jnp.argmax(scores, 1).astype(labels.dtype) == labels
    return hits & jnp.all(jnp.isfinite(scores), 1)


def _saturated(model: Model, state: State) -> Array:
    """The fraction of neurons that hardly respond to their field."""
    units = model.energy.units
    shapes = model.energy.shapes
    parts = [
        jax.vmap(units[name].saturation)(z.reshape(-1, *shapes[name])).ravel()
        for name, z in state.items()
    ]
    return jnp.mean(jnp.concatenate(parts) > SATURATED)


class Evaluation(NamedTuple):
    """Mean accuracy (of a regression ``nan``), mean cost, and means of what the phase's source says: of a
    solver the steps, the residual and the fraction converged."""

    accuracy: float
    loss: float
    metrics: dict[str, float]

    @property
    def score(self) -> float:
        """By which the best epoch is chosen: the accuracy, of a regression the loss turned round."""
        return -self.loss if math.isnan(self.accuracy) else self.accuracy


def evaluate(
    model: Model,
    images: Examples,
    source: Any,
    batch_size: int = 500,
    key: PRNGKeyArray | None = None,
) -> Evaluation:
    """Free phases only, over all examples, by a solver or a thermal estimator; random ones take their
    numbers from ``key``, or from seed 0. A batch that its devices do not divide repeats examples, which do
    not count (but in what is measured of a batch as one, the drift of chains)."""
    key = jax.random.key(0) if key is None else key
    total = images.x.shape[0]
    parts = []
    for begin in range(0, total, batch_size):
        part = slice(begin, min(begin + batch_size, total))
        batch = images._replace(x=images.x[part], y=images.y[part])
        parts.append(_evaluate(model, batch, source, jax.random.fold_in(key, begin)))
    sums = {name: sum(float(part[name]) for part in parts) / total for name in parts[0]}
    return Evaluation(sums.pop("accuracy", math.nan), sums.pop("loss"), sums)


@eqx.filter_jit
def _evaluate(model: Model, images: Examples, source: Any, key: PRNGKeyArray) -> dict[str, Array]:
    examples, devices = len(images.y), images.devices
    x, labels = devices.split(devices.filled((images.x, images.y)))
    x, y = images.batch(x, labels, model.energy.input_shape)
    if isinstance(source, Solver):
        seen = forecast(source, model, x, y, key)
    else:
        seen = source.forecast(model, x, y, key)
    right = {"accuracy": _hits(seen.scores, labels)} if images.classes else {}
    values = {**right, "loss": seen.costs, **seen.metrics}
    return {name: jnp.sum(value[:examples], dtype=x.dtype) for name, value in values.items()}


def keep_best(state: TrainState, score: float, always: bool = False) -> TrainState:
    """The state after an epoch that reached ``score`` on the validation split; ``always`` takes it for the
    best."""
    best, at = state.best_model, state.best_epoch
    reached = jnp.asarray(score, jnp.float32)
    if always or reached > state.best_score:
        best, at = state.model, state.epoch
        state = state._replace(best_score=reached)
    return state._replace(best_model=best, best_epoch=at, epoch=state.epoch + 1)


def require_finite(values: Mapping[str, float], where: str, kept: bool = False) -> None:
    """Raise `DivergedError` where a value is not finite; ``kept`` says whether a folder has checkpoints."""
    anew = "start anew with another --out. The last checkpoint is kept" if kept else "start anew"
    for name, value in values.items():
        if not math.isfinite(value):
            raise DivergedError(
                f"Training diverged {where}: expected a finite {name}, got {value}. Lower the learning "
                f"rate, the nudge beta or the initial gain, and {anew}."
            )


def scale_layers(factors: PyTree) -> optax.GradientTransformation:
    """Multiply each parameter's update by its factor: learning rates per layer."""

    def scale(updates: PyTree, params: Any = None) -> PyTree:
        return jax.tree.map(jnp.multiply, updates, factors)

    return optax.stateless(scale)
