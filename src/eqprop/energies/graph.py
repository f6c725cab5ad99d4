"""Any graph of neurons as a network with a layer for each colour, so that a layer moves at once."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqprop._arguments import Count, checked
from eqprop.energies.network import Layer, Network, colour
from eqprop.energies.ops import Dense, Op
from eqprop.energies.sparse import Sparse, as_pairs
from eqprop.energies.units.unit import State, Unit


class Graph(NamedTuple):
    """A network of the neurons of a graph, and where each of them is, counted through all layers: what
    `on_graph` makes.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> from eqprop.energies import Graph, on_graph
        >>> chain: Graph = on_graph([(0, 1), (1, 2)], jnp.ones(2), jnp.zeros(3), eq.Spin())
        >>> state = chain.state(jnp.array([1.0, -1.0, 1.0]))
        >>> {name: spins.tolist() for name, spins in state.items()}
        {'colour0': [1.0, 1.0], 'colour1': [-1.0]}
        >>> chain.values(state).tolist()
        [1.0, -1.0, 1.0]
    """

    network: Network
    place: Array

    def values(self, state: State) -> Array:
        """The neurons of a state in the order of the graph, in the last axis."""
        return jnp.concatenate([state[name] for name in self.network.order], -1)[..., self.place]

    def state(self, values: Array) -> State:
        """The state whose neurons have these ``values`` (..., neurons); ``ValueError`` for others."""
        if values.shape[-1:] != self.place.shape:
            raise ValueError(
                f"Graph: expected values of {len(self.place)} neurons in the last axis, got {values.shape}."
            )
        sizes = [self.network.layers[name].shape[0] for name in self.network.order]
        placed = values[..., jnp.argsort(self.place)]
        parts = jnp.split(placed, np.cumsum(sizes)[:-1].tolist(), axis=-1)
        return dict(zip(self.network.order, parts, strict=True))


@checked
def on_graph(edges: object, weights: Array, biases: Array, unit: Unit) -> Graph:
    """``E = -sum_e weights[e] u_i u_j - sum_i biases[i] u_i``, each pair ``(i, j)`` of ``edges`` once, with
    what the unit adds: an Ising machine where it is `Spin`, whose neurons of one colour `Gibbs` draws
    together.

    ``edges`` has shape (edges, 2), ``weights`` (edges,), ``biases`` (neurons,). ``ValueError`` for neurons
    that have no bias, an edge from a neuron to itself, or one that is there twice.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> from eqprop.energies import on_graph
        >>> ring = [(0, 1), (1, 2), (2, 3), (3, 0)]
        >>> on_graph(ring, jnp.ones(4), jnp.zeros(4), eq.Spin()).network.shapes
        {'colour0': (2,), 'colour1': (2,)}
    """
    pairs = as_pairs(edges)
    _require_graph(pairs, weights, biases)
    names = [str(i) for i in range(len(biases))]
    groups = colour(names, [(str(i), str(j)) for i, j in pairs.tolist()])
    members = [np.array([int(name) for name in group]) for group in groups]
    group, place = np.zeros((2, len(biases)), np.int64)
    for number, neurons in enumerate(members):
        group[neurons], place[neurons] = number, np.arange(len(neurons))
    layers = {
        f"colour{number}": Layer(len(neurons), unit, biases[jnp.asarray(neurons)])
        for number, neurons in enumerate(members)
    }
    upward = np.where(group[pairs[:, :1]] > group[pairs[:, 1:]], pairs[:, ::-1], pairs)
    couplings: list[tuple[str, str, Op]] = []
    for low, high in np.unique(group[upward], axis=0).tolist():
        chosen = np.nonzero(np.all(group[upward] == (low, high), axis=1))[0]
        sizes = (len(members[low]), len(members[high]))
        op = Sparse.of(place[upward[chosen]], sizes, weights[jnp.asarray(chosen)])
        complete = len(chosen) == math.prod(sizes)
        ends = (f"colour{low}", f"colour{high}")
        couplings.append((*ends, Dense(op.matrix()) if complete else op))
    before = np.cumsum([0, *map(len, members)])
    return Graph(Network(1, layers, couplings), jnp.asarray(before[group] + place))


@checked
def grid(height: Count, width: Count) -> np.ndarray:
    """The edges of a rectangular lattice with open ends, of shape (edges, 2); neurons count row by row.

    Examples:
        >>> from eqprop.energies import grid
        >>> grid(2, 2).tolist()
        [[0, 1], [2, 3], [0, 2], [1, 3]]
    """
    at = np.arange(height * width).reshape(height, width)
    across = np.stack([at[:, :-1].ravel(), at[:, 1:].ravel()], -1)
    down = np.stack([at[:-1].ravel(), at[1:].ravel()], -1)
    return np.concatenate([across, down])


def _require_graph(pairs: np.ndarray, weights: Array, biases: Array) -> None:
    if biases.ndim != 1:
        raise ValueError(
            f"on_graph: expected one bias a neuron, of shape (n,), got {biases.shape}."
        )
    if pairs.size and (pairs.min() < 0 or pairs.max() >= len(biases)):
        raise ValueError(
            f"on_graph: expected neurons from 0 to {len(biases) - 1}, of which there are biases, got "
            f"{pairs.min()} to {pairs.max()}."
        )
    if np.any(pairs[:, 0] == pairs[:, 1]):
        own = int(pairs[pairs[:, 0] == pairs[:, 1]][0, 0])
        raise ValueError(
            f"on_graph: expected edges between two neurons, got one from {own} to itself."
        )
    if weights.shape != (len(pairs),):
        raise ValueError(
            f"on_graph: expected one weight for each of {len(pairs)} edges, got {weights.shape}."
        )
