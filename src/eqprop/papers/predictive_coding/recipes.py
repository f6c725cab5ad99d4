"""Networks of predictive coding that learn by nudges of both signs, as Kerjan, Hoier and Scellier
(arXiv 2606.03584) train them, settled by their errors (Goemaere et al., arXiv 2505.20137).

``E = sum_l |z_l - f_l(W_l z_{l-1})|^2 / 2``; sizes, rates and nudges are ours, chosen on validation images.
"""

from __future__ import annotations

import jax

from eqprop.energies.architectures import layered, with_read_out
from eqprop.energies.predictive import predictive
from eqprop.energies.skips import predictive_residual
from eqprop.energies.units.interval import relu
from eqprop.estimators.contrast import one_sided, symmetric
from eqprop.estimators.equilibrium import EquilibriumPropagation
from eqprop.estimators.estimator import Estimator
from eqprop.solvers import ErrorDescent
from eqprop.training.data.augment import random_shift
from eqprop.training.data.named import FASHION_MNIST, MNIST, Named
from eqprop.training.optimisers import Optimiser
from eqprop.training.training import Preprocessing, Training

HE = 6.0**0.5
"""The gain of uniform weights that keeps the size of what rectified layers show."""


def mnist_predictive(
    hidden: tuple[int, ...] = (512, 512),
    beta: float = 0.1,
    steps: int = 2,
    step_size: float = 0.5,
    epochs: int = 12,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.05,
    shift: int = 1,
    seed: int = 0,
) -> Training:
    """Predictive coding of two hidden layers on MNIST: 98.9 % in a minute on two cores.

    Args:
        hidden: sizes of the hidden layers.
        beta: nudge.
        steps: descents in the errors of a nudged phase; a free one is a forward pass.
        step_size: of a descent; 1 is back-propagation in the first.
        epochs: passes over the training images.
        learning_rate: of Adam, at its peak.
        weight_decay: decoupled.
        shift: random shifts of up to this many pixels.
        seed: of weights, shuffling and augmentation.
    """
    optimiser = Optimiser(learning_rate, weight_decay=weight_decay)
    return _dense(MNIST, hidden, beta, steps, step_size, optimiser, epochs, shift, seed)


def fashion_mnist_predictive(
    hidden: tuple[int, ...] = (512, 512),
    beta: float = 0.1,
    steps: int = 2,
    step_size: float = 0.5,
    epochs: int = 15,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.05,
    shift: int = 0,
    seed: int = 0,
) -> Training:
    """The same on Fashion-MNIST: 90.2 % in 2 minutes on two cores.

    Args:
        hidden: sizes of the hidden layers.
        beta: nudge.
        steps: descents in the errors of a nudged phase; a free one is a forward pass.
        step_size: of a descent; 1 is back-propagation in the first.
        epochs: passes over the training images.
        learning_rate: of Adam, at its peak.
        weight_decay: decoupled.
        shift: random shifts of up to this many pixels.
        seed: of weights, shuffling and augmentation.
    """
    optimiser = Optimiser(learning_rate, weight_decay=weight_decay)
    return _dense(FASHION_MNIST, hidden, beta, steps, step_size, optimiser, epochs, shift, seed)


def mnist_predictive_deep(
    width: int = 128,
    depth: int = 64,
    beta: float = 0.1,
    steps: int = 2,
    step_size: float = 0.5,
    epochs: int = 3,
    learning_rate: float = 0.03,
    seed: int = 0,
) -> Training:
    """A residual network of 64 layers on MNIST, scaled by depth (muPC): 97.6 % in 3 minutes on two cores.

    Args:
        width: of the hidden layers.
        depth: layers of weights.
        beta: nudge.
        steps: descents in the errors of a nudged phase; a free one is a forward pass.
        step_size: of a descent; 1 is back-propagation in the first.
        epochs: passes over the training images.
        learning_rate: of Adam, at its peak.
        seed: of weights and shuffling.
    """
    key = jax.random.key(seed)
    return Training(
        predictive_residual(MNIST.features, width, depth, MNIST.classes, key),
        _learner(beta, steps, step_size),
        MNIST,
        Optimiser(learning_rate),
        epochs,
        64,
        preprocessing=Preprocessing((0.1307,), (0.3081,)),
        seed=seed,
    )


FORWARD = ErrorDescent(None, 1, 1.0)
"""A free phase, which a forward pass ends."""


def clamped(estimator: Estimator) -> Estimator:
    """By the usual rule of predictive coding: the output held at its target, which is the nudge 1 of a
    read-out. Errors then take small steps, and many; and answers that are not in proportion to so large a
    nudge are warned of."""
    return EquilibriumPropagation(FORWARD, one_sided(1.0), ErrorDescent(1e-4, 500, 0.05))


def _dense(
    data: Named,
    hidden: tuple[int, ...],
    beta: float,
    steps: int,
    step_size: float,
    optimiser: Optimiser,
    epochs: int,
    shift: int,
    seed: int,
) -> Training:
    weights, read_out = jax.random.split(jax.random.key(seed))
    below = layered((data.features, *hidden, data.classes), weights, relu(), gain=HE)
    return Training(
        predictive(with_read_out(below, data.classes, read_out)),
        _learner(beta, steps, step_size),
        data,
        optimiser,
        epochs,
        100,
        random_shift(shift) if shift else None,
        seed=seed,
    )


def _learner(beta: float, steps: int, step_size: float) -> EquilibriumPropagation:
    nudged = ErrorDescent(None, steps, step_size)
    return EquilibriumPropagation(FORWARD, symmetric(beta), nudged)
