"""A training of a second: a feed-forward network that tells two half-circles apart."""

import equinox as eqx
import jax
import numpy as np
import optax

import eqprop as eq
from eqprop.estimators.backpropagation import FeedForward
from eqprop.training import Callback, Dataset, Optimiser, Preprocessing, Split

A_CALL = 5
"""Steps of a compiled call, so that an epoch has several, between which a run can end."""
EPOCHS, TRAINED, HELD_OUT = 3, 200, 60


def moons(count, seed):
    """Two half-circles that reach into each other."""
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=count).astype(np.int32)
    angle = np.pi * rng.uniform(size=count)
    x = np.stack([np.cos(angle) + y, np.sin(angle) * (1 - 2 * y) + 0.5 * y], 1)
    return Split(x + 0.05 * rng.standard_normal(x.shape), y)


MOONS = Dataset("moons", moons(TRAINED + HELD_OUT, 0), moons(HELD_OUT, 1), 2)
FRAMING = Preprocessing((0.5,), (2.0,))
STEADY = optax.sgd(0.3, momentum=0.9)
"""The same object for any number of epochs, for which a step is compiled once."""


def training(epochs=EPOCHS, **change):
    given = {
        "model": eq.layered((2, 6, 2), jax.random.key(0), eq.Tanh(), gain=2.0),
        "data": MOONS,
        "estimator": FeedForward(),
        "optimiser": Optimiser(0.03),
        "batch_size": 20,
        "validation": HELD_OUT,
        "preprocessing": FRAMING,
    }
    return eq.Training(epochs=epochs, **(given | change))


class Killed(Exception):
    """A power cut."""


class Cut(Callback):
    """Ends the run as a kill does, in a call of steps or after an epoch."""

    def __init__(self, epoch, step=None):
        self.at = epoch, step

    def step(self, progress):
        if self.at == (progress.epoch + 1, progress.step):
            raise Killed

    def epoch(self, row):
        if self.at == (row["epoch"], None):
            raise Killed


def arrays(tree):
    return [np.asarray(a) for a in jax.tree.leaves(eqx.filter(tree, eqx.is_array))]


def identical(one, other):
    """Bit for bit, types and shapes included."""
    pairs = zip(arrays(one), arrays(other), strict=True)
    return all((a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()) for a, b in pairs)
