"""Resistive networks: nodes at voltages where half the power, less what currents deliver, is least.

    E(v, x) = 1/2 sum_edges sum_ij g_ij (v_i - v_j)^2 - sum_j b_j v_j,      g >= 0

over the resistors between nodes, the input's nodes held at their voltages; ``b`` are currents into nodes. A
diode keeps a node above 0, or below it (Kendall et al. 2020, arXiv 2006.01981; Scellier 2024, arXiv
2402.11674). A node without either answers its neighbours by the mean of their voltages by conductance.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Count, Positive, checked, concrete
from eqprop.energies.architectures import OUTPUT
from eqprop.energies.costs import SquaredError
from eqprop.energies.energy import Clamped, Energy
from eqprop.energies.model import Model
from eqprop.energies.network import INPUT, Edge, Layer, Network, colour
from eqprop.energies.ops import Dense, Op, is_linear
from eqprop.energies.units.interval import Box, Linear
from eqprop.energies.units.unit import State, Units, self_energy

UP, DOWN = Box(0.0, float("inf")), Box(-float("inf"), 0.0)
"""Nodes that a diode keeps above and below 0."""

NEAR = 1e-3, 1e4
"""Where the sum of a node's conductances costs no more than a few digits of float32."""


class ResistiveNetwork(Energy):
    """The layers and edges of a `Network` as a circuit: weights are conductances, biases are currents.

    The input's nodes are held at ``gain x`` and, where ``mirrored``, as many others at ``-gain x``. Units
    are `Linear`, of free nodes, and `Box`, of nodes with diodes.

    Raises ``ValueError`` for other units, operators that are not linear, negative conductances, and nodes
    that no resistors join to the input: nothing says at which voltage they are. Warns of conductances far
    from 1 in their unit.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> resistors = eq.ops.Dense(jnp.array([[1.0], [3.0]]))
        >>> circuit = eq.Network(2, {"out": eq.Layer(1, eq.Linear())}, [("x", "out", resistors)])
        >>> model = eq.Model(eq.ResistiveNetwork(circuit), eq.SquaredError())
        >>> state, _ = eq.relax(model, jnp.array([[4.0, 0.0]]), None, eq.Blockwise(1e-6))
        >>> state["out"].tolist()  # a voltage divider
        [[1.0]]
    """

    network: Network
    gain: float = eqx.field(static=True)
    mirrored: bool = eqx.field(static=True)
    input_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, network: Network, gain: Positive = 1.0, mirrored: bool = False):
        size = int(np.prod(network.input_shape))
        if mirrored and (size % 2 or len(network.input_shape) > 1):
            raise ValueError(
                "ResistiveNetwork: expected a row of two nodes for each number of a mirrored input, got an "
                f"input of shape {network.input_shape}."
            )
        self.network, self.gain, self.mirrored = network, float(gain), mirrored
        self.input_shape = (size // 2,) if mirrored else network.input_shape
        for name, layer in network.layers.items():
            if not isinstance(layer.unit, Linear | Box):
                raise ValueError(
                    f"ResistiveNetwork: layer {name!r} expected a Linear unit or a Box, whose walls are "
                    f"diodes, got {type(layer.unit).__name__}."
                )
        for name, edge in network.edges.items():
            if not is_linear(edge.op) or edge.source == edge.target:
                raise ValueError(
                    f"ResistiveNetwork: edge {name!r} expected a linear operator between two layers, got "
                    f"{type(edge.op).__name__}."
                )
        if concrete(jax.tree.leaves(network.edges)):
            self.require_circuit()

    def require_circuit(self) -> None:
        """Raise ``ValueError`` where a conductance is negative or not finite, or a node floats; warn of
        loads that are not near 1, in which the digits of voltages are lost."""
        for name, edge in self.edges.items():
            parts = [jnp.asarray(a) for a in jax.tree.leaves(edge) if eqx.is_array_like(a)]
            shape = self.input_shape_of(edge.source)
            least = min(float(jnp.min(part)) for part in (*parts, edge.op(jnp.ones(shape))))
            if not (least >= 0 and all(bool(jnp.all(jnp.isfinite(part))) for part in parts)):
                raise ValueError(
                    f"ResistiveNetwork: expected finite conductances of at least 0 in edge {name!r}, got "
                    f"{least:g}; training keeps them there by Optimiser(writing=AtLeast(0.0))."
                )
        self._require_joined()
        load = self.clamp(jnp.zeros(self.input_shape)).load.values()
        low, high = min(float(jnp.min(a)) for a in load), max(float(jnp.max(a)) for a in load)
        if low < NEAR[0] or high > NEAR[1]:
            warnings.warn(
                f"ResistiveNetwork: expected conductances that sum to {NEAR[0]:g} to {NEAR[1]:g} at each "
                f"node, got {low:.1e} to {high:.1e}: voltages lose digits in rounding. Take another unit, "
                "such as microsiemens, which leaves them as they are.",
                stacklevel=3,
            )

    def input_shape_of(self, source: str) -> tuple[int, ...]:
        """The shape of what a layer, or the input's nodes, show."""
        return self.network.input_shape if source == INPUT else self.shapes[source]

    def _require_joined(self) -> None:
        names = (INPUT, *self.network.order)
        found = {name: jnp.full(self.input_shape_of(name), float(name == INPUT)) for name in names}
        before, joined = -1.0, 0.0
        while joined > before:
            for edge in self.edges.values():
                up, down = _both(edge, found[edge.source], found[edge.target])
                for name, reached in ((edge.target, up), (edge.source, down)):
                    found[name] = jnp.maximum(found[name], (reached > 0).astype(found[name].dtype))
            before, joined = joined, sum(float(jnp.sum(part)) for part in found.values())
        if lost := {n: int(jnp.sum(part == 0)) for n, part in found.items() if jnp.any(part == 0)}:
            raise ValueError(
                "ResistiveNetwork: expected resistors from the input to every node, got none, straight or "
                f"by other nodes, to {lost}; such nodes float."
            )

    def own_curvature(self, name: str) -> float:
        """The least conductance to a layer from the rest, whose nodes give way; diodes only add to it."""
        self.require_circuit()
        load = self.clamp(jnp.zeros(self.input_shape)).load
        sizes = {n: load[n].size for n in self.network.order}
        starts = dict(zip(sizes, np.cumsum([0, *sizes.values()]), strict=False))
        joint = np.diag(np.concatenate([np.ravel(load[n]) for n in sizes]).astype(np.float64))
        for edge in self.edges.values():
            if edge.source == INPUT:
                continue
            g = jax.jacobian(edge.op)(jnp.zeros(self.shapes[edge.source]))
            g = np.reshape(g, (sizes[edge.target], sizes[edge.source]))
            rows, columns = (
                slice(starts[n], starts[n] + sizes[n]) for n in (edge.target, edge.source)
            )
            joint[rows, columns] -= g
            joint[columns, rows] -= g.T
        mine = slice(starts[name], starts[name] + sizes[name])
        return 1 / float(np.linalg.norm(np.linalg.inv(joint)[mine, mine], 2))

    @property
    def edges(self) -> dict[str, Edge]:
        return self.network.edges

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return self.network.shapes

    @property  # type: ignore[misc]
    def units(self) -> Units:  # type: ignore[override]
        return self.network.units

    def sources(self, x: Array) -> Array:
        """The voltages of the input's nodes."""
        return self.gain * (jnp.concatenate([x, -x]) if self.mirrored else x)

    def clamp(self, x: Array) -> ClampedCircuit:
        if x.shape != self.input_shape:
            raise ValueError(
                f"ResistiveNetwork: expected one input of shape {self.input_shape}, got {x.shape}; batches "
                "carry one leading axis, and the nodes of a mirrored input are made here."
            )
        network, held = self.network, self.sources(x)
        ones = {name: jnp.ones(shape, x.dtype) for name, shape in network.shapes.items()}
        ones[INPUT] = jnp.ones_like(held)
        drive = {
            name: jnp.broadcast_to(layer.drive, layer.shape)
            for name, layer in network.layers.items()
        }
        load = {name: jnp.zeros(shape, x.dtype) for name, shape in network.shapes.items()}
        inner, burnt = {}, jnp.zeros((), x.dtype)
        for name, edge in network.edges.items():
            above, below = _both(edge, ones[edge.source], ones[edge.target])
            load[edge.target] = load[edge.target] + above
            if edge.source == INPUT:
                drive[edge.target] = drive[edge.target] + edge.op(held)
                burnt = burnt + 0.5 * jnp.sum(below * held**2)
            else:
                load[edge.source] = load[edge.source] + below
                inner[name] = edge
        blocks = colour(network.order, [(e.source, e.target) for e in inner.values()])
        return ClampedCircuit(
            units=self.units, blocks=blocks, drive=drive, load=load, edges=inner, burnt=burnt
        )


class ClampedCircuit(Clamped):
    """A circuit whose sources are held: half the power of its resistors, less what currents deliver.

    ``load`` is the sum of the conductances at each node.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> resistors = eq.ops.Dense(jnp.array([[1.0], [3.0]]))
        >>> circuit = eq.Network(2, {"out": eq.Layer(1, eq.Linear())}, [("x", "out", resistors)])
        >>> phase: eq.energies.ClampedCircuit = eq.ResistiveNetwork(circuit).clamp(jnp.array([4.0, 0.0]))
        >>> float(phase({"out": jnp.array([1.0])}))  # (1 * 3^2 + 3 * 1^2) / 2
        6.0
    """

    units: Units
    blocks: tuple[tuple[str, ...], ...] | None = eqx.field(static=True)
    drive: dict[str, Array]
    load: dict[str, Array]
    edges: dict[str, Edge]
    burnt: Array

    def coupling(self, shown: State) -> Array:
        joined = sum(
            jnp.sum(shown[edge.target] * edge.op(shown[edge.source]))
            for edge in self.edges.values()
        )
        alone = [
            jnp.sum(0.5 * self.load[name] * v * v - self.drive[name] * v)
            for name, v in shown.items()
        ]
        return self.burnt + sum(alone[1:], alone[0]) - joined - self_energy(self.units, shown)

    def curvature(self, name: str) -> Array:
        return self.load[name] - 1.0


def _both(edge: Edge, source: Array, target: Array) -> tuple[Array, Array]:
    """What the edge makes of its source in its target, and of its target in its source."""
    above, back = jax.vjp(edge.op, source)
    return above, back(target.astype(above.dtype))[0]


@checked
def resistive(
    sizes: Sequence[Count], key: PRNGKeyArray, gain: Positive = 1.0, conductance: Positive = 1.0
) -> Model:
    """A chain of layers of nodes with a squared error: ``resistive((784, 1024, 10), key, gain=400.0)``.

    The input is mirrored. Half the nodes of each hidden layer have a diode that keeps them above 0 (layers
    ``h1up``, ``h2up``, ...), the others one that keeps them below (``h1down``, ...); the output is free.
    Conductances are uniform between plus and minus ``conductance / sqrt(nodes below)``, and those below 0
    are 0: half the resistors are left out at first. Raises ``ValueError`` for hidden layers of an odd size.

    Source: Scellier 2024, arXiv 2402.11674.

    Examples:
        >>> import jax
        >>> import eqprop as eq
        >>> list(eq.resistive((784, 1024, 10), jax.random.key(0)).energy.shapes.items())
        [('h1up', (512,)), ('h1down', (512,)), ('out', (10,))]
    """
    if len(sizes) < 2 or any(size % 2 for size in sizes[1:-1]):
        raise ValueError(
            f"resistive: expected two or more sizes, those between even, got {tuple(sizes)}."
        )
    layers: dict[str, Layer] = {}
    edges: list[tuple[str, str, Op]] = []
    below = {INPUT: 2 * sizes[0]}
    for at, size in enumerate(sizes[1:], 1):
        last = at == len(sizes) - 1
        row = {OUTPUT: Linear()} if last else {f"h{at}up": UP, f"h{at}down": DOWN}
        bound = conductance / sum(below.values()) ** 0.5
        for target, unit in row.items():
            layers[target] = Layer(size // len(row), unit)
            for source, nodes in below.items():
                key, drawn = jax.random.split(key)
                g = jax.random.uniform(
                    drawn, (nodes, size // len(row)), minval=-bound, maxval=bound
                )
                edges.append((source, target, Dense(jnp.maximum(g, 0.0))))
        below = {name: size // len(row) for name in row}
    network = Network(2 * sizes[0], layers, edges)
    return Model(ResistiveNetwork(network, gain, mirrored=True), SquaredError(OUTPUT))
