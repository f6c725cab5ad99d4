"""What a device makes of the parameters it is given: ``program(model) -> model``.

Programs are pure and compose. Each is straight-through: its value is the device's, its derivative that
of the identity, so that a gradient measured on the device moves the parameters kept outside it (the
master copy). `Programmed` puts one before any estimator.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from eqprop._arguments import Checked, checked
from eqprop.energies.model import Model
from eqprop.energies.network import INPUT, Edge, Network
from eqprop.energies.ops import Lateral, Op
from eqprop.energies.parameters import parameter_names
from eqprop.hardware.grid import Ranges, check_bits, check_limit, ranges, to_grid

Where = Callable[[str], bool]


def everything(name: str) -> bool:
    """Every parameter."""
    return True


def couplings(name: str) -> bool:
    """Weights and kernels."""
    return name.endswith((".weight", ".kernel"))


def fields(name: str) -> bool:
    """Biases."""
    return name.endswith(".bias")


def injections(name: str) -> bool:
    """Second-harmonic injections of oscillators."""
    return name.endswith(".injection")


@jax.custom_jvp
def straight_through(given: Array, made: Array) -> Array:
    """The value of ``made`` with the derivative of ``given``, as a device's value stands for a parameter.

    Examples:
        >>> import jax
        >>> from eqprop.hardware import straight_through
        >>> float(jax.grad(lambda w: straight_through(w, jax.numpy.round(w)))(0.7))
        1.0
    """
    return made


@straight_through.defjvp
def _straight_through_jvp(primals, tangents):
    return primals[1], tangents[0]


class Program(Checked):
    """``model -> model``, as the device has it.

    Examples:
        >>> import jax
        >>> import eqprop as eq
        >>> class Faded(eq.hardware.Program):  # every parameter has lost half of its value
        ...     def __call__(self, model):
        ...         return jax.tree.map(lambda v: eq.hardware.straight_through(v, 0.5 * v), model)
        >>> device = Faded().then(Faded())(eq.layered((4, 8, 2), jax.random.key(0), gain=4.0))
        >>> bool(abs(device.energy.edges["x-h1"].op.weight).max() <= 0.5)  # 4 / sqrt(4) / 4
        True
    """

    @abstractmethod
    def __call__(self, model: Model) -> Model: ...

    def then(self, after: Program) -> Program:
        """This program followed by another."""
        return Programs((self, after))


class Programs(Program):
    """One program after another; none at all is a perfect device.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from eqprop import hardware, layered
        >>> model = layered((4, 8, 2), jax.random.key(0))
        >>> program = hardware.Programs((hardware.Limit(0.1), hardware.Quantise(bits=1, limit=0.5)))
        >>> jnp.unique(program(model).energy.edges["x-h1"].op.weight).tolist()  # +-0.1, rounded
        [-0.5, 0.5]
    """

    programs: tuple[Program, ...] = ()

    def __call__(self, model: Model) -> Model:
        for program in self.programs:
            model = program(model)
        return model


class Quantise(Program):
    """``2^bits`` levels in ``[-limit, limit]``, symmetric about zero, which is none of them.

    With ``where=couplings`` biases stay as they are. The couplings inside a layer (`Lateral`) are rounded
    as the pairs that they are. The limit is one number, or `Ranges` for layers that have their own.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> model = eq.layered((4, 8, 2), jax.random.key(0))
        >>> device = eq.hardware.Quantise(bits=1, limit=0.5)(model)
        >>> jnp.unique(device.energy.edges["x-h1"].op.weight).tolist()
        [-0.5, 0.5]
    """

    bits: int = eqx.field(static=True)
    limit: float | Ranges = eqx.field(static=True)
    where: Where = eqx.field(default=everything, static=True)

    def __check_init__(self):
        check_bits("Quantise", self.bits)
        check_limit("Quantise", self.limit)

    def __call__(self, model: Model) -> Model:
        limit = ranges(self.limit, parameter_names(model))

        def made(name: str, value: Array) -> Array:
            return to_grid(value, self.bits, -limit(name), limit(name))

        return _each(_paired(model), self.where, made)


class Limit(Program):
    """Values outside ``[-limit, limit]`` stay at its ends; the limit as in `Quantise`.

    Examples:
        >>> import jax
        >>> import eqprop as eq
        >>> model = eq.layered((4, 8, 2), jax.random.key(0))
        >>> device = eq.hardware.Limit(0.125, where=eq.hardware.couplings)(model)
        >>> float(device.energy.edges["x-h1"].op.weight.max())
        0.125
    """

    limit: float | Ranges = eqx.field(static=True)
    where: Where = eqx.field(default=everything, static=True)

    def __check_init__(self):
        check_limit("Limit", self.limit)

    def __call__(self, model: Model) -> Model:
        limit = ranges(self.limit, parameter_names(model))
        return _each(model, self.where, lambda name, v: jnp.clip(v, -limit(name), limit(name)))


class Mismatch(Program):
    """Device-to-device variation: each value times a fixed ``1 + sigma N(0, 1)``."""

    factors: PyTree

    @classmethod
    @checked
    def draw(
        cls, model: Model, sigma: float, key: PRNGKeyArray, where: Where = everything
    ) -> Mismatch:
        """One device: the same key gives the same."""
        return cls(_factors(model, sigma, key, where))

    def __call__(self, model: Model) -> Model:
        values, rest = eqx.partition(model, eqx.is_inexact_array)
        if jax.tree.leaves(parameter_names(model)) != jax.tree.leaves(
            parameter_names(self.factors)
        ):
            raise ValueError(
                "Mismatch: expected the model that it was drawn for, got one with other parameters; faults "
                "and asymmetry come after it in a sequence."
            )
        made = jax.tree.map(lambda v, f: straight_through(v, v * f), values, self.factors)
        return eqx.combine(made, rest)


class Asymmetry(Program):
    """``J_ij != J_ji``: what a layer sends back to its source passes other devices, each wrong by a fixed
    factor ``1 + sigma N(0, 1)``. There is no energy any more, and EP is an approximation; no other
    estimator runs on it.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> layers = {"h": eq.Layer(2, eq.Box(0.0, 1.0)), "out": eq.Layer(2, eq.Linear())}
        >>> network = eq.Network(1, layers, [("h", "out", eq.ops.Dense(jnp.ones((2, 2))))])
        >>> model = eq.Model(network, eq.SquaredError("out"))
        >>> device = eq.hardware.Asymmetry.draw(model, 0.1, jax.random.key(0))(model)
        >>> there, back = device.energy.edges["h-out"].op.there, device.energy.edges["h-out"].op.back
        >>> there.weight.tolist(), bool(abs(back.weight - 1.0).max() > 0.0)
        ([[1.0, 1.0], [1.0, 1.0]], True)
    """

    factors: PyTree

    @classmethod
    @checked
    def draw(cls, model: Model, sigma: float, key: PRNGKeyArray) -> Asymmetry:
        """One device: the same key gives the same."""
        network = _network("Asymmetry", model)
        if any(isinstance(edge.op, Lateral) for edge in network.edges.values()):
            raise ValueError(
                "Asymmetry: expected edges between layers, but a Lateral edge is symmetric by its form."
            )
        return cls(_factors(model, sigma, key, couplings).energy.edges)

    def __call__(self, model: Model) -> Model:
        network = _network("Asymmetry", model)
        edges = {
            name: edge
            if edge.source == INPUT
            else Edge(TwoWay(edge.op, self._back(name, edge.op)), edge.source, edge.target)
            for name, edge in network.edges.items()
        }
        return eqx.tree_at(lambda m: m.energy.edges, model, edges)

    def _back(self, name: str, op: Op) -> Op:
        values, rest = eqx.partition(op, eqx.is_inexact_array)
        made = jax.tree.map(lambda v, f: straight_through(v, v * f), values, self.factors[name].op)
        return eqx.combine(made, rest)


class TwoWay(eqx.Module):
    """An operator whose transpose belongs to another one: the derivative of ``back``, the value of
    ``there``."""

    one_way: ClassVar[bool] = True
    there: Op
    back: Op

    def __call__(self, u: Array) -> Array:
        back = self.back(u)
        return back + jax.lax.stop_gradient(self.there(u) - back)


def one_way(model: Model) -> bool:
    """Whether some couplings are asymmetric."""
    edges = getattr(model.energy, "edges", {}).values()
    return any(isinstance(edge.op, TwoWay) for edge in edges)


def _set(name: str, where: Where) -> bool:
    """Whether a parameter is one that the device sets; what a fault is made of is not."""
    return where(name) and not name.endswith((".at", ".detuning"))


def _paired(model: Model) -> Model:
    """The couplings inside layers in their symmetric form, one value a pair."""

    def lateral(node: PyTree) -> bool:
        return isinstance(node, Lateral)

    return jax.tree.map(lambda n: Lateral(n.matrix) if lateral(n) else n, model, is_leaf=lateral)


def _each(model: Model, where: Where, made: Callable[[str, Array], Array]) -> Model:
    values, rest = eqx.partition(model, eqx.is_inexact_array)
    chosen = jax.tree.map(
        lambda name, v: straight_through(v, made(name, v)) if _set(name, where) else v,
        parameter_names(model),
        values,
    )
    return eqx.combine(chosen, rest)


def _factors(model: Model, sigma: float, key: PRNGKeyArray, where: Where) -> PyTree:
    if not sigma >= 0:
        raise ValueError(f"Mismatch: expected sigma >= 0, got {sigma}.")
    values, tree = jax.tree.flatten(eqx.filter(model, eqx.is_inexact_array))
    names = jax.tree.leaves(parameter_names(model))
    keys = jax.random.split(key, len(values))
    factors = [
        1.0 + sigma * jax.random.normal(k, v.shape, v.dtype)
        if _set(name, where)
        else jnp.ones_like(v)
        for k, v, name in zip(keys, values, names, strict=True)
    ]
    return jax.tree.unflatten(tree, factors)


def _network(name: str, model: Model) -> Network:
    if not isinstance(model.energy, Network):
        raise ValueError(f"{name}: expected a Network, got a {type(model.energy).__name__}.")
    return model.energy
