"""Other ways to learn the model of a training: functions from its estimator to another, for
`Training.by`."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from eqprop.estimators import contrast as contrasts
from eqprop.estimators.backpropagation import Backpropagation, FeedForward
from eqprop.estimators.contrast import Contrast
from eqprop.estimators.differences import DeltaPropagation
from eqprop.estimators.equilibrium import EquilibriumPropagation
from eqprop.estimators.estimator import Estimator
from eqprop.estimators.implicit import ImplicitDifferentiation
from eqprop.solvers import Blockwise, Iterative, Solver
from eqprop.spiking import Spiking, SurrogateBackpropagation

POINTS = 4
SETTLED = Blockwise(1e-3, 60)
"""How phases of chains relax, where these are taken for a model without temperature."""


def ep(estimator: Estimator, solver: Solver | None = None) -> Estimator:
    """Equilibrium propagation without temperature and without spikes, of which each step is a sweep."""
    return EquilibriumPropagation(solver or _solver(estimator), _contrast(estimator))


def one_sided(estimator: Estimator) -> Estimator:
    """The free phase against one nudge (Scellier and Bengio 2017)."""
    return _with(estimator, contrasts.one_sided)


def symmetric(estimator: Estimator) -> Estimator:
    """Two nudges of opposite signs."""
    return _with(estimator, contrasts.symmetric)


def random_sign(estimator: Estimator) -> Estimator:
    """The free phase against one nudge of a random sign."""
    return _with(estimator, contrasts.RandomSign)


def n_point(estimator: Estimator) -> Estimator:
    """Four nudges."""
    return _with(estimator, lambda beta: contrasts.n_point(POINTS, beta))


def holomorphic(estimator: Estimator) -> Estimator:
    """Four complex nudges on a circle."""
    return _with(estimator, lambda beta: contrasts.holomorphic(POINTS, beta))


def differences(estimator: Estimator) -> Estimator:
    """Nudged phases as differences from the free one, which keeps the digits of small nudges."""
    nudged = getattr(estimator, "nudged_solver", None)
    return DeltaPropagation(_solver(estimator), _contrast(estimator), nudged)


def implicit(estimator: Estimator) -> Estimator:
    """Implicit differentiation at the equilibrium."""
    solver = _solver(estimator)
    spiking = isinstance(getattr(estimator, "solver", None), Spiking)
    return ImplicitDifferentiation(SETTLED if spiking else solver)


def bptt(estimator: Estimator) -> Estimator:
    """Back-propagation through the steps of the free phase."""
    solver = _solver(estimator)
    if not isinstance(solver, Iterative):
        raise ValueError(
            "estimator: bptt unrolls the steps of an iterative solver; expected blockwise, momentum or "
            f"gradient, got {type(solver).__name__}."
        )
    return Backpropagation(solver, solver.max_steps)


def backprop(estimator: Estimator) -> Estimator:
    """Back-propagation through a feed-forward pass of the same layers. Warns of a device's read-out, which
    such a pass has not."""
    if getattr(estimator, "read_out", None) is not None:
        warnings.warn(
            "estimator: backprop takes what the layers compute, without the read-out of the device.",
            stacklevel=2,
        )
    return FeedForward()


def surrogate(estimator: Estimator) -> Estimator:
    """Back-propagation through the spikes of the free phase, with surrogate slopes."""
    spiking: Any = estimator
    if not hasattr(estimator, "coding"):
        raise ValueError(
            "estimator: expected a network of spikes, as mnist-spiking, for surrogate, got "
            f"{type(estimator).__name__}."
        )
    return SurrogateBackpropagation(spiking.solver, spiking.coding)


RIVALS = (
    *(ep, one_sided, symmetric, random_sign, n_point, holomorphic, differences),
    *(implicit, bptt, backprop, surrogate),
)
NAMES = tuple(rival.__name__.replace("_", "-") for rival in RIVALS)


def named(name: str) -> Callable[[Estimator], Estimator]:
    """The rival that the command calls so: ``one-sided``."""
    return RIVALS[NAMES.index(name)]


def _with(estimator: Estimator, make: Callable[[float], Contrast]) -> Estimator:
    if not hasattr(estimator, "contrast"):
        raise ValueError(
            "estimator: expected one with a contrast of nudges, as EquilibriumPropagation, got "
            f"{type(estimator).__name__}."
        )
    with jax.ensure_compile_time_eval():
        betas, _ = _contrast(estimator).draw(jax.random.key(0))
    changed: dict[str, Any] = {"contrast": make(float(np.max(np.abs(betas))))}
    return dataclasses.replace(estimator, **changed)


def _contrast(estimator: Estimator) -> Contrast:
    found = getattr(estimator, "contrast", None)
    if found is not None:
        return found
    rule = getattr(estimator, "rule", None)
    if rule is None:
        raise ValueError(
            f"estimator: expected one that nudges, got {type(estimator).__name__}, which has no beta."
        )
    return contrasts.symmetric(float(rule.beta))


def _solver(estimator: Estimator) -> Solver:
    if (read_out := getattr(estimator, "read_out", None)) is not None:
        raise ValueError(
            "estimator: expected phases that no device reads (state_bits of 0), got "
            f"{type(read_out).__name__}, which acts on equilibrium propagation alone."
        )
    found = getattr(estimator, "solver", None)
    if isinstance(found, Spiking):
        return Blockwise(None, found.steps)
    if not isinstance(found, Solver):
        return SETTLED
    if found.noisy:
        raise ValueError(
            f"estimator: expected a solver without noise, got {type(found).__name__}, whose noise acts on "
            "equilibrium propagation alone."
        )
    return found
