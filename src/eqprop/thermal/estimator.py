"""Thermal equilibrium propagation: exact gradients of ``J_beta`` at any nudge, from Gibbs phases.

A rule (`eqprop.thermal.rules`) says which nudges to apply, and what each member of each phase counts for:

    d J / d theta  =  mean over the batch of  sum_(k, c)  e_kc dE(s_kc)/d theta + c_kc dC(s_kc)/d theta

with loads ``e`` and ``c`` that depend on the costs of the members alone: the fluctuation of a scalar loss
times a local derivative. Litman, arXiv 2511.22024; for the covariance of the free phase also Massar and
Mognetti, arXiv 2405.08467.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jax.tree_util import Partial
from jaxtyping import Array, PRNGKeyArray, PyTree

from eqprop._arguments import checked
from eqprop.energies.derivatives import stopped, with_own_gradient
from eqprop.energies.feedback import is_weak
from eqprop.energies.model import Batch, Model, require_examples
from eqprop.energies.ops import freeze
from eqprop.energies.slopes import require_parameters
from eqprop.energies.units.noise import typed
from eqprop.energies.units.unit import State, embed
from eqprop.estimators.estimator import Estimate, Estimator, Rival
from eqprop.solvers.relax import Forecast
from eqprop.thermal.chains import Chains
from eqprop.thermal.ensemble import Average, Phases, Source, extremes, no_statistic
from eqprop.thermal.exact import Enumeration, Gaussian
from eqprop.thermal.mixing import mixing, warn_if_unmixed
from eqprop.thermal.readings import Draws, EnsembleReading
from eqprop.thermal.rules import ContrastRule, Loads, Rule

MORE, FEW = 16, 8


class ThermalReport(NamedTuple):
    """By phase, means over the batch: ``costs``, ``acceptance``, and ``drift``, by how many standard
    deviations the mean cost of the later half of the samples differs from that of the earlier (not a number
    where no chain moved). The SNR is that of the displacement from the first phase to the last, of one
    chain. ``divergence``, ``KL(nudged || free)``, is that of a finite nudge; other rules do not know it.

    Examples:
        >>> import equinox as eqx
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> from eqprop import thermal as th
        >>> model = eq.Model(eq.Network(1, {"out": eq.Layer(1, eq.Spin())}, []), eq.SquaredError())
        >>> learner = th.Thermal(th.Enumeration(1.0), th.finite_nudge(1.0))
        >>> x, y = jnp.zeros((1, 1)), jnp.ones((1, 1))
        >>> found = eqx.filter_jit(learner)(model, x, y, model.rest(x), jax.random.key(0))
        >>> report: th.ThermalReport = found.report
        >>> [round(float(cost), 2) for cost in report.costs]  # free: the mean of 2 and 0; nudged
        [1.0, 0.24]
        >>> round(float(report.objective), 2)  # -log <exp(-C)>: between the two
        0.57
    """

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

    drawn: ClassVar[bool] = True
    source: Source
    rule: Rule
    reading: EnsembleReading = Draws()

    def check(self, model: Model, x: Batch, y: Batch) -> None:
        """Raise ``ValueError``, with its remedy, where the phases of this model cannot be had: what a call
        does first. Under ``jit``, of the model's form alone."""
        if is_weak(model):
            raise ValueError(
                "Thermal: expected a feedback of 1, since noise would drown the answers of the first "
                "layers; build the model without with_weak_feedback or with_stiff_layers."
            )
        least, _ = extremes(self.rule.betas, x.dtype)
        self.source.check(Phases(model, x, y, self.rule.betas))
        self.reading.check(model.nudged(x[0], y[0], least), model.energy.rest(x.dtype))
        require_parameters(model, x, y, jax.eval_shape(model.rest, x))

    @checked
    def __call__(
        self, model: Model, x: Batch, y: Batch, state: State, key: PRNGKeyArray
    ) -> Estimate:
        require_examples(x, y)
        self.check(model, x, y)
        given, key = (model, x, y, state), typed(key)
        model, x, y, state = stopped(given)
        phases = self._phases(model, x, y)
        watched = self.source.drawn and len(phases.betas) > 1

        def statistic(states: State, weights: Array) -> tuple[PyTree, tuple[Array, Array] | None]:
            loads, read = self._read(phases, states, weights)
            many = weights.shape[-1] > 1
            moved = _displacement(model, states) if watched and many else None
            return loaded_gradient(model, x, y, loads, read), moved

        found = self.source.average(phases, state, key, statistic)
        gradient, moved = found.mean
        temperature = self.source.temperature
        if isinstance(self.rule, ContrastRule) and isinstance(self.source, Enumeration | Gaussian):
            free_energies = self.source.free_energy(phases._replace(model=freeze(model)))
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
        estimate = Estimate(jnp.mean(objective), gradient, first, report)
        return with_own_gradient(given, estimate, Partial(_surrogate, self, state, key))

    def rival(self) -> Rival:
        """What the rule aims at with many more chains, and common noise."""
        source = self.source
        if not isinstance(source, Chains):
            raise RuntimeError(
                f"{type(source).__name__}: its gradient is the exact one of its rule."
            )
        many = dataclasses.replace(
            source,
            chains=MORE * source.chains,
            burn=3 * source.burn,
            common_noise=True,
            exchange=False,
        )
        exact = Thermal(many, self.rule.target, self.reading)
        return Rival(f"the finite nudge with {MORE} times the chains", exact)

    def examine(self, model: Model, x: Batch, y: Batch) -> dict[str, Any]:
        """How chains mix on a few examples, of which a warning tells where they do not."""
        if not isinstance(self.source, Chains):
            return {}
        few = self._phases(model, x[:FEW], y[:FEW])
        rows = mixing(few, self.source, jax.random.key(2))
        warn_if_unmixed(rows)
        return {"mixing": [row._asdict() for row in rows]}

    def _phases(self, model: Model, x: Batch, y: Batch) -> Phases:
        return Phases(model, x, y, jnp.asarray(self.rule.betas, x.dtype))

    def _read(self, phases: Phases, states: State, weights: Array) -> tuple[Loads, State]:
        """What the members of a moment count for, and what of them enters the gradient."""
        loads = self.rule.loads(phases.costs(states), weights, self.source)
        return loads, self.reading(phases, states, self.source.temperature)

    def start(self, model: Model, x: Batch, last: State | None = None) -> State:
        return self.source.start(model, x, last)

    def scores(self, model: Model, state: State) -> Array:
        """Mean scores over the members of one moment; `forecast` takes the likelihood over all."""
        return jnp.mean(jax.vmap(jax.vmap(model.predict))(state), 1)

    def forecast(self, model: Model, x: Batch, y: Batch, key: PRNGKeyArray) -> Forecast:
        """The class of lowest ``J_beta``: scores ``(T / beta) log <exp(-beta C(s, class) / T)>_0`` over all
        free members, which at beta = T with a cross-entropy is the logarithm of the averaged softmax."""
        source = self.source
        ratio = jnp.asarray(self.rule.beta, x.dtype) / source.temperature
        classes = jnp.eye(y.shape[-1], dtype=x.dtype)

        def record(states: State, weights: Array) -> Array:
            def member(state: State) -> Array:
                return jax.vmap(lambda one: model.loss(state, one))(classes)

            costs = jax.vmap(jax.vmap(member))({name: z[0] for name, z in states.items()})
            return logsumexp(-ratio * costs, axis=1, b=weights[0][..., None])

        source.check(Phases(model, x, y, np.zeros(1)))
        free = Phases(model, x, y, jnp.zeros(1, x.dtype))
        found = source.average(free, model.rest(x), key, no_statistic, record)
        likelihood = logsumexp(found.records, axis=0) - jnp.log(len(found.records))
        costs = jnp.mean(jnp.sum(found.costs * found.weights, -1), 0)[0]
        moved = drift(found)
        seen = {} if moved is None else {"drift": jnp.broadcast_to(moved, costs.shape)}
        return Forecast(likelihood / ratio, costs, seen)


def loaded(loads: Loads, states: State, model: Model, x: Batch, y: Batch) -> Array:
    """The mean over the batch of ``sum e E + c C``."""

    def parts(_, x: Array, y: Array, state: State) -> tuple[Array, Array]:
        return model.energy(state, x), model.loss(state, y)

    phases = Phases(model, x, y, jnp.zeros(len(loads[0])))
    energies, costs = phases.each(parts, states)
    return jnp.sum(loads[0] * energies + loads[1] * costs) / x.shape[0]


def loaded_gradient(model: Model, x: Array, y: Array, loads: Loads, states: State) -> PyTree:
    """``d/d theta`` of `loaded`, the states frozen."""
    return eqx.filter_grad(lambda model: loaded(loads, states, model, x, y))(model)


def _surrogate(
    estimator: Thermal, state: State, key: PRNGKeyArray, model: Model, x: Batch, y: Batch
) -> Array:
    """`loaded` over the same draws, which no estimate keeps: they are drawn once more."""
    phases = estimator._phases(*stopped((model, x, y)))

    def statistic(states: State, weights: Array) -> Array:
        return loaded(*estimator._read(phases, states, weights), model, x, y)

    return estimator.source.average(phases, state, key, statistic).mean


def drift(found: Average) -> Array | None:
    """By phase: the change of the mean cost between the halves of the samples over its deviation; of one
    sample, nothing, and not a number where no chain's cost ever changed."""
    costs = found.costs
    half = costs.shape[0] // 2
    if half == 0:
        return None
    change = jnp.mean(costs[half:] - jnp.mean(costs[:half], 0), (0, 2, 3))
    deviation = jnp.sqrt(jnp.mean(jnp.var(costs, (0, 3)), 1))
    moved = jnp.any(costs != costs[:1], (0, 2, 3))
    return jnp.where(moved, jnp.abs(change) / jnp.where(moved, deviation, 1.0), jnp.nan)


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
