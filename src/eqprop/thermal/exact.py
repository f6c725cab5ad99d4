"""Exact thermal phases of small systems: all states of spins, or the Gaussian of a quadratic energy."""

from __future__ import annotations

from itertools import product
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.scipy.special import logsumexp
from jaxtyping import Array, PRNGKeyArray

from eqprop.energies.energy import Clamped
from eqprop.energies.ops import freeze
from eqprop.energies.units.interval import Linear
from eqprop.energies.units.spin import TwoValued
from eqprop.energies.units.unit import State
from eqprop.thermal.ensemble import (
    Average,
    Phases,
    Source,
    Statistic,
    exact_average,
    extremes,
    no_statistic,
    require_confining,
)
from eqprop.thermal.sampler import check_temperature, stand_in

MOST_SPINS = 16

MOST_NUMBERS = 8


class Enumeration(Source):
    """Every state of a network of spins with its Gibbs weight; up to 16 spins."""

    temperature: float = eqx.field(static=True)
    drawn: ClassVar[bool] = False

    def __check_init__(self):
        check_temperature(self.temperature)

    def check(self, phases: Phases) -> None:
        self._all(phases)

    def average(
        self,
        phases: Phases,
        state: State,
        key: PRNGKeyArray,
        statistic: Statistic,
        record: Statistic = no_statistic,
    ) -> Average:
        states = self._members(phases)
        energies = phases.frozen().energies(states)
        weights = jax.nn.softmax(-energies / self.temperature, axis=-1)
        return exact_average(phases, states, weights, statistic, record)

    def free_energy(self, phases: Phases) -> Array:
        """``A = -T log sum exp(-F_beta / T)``: (phases, batch); can be differentiated in the model."""
        energies = phases.energies(self._members(phases))
        return -self.temperature * logsumexp(-energies / self.temperature, axis=-1)

    def _members(self, phases: Phases) -> State:
        many = len(phases.betas), len(phases.x)
        return jax.tree.map(lambda z: jnp.broadcast_to(z, (*many, *z.shape)), self._all(phases))

    def _all(self, phases: Phases) -> State:
        energy, dtype = phases.model.energy, phases.x.dtype
        rest, units = energy.rest(dtype), energy.units
        values = [u.values if isinstance(u, TwoValued) else None for u in units.values()]
        others = [n for n, v in zip(units, values, strict=True) if v is None]
        count = sum(z.size for z in rest.values())
        if others or count > MOST_SPINS:
            raise ValueError(
                f"Enumeration: expected spins only, up to {MOST_SPINS}, got {count} neurons"
                + (f", of which {others} are no spins" if others else "")
                + "; use Chains with Gibbs."
            )
        choices = [units[name].values for name in sorted(rest) for _ in range(rest[name].size)]  # type: ignore[attr-defined]
        _, unravel = ravel_pytree(rest)
        return jax.vmap(unravel)(jnp.asarray(list(product(*choices)), dtype))


class Gaussian(Source):
    """The Gaussian law of a quadratic energy and cost: three Gauss-Hermite nodes along each of its axes,
    which give every moment up to the fifth exactly; up to 8 numbers.

    Examples:
        >>> import equinox as eqx
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> energy = eq.Network(1, {"out": eq.Layer(1, eq.Linear())}, [])
        >>> model, law = eq.Model(energy, eq.SquaredError()), eq.thermal.Gaussian(temperature=2.0)
        >>> given = jnp.zeros((1, 1)), jnp.full((1, 1), 2.0), jnp.array([0.0, 1.0])
        >>> nudged = eqx.filter_jit(law.free_energy)(eq.thermal.Phases(model, *given))[1, 0]
        >>> round(float(nudged), 3)  # of z^2 / 2 + (z - 2)^2 / 2: 1 where least, and T / 2 times log 2
        1.693
    """

    temperature: float = eqx.field(static=True)
    drawn: ClassVar[bool] = False

    def __check_init__(self):
        check_temperature(self.temperature)

    def check(self, phases: Phases) -> None:
        model, x, y, betas = phases
        units, rest = model.energy.units, model.energy.rest(x.dtype)
        count = sum(z.size for z in rest.values())
        others = [name for name, unit in units.items() if not isinstance(unit, Linear)]
        if others or count > MOST_NUMBERS:
            raise ValueError(
                f"Gaussian: expected linear layers of up to {MOST_NUMBERS} numbers, got {count}"
                + (f", of which {others} are not linear" if others else "")
                + "; use Chains."
            )
        for beta in extremes(betas, x.dtype):
            phase = model.nudged(x[0], y[0], beta)
            _require_quadratic(phase, rest)
            require_confining(phase, rest, beta)

    def average(
        self,
        phases: Phases,
        state: State,
        key: PRNGKeyArray,
        statistic: Statistic,
        record: Statistic = no_statistic,
    ) -> Average:
        self.check(phases)
        model, x, y, betas = phases
        frozen = freeze(model)
        zero, unravel = ravel_pytree(model.energy.rest(x.dtype))
        nodes, masses = np.array([-(3**0.5), 0.0, 3**0.5]), np.array([1 / 6, 2 / 3, 1 / 6])
        grid = jnp.asarray(list(product(nodes, repeat=zero.size)), x.dtype)
        weights = jnp.asarray(np.prod(list(product(masses, repeat=zero.size)), 1), x.dtype)

        def members(beta: Array, x: Array, y: Array) -> State:
            precision, mean, _ = self._law(frozen, x, y, beta, zero, unravel)
            root = jnp.linalg.cholesky(precision)
            spread = jax.scipy.linalg.solve_triangular(root, grid.T, trans=1, lower=True)
            return jax.vmap(unravel)(mean + self.temperature**0.5 * spread.T)

        states = jax.vmap(jax.vmap(members, (None, 0, 0)), (0, None, None))(betas, x, y)
        weights = jnp.broadcast_to(weights, (len(betas), x.shape[0], *weights.shape))
        return exact_average(phases, states, weights, statistic, record)

    def free_energy(self, phases: Phases) -> Array:
        """``A = F_beta(mean) + (T / 2) log det P`` up to a constant: (phases, batch)."""
        model, x, y, betas = phases
        zero, unravel = ravel_pytree(model.energy.rest(x.dtype))

        def one(beta: Array, x: Array, y: Array) -> Array:
            precision, _, lowest = self._law(model, x, y, beta, zero, unravel)
            return lowest + 0.5 * self.temperature * jnp.linalg.slogdet(precision)[1]

        return jax.vmap(jax.vmap(one, (None, 0, 0)), (0, None, None))(betas, x, y)

    def _law(self, model, x, y, beta, zero, unravel):
        """Precision, mean, and the energy there."""
        phase = model.nudged(x, y, beta)

        def energy(flat: Array) -> Array:
            return phase(unravel(flat))

        precision = jax.hessian(energy)(zero)
        mean = -jnp.linalg.solve(precision, jax.grad(energy)(zero))
        return precision, mean, energy(mean)


def _require_quadratic(phase: Clamped, rest: State) -> None:
    with jax.ensure_compile_time_eval():
        change = float(_change_of_curvature(*stand_in((phase, rest))))
    if change > 1e-3:
        raise ValueError(
            f"Gaussian: expected an energy and a cost that are quadratic, but their curvature changes by "
            f"{change:.1e} between two points; use Chains."
        )


@eqx.filter_jit
def _change_of_curvature(phase: Clamped, rest: State) -> Array:
    """Between two random points, of the largest second derivative or of 1."""
    zero, unravel = ravel_pytree(rest)
    curvature = jax.hessian(lambda flat: phase(unravel(flat)))
    places = jax.random.normal(jax.random.key(0), (2, zero.size), zero.dtype)
    here, there = (curvature(place) for place in places)
    return jnp.max(jnp.abs(there - here)) / jnp.maximum(jnp.max(jnp.abs(here)), 1.0)
