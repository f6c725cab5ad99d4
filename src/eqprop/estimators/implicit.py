"""The exact gradient at equilibrium by implicit differentiation, at the price of an adjoint equation."""

from __future__ import annotations

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Count, checked
from eqprop.energies.derivatives import stopped, with_own_gradient
from eqprop.energies.energy import Clamped
from eqprop.energies.model import Batch, Model
from eqprop.energies.ops import freeze
from eqprop.energies.slopes import require_rates, require_slopes
from eqprop.energies.units.unit import State
from eqprop.estimators.estimator import (
    Estimate,
    Estimator,
    Report,
    mean_loss,
)
from eqprop.estimators.health import require_sweeps
from eqprop.solvers import Solver, check_tolerance
from eqprop.solvers.relax import krylov, relax, work


class AdjointEquation(Estimator):
    """The exact gradient where ``solver`` settles, by a multiplier for each example."""

    solver: Solver

    @abstractmethod
    def multiplier(self, phase: Clamped, z: State, slope: State) -> tuple[State, Array]:
        """What solves the adjoint equation of one example, and its relative residual."""

    @abstractmethod
    def lagrangian(self, model: Model, x: Array, y: Array, z: State, multiplier: State) -> Array:
        """Of one example: its derivative in a parameter, at fixed state, is the gradient."""

    @checked
    def __call__(
        self, model: Model, x: Batch, y: Batch, state: State, key: PRNGKeyArray
    ) -> Estimate:
        require_slopes(model, x, y, state)
        require_rates(model)
        given = model, x, y, state
        model, x, y, state = stopped(given)
        free, info = relax(model, x, state, self.solver)
        frozen = freeze(model)

        def solve(x: Array, y: Array, z: State) -> tuple[State, Array]:
            return self.multiplier(frozen.free(x), z, jax.grad(frozen.loss)(z, y))

        multipliers, defects = jax.vmap(solve)(x, y, free)
        surrogate = Partial(_lagrangian, self, free, multipliers)
        gradient = eqx.filter_grad(Partial(_lagrangian, self, free, multipliers))(model, x, y)
        value, report = mean_loss(model, free, y), Report(info, None, defects)
        return with_own_gradient(given, Estimate(value, gradient, free, report), surrogate)


class ImplicitDifferentiation(AdjointEquation):
    """The exact gradient at the equilibrium, by the adjoint equation ``D_z' lambda = dC/dz`` for the
    displacement ``D(z) = retract(a) - z`` (Almeida 1987, Pineda 1987); solved by GMRES."""

    tolerance: float = eqx.field(default=1e-6, static=True)
    max_steps: Count = eqx.field(default=400, static=True)

    def multiplier(self, phase: Clamped, z: State, slope: State) -> tuple[State, Array]:
        check_tolerance(self.tolerance, z)
        return krylov(phase, z, slope, self.tolerance, self.max_steps)

    def lagrangian(self, model: Model, x: Array, y: Array, z: State, multiplier: State) -> Array:
        return model.loss(z, y) - work(model, x, z, multiplier)

    def check(self, model: Model, x: Batch, y: Batch) -> None:
        require_sweeps(model, self.solver)


def _lagrangian(
    rule: AdjointEquation, states: State, multipliers: State, model: Model, x: Batch, y: Batch
) -> Array:
    def one(x: Array, y: Array, z: State, multiplier: State) -> Array:
        return rule.lagrangian(model, x, y, z, multiplier)

    return jnp.mean(jax.vmap(one)(x, y, states, multipliers))
