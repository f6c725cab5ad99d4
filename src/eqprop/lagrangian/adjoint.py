"""The exact gradient at a stationary path: the oracle that contrasts of paths are held against."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import checked
from eqprop.energies.derivatives import stopped, with_own_gradient
from eqprop.energies.energy import norm
from eqprop.energies.model import Batch, Model, require_examples
from eqprop.energies.ops import freeze
from eqprop.energies.slopes import require_slopes
from eqprop.energies.units.unit import State
from eqprop.estimators.estimator import Estimate, Estimator, Report, Rival, mean_loss
from eqprop.lagrangian.curvature import second_variation, solve_refined
from eqprop.lagrangian.stationary import PATH, Extremal
from eqprop.solvers import Solver
from eqprop.solvers.relax import adjoint, relax


class Adjoint(Estimator):
    """``H lambda = -dC/dq``, then ``dC/dtheta = lambda d2S/(dq dtheta)``, by Newton's elimination.

    Takes the place of `ImplicitDifferentiation`, whose Krylov method is not for long chains.
    """

    solver: Solver

    @checked
    def __call__(
        self, model: Model, x: Batch, y: Batch, state: State, key: PRNGKeyArray
    ) -> Estimate:
        require_examples(x, y)
        require_slopes(model, x, y, state)
        given = model, x, y, state
        model, x, y, state = stopped(given)
        free, info = relax(model, x, state, self.solver)
        frozen = freeze(model)

        def multiplier(x: Array, y: Array, z: State) -> tuple[State, Array]:
            return adjoint(frozen.free(x), z, jax.grad(frozen.loss)(z, y))

        multipliers, defects = jax.vmap(multiplier)(x, y, free)
        surrogate = Partial(_varied, free, multipliers)
        gradient = eqx.filter_grad(lambda model: surrogate(model, x, y))(model)
        value, report = mean_loss(model, free, y), Report(info, None, defects)
        return with_own_gradient(given, Estimate(value, gradient, free, report), surrogate)

    def rival(self) -> Rival:
        raise RuntimeError("Adjoint: its gradient is the exact one at the stationary path.")


@adjoint.register
def _(phase: Extremal, z: State, slope: State) -> tuple[State, Array]:
    answer = {PATH: solve_refined(second_variation(phase, z), -slope[PATH])}
    _, bent = jax.jvp(jax.grad(phase), (z,), (answer,))
    tangent = jax.tree.map(jnp.add, bent, slope)
    unit = phase.units[PATH]
    defect = unit.retract(z[PATH] + tangent[PATH]) - unit.retract(z[PATH])
    size = jnp.maximum(norm(slope), jnp.finfo(defect.dtype).tiny)
    return answer, norm({PATH: defect}) / size


def _varied(states: State, multipliers: State, model: Model, x: Batch, y: Batch) -> Array:
    def one(x: Array, y: Array, z: State, multiplier: State) -> Array:
        _, change = jax.jvp(model.free(x), (z,), (multiplier,))
        return model.loss(z, y) + change

    return jnp.mean(jax.vmap(one)(x, y, states, multipliers))
