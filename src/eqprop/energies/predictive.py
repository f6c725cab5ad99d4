"""Predictive coding: every layer predicts the next, and the energy is what the predictions miss.

    E(z, x) = sum_l pi_l / 2 |z_l - f_l(b_l + sum_e op_e(z_source))|^2

over the edges ``e`` into layer ``l``, with ``z_x = x`` (Rao and Ballard 1999, Whittington and Bogacz 2017).
Free, the network settles where every error is zero, at the states of a forward pass; the gradient of small
nudges is then that of back-propagation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from eqprop._arguments import Positive, checked
from eqprop.energies.energy import Clamped, Energy
from eqprop.energies.model import Model
from eqprop.energies.network import INPUT, Edge, Network
from eqprop.energies.units.interval import Linear
from eqprop.energies.units.unit import State, Unit, Units, self_energy


class PredictiveCoding(Energy):
    """The layers and edges of a `Network`, read one way: ``f_l`` is what the unit of layer ``l`` shows of
    its field. States are unbounded numbers.

    ``precision`` is ``pi``: one number for all layers, or one each by name; 1 where none is given. Raises
    ``ValueError`` for an edge that does not lead from an earlier layer to a later one, for units of several
    components and for spins, and for precisions of layers that there are not.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> network = eq.layered((4, 8, 2), jax.random.key(0), eq.Tanh()).energy
        >>> energy = eq.PredictiveCoding(network, precision={"out": 4.0})
        >>> x, state = jnp.ones(4), energy.rest()
        >>> forward = energy.clamp(x).states({name: jnp.zeros_like(z) for name, z in state.items()})
        >>> bool(energy(forward, x) < 1e-9)  # no error anywhere
        True
    """

    network: Network
    precision: tuple[tuple[str, float], ...] = eqx.field(static=True)
    amplifies: ClassVar[bool] = True

    def __init__(self, network: Network, precision: Positive | Mapping[str, Positive] = 1.0):
        self.network = network
        given = dict(precision) if isinstance(precision, Mapping) else {}
        if unknown := sorted(set(given) - set(network.order)):
            raise ValueError(
                f"precision: expected layers among {sorted(network.order)}, got {unknown}."
            )
        rest = 1.0 if isinstance(precision, Mapping) else float(precision)
        self.precision = tuple((name, float(given.get(name, rest))) for name in network.order)
        for name, layer in network.layers.items():
            if layer.unit.components or layer.unit.discrete:
                raise ValueError(
                    f"PredictiveCoding: layer {name!r} expected a unit that shows a number with a slope, "
                    f"got {type(layer.unit).__name__}."
                )
        place = {INPUT: -1, **{name: at for at, name in enumerate(network.order)}}
        for name, edge in network.edges.items():
            if place[edge.source] >= place[edge.target]:
                raise ValueError(
                    f"PredictiveCoding: expected edges from earlier layers to later ones, got {name!r}; "
                    f"the order is {list(network.order)}."
                )

    @property  # type: ignore[misc]
    def input_shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.network.input_shape

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return self.network.shapes

    @property  # type: ignore[misc]
    def units(self) -> Units:  # type: ignore[override]
        return dict.fromkeys(self.network.order, Linear())

    def own_curvature(self, name: str) -> float:
        return dict(self.precision)[name]

    def clamp(self, x: Array) -> ClampedPredictions:
        phase = self.network.clamp(x)
        return ClampedPredictions(  # type: ignore[call-arg]
            units=self.units,
            activations=phase.units,
            drive=phase.drive,  # type: ignore[attr-defined]
            edges=phase.edges,  # type: ignore[attr-defined]
            precision=self.precision,
        )


class ClampedPredictions(Clamped):
    """The errors of one example, of which states and energy are functions.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> layers = {"h": eq.Layer(1, eq.Linear()), "out": eq.Layer(1, eq.Linear())}
        >>> double = eq.ops.Dense(jnp.array([[2.0]]))
        >>> network = eq.Network(1, layers, [("x", "h", double), ("h", "out", double)])
        >>> phase: eq.energies.ClampedPredictions = eq.PredictiveCoding(network).clamp(jnp.ones(1))
        >>> state = phase.states({"h": jnp.zeros(1), "out": jnp.ones(1)})
        >>> {name: z.tolist() for name, z in state.items()}
        {'h': [2.0], 'out': [5.0]}
        >>> phase.errors(state)["out"].tolist(), float(phase(state))
        ([1.0], 0.5)
    """

    units: Units
    activations: dict[str, Unit]
    drive: dict[str, Array]
    edges: dict[str, Edge]
    precision: tuple[tuple[str, float], ...] = eqx.field(static=True)

    @property  # type: ignore[misc]
    def blocks(self) -> None:  # type: ignore[override]
        return None

    def prediction(self, name: str, state: State) -> Array:
        """What the layers below a layer, and the input, predict of it."""
        field = self.drive[name]
        for edge in self.edges.values():
            if edge.target == name:
                field = field + edge.op(state[edge.source])
        unit = self.activations[name]
        return unit.embed(unit.retract(field))

    def errors(self, state: State) -> State:
        """What the predictions miss."""
        return {name: z - self.prediction(name, state) for name, z in state.items()}

    def states(self, errors: State) -> State:
        """The states of such errors, layer after layer; of no errors, those of a forward pass."""
        state: State = {}
        for name, _ in self.precision:
            state[name] = errors[name] + self.prediction(name, state)
        return state

    def missed(self, errors: State) -> Array:
        """The energy of errors."""
        parts = [0.5 * precision * jnp.sum(errors[name] ** 2) for name, precision in self.precision]
        return jnp.sum(jnp.stack(parts))

    def coupling(self, shown: State) -> Array:
        return self.missed(self.errors(shown)) - self_energy(self.units, shown)

    def curvature(self, name: str) -> float:
        return 0.0

    def __call__(self, state: State) -> Array:
        return self.missed(self.errors(state))


@checked
def predictive(model: Model, precision: Positive | Mapping[str, Positive] = 1.0) -> Model:
    """The same layers, edges and cost as a network of predictive coding: `PredictiveCoding`.

    Examples:
        >>> import jax
        >>> import eqprop as eq
        >>> model = eq.predictive(eq.layered((4, 8, 2), jax.random.key(0), eq.Tanh()))
        >>> type(model.energy).__name__, model.energy.shapes
        ('PredictiveCoding', {'h1': (8,), 'out': (2,)})
    """
    network = model.energy
    if not isinstance(network, Network):
        raise ValueError(
            f"predictive: expected a model whose energy is a Network, got {type(network).__name__}."
        )
    return Model(PredictiveCoding(network, precision), model.cost)
