"""Back-propagation, which equilibrium is compared with: through the steps of a solver, and through the
feed-forward network of the same layers."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Count, checked
from eqprop.energies.model import Batch, Model, require_examples
from eqprop.energies.network import INPUT, Network
from eqprop.energies.predictive import PredictiveCoding
from eqprop.energies.slopes import require_cost_slope, require_rates, require_slopes
from eqprop.energies.units.unit import State
from eqprop.estimators.estimator import (
    Estimate,
    Estimator,
    Report,
    Rival,
    mean_loss,
)
from eqprop.solvers import Iterative, Solver
from eqprop.solvers.relax import Forecast


class Backpropagation(Estimator):
    """Back-propagation through ``steps`` unrolled steps of an iterative solver (BPTT).

    Exact for the cost after that many steps, at equilibrium or not. Memory grows with ``steps``.

    Examples:
        >>> import equinox as eqx
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> dense, x, y = eq.ops.Dense(jnp.array([[3.0]])), jnp.array([[2.0]]), jnp.array([[5.0]])
        >>> network = eq.Network(1, {"out": eq.Layer(1, eq.Linear())}, [("x", "out", dense)])
        >>> model, solver = eq.Model(network, eq.SquaredError("out")), eq.Blockwise(None, 1)
        >>> learner = eqx.filter_jit(eq.Backpropagation(solver, steps=1))
        >>> value, gradient, state, report = learner(model, x, y, model.rest(x), jax.random.key(0))
        >>> float(value), gradient.energy.edges["x-out"].op.weight.tolist()  # (3 * 2 - 5) * 2
        (0.5, [[2.0]])
    """

    solver: Iterative[Any]
    steps: Count = eqx.field(default=30, static=True)

    @checked
    def __call__(
        self, model: Model, x: Batch, y: Batch, state: State, key: PRNGKeyArray
    ) -> Estimate:
        require_slopes(model, x, y, state)
        require_rates(model)

        def unrolled(model: Model) -> tuple[Array, State]:
            def settle(x: Array, state: State) -> State:
                return self.solver.unroll(model.free(x), state, self.steps)

            end = jax.vmap(settle)(x, state)
            return mean_loss(model, end, y), end

        (value, end), gradient = eqx.filter_value_and_grad(unrolled, has_aux=True)(model)
        return Estimate(value, gradient, end, Report())

    def rival(self) -> Rival:
        return rival_of(self.solver)


def rival_of(solver: Solver) -> Rival:
    """The exact gradient where a solver takes a number of steps, and not to an equilibrium."""
    if isinstance(solver, Iterative) and solver.tolerance is None:
        return Rival("back-propagation through time", Backpropagation(solver, solver.max_steps))
    return Rival("implicit differentiation")


class FeedForward(Estimator):
    """Back-propagation through ``u_l = retract(b_l + sum_e op_e(u_source))``, layer after layer; of
    `PredictiveCoding`, through states without errors.

    Couplings act one way, from the earlier layer to the later. Raises ``ValueError`` where an edge leads
    back, or where a unit is of several components.
    """

    @checked
    def __call__(
        self, model: Model, x: Batch, y: Batch, state: State, key: PRNGKeyArray
    ) -> Estimate:
        require_examples(x, y)
        require_cost_slope(model, y, jax.eval_shape(model.rest, x))
        require_rates(model)

        def loss(model: Model) -> tuple[Array, State]:
            end = jax.vmap(lambda x: forward(model, x))(x)
            return mean_loss(model, end, y), end

        (value, end), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(model)
        return Estimate(value, gradient, end, Report())

    def forecast(self, model: Model, x: Batch, y: Batch, key: PRNGKeyArray) -> Forecast:
        state = jax.vmap(lambda x: forward(model, x))(x)
        return Forecast(jax.vmap(model.predict)(state), jax.vmap(model.loss)(state, y), {})

    def rival(self) -> Rival:
        raise RuntimeError("backprop: its gradient is the exact one of the feed-forward pass.")


def forward(model: Model, x: Array) -> State:
    """The states of one example after one pass."""
    network = model.energy
    if isinstance(network, PredictiveCoding):
        return network.clamp(x).states(model.energy.rest(x.dtype))
    if not isinstance(network, Network):
        raise ValueError(
            f"FeedForward: expected a Network, whose layers have an order, got {type(network).__name__}."
        )
    state: State = {}
    shown = {INPUT: x}
    for name in network.order:
        layer, fields = network.layers[name], []
        for edge in network.edges.values():
            if edge.target == name and (edge.source not in shown or layer.unit.components):
                raise ValueError(
                    f"FeedForward: expected edges from earlier layers and units that are numbers, got an "
                    f"edge from {edge.source!r} to {name!r} ({type(layer.unit).__name__})."
                )
            if edge.target == name:
                fields.append(edge.op(shown[edge.source]))
        state[name] = layer.unit.retract(sum(fields, layer.drive))
        shown[name] = layer.unit.embed(state[name])
    return state
