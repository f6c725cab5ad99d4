"""Weights and biases of a network drawn anew: by any law of `jax.nn.initializers`, or as PyTorch does."""

from __future__ import annotations

import math
from collections.abc import Callable

import equinox as eqx
import jax
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import checked
from eqprop.energies.model import Model
from eqprop.energies.network import Network
from eqprop.energies.ops import Op, uniform_weights


@checked
def with_weights(model: Model, key: PRNGKeyArray, law: Callable[..., Array]) -> Model:
    """The same network with weights drawn by a ``law`` of `jax.nn.initializers`, such as
    ``glorot_normal()`` (Xavier) or ``he_uniform()``; those of a cost stay as they are.

    A dense weight is (inputs, outputs) and a kernel (k, k, inputs, outputs), as these laws expect. Raises
    ``ValueError`` for anything but a Network, for edges whose weights are no such matrix, as `Sparse` ones,
    where there is no weight, and for a law that draws another shape.

    Examples:
        >>> import jax
        >>> import eqprop as eq
        >>> model, xavier = eq.layered((100, 50, 2), jax.random.key(0)), jax.nn.initializers.glorot_normal()
        >>> weight = eq.with_weights(model, jax.random.key(1), xavier).energy.edges["x-h1"].op.weight
        >>> round(float(weight.std() * ((100 + 50) / 2) ** 0.5), 1)
        1.0
    """
    network = model.energy
    if not isinstance(network, Network):
        raise ValueError(
            f"with_weights: expected a Network, whose edges have weights, got {type(network).__name__}."
        )
    if odd := [
        name for name, edge in network.edges.items() if any(a.ndim < 2 for a in _weights(edge.op))
    ]:
        raise ValueError(
            f"with_weights: expected weights (inputs, outputs), or kernels, got others in {odd}; set them "
            "by eqx.tree_at."
        )
    leaves, structure = jax.tree.flatten(network.edges)
    places = [at for at, leaf in enumerate(leaves) if eqx.is_inexact_array(leaf)]
    if not places:
        raise ValueError("with_weights: expected a network with weights, got none.")
    for at, drawn in zip(places, jax.random.split(key, len(places)), strict=True):
        old, new = leaves[at], law(drawn, leaves[at].shape, leaves[at].dtype)
        if (new.shape, new.dtype) != (old.shape, old.dtype):
            raise ValueError(
                f"with_weights: expected a law that draws {old.shape} in {old.dtype}, got {new.shape} in "
                f"{new.dtype}; take one of jax.nn.initializers."
            )
        leaves[at] = new
    edges = jax.tree.unflatten(structure, leaves)
    weighted: Model = eqx.tree_at(lambda m: m.energy.edges, model, edges)
    return weighted


@checked
def with_biases(model: Model, key: PRNGKeyArray, gain: float) -> Model:
    """The same network with biases ``U(-gain / sqrt(fan_in), gain / sqrt(fan_in))``, with the largest
    ``fan_in`` of the layer's edges.

    Examples:
        >>> import jax
        >>> import eqprop as eq
        >>> model = eq.with_biases(eq.layered((4, 8, 2), jax.random.key(0)), jax.random.key(1), gain=1.0)
        >>> bias = model.energy.layers["h1"].bias
        >>> bool(0.0 < abs(bias).max() <= 0.5)  # 1 / sqrt(4)
        True
    """
    network = model.energy
    if not isinstance(network, Network):
        raise ValueError(
            f"with_biases: expected a Network, whose layers have biases, got {type(network).__name__}."
        )
    edges = network.edges.values()
    fan_ins = {name: [_fan_in(e.op) for e in edges if e.target == name] for name in network.order}
    if alone := [name for name, found in fan_ins.items() if not any(found)]:
        raise ValueError(
            f"with_biases: expected an edge with weights into every layer, got none into {alone}; set "
            "their biases by eqx.tree_at."
        )
    fan_in = {name: max(found) for name, found in fan_ins.items()}
    keys = jax.random.split(key, len(fan_in))
    drawn = [
        uniform_weights(k, network.layers[name].bias.shape, fan_in[name], gain)
        for k, name in zip(keys, fan_in, strict=True)
    ]
    biased: Model = eqx.tree_at(
        lambda m: [m.energy.layers[name].bias for name in fan_in], model, drawn
    )
    return biased


def _fan_in(op: Op) -> int:
    """The numbers that one number of the output sums: all axes of its weight but the last, or 0."""
    matrices = [weight for weight in _weights(op) if weight.ndim > 1]
    return math.prod(matrices[0].shape[:-1]) if matrices else 0


def _weights(op: Op) -> list[Array]:
    return [leaf for leaf in jax.tree.leaves(op) if eqx.is_inexact_array(leaf)]
