"""Soft reset: a neuron that fired loses ``theta`` of its membrane, ``u <- u - theta s``.

With ``u <- (1 - leak) u + leak g - theta s`` the field is ``g - (theta / leak) s``: that of an energy with
``theta / (2 leak) |s|^2`` more. It is a coupling of each neuron with itself, an edge like any other, so
that every solver and reference knows of it.
"""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from eqprop._arguments import Checked, checked
from eqprop.energies.model import Model
from eqprop.energies.network import Network
from eqprop.energies.units.stiff import stiffness
from eqprop.spiking.dynamics import Spiking


class SelfInhibition(Checked):
    """``u -> -(strength / 2) u``, for an edge from a layer to itself: energy ``(strength / 2) |u|^2``."""

    strength: float = eqx.field(static=True)

    def __call__(self, u: Array) -> Array:
        return -0.5 * self.strength * u

    def curvature(self, shape: tuple[int, ...]) -> Array:
        return jnp.full(shape, self.strength)


@checked
def with_soft_reset(model: Model, solver: Spiking, theta: float) -> Model:
    """The same network, whose layers that spike under ``solver`` lose ``theta`` at a spike.

    Raises ``ValueError`` for ``theta <= 0``, and for a layer that already has an edge to itself.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> from eqprop import spiking as sp
        >>> model = eq.Model(eq.Network(1, {"out": eq.Layer(1, eq.Logistic())}, []), eq.SquaredError())
        >>> reset = sp.with_soft_reset(model, sp.Spiking(leak=0.5), theta=0.25)
        >>> reset.energy.edges["out-out"].op.strength  # theta / leak
        0.5
        >>> sp.SelfInhibition(0.5)(jnp.array([1.0]))  # half: the edge acts at both its ends
        Array([-0.25], dtype=float32)
    """
    network = model.energy
    if not theta > 0:
        raise ValueError(
            f"with_soft_reset: expected theta > 0, got {theta}; without a reset, use the model."
        )
    if not isinstance(network, Network):
        raise ValueError(f"with_soft_reset: expected a Network, got {type(network).__name__}.")
    edges = [(e.source, e.target, e.op) for e in network.edges.values()]
    for name in network.order:
        if name not in solver.graded:
            strength = theta / solver.leak * stiffness(network.layers[name].unit)
            edges.append((name, name, SelfInhibition(strength)))
    layers = {name: network.layers[name] for name in network.order}
    return Model(Network(network.input_shape, layers, edges), model.cost)
