"""Energies: ``E(state, x) -> scalar`` for one example, with parameters as array leaves."""

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from eqprop._arguments import Checked, Count, checked
from eqprop.energies.parameters import learnt
from eqprop.energies.units.interval import Box, Linear
from eqprop.energies.units.spin import TwoValued
from eqprop.energies.units.stiff import stiffness
from eqprop.energies.units.unit import State, Unit, Units, embed, self_energy

Blocks = tuple[tuple[str, ...], ...]

Bounds = Callable[[PyTree, Array], Mapping[str, Any]]


class Clamped(eqx.Module):
    """The energy landscape of one example, its input fixed: what a solver relaxes.

    ``blocks`` are groups of layers without coupling inside a group, in the order of a sweep; it is
    ``None`` when the energy does not say, and block solvers then refuse.
    """

    units: eqx.AbstractVar[Units]
    blocks: eqx.AbstractVar[Blocks | None]

    @property
    def silent(self) -> frozenset[str]:
        """Layers that show zeros at rest, and that ``coupling`` may then be without."""
        return frozenset()

    @abstractmethod
    def coupling(self, shown: State) -> Array:
        """The energy less the units' self-energies, as a function of what the layers show."""

    @abstractmethod
    def curvature(self, name: str) -> Array | float:
        """A diagonal ``q`` bounding the coupling's Hessian within a layer from above."""

    def __call__(self, state: State) -> Array:
        return self_energy(self.units, state) + self.coupling(embed(self.units, state))


class Energy(Checked):
    """``E(state, x) -> scalar`` for one example. Energies are dimensionless (kT = 0).

    ``input_shape`` is the shape of one ``x``; ``None`` takes the data as they are.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> class Well(eq.energies.Clamped):  # with the unit's own |u|^2 / 2 lowest at u = x
        ...     x: jax.Array
        ...     units, blocks = {"u": eq.Linear()}, (("u",),)
        ...     def coupling(self, shown):
        ...         return -jnp.sum(self.x * shown["u"])
        ...     def curvature(self, name):  # linear in u
        ...         return 0.0
        >>> class Wells(eq.Energy):
        ...     units, input_shape, shapes = {"u": eq.Linear()}, (2,), {"u": (2,)}
        ...     def clamp(self, x):
        ...         return Well(x)
        >>> x = jnp.array([3.0, 4.0])
        >>> [float(Wells()({"u": u}, x)) for u in (jnp.zeros(2), x)]
        [0.0, -12.5]
    """

    units: eqx.AbstractVar[Units]
    input_shape: eqx.AbstractVar[tuple[int, ...] | None]
    amplifies: ClassVar[bool] = False
    """Whether layers answer a nudge many times as loudly as the output alone would, in one basin too."""

    @property
    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every layer's state."""

    @abstractmethod
    def clamp(self, x: Array) -> Clamped:
        """Fix the input; whatever depends on it alone is computed here, once."""

    def __call__(self, state: State, x: Array) -> Array:
        return self.clamp(x)(state)

    def own_curvature(self, name: str) -> float:
        """What holds a layer: a nudge that bends the energy down as much leaves no minimum there."""
        return stiffness(self.units[name])

    def rest(self, dtype: Any = jnp.float32) -> State:
        """The state of one example before anything happened: zero, moved into the domain.

        Raises ``ValueError`` for a type that is not floating point: states have the type of the inputs.
        """
        if not jnp.issubdtype(dtype, jnp.inexact):
            raise ValueError(
                f"rest: expected floating-point inputs, whose type states take, got {jnp.dtype(dtype)}; "
                "scale them as in training, images of a data set by `(x / scale - mean) / std` with the "
                "`scale` of its `Dataset` and the recipe's `normalisation` (mean, std)."
            )
        return {
            name: self.units[name].retract(jnp.zeros(shape, dtype))
            for name, shape in self.shapes.items()
        }


def field(phase: Clamped, shown: State, names: tuple[str, ...]) -> State:
    """``a = -d coupling / d u`` of the named layers; what does not reach them is never computed."""

    def restricted(part: State) -> Array:
        return phase.coupling(shown | part)

    part = {name: shown[name] for name in names}
    dtype = jax.eval_shape(restricted, part).dtype
    gradient = jax.grad(restricted, holomorphic=jnp.issubdtype(dtype, jnp.complexfloating))(part)
    fields: State = jax.tree.map(jnp.negative, gradient)
    return fields


def curvature(phase: Clamped, name: str, z: Array) -> Array:
    """The layer's `Clamped.curvature`: a number, or one for each neuron."""
    q = jnp.asarray(phase.curvature(name), z.dtype)
    return q.reshape(z.shape) if q.ndim else q


@checked
def displacement(phase: Clamped, state: State) -> State:
    """``retract(a) - z``, or the unit's own `velocity`: zero exactly at the equilibria, and always a
    direction of descent.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> layer = eq.Layer(2, eq.Box(0.0, 1.0), bias=jnp.array([0.5, 2.0]))  # 2 is behind the wall
        >>> phase = eq.Network(1, {"u": layer}, []).clamp(jnp.zeros(1))
        >>> eq.energies.displacement(phase, {"u": jnp.array([0.0, 0.25])})["u"].tolist()
        [0.5, 0.75]
    """
    fields = field(phase, embed(phase.units, state), tuple(state))
    return velocities(phase.units, state, fields)


def velocities(units: Units, state: State, fields: State) -> State:
    """The velocity of every layer in its field."""
    return {name: units[name].velocity(z, fields[name]) for name, z in state.items()}


def norm(state: State) -> Array:
    """Euclidean norm over all layers, as a real scalar."""
    squares = [jnp.sum(jnp.real(z * jnp.conj(z))) for z in jax.tree.leaves(state)]
    return jnp.sqrt(sum(squares[1:], squares[0]))


def relative(move: State, state: State) -> Array:
    """``|move| / max(|state|, 1)``; not a number where the state's norm overflows."""
    size = norm(state)
    return jnp.where(jnp.isfinite(size), norm(move) / jnp.maximum(size, 1.0), jnp.nan)


@checked
def residual(phase: Clamped, state: State) -> Array:
    """Relative residual ``|displacement| / max(|z|, 1)`` of one example; not a number where a field is not
    finite, however near to an end of its interval that puts a unit."""
    fields = field(phase, embed(phase.units, state), tuple(state))
    missed = relative(velocities(phase.units, state, fields), state)
    return jnp.where(finite(fields), missed, jnp.nan)


def finite(tree: PyTree) -> Array:
    """Whether all numbers of a tree are finite."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(a)) for a in jax.tree.leaves(tree)]))


class FunctionEnergy(Energy):
    """Any function ``E(params, state, x) -> scalar`` as an energy.

    ``params`` is any tree whose arrays and numbers learn: a dict, or a module such as ``eqx.nn.MLP``.
    ``shapes`` names the state's arrays; ``units`` their domains (`Linear` unless given, `Box`, `Spin` or
    `Bernoulli`). Solvers that go block by block ask for ``bounds(params, x)``, by layer what no second
    derivative in it exceeds, all others held, as numbers or arrays, and for ``blocks``: groups of layers
    that do not couple inside a group, in the order of a sweep. Steps are exact where the bound is.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> def bowl(params, state, x):
        ...     return jnp.sum(state["u"] ** 2) - jnp.sum(params["w"] * x * state["u"])
        >>> shapes, bounds = {"u": (2,)}, lambda params, x: {"u": 2.0}
        >>> energy = eq.FunctionEnergy(bowl, {"w": jnp.ones(2)}, shapes, blocks=(("u",),), bounds=bounds)
        >>> model, x = eq.Model(energy, eq.SquaredError("u")), jnp.ones((1, 2))
        >>> eq.relax(model, x, model.rest(x), eq.Blockwise(None, 1))[0]["u"].tolist()  # one step is exact
        [[0.5, 0.5]]
    """

    params: PyTree
    function: Callable[[PyTree, State, Array], Array] = eqx.field(static=True)
    shapes_: tuple[tuple[str, tuple[int, ...]], ...] = eqx.field(static=True)
    units: Units
    input_shape: tuple[int, ...] | None = eqx.field(static=True)
    blocks: Blocks | None = eqx.field(static=True)
    bounds: Bounds | None = eqx.field(static=True)

    def __init__(
        self,
        function: Callable[[PyTree, State, Array], Array],
        params: PyTree,
        shapes: Mapping[str, Count | Sequence[Count]],
        units: Mapping[str, Unit] | None = None,
        blocks: Blocks | None = None,
        bounds: Bounds | None = None,
    ):
        if (blocks is None) != (bounds is None) or sorted(sum(blocks or (), ())) != sorted(
            shapes if blocks else ()
        ):
            raise ValueError(
                f"FunctionEnergy: expected bounds beside blocks, and blocks with each of {sorted(shapes)} "
                f"once, got blocks {blocks} and bounds {bounds}."
            )
        units = dict(units or {})
        if unknown := sorted(set(units) - set(shapes)):
            raise ValueError(
                f"FunctionEnergy: units name {unknown}, but the state has only {sorted(shapes)}; "
                "give each unit under the name of a layer in `shapes`."
            )
        for name, unit in units.items():
            if not isinstance(unit, (Linear, Box, TwoValued)):
                raise ValueError(
                    f"FunctionEnergy: layer {name!r} expected a Linear, Box or Spin unit (whose state is "
                    f"what it shows), got {type(unit).__name__}; write its self-energy into the "
                    "function and use Linear, or build a Network."
                )
        self.params = learnt(params)
        self.function = function
        self.shapes_ = tuple(
            (name, (shape,) if isinstance(shape, int) else tuple(shape))
            for name, shape in shapes.items()
        )
        self.units = {name: units.get(name, Linear()) for name in shapes}
        self.input_shape, self.blocks, self.bounds = None, blocks, bounds

    def own_curvature(self, name: str) -> float:
        return math.inf  # not known

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return dict(self.shapes_)

    def clamp(self, x: Array) -> Clamped:
        bounds = self.bounds(self.params, x) if self.bounds else dict.fromkeys(self.units, 1.0)
        found = {name: jnp.shape(bound) for name, bound in bounds.items()}
        if any(found.get(name) not in ((), shape) for name, shape in self.shapes_):
            raise ValueError(f"FunctionEnergy: expected bounds of {self.shapes}, got {found}.")
        return _ClampedFunction(
            units=self.units,
            params=self.params,
            x=x,
            function=self.function,
            blocks=self.blocks,
            bounds=bounds,
        )


class _ClampedFunction(Clamped):
    units: Units
    params: PyTree
    x: Array
    function: Callable[[PyTree, State, Array], Array] = eqx.field(static=True)
    blocks: Blocks | None = eqx.field(static=True)
    bounds: Mapping[str, Any]

    def coupling(self, shown: State) -> Array:
        return self.function(self.params, shown, self.x) - self_energy(self.units, shown)

    def curvature(self, name: str) -> Array | float:
        bound: Array | float = self.bounds[name]
        return bound - (0.0 if isinstance(self.units[name], TwoValued) else 1.0)

    def __call__(self, state: State) -> Array:
        return self.function(self.params, state, self.x)
