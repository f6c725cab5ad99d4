"""Rules of thermal equilibrium propagation: which nudges, and what each member of each phase counts for.

Litman, arXiv 2511.22024; for the covariance of the free phase also Massar and Mognetti, arXiv 2405.08467.
"""

from __future__ import annotations

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqprop._arguments import Checked, Count, checked, concrete
from eqprop.estimators.contrast import Fixed, one_sided
from eqprop.estimators.contrast import symmetric as symmetric_contrast
from eqprop.thermal.ensemble import Numbers, Source
from eqprop.thermal.exact import Gaussian
from eqprop.thermal.free_energy import acceptance_ratio, gauss_legendre, integrate, log_mean_exp

INFINITESIMAL = 1e-3

Loads = tuple[Array, Array]


class Rule(Checked):
    """Nudges, and the loads of the phases' members in the gradient."""

    beta: eqx.AbstractVar[Numbers]
    """The nudge of the objective; as an array, another one needs no compilation."""

    @property
    @abstractmethod
    def betas(self) -> Numbers:
        """The nudges of the phases: (phases,)."""

    @property
    def bounded(self) -> bool:
        """Whether the phases are the free one and that of ``beta``, so that their mean costs are the bounds
        of ``J_beta`` (Theorems 4.2 and 5.1)."""
        return False

    @property
    def target(self) -> Rule:
        """The rule of two phases with the same objective, which an audit compares with."""
        return finite_nudge(float(self.beta))

    @abstractmethod
    def loads(self, costs: Array, weights: Array, source: Source) -> Loads:
        """Of the energies and of the costs, both (phases, batch, members)."""

    @abstractmethod
    def objective(self, costs: Array, weights: Array, temperature: float) -> Array:
        """``J_beta`` of each example, from costs (moments, phases, batch, members)."""


class ContrastRule(Rule):
    """``sum_k c_k <dF_{b_k}>_{b_k}``; for nudges 0 and beta exact at any beta (Theorem 3.1)."""

    contrast: Fixed
    beta: Numbers
    finite: bool = eqx.field(static=True)

    @property
    def bounded(self) -> bool:
        return self.finite

    @property
    def betas(self) -> Numbers:
        return self.contrast.betas

    @property
    def target(self) -> Rule:
        return self

    def loads(self, costs: Array, weights: Array, source: Source) -> Loads:
        share = _column(self.contrast.coefficients, costs) * weights
        return share, _column(self.betas, costs) * share

    def objective(self, costs: Array, weights: Array, temperature: float) -> Array:
        betas = jnp.asarray(self.betas, costs.dtype)
        free_energies = acceptance_ratio(costs, weights, betas, temperature)
        return jnp.asarray(self.contrast.coefficients, costs.dtype) @ free_energies


class PathIntegral(Rule):
    """``sum_k q_k (<dC>_{b_k} - Cov_{b_k}[C, dF_{b_k}] / T)`` over quadrature nodes of [0, beta] (Theorem
    3.4); the covariance is unbiased, with ``1 / (N - 1)``, where members are draws. Without nodes, the
    integrand at 0."""

    nodes: Numbers | None
    quadrature: Numbers
    beta: Numbers

    @property
    def betas(self) -> Numbers:
        return np.zeros(1) if self.nodes is None else self.nodes

    @property
    def target(self) -> Rule:
        return finite_nudge(INFINITESIMAL if self.nodes is None else float(self.beta))

    def loads(self, costs: Array, weights: Array, source: Source) -> Loads:
        members = costs.shape[-1]
        if source.drawn and members < 2:
            raise ValueError(
                f"PathIntegral: expected 2 chains or more for a covariance, got {members}; raise `chains`, "
                "or use finite_nudge."
            )
        unbiased = members / (members - 1) if source.drawn else 1.0
        excess = costs - jnp.sum(weights * costs, -1, keepdims=True)
        part = _column(self.quadrature, costs) * weights
        energy = -unbiased / source.temperature * part * excess
        return energy, _column(self.betas, costs) * energy + part

    def objective(self, costs: Array, weights: Array, temperature: float) -> Array:
        return integrate(costs, weights, jnp.asarray(self.quadrature, costs.dtype))


class Reweighting(Rule):
    """The finite nudge from the free members of one moment, weighted by ``exp(-beta C / T)``: biased as one
    over their number, the chains.

    Examples:
        >>> import math
        >>> import equinox as eqx
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> costs = jnp.array([[[0.0, math.log(3.0)]]])  # members that exp(-C) weighs 3 to 1
        >>> rule, law = eq.thermal.Reweighting(beta=1.0), eq.thermal.Enumeration(1.0)
        >>> energies, _ = eqx.filter_jit(rule.loads)(costs, jnp.full((1, 1, 2), 0.5), law)
        >>> energies[0, 0].round(2)
        Array([ 0.25, -0.25], dtype=float32)
    """

    beta: Numbers

    def __check_init__(self):
        _check_nudge("Reweighting", self.beta)

    @property
    def betas(self) -> Numbers:
        return np.zeros(1)

    def loads(self, costs: Array, weights: Array, source: Source) -> Loads:
        if source.drawn and costs.shape[-1] < 2:
            raise ValueError(
                f"Reweighting: expected 2 chains or more to weigh, got {costs.shape[-1]}; raise `chains`."
            )
        if isinstance(source, Gaussian):
            raise ValueError(
                "Reweighting: expected chains or an enumeration, got the Gaussian, whose nodes integrate "
                "polynomials only; use finite_nudge."
            )
        beta = jnp.asarray(self.beta, costs.dtype)
        nudged = jax.nn.softmax(jnp.log(weights) - beta * costs / source.temperature, -1)
        return (nudged - weights) / beta, nudged

    def objective(self, costs: Array, weights: Array, temperature: float) -> Array:
        return log_mean_exp(costs, weights, jnp.asarray(self.beta, costs.dtype), temperature)


@checked
def finite_nudge(beta: float | Array = 1.0) -> ContrastRule:
    """The free phase against the one nudged by ``beta``.

    Examples:
        >>> import equinox as eqx
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> net = eq.layered((3, 4, 2), jax.random.key(0), eq.Spin(), eq.Spin())
        >>> model = eq.Model(net.energy, eq.SquaredError(low=-1.0, high=1.0))
        >>> counted = eq.thermal.Thermal(eq.thermal.Enumeration(1.0), eq.thermal.finite_nudge(1.0))
        >>> x, y = jnp.ones((2, 3)), jnp.eye(2)
        >>> found = eqx.filter_jit(counted)(model, x, y, model.rest(x), jax.random.key(1))
        >>> found.gradient.energy.edges["x-h1"].op.weight.shape
        (3, 4)
    """
    _check_nudge("finite_nudge", beta)
    return ContrastRule(contrast=one_sided(beta), beta=_data(beta), finite=True)


@checked
def symmetric_nudge(beta: float | Array) -> ContrastRule:
    """``beta`` against ``-beta``: the slope of A at 0 up to O(beta^2), while ``E - beta C`` confines.

    Examples:
        >>> import eqprop as eq
        >>> rule = eq.thermal.symmetric_nudge(0.5)
        >>> rule.betas.tolist(), rule.contrast.coefficients.tolist()
        ([-0.5, 0.5], [-1.0, 1.0])
    """
    _check_nudge("symmetric_nudge", beta)
    return ContrastRule(contrast=symmetric_contrast(beta), beta=_data(beta), finite=False)


@checked
def path_integral(beta: float | Array = 1.0, nodes: Count = 4) -> PathIntegral:
    """Gauss-Legendre nodes on [0, beta]."""
    _check_nudge("path_integral", beta)
    points, weights = gauss_legendre(nodes)
    return PathIntegral(nodes=beta * points, quadrature=weights, beta=_data(beta))


@checked
def free_covariance(beta: float | Array = 1.0) -> PathIntegral:
    """The integrand at 0, the gradient of ``<C>_0``: the classical small nudge with one phase.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> rule, law = eq.thermal.free_covariance(), eq.thermal.Enumeration(temperature=2.0)
        >>> costs, weights = jnp.array([[[0.0, 4.0]]]), jnp.full((1, 1, 2), 0.5)  # of two free states
        >>> energies, _ = rule.loads(costs, weights, law)  # weight * (mean cost - cost) / T
        >>> energies[0, 0]
        Array([ 0.5, -0.5], dtype=float32)
    """
    _check_nudge("free_covariance", beta)
    return PathIntegral(nodes=None, quadrature=np.ones(1), beta=_data(beta))


def _check_nudge(name: str, beta: Numbers) -> None:
    if concrete(beta) and (not np.isfinite(beta) or beta == 0):
        raise ValueError(f"{name}: expected a finite nudge beta other than 0, got {beta}.")


def _data(beta: Numbers) -> Numbers:
    """As an array, so that another nudge needs no compilation."""
    return np.asarray(beta) if concrete(beta) else beta


def _column(values: Numbers, like: Array) -> Array:
    return jnp.asarray(values, like.dtype)[:, None, None]
