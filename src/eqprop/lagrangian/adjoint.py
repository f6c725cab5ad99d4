"""The exact gradient at a stationary path: the oracle that contrasts of paths are held against."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array

from eqprop.energies.energy import Clamped, norm
from eqprop.energies.model import Model
from eqprop.energies.units.unit import State
from eqprop.estimators.estimator import Rival
from eqprop.estimators.implicit import AdjointEquation
from eqprop.lagrangian.curvature import second_variation, solve_refined
from eqprop.lagrangian.stationary import PATH, Extremal
from eqprop.solvers.relax import adjoint


class Adjoint(AdjointEquation):
    """``H lambda = -dC/dq``, then ``dC/dtheta = lambda d2S/(dq dtheta)``, by Newton's elimination.

    Takes the place of `ImplicitDifferentiation`, whose Krylov method is not for long chains.
    """

    def multiplier(self, phase: Clamped, z: State, slope: State) -> tuple[State, Array]:
        return adjoint(phase, z, slope)

    def lagrangian(self, model: Model, x: Array, y: Array, z: State, multiplier: State) -> Array:
        _, change = jax.jvp(model.free(x), (z,), (multiplier,))
        return model.loss(z, y) + change

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
