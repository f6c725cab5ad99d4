"""Estimators of ``d mean C / d theta`` at equilibrium: one signature, that of ``value_and_grad``.

    estimator(model, x, y, state, key) -> Estimate(value, gradient, state, info)

``x``: (batch, ...); ``y``: (batch, ...) in the shape of the cost's target; ``state``: where relaxation
starts, arrays of shape (batch, ...). ``gradient`` has the structure of the model.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Inexact, PRNGKeyArray, PyTree

from eqprop.answer import Answer, asked, asymmetry, reached, response, warn_of_answer
from eqprop.arguments import Checked, Count, checked
from eqprop.contrast import Contrast
from eqprop.derivatives import stopped, with_own_gradient
from eqprop.equilibrium import Batch, krylov, relax, work
from eqprop.model import Model
from eqprop.noise import typed
from eqprop.ops import cast, freeze
from eqprop.parameters import parameter_gradient
from eqprop.slopes import require_rates, require_slopes
from eqprop.smooth import require_holomorphic, require_smooth
from eqprop.solvers import CONVERGED, Info, Iterative, Solver, check_tolerance
from eqprop.units import State, Units, embed

NOISE = 1
ReadOut = Callable[[Units, State, PRNGKeyArray], State]
Scalar = Inexact[Array, ""]


class Report(NamedTuple):
    """What happened on the way: the free phase, the nudged phases (shape (phases, batch)), the relative
    residual of the adjoint equation, and how the batch answered its nudges, where there were any."""

    free: Info | None = None
    nudged: Info | None = None
    adjoint: Array | None = None
    answer: Answer | None = None

    def metrics(self) -> dict[str, Array]:
        """What training logs."""
        seen = _summary("free", self.free) | _summary("nudged", self.nudged)
        if self.adjoint is not None:
            seen["adjoint_residual"] = jnp.mean(self.adjoint)
        return seen if self.answer is None else seen | self.answer.metrics()


class Estimate(NamedTuple):
    """The value of the objective, its gradient, the states of the free phase, and a report, whose `metrics`
    are what training logs."""

    value: Array
    gradient: PyTree
    state: State
    report: Any


class Estimator(Checked):
    """`(model, x, y, state, key) -> Estimate`."""

    @abstractmethod
    def __call__(
        self, model: Model, x: Batch, y: Batch, state: State, key: PRNGKeyArray
    ) -> Estimate: ...

    def start(self, model: Model, x: Batch, last: State | None = None) -> State:
        """Where a batch begins, after one that ended in ``last``: at rest."""
        return model.rest(x)

    def scores(self, model: Model, state: State) -> Array:
        """The scores of a batch in the states of an estimate."""
        return jax.vmap(model.predict)(state)


def mean_loss(model: Model, state: State, y: Batch) -> Scalar:
    """Mean cost over the batch."""
    return jnp.mean(jax.vmap(model.loss)(state, y))


def contrast_surrogate(
    betas: Array, coefficients: Array, states: State, model: Model, x: Batch, y: Batch
) -> Array:
    """``Re sum_k c_k mean F_{beta_k}(s_k)`` for states of shape (phases, batch, ...)."""
    model, x = cast((model, x), betas.dtype)

    def total(beta, x, y, state):
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
    where the nudged phases start.
    """

    solver: Solver
    contrast: Contrast
    nudged_solver: Solver | None = None
    read_out: ReadOut | None = None
    common_noise: bool = eqx.field(default=True, static=True)

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
        solver = self.nudged_solver or self.solver

        def settle(beta, x, y, start, key):
            return solver.settle(frozen.nudged(x, y, beta), start, key)

        draws = jax.random.split(after, (1 if self.common_noise else len(betas), x.shape[0]))
        draws = jnp.broadcast_to(draws, (len(betas), x.shape[0]))
        states, nudged_info = by_phase(settle, (None, 0, 0, 0, 0), (0, None, None, None, 0))(
            betas, inputs, y, starts, draws
        )
        show = jax.vmap(partial(embed, model.energy.units))
        moved = jax.tree.map(jnp.subtract, jax.vmap(show)(states), show(starts))
        silent = solver.watchful or solver.noisy
        answer = Answer(
            reached(states, asked(model, y, free)),
            asymmetry(moved) if self.contrast.opposed and not solver.noisy else None,
            None if silent else response(frozen, inputs, y, betas, starts, moved),
        )
        report = Report(free_info, nudged_info, answer=answer)
        states = jax.vmap(lambda state, key: self._read(model, state, key))(
            states, jax.random.split(reading[1], len(betas))
        )

        gradient = contrast_gradient(model, inputs, y, betas, coefficients, states)
        estimate = Estimate(mean_loss(model, free, y), gradient, free, report)
        surrogate = Partial(contrast_surrogate, betas, coefficients, states)
        return with_own_gradient(given, Phases(estimate, free, states), surrogate)

    def _read(self, model: Model, state: State, key: PRNGKeyArray) -> State:
        read_out = self.read_out
        if read_out is None:
            return state
        keys = jax.random.split(key, len(jax.tree.leaves(state)[0]))
        return jax.vmap(lambda one, key: read_out(model.energy.units, one, key))(state, keys)


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

        def multiplier(x, y, z):
            slope = jax.grad(frozen.loss)(z, y)
            return krylov(frozen.free(x), z, slope, self.tolerance, self.max_steps)

        multipliers, defects = jax.vmap(multiplier)(x, y, free)
        surrogate = Partial(_lagrangian, free, multipliers)
        gradient = eqx.filter_grad(lambda model: surrogate(model, x, y))(model)
        value, report = mean_loss(model, free, y), Report(info, None, defects)
        return with_own_gradient(given, Estimate(value, gradient, free, report), surrogate)


def _lagrangian(states: State, multipliers: State, model: Model, x: Batch, y: Batch) -> Array:
    def one(x, y, z, multiplier):
        return model.loss(z, y) - work(model, x, z, multiplier)

    return jnp.mean(jax.vmap(one)(x, y, states, multipliers))


class Backpropagation(Estimator):
    """Back-propagation through ``steps`` unrolled steps of an iterative solver (BPTT).

    Exact for the cost after that many steps, at equilibrium or not. Memory grows with ``steps``.
    """

    solver: Iterative
    steps: Count = eqx.field(default=30, static=True)

    @checked
    def __call__(
        self, model: Model, x: Batch, y: Batch, state: State, key: PRNGKeyArray
    ) -> Estimate:
        require_slopes(model, x, y, state)
        require_rates(model)

        def unrolled(model: Model):
            def settle(x, state):
                return self.solver.unroll(model.free(x), state, self.steps)

            end = jax.vmap(settle)(x, state)
            return mean_loss(model, end, y), end

        (value, end), gradient = eqx.filter_value_and_grad(unrolled, has_aux=True)(model)
        return Estimate(value, gradient, end, Report())


def _summary(phase: str, info: Info | None) -> dict[str, Array]:
    if info is None:
        return {}
    return {
        f"{phase}_residual": jnp.mean(info.residual),
        f"{phase}_steps": jnp.mean(jnp.max(info.steps, axis=-1).astype(info.residual.dtype)),
        f"{phase}_converged": jnp.mean(info.outcome == CONVERGED, dtype=info.residual.dtype),
    }


def by_phase(function, examples, phases):
    """``function`` over (phases, batch, ...), as one program over (batch, phases, ...): where convolutions
    merge the two, a batch that is split over devices stays so."""
    inner = jax.vmap(function, in_axes=phases)
    outer = tuple(
        e if p is None or e is None else e + 1 for e, p in zip(examples, phases, strict=True)
    )
    return jax.vmap(inner, in_axes=outer, out_axes=1)
