"""Layered networks: units joined by bilinear edges.

    E(z, x) = sum_l potential_l(z_l) - sum_l <b_l, u_l> - sum_e <u_target, op_e(u_source)>

with ``u = embed(z)`` and the input ``x`` one more source, fixed. A skip connection is one more edge; an
edge from a layer to itself is a lateral coupling. Units of several components, such as oscillators,
couple component by component to their like, and by what they `read` to everything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from eqprop._arguments import Checked, Count
from eqprop.energies.energy import Clamped, Energy
from eqprop.energies.ops import Op, is_homogeneous
from eqprop.energies.units.unit import State, Unit, Units, read


def colour(names: Iterable[str], couples: Iterable[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """Groups of mutually uncoupled layers, greedily, in the order the layers are given.

    A chain becomes its odd and even layers; a skip between two layers of one parity makes a third
    group. A coupling of a layer with itself does not count: it is bounded within the block.
    """
    names = tuple(names)
    neighbours: dict[str, set[str]] = {name: set() for name in names}
    for source, target in couples:
        if source != target and source in neighbours and target in neighbours:
            neighbours[source].add(target)
            neighbours[target].add(source)
    colours: dict[str, int] = {}
    for name in names:
        taken = {colours[other] for other in neighbours[name] if other in colours}
        colours[name] = next(number for number in count() if number not in taken)
    groups = range(max(colours.values(), default=-1) + 1)
    return tuple(tuple(n for n in names if colours[n] == group) for group in groups)


def one_by_one(names: Iterable[str]) -> tuple[tuple[str], ...]:
    """Each layer for itself, in the order given: from the input up, a first sweep is a forward pass; from
    the output down, a nudge goes all the way back in one."""
    return tuple((name,) for name in names)


def alternate(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The odd and the even layers, whatever couples them: `colour` of a chain, and the schedule with which
    residual networks are published. Where skips join layers of one group it is not block descent."""
    names = tuple(names)
    return names[::2], names[1::2]


INPUT, COST = "x", "cost"


class Layer(Checked):
    """A layer: its shape, its unit and its bias, one number a channel of an image, which enters the energy
    times ``scale``."""

    unit: Unit
    bias: Array
    shape: tuple[int, ...] = eqx.field(static=True)
    scale: float = eqx.field(static=True)

    def __init__(
        self,
        shape: Count | Sequence[Count],
        unit: Unit,
        bias: Array | None = None,
        scale: float = 1.0,
    ):
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.unit = unit
        self.bias = jnp.zeros(self.shape[-1:]) if bias is None else bias
        self.scale = scale

    @property
    def drive(self) -> Array:
        """What drives the layer besides its edges."""
        return self.scale * self.bias


class Edge(Checked):
    """A coupling ``-<u_target, op(u_source)>``.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> edge = eq.Edge(eq.ops.Dense(jnp.ones((3, 2))), source="h", target="out")
        >>> edge.op(jnp.array([1.0, 2.0, 3.0])).tolist()  # the field that "h" makes in "out"
        [6.0, 6.0]
    """

    op: Op
    source: str = eqx.field(static=True)
    target: str = eqx.field(static=True)


class Network(Energy):
    """Layers by name and edges by name; see the module's equation.

    Raises ``ValueError`` where an edge names an unknown layer or its operator's output does not fit.

    Examples:
        >>> import jax
        >>> import eqprop as eq
        >>> keys = jax.random.split(jax.random.key(0))
        >>> layers = {"h": eq.Layer(8, eq.Box()), "out": eq.Layer(2, eq.Linear())}
        >>> dense = eq.ops.Dense.init
        >>> edges = [("x", "h", dense(keys[0], 4, 8)), ("h", "out", dense(keys[1], 8, 2))]
        >>> eq.Network(4, layers, edges).shapes
        {'h': (8,), 'out': (2,)}
    """

    layers: dict[str, Layer]
    edges: dict[str, Edge]
    input_shape: tuple[int, ...] = eqx.field(static=True)
    order: tuple[str, ...] = eqx.field(static=True)

    def __init__(
        self,
        input_shape: Count | Sequence[Count],
        layers: dict[str, Layer],
        edges: list[tuple[str, str, Op]],
    ):
        self.input_shape = (input_shape,) if isinstance(input_shape, int) else tuple(input_shape)
        self.layers = layers
        self.order = tuple(layers)
        self.edges = {f"{s}-{t}": Edge(op, s, t) for s, t, op in edges}
        if taken := sorted({INPUT, COST} & set(layers)):
            raise ValueError(
                f"Network: expected other names than {INPUT!r} and {COST!r}, which belong to the input and "
                f"to the cost, got {taken}; rename the layer."
            )
        if len(self.edges) < len(edges):
            raise ValueError("Network: two edges join the same pair; add them up in one operator.")
        for name, layer in layers.items():
            if not name.strip() or set(name) & set("-./\\"):
                raise ValueError(
                    "Network: expected a layer's name without '-', '.' and slashes, which join names, got "
                    f"{name!r}."
                )
            if layer.bias.shape not in {layer.shape[i:] for i in range(len(layer.shape) + 1)}:
                raise ValueError(
                    f"Network: layer {name!r} expected a bias that broadcasts to {layer.shape}, got "
                    f"{layer.bias.shape}; give one number a channel (the last axis)."
                )
        for name, edge in self.edges.items():
            self._check(name, edge)

    def _check(self, name: str, edge: Edge) -> None:
        shapes = {n: layer.shape for n, layer in self.layers.items()} | {INPUT: self.input_shape}
        for end in (edge.source, edge.target):
            if end not in shapes or (end == INPUT and end is edge.target):
                raise ValueError(
                    f"Network: edge {name!r} expected ends among {sorted(self.shapes)} "
                    f"(or {INPUT!r} as source), got {end!r}."
                )
        if edge.source == edge.target and not hasattr(edge.op, "curvature"):
            raise ValueError(
                f"Network: edge {name!r} inside a layer expected an operator with `curvature`, got "
                f"{type(edge.op).__name__}; use ops.Lateral."
            )
        weights = [leaf.dtype for leaf in jax.tree.leaves(edge) if eqx.is_inexact_array(leaf)]
        dtype = weights[0] if weights else jnp.result_type(float)
        source = jax.ShapeDtypeStruct(shapes[edge.source], dtype)
        try:
            got = eqx.filter_eval_shape(edge.op, source).shape
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"Network: edge {name!r} expected an operator that takes {source.shape}, what "
                f"{edge.source!r} shows, got {type(edge.op).__name__} of weights "
                f"{[leaf.shape for leaf in jax.tree.leaves(edge.op) if eqx.is_array(leaf)]} "
                f"({str(error).splitlines()[0]})"
            ) from error
        if got != shapes[edge.target]:
            raise ValueError(
                f"Network: edge {name!r} expected an output of shape {shapes[edge.target]} (layer "
                f"{edge.target!r}), got {got}; change the operator or the layer's shape."
            )

    @property  # type: ignore[misc]
    def units(self) -> Units:  # type: ignore[override]
        return {name: self.layers[name].unit for name in self.order}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        layers = {name: self.layers[name] for name in self.order}
        return {name: layer.unit.components + layer.shape for name, layer in layers.items()}

    def clamp(self, x: Array) -> Clamped:
        if x.shape != self.input_shape:
            raise ValueError(
                f"Network: expected one input of shape {self.input_shape}, got {x.shape}; "
                "reshape the data (batches carry one leading axis)."
            )
        layers = {name: self.layers[name] for name in self.order}
        drive = {name: jnp.broadcast_to(layer.drive, layer.shape) for name, layer in layers.items()}
        inner = {}
        for name, edge in self.edges.items():
            if edge.source == INPUT:
                drive[edge.target] = drive[edge.target] + edge.op(x)
            else:
                inner[name] = edge
        blocks = colour(self.order, [(e.source, e.target) for e in inner.values()])
        return ClampedNetwork(units=self.units, drive=drive, edges=inner, blocks=blocks)


class ClampedNetwork(Clamped):
    units: Units
    drive: dict[str, Array]
    edges: dict[str, Edge]
    blocks: tuple[tuple[str, ...], ...] | None = eqx.field(static=True)

    def coupling(self, shown: State) -> Array:
        seen = read(self.units, shown)
        total = jnp.negative(sum(jnp.sum(self.drive[name] * u) for name, u in seen.items()))
        for edge in self.edges.values():
            if edge.source in shown and edge.target in shown:
                total = total - self.bond(edge, shown[edge.source], shown[edge.target])
        return total

    @property
    def silent(self) -> frozenset[str]:
        if not all(is_homogeneous(edge.op) for edge in self.edges.values()):
            return frozenset()
        return frozenset(name for name, unit in self.units.items() if unit.silent)

    def bond(self, edge: Edge, source: Array, target: Array) -> Array:
        """``<u_target, op(u_source)>``: of all components, or of what both read."""
        below, above = self.units[edge.source], self.units[edge.target]
        if not below.coupled or below.coupled != above.coupled:
            return jnp.sum(above.read(target) * edge.op(below.read(source)))
        op = edge.op
        for _ in below.coupled:
            op = jax.vmap(op)
        return jnp.sum(target * op(source))

    def curvature(self, name: str) -> Array | float:
        lateral: list[Any] = [e.op for e in self.edges.values() if e.source == e.target == name]
        return sum((op.curvature(self.drive[name].shape) for op in lateral), 0.0)
