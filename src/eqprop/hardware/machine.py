"""A network of oscillators as a machine takes it, and a way back.

    V(phi) = - sum_(i<j) J_ij cos(phi_i - phi_j) - sum_i h_i cos phi_i - sum_i (S_i / 2) cos 2 phi_i

A squared error's nudge needs no new hardware: ``beta/2 (cos phi - t)^2`` is ``h -> h + beta t`` and
``S -> S - beta / 2`` on the outputs, up to the constant ``beta (1/4 + t^2/2)``. `programmed` gives the
numbers of one phase, `read_back` takes the phases that were read, `gradient_from_phases` makes the update
of them.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from eqprop._arguments import checked
from eqprop.energies.costs import SquaredError
from eqprop.energies.model import Model
from eqprop.energies.network import INPUT, Network
from eqprop.energies.ops import Op
from eqprop.energies.units.oscillator import Oscillator, from_phases
from eqprop.energies.units.unit import State
from eqprop.estimators.equilibrium import contrast_gradient
from eqprop.hardware.faults import Faulty, bare
from eqprop.hardware.instance import Instance
from eqprop.hardware.program import one_way


@checked
def programmed(model: Model, x: Array, y: Array | None = None, beta: float = 0.0) -> Instance:
    """The machine's numbers for one input: the free phase, or with a target that nudged by ``beta``."""
    network = _oscillators(model)
    faulty = [name for name in network.order if isinstance(network.layers[name].unit, Faulty)]
    if faulty or one_way(model):
        raise ValueError(
            "programmed: expected a model without faults and asymmetry, which are the machine's own and no "
            f"numbers to send it, got {faulty or 'asymmetric couplings'}."
        )
    canted = [name for name in network.order if _oscillator(network, name).quadrature]
    if canted:
        raise ValueError(
            "programmed: expected oscillators with a quadrature of 0, since machines know J, h and S, got "
            f"others in {canted}."
        )
    places = _places(network)
    size = sum(int(np.prod(shape)) for _, shape in _layers(network))
    landscape = network.clamp(x)
    fields = np.concatenate([np.ravel(landscape.drive[name]) for name in places])  # type: ignore[attr-defined]
    injections = np.concatenate([_injection(network, name) for name in places])
    if y is None and beta:
        raise ValueError(f"programmed: expected a target y with the nudge beta={beta}, got none.")
    offset = 0.0
    if y is not None:
        fields, injections, offset = _nudge(model, places, fields, injections, y, beta)
    matrix = np.zeros((size, size), fields.dtype)
    for edge in network.edges.values():
        if edge.source != INPUT:
            block = _matrix(edge.op, network.layers[edge.source].shape)
            matrix[places[edge.target], places[edge.source]] += block
            matrix[places[edge.source], places[edge.target]] += block.T
    return Instance.from_matrix(matrix, fields, injections, offset)


@checked
def read_back(model: Model, phi: Any) -> State:
    """The state of a batch from phases read from a machine, of shape (batch, N), in radians.

    Examples:
        >>> import numpy as np
        >>> import eqprop as eq
        >>> layers = {"out": eq.Layer(2, eq.Oscillator())}
        >>> model = eq.Model(eq.Network(1, layers, []), eq.SquaredError("out"))
        >>> state = eq.hardware.read_back(model, np.zeros((3, 2)))  # two phases for each of three inputs
        >>> state["out"].shape, state["out"][0].tolist()  # cosines, then sines
        ((3, 2, 2), [[1.0, 1.0], [0.0, 0.0]])
    """
    network = _oscillators(model)
    layers, places = _layers(network), _places(network)
    size = sum(int(np.prod(shape)) for _, shape in layers)
    phi = np.asarray(phi)
    if phi.ndim != 2 or phi.shape[1] != size:
        raise ValueError(
            f"read_back: expected phases of shape (batch, {size}), oscillators in the order of "
            f"{[name for name, _ in layers]}, got {phi.shape}."
        )
    if not np.all(np.isfinite(phi)):
        raise ValueError("read_back: expected finite phases in radians, got some that are not.")
    return {
        name: jax.vmap(from_phases)(jnp.asarray(phi[:, places[name]]).reshape(len(phi), *shape))
        for name, shape in layers
    }


@checked
def gradient_from_phases(
    model: Model, x: Array, y: Array, betas: Any, coefficients: Any, phi: Any
) -> PyTree:
    """The update from phases read at each nudge: ``phi`` of shape (phases, batch, N), and a contrast's
    ``betas`` and ``coefficients``, of shape (phases,)."""
    read = [read_back(model, part) for part in phi]
    if not len(read) == len(betas) == len(coefficients):
        raise ValueError(
            "gradient_from_phases: expected a phase and a coefficient for each of "
            f"{len(betas)} nudges, got {len(read)} and {len(coefficients)}."
        )
    model.require_batch(x, read[0], y)
    states = jax.tree.map(lambda *parts: jnp.stack(parts), *read)
    return contrast_gradient(model, x, y, jnp.asarray(betas), jnp.asarray(coefficients), states)


def _oscillators(model: Model) -> Network:
    network = model.energy
    if not isinstance(network, Network):
        raise ValueError(f"machine: expected a Network, got a {type(network).__name__}.")
    others = [n for n in network.order if not isinstance(bare(network.layers[n].unit), Oscillator)]
    if others:
        raise ValueError(
            f"machine: expected oscillators in every layer, got other units in {others}."
        )
    if odd := [name for name in network.order if _oscillator(network, name).in_phase]:
        raise ValueError(
            f"machine: expected couplings J cos(phi_i - phi_j), got layers that are in phase, {odd}, and "
            "couple by J cos(phi_i) cos(phi_j)."
        )
    return network


def _layers(network: Network) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, network.layers[name].shape) for name in network.order]


def _places(network: Network) -> dict[str, slice]:
    places, at = {}, 0
    for name, shape in _layers(network):
        places[name] = slice(at, at + int(np.prod(shape)))
        at = places[name].stop
    return places


def _injection(network: Network, name: str) -> np.ndarray:
    injection = _oscillator(network, name).injection
    return np.ravel(np.broadcast_to(injection, network.layers[name].shape))


def _oscillator(network: Network, name: str) -> Oscillator:
    unit = bare(network.layers[name].unit)
    assert isinstance(unit, Oscillator)
    return unit


def _nudge(model: Model, places, fields, injections, y: Array, beta: float):
    cost = model.cost
    if not isinstance(cost, SquaredError):
        raise ValueError(
            f"machine: expected a SquaredError, whose nudge is a field and an injection, got "
            f"{type(cost).__name__}."
        )
    fields, injections = fields.copy(), injections.copy()
    outputs = places[cost.output].stop - places[cost.output].start
    if np.size(y) != outputs:
        raise ValueError(
            f"programmed: expected one target y of {outputs} numbers, got {np.shape(y)}."
        )
    target = np.ravel(cost.target(jnp.asarray(y)))
    fields[places[cost.output]] += beta * target
    injections[places[cost.output]] -= 0.5 * beta
    return fields, injections, beta * float(np.sum(0.25 + 0.5 * target**2))


def _matrix(op: Op, shape: tuple[int, ...]) -> np.ndarray:
    """The matrix of a linear operator, (targets, sources)."""
    size = int(np.prod(shape))

    def flat(u: Array) -> Array:
        return op(u.reshape(shape)).reshape(-1)

    matrix = np.asarray(jax.vmap(flat, out_axes=1)(jnp.eye(size)))
    probe = np.linspace(-1.0, 1.0, size)
    if not np.allclose(flat(jnp.asarray(probe)), matrix @ probe, atol=1e-4):
        raise ValueError(
            f"machine: expected linear edges, but {type(op).__name__} is not; couplings are products."
        )
    return matrix
