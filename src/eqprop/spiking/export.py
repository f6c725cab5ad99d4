"""Export to NIR, the neuromorphic intermediate representation (Pedersen et al. 2024), of what it can say.

NIR has leaky integrate-and-fire neurons, dense and convolutional edges and average pooling. It has no
neuron that fires with a probability and no transposed convolution, by which feedback would run. What is
exported is therefore an approximation that the caller declares: the feed-forward half of a network of
`Threshold` neurons. In steps of ``dt = 1`` a node's ``v <- v + (R I - v) / tau`` with ``tau = 1 / leak``
is this package's membrane, to the bit of the type of the parameters.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import numpy as np

from eqprop._arguments import checked
from eqprop.energies.model import Model
from eqprop.energies.network import INPUT, Edge, Network
from eqprop.energies.ops import AveragePool, Chain, Conv, Dense
from eqprop.spiking.dynamics import Spiking
from eqprop.spiking.firing import Threshold, check_units

NOTE = "feed-forward half of an energy-based network: feedback dropped, dt = 1, spikes are 1 a step"


@checked
def to_nir(model: Model, solver: Spiking, without_feedback: bool = False) -> Any:
    """A ``nir.NIRGraph`` of a chain of dense and convolutional layers; images are channel-first, as NIR
    has them.

    Raises ``ImportError`` without the package ``nir``; and ``ValueError`` unless ``without_feedback`` is
    true, for firing other than `Threshold`, graded layers, units that do not spike, a trained read-out, and
    whatever is no chain of `Dense`, `Conv` and `AveragePool` (skips, lateral couplings and soft resets,
    other operators).
    """
    nir = _package()
    if not without_feedback:
        raise ValueError(
            "to_nir: expected without_feedback=True, got False: NIR cannot express the feedback by which "
            "this network settles; its feed-forward half is an approximation, and yours to declare."
        )
    chain = _chain(model, solver)
    if taken := sorted({"input", "output"} & {edge.target for edge in chain}):
        raise ValueError(
            f"to_nir: expected layers with other names than the graph's 'input' and 'output', got {taken}; "
            "rename them."
        )
    assert isinstance(model.energy, Network)
    network = model.energy
    shape = network.input_shape
    nodes: dict[str, Any] = {"input": nir.Input(np.array(_first(shape)))}
    for edge in chain:
        layer = network.layers[edge.target]
        bias = np.broadcast_to(np.asarray(layer.drive), layer.shape)
        nodes |= _edge(nir, edge, shape, bias)
        firing = solver.rule(edge.target)
        assert isinstance(firing, Threshold)
        nodes[edge.target] = _neurons(nir, layer.shape, solver.leak, firing, bias.dtype)
        shape = layer.shape
    nodes["output"] = nir.Output(np.array(_first(shape)))
    order = list(nodes)
    wires = list(pairwise(order))
    return nir.NIRGraph(nodes, wires, metadata={"approximation": NOTE}, type_check=False)


def _package() -> Any:
    try:
        import nir
    except ImportError as error:
        raise ImportError(
            "to_nir needs the package nir; install it with pip install nir."
        ) from error
    return nir


def _chain(model: Model, solver: Spiking) -> list[Edge]:
    """The edges in order from the input, where the network is a chain."""
    network = model.energy
    if not isinstance(network, Network):
        raise ValueError(f"to_nir: expected a Network, got {type(network).__name__}.")
    check_units(network.units, solver.graded)
    if jax.tree.leaves(eqx.filter(model.cost, eqx.is_array)):
        raise ValueError(
            f"to_nir: expected a cost without parameters, got {type(model.cost).__name__}, whose read-out "
            "is no layer that spikes; use SquaredError."
        )
    others = [rule for rule in solver.rules if not isinstance(rule, Threshold)]
    if others or solver.graded:
        raise ValueError(
            "to_nir: expected layers that all fire by a Threshold, got "
            f"{[type(rule).__name__ for rule in others]} and graded layers {list(solver.graded)}; NIR has "
            "no stochastic neuron and none that subtracts its threshold. Try Threshold() with `relax`, "
            "and export that."
        )
    found, at = list[Edge](), INPUT
    edges = list(network.edges.values())
    while following := [edge for edge in edges if edge.source == at]:
        if len(following) > 1 or following[0].target == at or len(found) == len(network.order):
            break
        found, at = [*found, following[0]], following[0].target
    if len(found) != len(edges) or len(found) != len(network.order):
        raise ValueError(
            f"to_nir: expected a chain of layers from the input, got the edges {list(network.edges)}; "
            "skips, lateral couplings and soft resets cannot be exported."
        )
    return found


def _edge(nir: Any, edge: Edge, source: tuple[int, ...], bias: np.ndarray) -> dict[str, Any]:
    """The nodes of one edge with the bias of its target."""
    name = f"{edge.source}-{edge.target}"
    if isinstance(edge.op, Dense):
        weight = np.asarray(edge.op.weight)
        if len(source) == 1:
            return {name: nir.Affine(weight.T, bias.copy())}
        weight = weight.reshape(*source, -1).transpose(3, 2, 0, 1).reshape(weight.shape[1], -1)
        flat = nir.Flatten(np.array(_first(source)), start_dim=0)
        return {f"{name}-flat": flat, name: nir.Affine(weight, bias.copy())}
    ops: tuple[Any, ...] = edge.op.ops if isinstance(edge.op, Chain) else (edge.op,)
    kinds = [type(op) for op in ops]
    if kinds not in ([Conv], [Conv, AveragePool]):
        raise ValueError(
            f"to_nir: edge {name!r} expected Dense, or Conv perhaps with AveragePool, got "
            f"{[kind.__name__ for kind in kinds]}, for which NIR has no node."
        )
    conv = ops[0]
    kernel = np.asarray(conv.kernel).transpose(3, 2, 0, 1)
    # The mean of a constant is that constant, so that the target's bias may stand before the pooling.
    shift = bias.reshape(-1, bias.shape[-1])[0].copy()
    if not np.array_equal(np.broadcast_to(shift, bias.shape), bias):
        raise ValueError(
            f"to_nir: layer {edge.target!r} expected one bias a channel, got one a pixel; NIR's "
            "Conv2d has no other."
        )
    image = (source[0], source[1])
    node = nir.Conv2d(image, kernel, conv.stride, conv.padding, 1, 1, shift)
    if len(ops) == 1:
        return {name: node}
    size = np.array([ops[1].size] * 2)
    return {name: node, f"{name}-pool": nir.AvgPool2d(size, size, np.zeros(2, int))}


def _neurons(
    nir: Any, shape: tuple[int, ...], leak: float, firing: Threshold, dtype: np.dtype
) -> Any:
    """NIR fires above its threshold, this package at it: the next number below."""

    def full(value: float) -> np.ndarray:
        return np.full(_first(shape), value, dtype)

    below = np.nextafter(full(firing.threshold), full(-np.inf))
    return nir.LIF(full(1.0 / leak), full(1.0), full(0.0), below, full(0.0))


def _first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Channel-first."""
    return (shape[2], shape[0], shape[1]) if len(shape) == 3 else shape
