"""Equilibrium propagation: settle, nudge, compare."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, PRNGKeyArray, PyTree

from eqprop._arguments import checked, younger
from eqprop.energies.derivatives import stopped, with_own_gradient
from eqprop.energies.model import Batch, Model
from eqprop.energies.ops import cast, freeze
from eqprop.energies.parameters import parameter_gradient
from eqprop.energies.slopes import require_slopes
from eqprop.energies.units.noise import typed
from eqprop.energies.units.unit import State, Units, embed
from eqprop.estimators.answer import (
    Answer,
    asked,
    asymmetry,
    bend,
    reached,
    relative_response,
    warn_of_answer,
)
from eqprop.estimators.backpropagation import rival_of
from eqprop.estimators.contrast import Contrast
from eqprop.estimators.estimator import (
    Estimate,
    Estimator,
    Report,
    Rival,
    by_phase,
    mean_loss,
)
from eqprop.estimators.health import require_graded, require_heard, require_minimum
from eqprop.estimators.holomorphic import require_holomorphic, require_smooth
from eqprop.solvers import Info, Solver
from eqprop.solvers.reduced import in_fewer_bits
from eqprop.solvers.relax import relax
from eqprop.solvers.solver import Rounding

NOISE = 1

ReadOut = Callable[[Units, State, PRNGKeyArray], State]


def contrast_surrogate(
    betas: Array, coefficients: Array, states: State, model: Model, x: Batch, y: Batch
) -> Array:
    """``Re sum_k c_k mean F_{beta_k}(s_k)`` for states of shape (phases, batch, ...)."""
    model, x = cast((model, x), betas.dtype)

    def total(beta: Array, x: Array, y: Array, state: State) -> Array:
        return model.nudged(x, y, beta)(state)

    energies = by_phase(total, (None, 0, 0, 0), (0, None, None, 0))(betas, x, y, states)
    return jnp.real(jnp.sum(coefficients * jnp.mean(energies, axis=1)))


def contrast_gradient(
    model: Model, x: Batch, y: Batch, betas: Array, coefficients: Array, states: State
) -> PyTree:
    """``d/d theta`` of `contrast_surrogate`, the states frozen."""

    def surrogate(model: Model) -> Array:
        return contrast_surrogate(betas, coefficients, states, model, x, y)

    return parameter_gradient(surrogate, model)


class Phases(NamedTuple):
    """An estimate with the states of its phases: free (batch, ...), nudged (phases, batch, ...)."""

    estimate: Estimate
    free: State
    nudged: State


class EquilibriumPropagation(Estimator):
    """The contrast of nudged phases, each relaxed from the free one (Scellier and Bengio 2017).

    ``gradient = d/d theta Re sum_k c_k mean F_{beta_k}(s_k)`` with the states frozen. Where the solver is
    noisy, the nudged phases share their random numbers, and what is common to them cancels, unless
    ``common_noise`` is false, as on a machine that runs them one after another. ``read_out`` is what a
    device shows of a settled state (`eqprop.hardware`), wrong in each phase by another error; it is also
    where the nudged phases start, unless ``from_rest`` begins them all anew: the way is then longer, and
    phases that few steps leave unsettled miss the same.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> model = eq.layered((4, 8, 2), jax.random.key(0))
        >>> x, y = jnp.ones((2, 4)), jnp.eye(2)
        >>> learner = eq.EquilibriumPropagation(eq.Blockwise(1e-5), eq.symmetric(0.1))
        >>> value, gradient, state, report = learner(model, x, y, model.rest(x), jax.random.key(1))
        >>> gradient.energy.edges["x-h1"].op.weight.shape
        (4, 8)
    """

    solver: Solver
    contrast: Contrast
    nudged_solver: Solver | None = None
    read_out: ReadOut | None = None
    common_noise: bool = eqx.field(default=True, static=True)
    from_rest: bool = younger(False)

    one_way: ClassVar[bool] = True

    @property
    def rounding(self) -> Rounding | None:
        return self.solver.rounding

    @checked
    def __call__(
        self, model: Model, x: Batch, y: Batch, state: State, key: PRNGKeyArray
    ) -> Estimate:
        found = self.phases(model, x, y, state, key).estimate
        warn_of_answer(found.report.metrics())
        return found

    def phases(self, model: Model, x: Batch, y: Batch, state: State, key: PRNGKeyArray) -> Phases:
        """The estimate, and the states that it compares."""
        require_slopes(model, x, y, state)
        given, key = (model, x, y, state), typed(key)
        model, x, y, state = stopped(given)
        before, after, *reading = jax.random.split(jax.random.fold_in(key, NOISE), 4)
        free, free_info = relax(model, x, state, self.solver, before)
        free = self._read(model, free, reading[0])
        real = jnp.result_type(*jax.tree.leaves(state))
        betas, coefficients = self.contrast.draw(key)
        if jnp.iscomplexobj(betas):
            require_smooth(model)
            dtype = np.result_type(real, np.complex64)
        else:
            dtype = real
        betas, coefficients = betas.astype(dtype), coefficients.astype(dtype)
        frozen, inputs, starts = cast(freeze(model), dtype), cast(x, dtype), cast(free, dtype)
        if dtype != real:
            starts = jax.vmap(partial(require_holomorphic, frozen))(inputs, y, starts)
        begin = cast(model.rest(x), dtype) if self.from_rest else starts
        solver = self.nudged_solver or self.solver

        def settle(
            beta: Array, x: Array, y: Array, start: State, key: PRNGKeyArray
        ) -> tuple[State, Info]:
            return solver.settle(frozen.nudged(x, y, beta), start, key)

        draws = jax.random.split(after, (1 if self.common_noise else len(betas), x.shape[0]))
        draws = jnp.broadcast_to(draws, (len(betas), x.shape[0]))
        states, nudged_info = by_phase(settle, (None, 0, 0, 0, 0), (0, None, None, None, 0))(
            betas, inputs, y, begin, draws
        )
        show = jax.vmap(partial(embed, model.energy.units))
        moved = jax.tree.map(jnp.subtract, jax.vmap(show)(states), show(starts))
        silent = solver.watchful or solver.noisy
        response = None
        if not silent and not model.energy.amplifies:
            response = relative_response(frozen, inputs, y, betas, starts, moved)
        answer = Answer(
            reached(states, asked(model, y, free)),
            asymmetry(moved) if self.contrast.opposed and not solver.noisy else None,
            response,
            None if silent else bend(frozen, inputs, betas, starts, states),
        )
        report = Report(free_info, nudged_info, answer=answer)
        states = jax.vmap(lambda state, key: self._read(model, state, key))(
            states, jax.random.split(reading[1], len(betas))
        )

        gradient = contrast_gradient(model, inputs, y, betas, coefficients, states)
        estimate = Estimate(mean_loss(model, free, y), gradient, free, report)
        surrogate = Partial(contrast_surrogate, betas, coefficients, states)
        return with_own_gradient(given, Phases(estimate, free, states), surrogate)

    def check(self, model: Model, x: Batch, y: Batch) -> None:
        require_graded(model)
        require_minimum(model, self.contrast)
        require_heard(model, self.contrast, (self.solver, self.nudged_solver or self.solver), False)

    def reduced(self, precision: str) -> EquilibriumPropagation:
        nudged = self.nudged_solver and in_fewer_bits(self.nudged_solver, precision)
        return dataclasses.replace(
            self, solver=in_fewer_bits(self.solver, precision), nudged_solver=nudged
        )

    def rival(self) -> Rival:
        return rival_of(self.solver)

    def _read(self, model: Model, state: State, key: PRNGKeyArray) -> State:
        read_out = self.read_out
        if read_out is None:
            return state
        keys = jax.random.split(key, len(jax.tree.leaves(state)[0]))
        return jax.vmap(lambda one, key: read_out(model.energy.units, one, key))(state, keys)
