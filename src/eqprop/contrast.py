"""Contrasts: which nudges to apply, and how to combine the phases.

    d<C>/d theta  ~  Re sum_k c_k <dF_{beta_k}/d theta>_{beta_k}

A contrast is exact when ``<dF_beta/d theta>_beta`` is a polynomial in ``beta`` of
degree ``order`` or less.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact, PRNGKeyArray

Phases = Inexact[Array, " phases"]


class Contrast(eqx.Module):
    """A source of ``(betas, coefficients)``, both of shape (phases,)."""

    @abstractmethod
    def draw(self, key: PRNGKeyArray) -> tuple[Phases, Phases]:
        """The nudges and the weights of one gradient."""


class Fixed(Contrast):
    """The same nudges every time: data, so that another beta needs no compilation."""

    betas: np.ndarray
    coefficients: np.ndarray
    order: int = eqx.field(static=True)

    def draw(self, key: PRNGKeyArray) -> tuple[Phases, Phases]:
        return jnp.asarray(self.betas), jnp.asarray(self.coefficients)


class RandomSign(Contrast):
    """One-sided with a sign drawn for each batch: unbiased to first order, two phases."""

    beta: float = eqx.field(static=True)
    order: int = eqx.field(default=1, static=True)

    def __check_init__(self):
        _nonzero(self.beta)

    def draw(self, key: PRNGKeyArray) -> tuple[Phases, Phases]:
        beta = jax.random.rademacher(key, (), jnp.result_type(float)) * self.beta
        return jnp.stack([jnp.zeros_like(beta), beta]), jnp.stack([-1 / beta, 1 / beta])


def finite_difference(betas: Sequence[float]) -> Fixed:
    """The derivative at 0 of the polynomial through the given nudges, which must differ."""
    nodes = np.asarray(betas, np.float64)
    if nodes.ndim != 1 or len(nodes) < 2 or len(np.unique(nodes)) < len(nodes):
        raise ValueError(f"finite_difference: expected 2 or more distinct nudges, got {betas}.")
    _nonzero(float(np.max(np.abs(nodes))))
    scale = np.max(np.abs(nodes))
    powers = np.vander(nodes / scale, increasing=True).T
    derivative = np.zeros(len(nodes))
    derivative[1] = 1.0 / scale
    weights = np.linalg.solve(powers, derivative)
    symmetric = np.allclose(np.sort(nodes / scale), np.sort(-nodes / scale)) and len(nodes) % 2 == 0
    order = len(nodes) if symmetric else len(nodes) - 1
    return Fixed(nodes, weights, order)


def one_sided(beta: float) -> Fixed:
    """Nudges ``(0, beta)``: error O(beta) (Scellier and Bengio 2017)."""
    _nonzero(beta)
    return finite_difference((0.0, beta))


def symmetric(beta: float) -> Fixed:
    """Nudges ``(-beta, beta)``: error O(beta^2) (Laborieux et al. 2021)."""
    _nonzero(beta)
    return finite_difference((-beta, beta))


def n_point(points: int, beta: float) -> Fixed:
    """An even number of nudges spread symmetrically up to ``beta``: error O(beta^points)."""
    if points < 2 or points % 2:
        raise ValueError(f"n_point: expected an even number of points >= 2, got {points}.")
    _nonzero(beta)
    half = np.arange(1, points // 2 + 1) * (beta / (points // 2))
    return finite_difference((*(-half[::-1]).tolist(), *half.tolist()))


def holomorphic(points: int, radius: float) -> Fixed:
    """``points`` complex nudges on a circle: error O(radius^points) (Laborieux and Zenke 2022).

    The nudges lie at angles ``pi (2 k + 1) / points``. Conjugate nudges give conjugate states, so only
    those in the upper half-plane are relaxed: ``points / 2`` phases. Needs smooth units.
    """
    if points < 2 or points % 2:
        raise ValueError(f"holomorphic: expected an even number of points >= 2, got {points}.")
    _nonzero(radius)
    angles = np.pi * (2 * np.arange(points // 2) + 1) / points
    betas = radius * np.exp(1j * angles)
    return Fixed(betas, 2 / (points * betas), points)


def _nonzero(beta: float) -> None:
    if not np.isfinite(beta) or beta == 0:
        raise ValueError(
            f"Contrast: expected a finite nudge beta other than 0, got {beta}; two phases that do not "
            "differ carry no gradient. 0.1 to 1 is usual for a squared error."
        )
