"""Finite nudges at a temperature: Litman, arXiv 2511.22024. The network is ours, of which the paper says
nothing; rates were chosen on validation examples."""

from __future__ import annotations

import dataclasses

import jax

from eqprop.energies.architectures import OUTPUT, layered
from eqprop.energies.costs import SquaredError
from eqprop.energies.model import Model
from eqprop.energies.units.interval import Box, hard_tanh
from eqprop.energies.units.unit import Unit
from eqprop.thermal.adjusted import Hmc, Mala, Nuts
from eqprop.thermal.chains import Chains
from eqprop.thermal.estimator import Thermal
from eqprop.thermal.gibbs import Gibbs
from eqprop.thermal.langevin import UnadjustedLangevin, Underdamped
from eqprop.thermal.readings import ConditionalMeans, Draws
from eqprop.thermal.rules import (
    Rule,
    finite_nudge,
    free_covariance,
    path_integral,
)
from eqprop.training.data.named import DIGITS, FASHION_MNIST, Named
from eqprop.training.optimisers import Optimiser
from eqprop.training.training import Training

Kernel = Gibbs | UnadjustedLangevin | Underdamped | Mala | Hmc | Nuts
GIBBS = Gibbs()
FASHION = Chains(0.005, GIBBS, chains=4, burn=4, samples=2, thinning=1)
SMALL = Chains(0.02, GIBBS, chains=4, burn=8, samples=2, thinning=2)


def fashion_mnist_thermal(
    hidden: tuple[int, ...] = (256,),
    beta: float = 1.0,
    nodes: int | None = None,
    source: Chains = FASHION,
    sampler: Kernel = GIBBS,
    reading: ConditionalMeans | Draws = ConditionalMeans(),
    epochs: int = 10,
    learning_rate: float = 1e-3,
    seed: int = 0,
) -> Training:
    """Fashion-MNIST at T = 0.005, nudged by as much as T and more: 88.7 % in 24 minutes on two cores.

    Args:
        hidden: sizes of the hidden layers.
        beta: nudge.
        nodes: of the path integral over nudges up to beta; 0 is its free end, the covariance; without any,
            the free phase is compared with the one nudged by beta.
        source: how many chains, at which temperature, how long.
        sampler: their kernel.
        reading: what enters the gradient: draws, or conditional means, which have less variance.
        epochs: passes over the training images.
        learning_rate: of Adam, at its peak.
        seed: of weights, shuffling and draws.
    """
    estimator = Thermal(by_kernel(source, sampler), rule_of(beta, nodes), reading)
    return _dense(FASHION_MNIST, hidden, Box(), estimator, epochs, 100, learning_rate, 5000, seed)


def digits_thermal(
    hidden: tuple[int, ...] = (64,),
    beta: float = 1.0,
    nodes: int | None = None,
    source: Chains = SMALL,
    sampler: Kernel = GIBBS,
    reading: ConditionalMeans | Draws = ConditionalMeans(),
    epochs: int = 20,
    learning_rate: float = 4e-3,
    seed: int = 0,
) -> Training:
    """Embedded digits at T = 0.02, hard tanh units: under a minute on two cores.

    Args:
        hidden: sizes of the hidden layers.
        beta: nudge.
        nodes: of the path integral over nudges up to beta; 0 is its free end, the covariance; without any,
            the free phase is compared with the one nudged by beta.
        source: how many chains, at which temperature, how long.
        sampler: their kernel.
        reading: what enters the gradient: draws, or conditional means, which have less variance.
        epochs: passes over the training images.
        learning_rate: of Adam, at its peak.
        seed: of weights, shuffling and draws.
    """
    estimator = Thermal(by_kernel(source, sampler), rule_of(beta, nodes), reading)
    return _dense(DIGITS, hidden, hard_tanh(), estimator, epochs, 32, learning_rate, 200, seed)


def by_kernel(source: Chains, sampler: Kernel) -> Chains:
    """The same chains by another kernel."""
    return dataclasses.replace(source, sampler=sampler)


def rule_of(beta: float, nodes: int | None) -> Rule:
    """The finite nudge; the path integral of so many nodes; of none, the covariance."""
    if nodes is None:
        return finite_nudge(beta)
    return path_integral(beta, nodes) if nodes else free_covariance(beta)


def _dense(
    data: Named,
    hidden: tuple[int, ...],
    unit: Unit,
    estimator: Thermal,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    validation: int,
    seed: int,
) -> Training:
    weights, _ = jax.random.split(jax.random.key(seed))
    model = layered((data.features, *hidden, data.classes), weights, unit)
    return Training(
        Model(model.energy, SquaredError(OUTPUT)),
        estimator,
        data,
        Optimiser(learning_rate),
        epochs,
        batch_size,
        validation=validation,
        seed=seed,
    )
