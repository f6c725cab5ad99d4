"""Thermal equilibrium propagation: exact gradients of ``J_beta`` at any nudge, from Gibbs phases.

A rule says which nudges to apply, and what each member of each phase counts for:

    d J / d theta  =  mean over the batch of  sum_(k, c)  e_kc dE(s_kc)/d theta + c_kc dC(s_kc)/d theta

with loads ``e`` and ``c`` that depend on the costs of the members alone: the fluctuation of a scalar loss
times a local derivative. Litman, arXiv 2511.22024; for the covariance of the free phase also Massar and
Mognetti, arXiv 2405.08467.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, PRNGKeyArray, PyTree

from eqprop.contrast import Fixed, one_sided
from eqprop.contrast import symmetric as symmetric_contrast
from eqprop.ensemble import Average, Source, costs_of, nothing, over_ensemble
from eqprop.estimators import Batch, Estimate, Estimator, Forecast, forecast
from eqprop.exact import Enumeration, Gaussian
from eqprop.marginal import Draws, Reading
from eqprop.model import Model
from eqprop.objective import acceptance_ratio, gauss_legendre, integrate, log_mean_exp
from eqprop.ops import freeze
from eqprop.units import State, embed

Loads = tuple[Array, Array]
Numbers = Array | np.ndarray | float


class Rule(eqx.Module):
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

    @abstractmethod
    def loads(self, costs: Array, weights: Array, source: Source) -> Loads:
        """Of the energies and of the costs, both (phases, batch, members)."""

    @abstractmethod
    def objective(self, costs: Array, weights: Array, temperature: float) -> Array:
        """``J_beta`` of each example, from costs (moments, phases, batch, members)."""


class Contrast(Rule):
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

    def loads(self, costs: Array, weights: Array, source: Source) -> Loads:
        share = _column(self.contrast.coefficients, costs) * weights
        return share, _column(self.betas, costs) * share

    def objective(self, costs: Array, weights: Array, temperature: float) -> Array:
        betas = jnp.asarray(self.betas, costs.dtype)
        free_energies = acceptance_ratio(costs, weights, betas, temperature)
        return jnp.asarray(self.contrast.coefficients, costs.dtype) @ free_energies


class PathIntegral(Rule):
    """``sum_k q_k (<dC>_{b_k} - Cov_{b_k}[C, dF_{b_k}] / T)`` over quadrature nodes of [0, beta] (Theorem
    3.4); the covariance is unbiased, with ``1 / (N - 1)``, where members are draws."""

    nodes: Numbers
    quadrature: Numbers
    beta: Numbers

    @property
    def betas(self) -> Numbers:
        return self.nodes

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
        return energy, _column(self.nodes, costs) * energy + part

    def objective(self, costs: Array, weights: Array, temperature: float) -> Array:
        return integrate(costs, weights, jnp.asarray(self.quadrature, costs.dtype))


class Reweighting(Rule):
    """The finite nudge from the free members of one moment, weighted by ``exp(-beta C / T)``: biased as one
    over their number, the chains."""

    beta: Numbers

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


def finite_nudge(beta: float = 1.0) -> Contrast:
    """The free phase against the one nudged by ``beta``."""
    _check_nudge("finite_nudge", beta)
    return Contrast(contrast=one_sided(beta), beta=np.asarray(beta), finite=True)


def symmetric_nudge(beta: float) -> Contrast:
    """``beta`` against ``-beta``: the slope of A at 0 up to O(beta^2), while ``E - beta C`` confines."""
    _check_nudge("symmetric_nudge", beta)
    return Contrast(contrast=symmetric_contrast(beta), beta=np.asarray(beta), finite=False)


def path_integral(beta: float = 1.0, nodes: int = 4) -> PathIntegral:
    """Gauss-Legendre nodes on [0, beta]."""
    if nodes < 1:
        raise ValueError(f"path_integral: expected 1 node or more, got {nodes}.")
    _check_nudge("path_integral", beta)
    points, weights = gauss_legendre(nodes)
    return PathIntegral(nodes=beta * points, quadrature=weights, beta=np.asarray(beta))


def free_covariance(beta: float = 1.0) -> PathIntegral:
    """The integrand at 0, the gradient of ``<C>_0``: the classical small nudge with one phase."""
    _check_nudge("free_covariance", beta)
    return PathIntegral(nodes=np.zeros(1), quadrature=np.ones(1), beta=np.asarray(beta))


def _check_nudge(name: str, beta: float) -> None:
    if not np.isfinite(beta) or beta == 0:
        raise ValueError(f"{name}: expected a finite nudge other than 0, got {beta}.")


class ThermalReport(NamedTuple):
    """By phase, means over the batch: ``costs``, ``acceptance``, and ``drift``, by how many standard
    deviations the mean cost of the later half of the samples differs from that of the earlier. The SNR is
    that of the displacement from the first phase to the last, of one chain. ``divergence``,
    ``KL(nudged || free)``, is that of a finite nudge; other rules do not know it."""

    costs: Array
    objective: Array
    displacement_snr: Array | None
    drift: Array | None
    divergence: Array | None = None
    acceptance: Array | None = None
    swaps: Array | None = None

    def metrics(self) -> dict[str, Array]:
        """What training logs."""
        seen = {
            "first_cost": self.costs[0],
            "last_cost": self.costs[-1],
            "objective": self.objective,
        }
        if self.displacement_snr is not None:
            seen["displacement_snr"] = self.displacement_snr
        if self.drift is not None:
            seen["drift"] = jnp.max(self.drift)
        if self.divergence is not None:
            seen["divergence"] = self.divergence
        if self.acceptance is not None:
            seen["acceptance"] = jnp.min(self.acceptance)
        if self.swaps is not None:
            seen["swap_rate"] = jnp.min(self.swaps)
        return seen


class Thermal(Estimator):
    """The gradient of the mean of ``J_beta`` by a rule, from the phases of a source.

    States and scores are those of the first phase, which a path integral and symmetric nudges nudge.

    ``state`` is where chains start: (batch, ...) or (batch, chains, ...). The value of the estimate is J;
    its states are those of the first phase, (batch, members, ...).
    """

    source: Source
    rule: Rule
    reading: Reading = Draws()

    def check(self, model: Model, x: Batch, y: Batch) -> None:
        """Raise ``ValueError``, with its remedy, where the phases of this model cannot be had."""
        betas = jnp.asarray(self.rule.betas, x.dtype)
        self.source.check(model, x, y, betas)
        self.reading.check(model.nudged(x[0], y[0], betas[0]), model.energy.rest(x.dtype))

    def __call__(
        self, model: Model, x: Batch, y: Batch, state: State, key: PRNGKeyArray
    ) -> Estimate:
        betas = jnp.asarray(self.rule.betas, x.dtype)

        watched = self.source.drawn and len(betas) > 1

        def statistic(states: State, weights: Array) -> tuple[PyTree, tuple[Array, Array] | None]:
            costs = costs_of(model, x, y, betas, states)
            loads = self.rule.loads(costs, weights, self.source)
            moved = _displacement(model, states) if watched and costs.shape[-1] > 1 else None
            read = self.reading(model, x, y, betas, states, self.source.temperature)
            return loaded_gradient(model, x, y, loads, read), moved

        found = self.source.average(model, x, y, betas, state, key, statistic)
        gradient, moved = found.mean
        temperature = self.source.temperature
        if isinstance(self.rule, Contrast) and isinstance(self.source, Enumeration | Gaussian):
            free_energies = self.source.free_energy(freeze(model), x, y, betas)
            objective = jnp.asarray(self.rule.contrast.coefficients, x.dtype) @ free_energies
        else:
            objective = self.rule.objective(found.costs, found.weights, temperature)
        costs = jnp.mean(jnp.sum(found.costs * found.weights, -1), (0, 2))
        excess = jnp.mean(objective) - costs[-1]
        report = ThermalReport(
            costs,
            jnp.mean(objective),
            None if moved is None else jnp.sqrt(jnp.maximum(moved[0], 0.0) / moved[1]),
            drift(found),
            jnp.asarray(self.rule.beta, x.dtype) / temperature * excess
            if self.rule.bounded
            else None,
            found.acceptance,
            found.swaps,
        )
        first = {name: z[0] for name, z in found.states.items()}
        return Estimate(jnp.mean(objective), gradient, first, report)

    def start(self, model: Model, x: Batch, last: State | None = None) -> State:
        return self.source.start(model, x, last)

    def scores(self, model: Model, state: State) -> Array:
        """Mean scores over the members of one moment; `forecast` takes the likelihood over all."""
        return jnp.mean(jax.vmap(jax.vmap(model.predict))(state), 1)


def loaded_gradient(model: Model, x: Array, y: Array, loads: Loads, states: State) -> PyTree:
    """``d/d theta`` of the mean over the batch of ``sum e E + c C`` on frozen states."""

    def surrogate(model: Model) -> Array:
        def parts(_, x: Array, y: Array, state: State) -> tuple[Array, Array]:
            return model.energy(state, x), model.loss(state, y)

        energies, costs = over_ensemble(parts)(jnp.zeros(len(loads[0])), x, y, states)
        return jnp.sum(loads[0] * energies + loads[1] * costs) / x.shape[0]

    return eqx.filter_grad(surrogate)(model)


def drift(found: Average) -> Array | None:
    """By phase: the change of the mean cost between the halves of the samples over its deviation; of one
    sample, nothing."""
    costs = found.costs
    half = costs.shape[0] // 2
    if half == 0:
        return None
    change = jnp.mean(costs[half:] - jnp.mean(costs[:half], 0), (0, 2, 3))
    deviation = jnp.sqrt(jnp.mean(jnp.var(costs, (0, 3)), 1))
    return jnp.abs(change) / jnp.maximum(deviation, jnp.finfo(costs.dtype).tiny)


def _displacement(model: Model, states: State) -> tuple[Array, Array]:
    """Squared mean and variance, over members, of what the layers show in the last phase less the first;
    summed over neurons, mean over the batch."""
    shown = embed(model.energy.units, states)
    signal = noise = jnp.zeros(())
    for u in shown.values():
        moved = u[-1] - u[0]
        count = moved.shape[1]
        spread = jnp.var(moved, 1, ddof=1)
        mean = jnp.mean(moved, 1) ** 2 - spread / count
        signal, noise = signal + jnp.sum(mean) / len(u[0]), noise + jnp.sum(spread) / len(u[0])
    return signal, noise


def _column(values: Numbers, like: Array) -> Array:
    return jnp.asarray(values, like.dtype)[:, None, None]


@forecast.register
def _(estimator: Thermal, model: Model, x: Batch, y: Batch, key: PRNGKeyArray) -> Forecast:
    """The class of lowest ``J_beta``: scores ``(T / beta) log <exp(-beta C(s, class) / T)>_0`` over all
    free members, which at beta = T with a cross-entropy is the logarithm of the averaged softmax."""
    source = estimator.source
    ratio = jnp.asarray(estimator.rule.beta, x.dtype) / source.temperature
    classes = jnp.eye(y.shape[-1], dtype=x.dtype)

    def record(states: State, weights: Array) -> Array:
        def member(state: State) -> Array:
            return jax.vmap(lambda one: model.loss(state, one))(classes)

        costs = jax.vmap(jax.vmap(member))({name: z[0] for name, z in states.items()})
        return logsumexp(-ratio * costs, axis=1, b=weights[0][..., None])

    zero = jnp.zeros(1, x.dtype)
    found = source.average(model, x, y, zero, model.rest(x), key, nothing, record)
    likelihood = logsumexp(found.records, axis=0) - jnp.log(len(found.records))
    costs = jnp.mean(jnp.sum(found.costs * found.weights, -1), 0)[0]
    moved = drift(found)
    seen = {} if moved is None else {"drift": jnp.broadcast_to(moved, costs.shape)}
    return Forecast(likelihood / ratio, costs, seen)


__all__ = [
    "Contrast",
    "PathIntegral",
    "Reweighting",
    "Rule",
    "Thermal",
    "ThermalReport",
    "finite_nudge",
    "free_covariance",
    "path_integral",
    "symmetric_nudge",
]
