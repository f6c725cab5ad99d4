"""Weak feedback: each layer is heard from below more softly than it hears what is below it.

    E = sum_l c_l (|z_l|^2 / 2 - <b_l, z_l> - sum_k <W_kl z_k, z_l>),    c_l = feedback^(l - 1),

over the layers ``k`` below ``l``, so that ``z_l = act(b_l + sum_k W_kl z_k + sum_m (c_m / c_l) W_lm' z_m)``
with ``m`` above. At ``feedback = 1`` it is the usual energy, whose weights must stay small for it to have
one minimum. Towards 0 the equilibrium is the forward pass, which one sweep from the input up finds, and
weights may be of any size; equilibrium propagation is then back-propagation (Xie and Seung 2003).

Quadratic self-energies let the network keep ``y_l = sqrt(c_l) z_l``, whose energy is that of a `Network`:
couplings and biases with factors, intervals that shrink (`with_weak_feedback`). Any other unit becomes
``c_l`` times as stiff and shows what it always did (`with_stiff_layers`). A nudge ``beta c_L``
(`nudge_scale`) asks of the last layer what beta would without. Responses fade on their way down and are
lost in the rounding of states: use `eqprop.estimators.differences.DeltaPropagation`, which carries them
apart, where the energy is quadratic, and a number of sweeps (a tolerance of ``None``), since a residual
hardly counts layers that are kept small.
"""

from __future__ import annotations

import equinox as eqx
from jaxtyping import Array, Inexact

from eqprop._arguments import checked
from eqprop.energies.costs import Cost
from eqprop.energies.model import Model
from eqprop.energies.network import INPUT, Layer, Network
from eqprop.energies.ops import Op, Scaled, is_homogeneous
from eqprop.energies.units.interval import Box, Linear
from eqprop.energies.units.oscillator import Oscillator
from eqprop.energies.units.stiff import Stiff, stiffness
from eqprop.energies.units.unit import State, Unit


class Enlarged(Cost):
    """``C(factor u)``: the cost of an output that is kept small."""

    cost: Cost
    factor: float = eqx.field(static=True)

    @property  # type: ignore[misc]
    def output(self) -> str:  # type: ignore[override]
        return self.cost.output

    def _enlarged(self, shown: State) -> State:
        return {self.output: self.factor * shown[self.output]}

    def __call__(self, shown: State, y: Array) -> Inexact[Array, ""]:
        return self.cost(self._enlarged(shown), y)

    def predict(self, shown: State) -> Array:
        return self.cost.predict(self._enlarged(shown))

    def curvature(self, beta: Array) -> Array:
        return self.factor**2 * self.cost.curvature(beta)


@checked
def with_weak_feedback(model: Model, feedback: float) -> Model:
    """The same parameters, in layers that lie one above another in the network's order.

    Raises ``ValueError`` for a feedback outside (0, 1], anything but a Network of `Box` and `Linear` units
    whose cost sees its last layer, couplings within a layer or down the order, and operators between layers
    that are not homogeneous: their answers to smaller layers would be others.

    Examples:
        >>> import jax
        >>> import eqprop as eq
        >>> model = eq.layered((4, 8, 2), jax.random.key(0), output=eq.Box(0.0, 1.0))
        >>> weak = eq.with_weak_feedback(model, 0.25)
        >>> [unit.high for unit in weak.energy.units.values()]  # sqrt(feedback) times as large
        [1.0, 0.5]
        >>> weak.cost.factor  # the cost sees the output as large as it was
        2.0
    """
    network = _from_below(model, feedback, "with_weak_feedback")
    sizes = {name: feedback ** (i / 2) for i, name in enumerate(network.order)}
    layers = {}
    for name, size in sizes.items():
        layer = network.layers[name]
        layers[name] = Layer(
            layer.shape, _shrunk(name, layer.unit, size), layer.bias, size * layer.scale
        )
    edges: list[tuple[str, str, Op]] = []
    for name, edge in network.edges.items():
        if edge.source != INPUT and not is_homogeneous(edge.op):
            raise ValueError(
                f"with_weak_feedback: edge {name!r} expected an operator that is linear or pools, got one "
                "that is not, or does not say so by an attribute `linear`."
            )
        ratio = sizes[edge.target] / sizes.get(edge.source, 1.0)
        edges.append((edge.source, edge.target, Scaled(edge.op, ratio)))
    cost = Enlarged(model.cost, 1 / sizes[model.cost.output])  # type: ignore[call-arg]
    return Model(Network(network.input_shape, layers, edges), cost)


@checked
def with_stiff_layers(model: Model, feedback: float) -> Model:
    """The same parameters, in layers that lie one above another in the network's order, each ``feedback``
    times as stiff as the one below. A nudge ``beta c_L`` (`nudge_scale`) asks of the last layer what beta
    would without.

    All the self-energy that oscillators have is their injection and quadrature: without them, to let the
    couplings of upper layers be small, and learn slowly, is the same.

    Raises ``ValueError`` for a feedback outside (0, 1], anything but a Network whose cost sees its last
    layer, and couplings within a layer or down the order.

    Examples:
        >>> import jax
        >>> import eqprop as eq
        >>> stiff = eq.with_stiff_layers(eq.layered((4, 8, 2), jax.random.key(0)), 0.25)
        >>> [unit.stiffness for unit in stiff.energy.units.values()]
        [1.0, 0.25]
    """
    network = _from_below(model, feedback, "with_stiff_layers")
    sizes = {name: feedback**i for i, name in enumerate(network.order)}
    layers = {}
    for name, c in sizes.items():
        layer = network.layers[name]
        layers[name] = Layer(layer.shape, _stiffened(layer.unit, c), layer.bias, c * layer.scale)
    edges: list[tuple[str, str, Op]] = [
        (edge.source, edge.target, Scaled(edge.op, sizes[edge.target]))
        for edge in network.edges.values()
    ]
    return Model(Network(network.input_shape, layers, edges), model.cost)


def _stiffened(unit: Unit, stiffness: float) -> Unit:
    if isinstance(unit, Oscillator):
        own = stiffness * unit.injection, stiffness * unit.quadrature
        return Oscillator(*own, unit.in_phase)
    return Stiff(unit, stiffness)


def _from_below(model: Model, feedback: float, caller: str) -> Network:
    """The network of a model whose layers hear one another in their order alone, of which the cost sees the
    last; else ``ValueError``."""
    network = model.energy
    if not 0 < feedback <= 1:
        raise ValueError(f"feedback: expected a number in (0, 1], got {feedback}.")
    if not isinstance(network, Network):
        raise ValueError(
            f"{caller}: expected a Network, whose layers have an order, got {type(network).__name__}."
        )
    last = network.order[-1]
    if model.cost.output != last:
        raise ValueError(
            f"{caller}: expected a cost of the last layer, {last!r}, got one of {model.cost.output!r}."
        )
    if not (feedback ** (len(network.order) - 1)):
        raise ValueError(
            f"feedback: expected a number whose {len(network.order) - 1}th power is above 0, got "
            f"{feedback}."
        )
    places = {name: i for i, name in enumerate((INPUT, *network.order))}
    for name, edge in network.edges.items():
        if places[edge.source] >= places[edge.target]:
            raise ValueError(
                f"{caller}: edge {name!r} expected a target above its source, in the order "
                f"{network.order}."
            )
    return network


def nudge_scale(feedback: float, layers: int) -> float:
    """``c_L`` of the last of so many layers."""
    return feedback ** (layers - 1)


def is_shrunk(model: Model) -> bool:
    """Whether `with_weak_feedback` keeps the model's upper layers small."""
    return isinstance(model.cost, Enlarged) and model.cost.factor > 1


def is_weak(model: Model) -> bool:
    """Whether the states of upper layers are kept small, by either way but of oscillators."""
    return is_shrunk(model) or any(stiffness(unit) < 1 for unit in model.energy.units.values())


def _shrunk(name: str, unit: Unit, size: float) -> Unit:
    if isinstance(unit, Box):
        return Box(unit.low * size, unit.high * size)
    if not isinstance(unit, Linear):
        raise ValueError(
            f"with_weak_feedback: layer {name!r} expected a Box or Linear unit, which may be scaled, got "
            f"{type(unit).__name__}; use with_stiff_layers."
        )
    return unit
