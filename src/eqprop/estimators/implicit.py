"""The exact gradient at equilibrium by implicit differentiation, at the price of an adjoint equation."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Count, checked
from eqprop.energies.derivatives import stopped, with_own_gradient
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


class ImplicitDifferentiation(Estimator):
    """The exact gradient at the equilibrium, by the adjoint equation ``D_z' lambda = dC/dz`` for the
    displacement ``D(z) = retract(a) - z`` (Almeida 1987, Pineda 1987); solved by GMRES."""

    solver: Solver
    tolerance: float = eqx.field(default=1e-6, static=True)
    max_steps: Count = eqx.field(default=400, static=True)

    @checked
    def __call__(
        self, model: Model, x: Batch, y: Batch, state: State, key: PRNGKeyArray
    ) -> Estimate:
        require_slopes(model, x, y, state)
        require_rates(model)
        check_tolerance(self.tolerance, state)
        given = model, x, y, state
        model, x, y, state = stopped(given)
        free, info = relax(model, x, state, self.solver)
        frozen = freeze(model)

        def multiplier(x: Array, y: Array, z: State) -> tuple[State, Array]:
            slope = jax.grad(frozen.loss)(z, y)
            return krylov(frozen.free(x), z, slope, self.tolerance, self.max_steps)

        multipliers, defects = jax.vmap(multiplier)(x, y, free)
        surrogate = Partial(_lagrangian, free, multipliers)

        def lagrangian(model: Model) -> Array:
            return _lagrangian(free, multipliers, model, x, y)

        gradient = eqx.filter_grad(lagrangian)(model)
        value, report = mean_loss(model, free, y), Report(info, None, defects)
        return with_own_gradient(given, Estimate(value, gradient, free, report), surrogate)

    def check(self, model: Model, x: Batch, y: Batch) -> None:
        require_sweeps(model, self.solver)


def _lagrangian(states: State, multipliers: State, model: Model, x: Batch, y: Batch) -> Array:
    def one(x: Array, y: Array, z: State, multiplier: State) -> Array:
        return model.loss(z, y) - work(model, x, z, multiplier)

    return jnp.mean(jax.vmap(one)(x, y, states, multipliers))
