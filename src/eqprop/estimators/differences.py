"""Nudged phases as differences from the free one: small responses keep their relative precision.

The difference ``d = s e`` lives in the landscape about ``z*`` (`eqprop.energies.displaced`), in units
``s = |beta| |dC/dz|`` of the nudge, so that ``e`` does not shrink with beta and a solver's tolerance is
relative to the response, of all layers as a whole. Whether ``z*`` is an equilibrium to rounding does not
matter to ``d``: what the free phase missed is no part of it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Inexact, PRNGKeyArray, PyTree

from eqprop._arguments import FloatType, checked
from eqprop.energies.costs import Cost
from eqprop.energies.derivatives import stopped, with_own_gradient
from eqprop.energies.displaced import about, no_difference, require_affine, require_quadratic
from eqprop.energies.energy import Clamped, field, finite, norm
from eqprop.energies.model import Batch, Model, Nudged, require_examples
from eqprop.energies.network import ClampedNetwork, Edge
from eqprop.energies.ops import freeze, near
from eqprop.energies.parameters import in_memory
from eqprop.energies.slopes import require_slopes
from eqprop.energies.units.noise import typed
from eqprop.energies.units.unit import State, embed, read
from eqprop.estimators.answer import (
    Answer,
    asked,
    asymmetry,
    reached,
    relative_response,
    warn_of_answer,
)
from eqprop.estimators.backpropagation import rival_of
from eqprop.estimators.contrast import Contrast
from eqprop.estimators.equilibrium import Phases
from eqprop.estimators.estimator import Estimate, Estimator, Report, Rival, by_phase, mean_loss
from eqprop.estimators.health import require_heard, require_minimum
from eqprop.solvers import Info, Solver, lost_unless
from eqprop.solvers.reduced import TF32, in_fewer_bits, refined, resolved
from eqprop.solvers.relax import relax


class Displaced(Cost):
    """``(nudge / scale^2) C(origin + scale e)`` for ``scale = nudge slope``, computed in the type of the
    origin."""

    cost: Cost
    origin: Array
    scale: Array
    nudge: Array
    slope: Array

    @property  # type: ignore[misc]
    def output(self) -> str:  # type: ignore[override]
        return self.cost.output

    def __call__(self, shown: State, y: Array) -> Inexact[Array, ""]:
        e = shown[self.output]
        moved = {self.output: self.origin + self.scale * e.astype(self.origin.dtype)}
        return (self.cost(moved, y) / self.slope / self.scale).astype(e.dtype)

    def predict(self, shown: State) -> Array:
        e = shown[self.output].astype(self.origin.dtype)
        return self.cost.predict({self.output: self.origin + self.scale * e})

    def curvature(self, beta: Array) -> Array:
        return self.cost.curvature(self.nudge * beta.astype(self.nudge.dtype)).astype(beta.dtype)


def response(
    model: Model, x: Array, y: Array, beta: Array, state: State, solver: Solver, dtype: Any
) -> tuple[State, State, Info]:
    """``z*``, the difference ``d`` of one example's nudged phase, and how ``d`` settled in ``dtype``.

    ``z*`` is ``retract(a*)``, with ``a*`` the field at ``state``, where the free phase ended; of
    oscillators it is that state. The residual of the report is relative to the response.
    """
    phase = require_affine(model.free(x))
    fields = field(phase, embed(phase.units, state), tuple(state))
    origin = {
        name: z if phase.units[name].components else phase.units[name].retract(fields[name])
        for name, z in state.items()
    }
    nudge = jnp.abs(beta)
    slope = norm(jax.grad(model.loss)(origin, y))
    strength = jnp.where(nudge > 0, nudge, 1.0)
    slope = jnp.maximum(slope, _least_slope(strength))
    scale = strength * slope
    output = read(phase.units, origin)[model.cost.output]
    cost = Displaced(model.cost, output, scale, nudge, slope)  # type: ignore[call-arg]
    nudged = Nudged(  # type: ignore[call-arg]
        base=about(_near(phase, origin), origin, fields, scale, dtype),
        cost=cost,
        y=y,
        beta=jnp.sign(beta).astype(dtype),
    )
    found, info = solver.settle_from_rest(nudged, no_difference(origin, dtype))
    info = lost_unless(finite(fields), info)
    return origin, {name: scale * e.astype(scale.dtype) for name, e in found.items()}, info


def _least_slope(nudge: Array) -> Array:
    """Of what asks for next to nothing, such as a class that is certain: so large that ``nudge slope^2``,
    by which `Displaced` divides, is no zero."""
    limits = jnp.finfo(nudge.dtype)
    largest = float(limits.max) ** 0.5 / 4
    return jnp.maximum(float(limits.eps) ** 2, 1 / (largest * jnp.sqrt(nudge)))


def difference_surrogate(
    betas: Array, coefficients: Array, origin: State, d: State, model: Model, x: Batch, y: Batch
) -> Array:
    """``sum_k c_k mean (E(z* + d_k) - E(z*) + beta_k C(z* + d_k))``.

    A quadratic energy changes by its slope half-way, ``<E'(z* + d / 2), d>``. ``origin`` (batch, ...),
    ``d`` (phases, batch, ...).
    """

    def change(beta: Array, x: Array, y: Array, z: State, d: State) -> Array:
        middle = jax.tree.map(lambda z, d: z + d / 2, z, d)
        work = _work(require_quadratic(_near(model.free(x), z)), middle, d)
        return work + beta * model.loss(jax.tree.map(jnp.add, z, d), y)

    axes = (None, 0, 0, 0, 0), (0, None, None, None, 0)
    changes = by_phase(change, *axes)(betas, x, y, origin, d)
    return jnp.sum(coefficients * jnp.mean(changes, axis=1))


def difference_gradient(
    model: Model, x: Batch, y: Batch, betas: Array, coefficients: Array, origin: State, d: State
) -> PyTree:
    """``d/d theta`` of `difference_surrogate`, the states frozen."""
    origin, d = in_memory((origin, d))

    def surrogate(model: Model) -> Array:
        return difference_surrogate(betas, coefficients, origin, d, model, x, y)

    return eqx.filter_grad(surrogate)(model)


def _near(phase: Clamped, z: State) -> ClampedNetwork:
    """The phase with edges that are linear near ``z``, between layers of numbers."""
    network = require_affine(phase)
    edges = {
        name: edge
        if network.units[edge.source].components
        else Edge(near(edge.op, z[edge.source]), edge.source, edge.target)
        for name, edge in network.edges.items()
    }
    return dataclasses.replace(network, edges=edges)


def _work(phase: ClampedNetwork, z: State, d: State) -> Array:
    """``<E'(z), d>`` of drives, edges and injections, which meet ``d`` itself: nothing cancels, however
    much less than others a layer answers."""
    seen = read(phase.units, d)
    total = jnp.negative(sum(jnp.sum(drive * seen[name]) for name, drive in phase.drive.items()))
    for edge in phase.edges.values():
        source, target = edge.source, edge.target
        total = total - phase.bond(edge, d[source], z[target])
        total = total - phase.bond(edge, z[source], d[target])
    for name, unit in phase.units.items():
        if jax.tree.leaves(eqx.filter(unit, eqx.is_inexact_array)):
            total = total + jnp.sum(jax.jvp(unit.potential, (z[name],), (d[name],))[1])
    return total


def _with_free(betas: Array, d: State) -> tuple[Array, State]:
    """The nudges and differences with those of the free phase before them."""

    def after_zero(z: Array) -> Array:
        return jnp.concatenate([jnp.zeros_like(z[:1]), z])

    return after_zero(betas), jax.tree.map(after_zero, d)


class DeltaPropagation(Estimator):
    """Equilibrium propagation with nudged phases carried as differences from the free one.

    The contrast is that of `EquilibriumPropagation`, and its gradient is formed from differences in the
    model's float type. ``dtype`` is that of the nudged loop, ``"bfloat16"`` say; the model's unless given.
    For Networks of `Box`, `Linear` and `Oscillator` units and linear operators, whose energy is quadratic,
    and real nudges; anything else is refused with a ``ValueError``. Maximum pooling counts as the linear
    operator that it is until a nudge changes a window's winner.

    ``state`` may be None, which is rest. Of contrasts that begin at the free phase, as `one_sided` does,
    that phase is left out: it differs from itself by nothing. Differences do not cancel, so that one-sided
    ones are as exact as ``beta`` is small, at half the cost of symmetric ones.

    A free phase must be near its equilibrium: unlike nudged phases that go on relaxing from where it ended,
    differences do not make up for what it missed.
    """

    solver: Solver
    contrast: Contrast
    nudged_solver: Solver | None = None
    dtype: FloatType | None = eqx.field(default=None, static=True)

    @checked
    def __call__(
        self, model: Model, x: Batch, y: Batch, state: State | None, key: PRNGKeyArray
    ) -> Estimate:
        require_examples(x, y)
        found = self.phases(model, x, y, state, key).estimate
        warn_of_answer(found.report.metrics())
        return found

    def start(self, model: Model, x: Batch, last: State | None = None) -> None:
        """At rest."""

    def phases(
        self, model: Model, x: Batch, y: Batch, state: State | None, key: PRNGKeyArray
    ) -> Phases:
        """The estimate, and the states that it compares."""
        solver = self.nudged_solver or self.solver
        if solver.noisy:
            raise ValueError(
                "DeltaPropagation: expected a solver without noise for differences, got "
                f"{type(solver).__name__}; use EquilibriumPropagation, whose phases share their noise."
            )
        given = model, x, y, (model.rest(x) if state is None else state)
        require_slopes(*given)
        key, (model, x, y, begin) = typed(key), stopped(given)
        free, free_info = relax(model, x, None if state is None else begin, self.solver)
        betas, coefficients = self.contrast.draw(key)
        if self.contrast.from_free:  # which differs from itself by nothing
            betas, coefficients = betas[1:], coefficients[1:]
        if jnp.iscomplexobj(betas):
            raise ValueError(
                "DeltaPropagation: expected real nudges, got complex ones; use symmetric or n_point."
            )
        real = jnp.result_type(*jax.tree.leaves(begin))
        betas, coefficients = betas.astype(real), coefficients.astype(real)
        narrow = jnp.dtype(self.dtype or real)
        frozen = freeze(model)

        def settle(beta: Array, x: Array, y: Array, state: State) -> tuple[State, State, Info]:
            return response(frozen, x, y, beta, state, solver, narrow)

        axes = (None, 0, 0, 0), (0, None, None, None)
        origins, d, nudged_info = by_phase(settle, *axes)(betas, x, y, free)
        origin = jax.tree.map(lambda z: z[0], origins)
        gradient = difference_gradient(model, x, y, betas, coefficients, origin, d)
        against_free = self.contrast.from_free or len(betas) == 1
        ends, apart = _with_free(betas, d) if against_free else (betas, d)
        answer = Answer(
            reached(apart, asked(model, y, origin)),
            asymmetry(d) if self.contrast.opposed else None,
            relative_response(frozen, x, y, ends, origin, apart),
        )
        report = Report(free_info, nudged_info, answer=answer)
        estimate = Estimate(mean_loss(model, free, y), gradient, free, report)
        phases = Phases(estimate, free, jax.tree.map(jnp.add, origins, d))
        surrogate = Partial(difference_surrogate, betas, coefficients, origin, d)
        return with_own_gradient(given, phases, surrogate)

    def check(self, model: Model, x: Batch, y: Batch) -> None:
        require_minimum(model, self.contrast)
        require_heard(model, self.contrast, (self.solver, self.nudged_solver or self.solver), True)

    def reduced(self, precision: str) -> DeltaPropagation:
        """Free phases are refined to their tolerance; differences are told apart by their own."""
        nudged = self.nudged_solver or self.solver
        if precision == TF32:
            return dataclasses.replace(
                self,
                solver=in_fewer_bits(self.solver, precision),
                nudged_solver=in_fewer_bits(nudged, precision),
            )
        return dataclasses.replace(
            self,
            solver=refined(self.solver, precision),
            nudged_solver=resolved(nudged, precision),
            dtype=precision,
        )

    def rival(self) -> Rival:
        return rival_of(self.solver)
