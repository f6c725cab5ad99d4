"""Images read as sequences by stacked layers of oscillators, whose gradients are echoes."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Inexact, PRNGKeyArray

from eqprop.energies.parameters import parameter_names
from eqprop.lagrangian import NonlinearOscillators
from eqprop.lagrangian.oscillators import Passage
from eqprop.training.data.sources import Split
from eqprop.training.epoch import DivergedError


class Classifier(eqx.Module):
    """Layers of oscillators, each driven by the positions of the one before, and a linear read-out of the
    last layer's final positions and momenta."""

    layers: list[NonlinearOscillators]
    head: eqx.nn.Linear

    def __init__(
        self,
        key: PRNGKeyArray,
        features: int,
        widths: tuple[int, ...],
        rates: tuple[float, float],
        passage: Passage,
        classes: int = 10,
    ):
        *keys, last = jax.random.split(key, len(widths) + 1)
        sizes = zip(keys, (features, *widths), widths, strict=False)
        self.layers = [
            NonlinearOscillators.init(key, before, size, rates, passage=passage)
            for key, before, size in sizes
        ]
        self.head = eqx.nn.Linear(2 * widths[-1], classes, key=last)

    def __call__(self, inputs: Inexact[Array, "steps batch features"]) -> Array:
        """Scores (batch, classes)."""
        for layer in self.layers[:-1]:
            inputs = layer(inputs)
        end, _ = self.layers[-1].run(inputs)
        return jax.vmap(self.head)(jnp.concatenate(end, -1))


def optimiser_of(learning_rate: float, steps: int) -> optax.GradientTransformation:
    """Adam under a cosine schedule, gradients clipped at norm 1. Rates and stiffnesses learn ten times
    slower than weights, so that no oscillator outruns the time step."""
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adam(optax.cosine_decay_schedule(learning_rate, steps)),
        optax.masked(optax.scale(0.1), _sets_the_pace),
    )


def _sets_the_pace(parameters: Any) -> Any:
    timing = ("log_rate", "log_stiffness")
    return jax.tree.map(lambda name: name.endswith(timing), parameter_names(parameters))


class Images(NamedTuple):
    """Images (N, H, W, 1) of 0 to ``scale`` on the device, and their labels."""

    x: Array
    y: Array
    scale: float

    @classmethod
    def of(cls, split: Split, scale: float) -> Images:
        return cls(jnp.asarray(split.x), jnp.asarray(split.y), scale)

    def some(self, chosen: slice | np.ndarray) -> Images:
        """Those images alone."""
        return Images(self.x[chosen], self.y[chosen], self.scale)

    def sequence(self, features: int) -> Array:
        """As (steps, N, features) in [0, 1]: row by row where ``features`` is their width, pixel by pixel
        where it is 1."""
        steps = jnp.reshape(self.x, (len(self.x), -1, features))
        return jnp.swapaxes(steps, 0, 1).astype(jnp.result_type(float)) / self.scale


class SequenceState(eqx.Module):
    """What a checkpoint holds: the model, the optimiser's memory, the epochs done, and the best model so
    far by its accuracy on the validation images."""

    model: Classifier
    memory: Any
    epoch: Array
    best: Classifier
    best_accuracy: Array
    best_epoch: Array

    @classmethod
    def start(cls, model: Classifier, optimiser: optax.GradientTransformation) -> SequenceState:
        memory = optimiser.init(eqx.filter(model, eqx.is_inexact_array))
        none = jnp.zeros((), jnp.int32)
        return cls(model, memory, none, model, jnp.zeros(()) - 1.0, none)

    def after_epoch(self, accuracy: float) -> SequenceState:
        """With one more epoch done."""
        epoch = self.epoch + 1
        better = accuracy > float(self.best_accuracy)
        best = (self.model, jnp.asarray(accuracy, self.best_accuracy.dtype), epoch)
        kept = best if better else (self.best, self.best_accuracy, self.best_epoch)
        return SequenceState(self.model, self.memory, epoch, *kept)


def cross_entropy(model: Classifier, x: Array, y: Array) -> tuple[Array, Array]:
    """Its mean over a batch of sequences, and the share of right answers."""
    scores = model(x)
    right = jnp.mean((jnp.argmax(scores, -1).astype(y.dtype) == y).astype(scores.dtype))
    loss = optax.losses.softmax_cross_entropy_with_integer_labels(scores, y)
    return jnp.mean(loss), right


@eqx.filter_jit
def step(
    state: SequenceState, optimiser: optax.GradientTransformation, batch: Images, features: int
) -> tuple[SequenceState, Array, Array]:
    """One batch: the state after it, its loss and accuracy."""
    value = eqx.filter_value_and_grad(cross_entropy, has_aux=True)
    (loss, right), slope = value(state.model, batch.sequence(features), batch.y)
    updates, memory = optimiser.update(slope, state.memory, state.model)
    model = eqx.apply_updates(state.model, updates)
    return eqx.tree_at(lambda s: (s.model, s.memory), state, (model, memory)), loss, right


@eqx.filter_jit
def accuracy_of(model: Classifier, batch: Images, features: int) -> Array:
    return cross_entropy(model, batch.sequence(features), batch.y)[1]


def evaluate(model: Classifier, images: Images, batch_size: int, features: int) -> float:
    """The share of right answers."""
    starts = range(0, len(images.y), batch_size)
    parts = [images.some(slice(at, at + batch_size)) for at in starts]
    right = [accuracy_of(model, part, features) * len(part.y) for part in parts]
    return float(sum(right)) / len(images.y)


def run_epoch(
    state: SequenceState,
    optimiser: optax.GradientTransformation,
    images: Images,
    batch_size: int,
    features: int,
    seed: int,
) -> tuple[SequenceState, float, float]:
    """All images once, in an order that follows from the seed and the epoch: the state, and mean loss and
    accuracy over the batches. The last images, fewer than a batch, are left out.

    Raises `DivergedError` where the loss is not finite.
    """
    order = np.random.default_rng((seed, int(state.epoch))).permutation(len(images.y))
    losses, rights = [], []
    for at in range(0, len(order) - batch_size + 1, batch_size):
        chosen = order[at : at + batch_size]
        state, loss, right = step(state, optimiser, images.some(chosen), features)
        losses.append(loss)
        rights.append(right)
    mean = float(np.mean(losses))
    if not np.isfinite(mean):
        raise DivergedError(
            f"Expected a finite loss, got {mean} in epoch {int(state.epoch) + 1}; lower the learning rate "
            "or the rates of the oscillators."
        )
    return state, mean, float(np.mean(rights))
