"""The price of a spiking run: synaptic operations, random draws, and an estimate of energy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from eqprop._arguments import checked
from eqprop.energies.model import Model
from eqprop.energies.network import INPUT, Network
from eqprop.energies.ops import AveragePool
from eqprop.energies.units.unit import State
from eqprop.spiking.dynamics import Spiking, check_spikes

PICOJOULES_ACCUMULATE, PICOJOULES_MULTIPLY_ACCUMULATE = 0.9, 4.6
"""One 32-bit operation at 45 nm (Horowitz, ISSCC 2014)."""


class Price(NamedTuple):
    """Per example: additions of a weight at a spike, random numbers, and what a network that shows real
    numbers would multiply in as many steps.

    Examples:
        >>> from eqprop.spiking import Price
        >>> found = Price(synaptic_operations=100.0, draws=50.0, dense_operations=1000.0)
        >>> round(found.picojoules), round(found.dense_picojoules)  # 0.9 an addition, 4.6 with a product
        (90, 4600)
    """

    synaptic_operations: float
    draws: float
    dense_operations: float

    @property
    def picojoules(self) -> float:
        """Of the synaptic operations alone, at 0.9 pJ; neither draws nor memory nor membranes count."""
        return PICOJOULES_ACCUMULATE * self.synaptic_operations

    @property
    def dense_picojoules(self) -> float:
        """Of the same steps with multiplications, at 4.6 pJ."""
        return PICOJOULES_MULTIPLY_ACCUMULATE * self.dense_operations


@checked
def fan_out(model: Model) -> State:
    """The synapses that a spike of each neuron reaches, forward and feedback, in the layers' shapes.

    Padding counts as none. A pooled synapse counts once for every product it stands for.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> layers = {"h": eq.Layer(3, eq.Logistic()), "out": eq.Layer(2, eq.Logistic())}
        >>> below, above = (eq.ops.Dense(jnp.ones(shape)) for shape in ((5, 3), (3, 2)))
        >>> network = eq.Network(5, layers, [("x", "h", below), ("h", "out", above)])
        >>> model = eq.Model(network, eq.SquaredError())
        >>> {name: int(n[0]) for name, n in eq.spiking.fan_out(model).items()}  # not back to the input
        {'h': 2, 'out': 3}
    """
    network = model.energy
    if not isinstance(network, Network):
        raise ValueError(f"fan_out: expected a Network, got {type(network).__name__}.")
    reached = {name: jnp.zeros(shape) for name, shape in network.shapes.items()}
    for edge in network.edges.values():
        if edge.source == INPUT or edge.source == edge.target:
            continue
        op, products = _ones(edge.op)
        below = jnp.ones(network.shapes[edge.source])
        forward, transpose = jax.vjp(op, below)
        (up,) = transpose(jnp.ones_like(forward))
        reached[edge.source] += products * up
        reached[edge.target] += products * forward
    return reached


@checked
def price(model: Model, solver: Spiking, phases: Mapping[str, State]) -> Price:
    """Of recorded spikes, booleans of (time, batch, ...) by phase and layer: mean over the batch, all
    phases together. Inputs, graded layers, soft resets and a read-out of the cost are not counted.

    Raises ``ValueError`` for recordings of other layers or populations than the solver's."""
    reached = fan_out(model)
    operations = draws = products = 0.0
    for phase, spikes in phases.items():
        _check(phase, spikes, reached, solver)
        for name, fired in spikes.items():
            steps, batch = fired.shape[:2]
            spread = jnp.sum(fired, (0, 1), dtype=reached[name].dtype) * reached[name]
            operations += float(jnp.sum(spread)) / batch
            draws += steps * solver.rule(name).draws * reached[name].size
            products += steps * float(jnp.sum(reached[name]))
    return Price(operations, draws, products)


def _check(phase: str, spikes: State, reached: State, solver: Spiking) -> None:
    """Raise ``ValueError`` for what is no recording of these neurons."""
    expected = [name for name in reached if name not in solver.graded]
    if not isinstance(spikes, Mapping) or sorted(spikes) != sorted(expected):
        raise ValueError(
            f"price: phase {phase!r} expected spikes of the layers {expected}, got "
            f"{sorted(spikes) if isinstance(spikes, Mapping) else type(spikes).__name__}; give what "
            "`record` returns."
        )
    check_spikes(spikes)
    for name, fired in spikes.items():
        population = math.prod(fired.shape[2:]) / reached[name].size
        if population != solver.rule(name).population:
            raise ValueError(
                f"price: phase {phase!r} expected {solver.rule(name).population} neurons a membrane of "
                f"layer {name!r}, got spikes of shape {fired.shape}, {population:g} a membrane."
            )


def _ones(op: Any) -> tuple[Any, int]:
    """The operator with every weight 1, and the products behind each of its pooled sums."""

    def pool(node: Any) -> bool:
        return isinstance(node, AveragePool)

    products = 1
    for leaf in jax.tree.leaves(op, is_leaf=pool):
        products *= leaf.size**2 if pool(leaf) else 1

    def one(leaf: Any) -> Any:
        return jnp.ones_like(leaf) if eqx.is_inexact_array(leaf) else leaf

    return jax.tree.map(one, op), products


def rates(spikes: State) -> dict[str, Array]:
    """Firing rates by neuron over a recording of (time, batch, ...): arrays of (batch, ...).

    Examples:
        >>> import jax.numpy as jnp
        >>> from eqprop.spiking import rates
        >>> fired = jnp.array([True, False, True, True]).reshape(4, 1, 1)  # (time, batch, neurons)
        >>> float(rates({"h1": fired})["h1"][0, 0])
        0.75
    """
    check_spikes(spikes)
    return {name: jnp.mean(fired, 0, dtype=jnp.float32) for name, fired in spikes.items()}


def summary(model: Model, solver: Spiking, phases: dict[str, State]) -> dict[str, Any]:
    """Of recorded phases: mean rates by phase and layer; and of an example, synaptic operations, random
    draws, and energy in microjoules, of spikes and of the same steps with real numbers."""
    found = price(model, solver, phases)
    rates: dict[str, dict[str, float]] = {
        phase: {name: _mean(fired) for name, fired in spikes.items()}
        for phase, spikes in phases.items()
    }
    return {
        "rates": rates,
        "synaptic_operations": found.synaptic_operations,
        "draws": found.draws,
        "dense_operations": found.dense_operations,
        "microjoules": 1e-6 * found.picojoules,
        "dense_microjoules": 1e-6 * found.dense_picojoules,
    }


def _mean(fired: Array) -> float:
    return float(jnp.mean(fired, dtype=jnp.float32))
