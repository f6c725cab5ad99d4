"""Resistive networks as SPICE text, for an independent solution or a machine to be built."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqprop._arguments import NotNegative, checked
from eqprop.energies.costs import SquaredError
from eqprop.energies.model import Model
from eqprop.energies.network import INPUT
from eqprop.energies.resistive import ResistiveNetwork
from eqprop.energies.units.interval import Box

DIODE = ".model ideal D(IS=1e-12 N=1e-4)"
"""Falls by less than 0.1 mV in a current of 1 A."""

TARGET = "target"


@checked
def netlist(model: Model, x: Array, y: Array | None = None, beta: NotNegative = 0.0) -> str:
    """The circuit of one example ``x`` in SPICE's words: sources, resistors, currents and diodes; nudged by
    ``beta``, a resistor of conductance ``beta`` from each output to its target ``y``.

    Node ``i`` of layer ``h`` is ``h_i``, its target ``target_i``; units are volts, ohms and amperes, and
    ``.op`` solves it. Raises ``ValueError`` for other models than of `ResistiveNetwork` with a squared
    error, for what is no circuit, for names of layers that SPICE does not tell apart, and for ``x`` and
    ``y`` of other shapes than one example's.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> resistors = eq.ops.Dense(jnp.array([[1.0], [4.0]]))
        >>> circuit = eq.Network(2, {"out": eq.Layer(1, eq.relu())}, [("x", "out", resistors)])
        >>> model = eq.Model(eq.ResistiveNetwork(circuit), eq.SquaredError())
        >>> print(eq.hardware.netlist(model, jnp.array([4.0, 0.0])))
        * a resistive network
        Vx_0 x_0 0 DC 4
        Vx_1 x_1 0 DC 0
        Rx_0__out_0 x_0 out_0 1
        Rx_1__out_0 x_1 out_0 0.25
        Dout_0__low 0 out_0 ideal
        .model ideal D(IS=1e-12 N=1e-4)
        .op
        .end
    """
    circuit = model.energy
    if not isinstance(circuit, ResistiveNetwork) or not isinstance(model.cost, SquaredError):
        raise ValueError(
            "netlist: expected a model of a ResistiveNetwork with a squared error, got "
            f"{type(circuit).__name__} and {type(model.cost).__name__}."
        )
    circuit.require_circuit()
    _require_names(circuit)
    shapes: dict[str, tuple[Array | None, tuple[int, ...]]] = {"x": (x, circuit.input_shape)}
    if beta > 0:
        shapes["y"] = (y, circuit.shapes[model.cost.output])
    for name, (given, shape) in shapes.items():
        if given is None or given.shape != shape or not bool(jnp.all(jnp.isfinite(given))):
            found = "none" if given is None else f"{given}"
            raise ValueError(
                f"netlist: expected {name} of one example, finite numbers of shape {shape}, got {found}."
            )
    lines = [
        *("* a resistive network", *_sources(circuit, x)),
        *_resistors(circuit),
        *_currents(circuit),
        *_diodes(circuit),
        *(_nudges(model.cost, y, beta) if beta > 0 and y is not None else ()),
        *(DIODE, ".op", ".end"),
    ]
    return "\n".join(lines)


def _require_names(circuit: ResistiveNetwork) -> None:
    """Raise ``ValueError`` for names that SPICE, to which capitals are small, would not tell apart."""
    names = [name.lower() for name in circuit.network.order]
    odd = [name for name in names if not re.fullmatch(r"[a-z][a-z0-9]*", name)]
    if odd or len({*names, TARGET}) <= len(names):
        raise ValueError(
            f"netlist: expected layers of different names, of letters and digits, not {TARGET!r}, got "
            f"{list(circuit.network.order)}; rename them."
        )


def _sources(circuit: ResistiveNetwork, x: Array) -> Iterator[str]:
    for i, volts in enumerate(np.ravel(circuit.sources(x))):
        yield f"V{INPUT}_{i} {INPUT}_{i} 0 DC {volts:.17g}"


def _resistors(circuit: ResistiveNetwork) -> Iterator[str]:
    shapes = {INPUT: circuit.network.input_shape} | circuit.shapes
    for edge in circuit.edges.values():
        size = math.prod(shapes[edge.source])
        g = jax.jacobian(edge.op)(jnp.zeros(shapes[edge.source]))
        for (j, i), conductance in np.ndenumerate(np.reshape(g, (-1, size))):
            if conductance > 0:
                ends = f"{edge.source}_{i}", f"{edge.target}_{j}"
                yield f"R{'__'.join(ends)} {' '.join(ends)} {1 / conductance:.17g}"


def _currents(circuit: ResistiveNetwork) -> Iterator[str]:
    for name, layer in circuit.network.layers.items():
        for i, amperes in enumerate(np.ravel(np.broadcast_to(layer.drive, layer.shape))):
            if amperes:
                yield f"I{name}_{i} 0 {name}_{i} DC {amperes:.17g}"


def _diodes(circuit: ResistiveNetwork) -> Iterator[str]:
    for name, layer in circuit.network.layers.items():
        if not isinstance(layer.unit, Box):
            continue
        for side, wall in (("low", layer.unit.low), ("high", layer.unit.high)):
            if math.isinf(wall):
                continue
            at = f"{name}_{side}" if wall else "0"
            if wall:
                yield f"V{at} {at} 0 DC {wall:.17g}"
            for i in range(math.prod(layer.shape)):
                node = f"{name}_{i}"
                ends = f"{at} {node}" if side == "low" else f"{node} {at}"
                yield f"D{node}__{side} {ends} ideal"


def _nudges(cost: SquaredError, y: Array, beta: float) -> Iterator[str]:
    for i, volts in enumerate(np.ravel(cost.target(y))):
        yield f"V{TARGET}_{i} {TARGET}_{i} 0 DC {volts:.17g}"
        yield f"R{cost.output}_{i}__{TARGET}_{i} {cost.output}_{i} {TARGET}_{i} {1 / beta:.17g}"
