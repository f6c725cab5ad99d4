"""Predictive coding by its errors: gradient descent in what the predictions miss (ePC).

    e_l <- e_l - r (pi_l e_l + beta dC/de_l) / pi_l,        z = the states of these errors

A nudge reaches every layer in the first step, which with ``r = 1`` is back-propagation: ``e_l`` is then
``-beta / pi_l dC/dz_l``. In the states themselves it needs a step for each layer, and fades on the way
(Goemaere et al. 2025, arXiv 2505.20137). Both settle in the same states.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Count, Positive
from eqprop.energies.energy import Clamped, norm, relative
from eqprop.energies.model import Nudged
from eqprop.energies.predictive import ClampedPredictions
from eqprop.energies.units.unit import State
from eqprop.solvers.solver import Info, Iterative


class _Errors(eqx.Module):
    errors: State
    state: State
    residual: Array


class ErrorDescent(Iterative[_Errors]):
    """Gradient descent in the errors of a `PredictiveCoding` network, by ``step_size`` over the precision.

    Where no state is given (``relax(model, x, None, solver)``) it begins without errors, which is where a
    free phase ends; from any other state, the zeros of ``model.rest(x)`` too, one step of size 1 ends it
    there. Raises ``ValueError`` for other energies.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> model = eq.predictive(eq.layered((4, 8, 8, 2), jax.random.key(0), eq.Tanh()))
        >>> _, info = eq.relax(model, jnp.ones((3, 4)), None, eq.solvers.ErrorDescent(1e-4))
        >>> info.steps.tolist(), float(info.converged)
        ([1, 1, 1], 1.0)
    """

    tolerance: float | None = eqx.field(default=1e-5, static=True)
    max_steps: Count = eqx.field(default=200, static=True)
    step_size: Positive = eqx.field(default=0.5, static=True)

    def init(self, phase: Clamped, state: State) -> _Errors:
        real = norm(state).dtype
        return _Errors(_predictions(phase).errors(state), state, jnp.asarray(jnp.inf, real))

    def step(self, phase: Clamped, carry: _Errors) -> _Errors:
        base = _predictions(phase)
        slopes = _slopes(phase, base, carry.errors)
        errors = {
            name: carry.errors[name] - self.step_size / precision * slopes[name]
            for name, precision in base.precision
        }
        state = base.states(errors)
        move = {name: z - carry.state[name] for name, z in state.items()}
        return _Errors(errors, state, relative(move, state) / self.step_size)

    def settle_from_rest(
        self, phase: Clamped, rest: State, key: PRNGKeyArray | None = None
    ) -> tuple[State, Info]:
        none = {name: jnp.zeros_like(z) for name, z in rest.items()}
        return self.settle(phase, _predictions(phase).states(none), key)


def _predictions(phase: Clamped) -> ClampedPredictions:
    base = phase.base if isinstance(phase, Nudged) else phase
    if not isinstance(base, ClampedPredictions):
        raise ValueError(
            "ErrorDescent: expected a model of predictive coding, whose states have errors, got "
            f"{type(base).__name__}; make one by eq.predictive(model)."
        )
    return base


def _slopes(phase: Clamped, base: ClampedPredictions, errors: State) -> State:
    """The derivatives of the energy, and of the nudge, in the errors."""

    def energy(errors: State) -> Array:
        missed = base.missed(errors)
        if not isinstance(phase, Nudged):
            return missed
        return missed + phase.beta * phase.cost(base.states(errors), phase.y)

    holomorphic = any(jnp.iscomplexobj(e) for e in errors.values())
    slopes: State = jax.grad(energy, holomorphic=holomorphic)(errors)
    return slopes
