"""Estimators of ``d mean C / d theta`` at equilibrium: one signature, that of ``value_and_grad``.

    estimator(model, x, y, state, key) -> Estimate(value, gradient, state, info)

``x``: (batch, ...); ``y``: (batch, ...) in the shape of the cost's target; ``state``: where relaxation
starts, arrays of shape (batch, ...), or what `Estimator.start` gives. ``gradient`` has the structure of the
model.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact, PRNGKeyArray, PyTree

from eqprop._arguments import Checked
from eqprop.energies.model import Batch, Model
from eqprop.energies.units.unit import State
from eqprop.estimators.answer import Answer
from eqprop.solvers import CONVERGED, Info
from eqprop.solvers.relax import Forecast, forecast
from eqprop.solvers.solver import Rounding

Scalar = Inexact[Array, ""]

Axes = tuple[int | None, ...]

F = TypeVar("F", bound=Callable[..., Any])


class Report(NamedTuple):
    """What happened on the way: the free phase, the nudged phases (shape (phases, batch)), the relative
    residual of the adjoint equation, and how the batch answered its nudges, where there were any.

    Examples:
        >>> import equinox as eqx
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> model = eq.layered((4, 8, 2), jax.random.key(0))
        >>> x, y = jnp.ones((2, 4)), jnp.eye(2)
        >>> learner = eqx.filter_jit(eq.EquilibriumPropagation(eq.Blockwise(), eq.symmetric(0.1)))
        >>> report: eq.Report = learner(model, x, y, model.rest(x), jax.random.key(1)).report
        >>> report.free.residual.shape, report.nudged.residual.shape  # of each example, and nudge
        ((2,), (2, 2))
        >>> sorted(eq.Report().metrics())  # of an estimator that relaxes nothing
        []
    """

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
    are what training logs.

    Examples:
        >>> import eqprop as eq
        >>> eq.Estimate._fields  # value, gradient, state, report = learner(model, x, y, state, key)
        ('value', 'gradient', 'state', 'report')
    """

    value: Array
    gradient: PyTree
    state: State
    report: Any


class Estimator(Checked):
    """`(model, x, y, state, key) -> Estimate`.

    Examples:
        >>> import equinox as eqx
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> class CostAlone(eq.Estimator):  # learns what the cost holds, in whatever state the batch is
        ...     def __call__(self, model, x, y, state, key):
        ...         def loss(model):
        ...             return jnp.mean(jax.vmap(model.loss)(state, y))
        ...         value, gradient = eqx.filter_value_and_grad(loss)(model)
        ...         return eq.Estimate(value, gradient, state, eq.Report())
        >>> model = eq.with_read_out(eq.layered((4, 8, 2), jax.random.key(0)), 2, jax.random.key(1))
        >>> x, y, learner = jnp.ones((2, 4)), jnp.eye(2), eqx.filter_jit(CostAlone())
        >>> found = learner(model, x, y, model.rest(x), jax.random.key(2))
        >>> round(float(found.value), 3), found.gradient.cost.bias.tolist()  # log 2, of equal classes
        (0.693, [0.0, 0.0])
    """

    drawn: ClassVar[bool] = False
    """Whether gradients are drawn at random, so that audits tell their bias and variance."""
    one_way: ClassVar[bool] = False
    """Whether it learns by the local rule alone, so that couplings may differ by direction."""

    @property
    def rounding(self) -> Rounding | None:
        """How the states are rounded whose contrast it takes; ``None`` where nudges keep their digits."""
        return None

    @abstractmethod
    def __call__(
        self, model: Model, x: Batch, y: Batch, state: State, key: PRNGKeyArray
    ) -> Estimate: ...

    def start(self, model: Model, x: Batch, last: State | None = None) -> State | None:
        """Where a batch begins, after one that ended in ``last``: at rest; None says so."""
        return model.rest(x)

    def scores(self, model: Model, state: State) -> Array:
        """The scores of a batch in the states of an estimate."""
        return jax.vmap(model.predict)(state)

    def forecast(self, model: Model, x: Batch, y: Batch, key: PRNGKeyArray) -> Forecast:
        """What the model shows of a batch without being nudged: where the estimator's ``solver`` takes it
        from rest. An estimator without one has a forecast of its own."""
        return forecast(self.solver, model, x, y, key)  # type: ignore[attr-defined]

    def check(self, model: Model, x: Batch, y: Batch) -> None:
        """Raise ``ValueError``, with its remedy, where this model cannot be learnt so; more than tracing a
        call tells."""

    def by(self, other: Callable[[Estimator], Estimator]) -> Estimator:
        """What ``other`` makes of this estimator; a wrapper hands on the estimator inside."""
        return other(self)

    def inside(self, model: Model) -> tuple[Estimator, Model]:
        """The estimator that runs, and the model as it meets it: those that a wrapper wraps."""
        return self, model

    def reduced(self, precision: str) -> Estimator:
        """The same with phases in ``bfloat16`` or ``float16``, or by ``tf32`` products."""
        raise ValueError(
            f"precision: expected an estimator whose phases relax, as EquilibriumPropagation, for "
            f"{precision}, got {type(self).__name__}; leave it full."
        )

    def rival(self) -> Rival:
        """The exact gradient that an audit compares with. ``RuntimeError`` where there is none."""
        return Rival("implicit differentiation")

    def examine(self, model: Model, x: Batch, y: Batch) -> dict[str, Any]:
        """What there is to say, as JSON, of the phases of a few examples."""
        return {}


class Rival(NamedTuple):
    """What an audit compares with, in words, and the estimator; ``None`` is implicit differentiation at the
    equilibrium, in float64."""

    name: str
    estimator: Estimator | None = None


def mean_loss(model: Model, state: State, y: Batch) -> Scalar:
    """Mean cost over the batch."""
    return jnp.mean(jax.vmap(model.loss)(state, y))


def _summary(phase: str, info: Info | None) -> dict[str, Array]:
    if info is None:
        return {}
    return {
        f"{phase}_residual": jnp.mean(info.residual),
        f"{phase}_steps": jnp.mean(jnp.max(info.steps, axis=-1).astype(info.residual.dtype)),
        f"{phase}_converged": jnp.mean(info.outcome == CONVERGED, dtype=info.residual.dtype),
    }


def by_phase(function: F, examples: Axes, phases: Axes) -> F:
    """``function`` over (phases, batch, ...), as one program over (batch, phases, ...): where convolutions
    merge the two, a batch that is split over devices stays so."""
    inner = jax.vmap(function, in_axes=phases)
    outer = tuple(
        e if p is None or e is None else e + 1 for e, p in zip(examples, phases, strict=True)
    )
    return jax.vmap(inner, in_axes=outer, out_axes=1)
