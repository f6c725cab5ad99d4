"""Boundary conditions of a path, as data: which nodes are unknown, and what the others are.

A path of ``steps`` steps has nodes 0 to ``steps``. Where the boundary term ``[p d_beta q]`` of the varied
action vanishes, and only there, the contrast of stationary paths is the gradient (Massar,
arXiv 2505.07363): periodic, fixed at both ends, free at the end, where ``p = 0``, or of given start in
doubled variables.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqprop._arguments import Checked
from eqprop.energies.units.interval import Linear
from eqprop.energies.units.unit import Quadratic, Unit
from eqprop.lagrangian.bordered import Bordered

Point = tuple[float, ...] | Callable[[Array], Array]
"""A position: numbers, or a function of the input ``x`` of the example."""

Numbers = Sequence[float] | np.ndarray | Array


class Pinned(Quadratic):
    """Paths ``z`` of shape (nodes, size) whose first node has one coordinate fixed."""

    coordinate: int = eqx.field(static=True)
    value: float = eqx.field(static=True)
    smooth: ClassVar[bool] = True

    def retract(self, z: Array) -> Array:
        return z.at[0, self.coordinate].set(self.value)

    def minimise(self, z: Array, field: Array, curvature: Array) -> Array:
        return self.retract(Linear().minimise(z, field, curvature))

    def saturation(self, z: Array) -> Array:
        return jnp.zeros_like(z, jnp.finfo(z.dtype).dtype).at[0, self.coordinate].set(1.0)


class Boundary(Checked):
    """Which nodes are unknown, and the system that Newton's method solves for them.

    Examples:
        >>> from eqprop import lagrangian as lg
        >>> ways: list[lg.Boundary] = [lg.Periodic(), lg.FixedEnds((0.0,), (1.0,)), lg.FreeEnd((0.0,))]
        >>> [boundary.unknown(steps=10) for boundary in ways]
        [10, 9, 10]
    """

    @abstractmethod
    def unknown(self, steps: int) -> int:
        """The number of unknown nodes."""

    @abstractmethod
    def complete(self, path: Array, x: Array) -> Array:
        """All nodes, (steps + 1, size), from the unknown ones."""

    @abstractmethod
    def system(self, first: Array, mixed: Array, last: Array) -> Bordered:
        """The Hessian of the action from the blocks of every step, (steps, size, size): the second
        derivatives of ``L_d`` in the node before, in both, and in the node after it."""

    def work(self, path: Array, x: Array) -> Array | float:
        """What the ends add to the action."""
        return 0.0

    def unit(self) -> Unit:
        """The domain of the unknown nodes."""
        return Linear()

    def check(self, size: int) -> None:
        """Raise ``ValueError`` where the data do not suit paths of ``size`` coordinates."""


class Periodic(Boundary):
    """``q(T) = q(0)``, with the period ``T = steps dt``; node 0 is unknown, node ``steps`` is node 0.

    A system without a drive keeps the freedom to shift time, and its Hessian a zero mode: ``pin =
    (coordinate, value)`` fixes one coordinate at time 0, which the orbit must cross with some velocity.
    """

    pin: tuple[int, float] | None = eqx.field(default=None, static=True)

    def unknown(self, steps: int) -> int:
        return steps

    def complete(self, path: Array, x: Array) -> Array:
        return jnp.concatenate([path, path[:1]])

    def unit(self) -> Unit:
        return Linear() if self.pin is None else Pinned(*self.pin)

    def check(self, size: int) -> None:
        if self.pin is not None and self.pin[0] not in range(size):
            raise ValueError(
                f"Periodic: expected a pinned coordinate in 0 .. {size - 1}, got {self.pin[0]}; "
                "pin = (coordinate, value)."
            )

    def __check_init__(self):
        pin = self.pin
        if pin is not None and not (
            isinstance(pin, tuple)
            and len(pin) == 2
            and isinstance(pin[0], int)
            and np.isfinite(pin[1])
        ):
            raise ValueError(
                "Periodic: expected pin = (coordinate, value), a whole number and a finite one, got "
                f"{pin!r}."
            )

    def system(self, first: Array, mixed: Array, last: Array) -> Bordered:
        size = first.shape[-1]
        border = jnp.zeros((size, len(first) - 1, size), first.dtype)
        border = border.at[:, 0].add(mixed[-1]).at[:, -1].add(mixed[-2].T)
        diagonal = first.at[1:].add(last[:-1]).at[0].add(last[-1])
        found = Bordered(diagonal[:-1], mixed[:-2], border, diagonal[-1])
        if self.pin is None:
            return found
        column = jnp.zeros((1, len(first), size), first.dtype).at[0, 0, self.pin[0]].set(1.0)
        return found.bordered_by(column, jnp.zeros((1, 1), first.dtype), 1)


class FixedEnds(Boundary):
    """``q(0)`` and ``q(T)`` are given: numbers, or functions of the example's input ``x``.

    The unknown nodes are 1 to ``steps - 1``. Beware of conjugate points, as at ``omega T = k pi`` for an
    oscillator: there the path is not unique, and its response to a nudge is infinite.
    """

    start: Point = eqx.field(static=True)
    end: Point = eqx.field(static=True)

    def __init__(self, start: Point | Numbers, end: Point | Numbers):
        self.start, self.end = _point(start), _point(end)

    def unknown(self, steps: int) -> int:
        return steps - 1

    def complete(self, path: Array, x: Array) -> Array:
        before, after = (_place("FixedEnds", p, path[0], x) for p in (self.start, self.end))
        return jnp.concatenate([before[None], path, after[None]])

    def check(self, size: int) -> None:
        for point in (self.start, self.end):
            _check_point("FixedEnds", point, size)

    def system(self, first: Array, mixed: Array, last: Array) -> Bordered:
        return Bordered.chain(last[:-1] + first[1:], mixed[1:-1])


class FreeEnd(Boundary):
    """``q(0)`` is given and ``q(T)`` is free, so that ``p(T) = 0``: what paths of an Onsager-Machlup action
    obey. The unknown nodes are 1 to ``steps``.

    Examples:
        >>> import jax.numpy as jnp
        >>> from eqprop import lagrangian as lg
        >>> boundary = lg.FreeEnd(lambda x: 2.0 * x)  # a start that the example gives
        >>> boundary.complete(jnp.array([[1.0], [0.0]]), x=jnp.array([1.0]))[:, 0].tolist()
        [2.0, 1.0, 0.0]
    """

    start: Point = eqx.field(static=True)

    def __init__(self, start: Point | Numbers):
        self.start = _point(start)

    def unknown(self, steps: int) -> int:
        return steps

    def complete(self, path: Array, x: Array) -> Array:
        return jnp.concatenate([_place("FreeEnd", self.start, path[0], x)[None], path])

    def check(self, size: int) -> None:
        _check_point("FreeEnd", self.start, size)

    def system(self, first: Array, mixed: Array, last: Array) -> Bordered:
        diagonal = last.at[:-1].add(first[1:])
        return Bordered.chain(diagonal, mixed[1:])


class InitialValue(Boundary):
    """``q(0)`` and the momentum ``p(0)`` are given: numbers, or functions of the example's input ``x``.

    For doubled variables ``(q, y)`` alone, with any friction or none. There ``y(T) = 0`` and ``p_y(T)``
    is free, ``q(T)`` is free and ``p_q(T) = 0`` where no cost nudges it, and ``p_y(0)``, which is the
    momentum of ``q``, comes of a term ``y(0) p(0)``: no boundary term is left. The action of ``q`` alone
    keeps ``d_beta p d_theta q - d_theta p d_beta q`` at ``T``, without which the contrast is wrong, by more
    than its own size in a system of three oscillators; it is refused.

    The unknown nodes are 1 to ``steps``; the last one holds ``q(T)`` and ``y(0)``. Costs take
    ``coordinates`` from the first half.

    Examples:
        >>> from eqprop import lagrangian as lg
        >>> def spring(q, v, params, t):
        ...     return 0.5 * v @ v - 0.5 * q @ q
        >>> start = lg.InitialValue(position=(1.0,), momentum=(0.0,))
        >>> twice = lg.doubled(spring, friction=lambda q, v, params: 0.1 * v)
        >>> lg.Action(twice, size=2, steps=10, dt=0.1, boundary=start).shapes
        {'path': (10, 2)}
    """

    position: Point = eqx.field(static=True)
    momentum: Point = eqx.field(static=True)

    def __init__(self, position: Point | Numbers, momentum: Point | Numbers):
        self.position, self.momentum = _point(position), _point(momentum)

    def unknown(self, steps: int) -> int:
        return steps

    def complete(self, path: Array, x: Array) -> Array:
        last, first = jnp.split(path[-1], 2)
        position = _place("InitialValue", self.position, last, x)
        start = jnp.concatenate([position, first])
        end = jnp.concatenate([last, jnp.zeros_like(first)])
        return jnp.concatenate([start[None], path[:-1], end[None]])

    def work(self, path: Array, x: Array) -> Array:
        first = jnp.split(path[-1], 2)[1]
        return jnp.sum(first * _place("InitialValue", self.momentum, first, x))

    def check(self, size: int) -> None:
        for point in (self.position, self.momentum):
            if size % 2 or (not callable(point) and len(point) == size):
                raise ValueError(NAIVE)
            _check_point("InitialValue", point, size // 2)

    def system(self, first: Array, mixed: Array, last: Array) -> Bordered:
        half = first.shape[-1] // 2
        border = jnp.zeros((2 * half, len(first) - 1, 2 * half), first.dtype)
        border = border.at[:half, -1].set(mixed[-1][:, :half].T)
        border = border.at[half:, 0].set(mixed[0][half:])
        corner = jnp.zeros_like(first[0])
        corner = corner.at[:half, :half].set(last[-1][:half, :half])
        corner = corner.at[half:, half:].set(first[0][half:, half:])
        return Bordered(last[:-1] + first[1:], mixed[1:-1], border, corner)


NAIVE = (
    "InitialValue: expected doubled variables, of which the position and the momentum that are given are "
    "the first half, got a path that a given start does not make stationary: its varied action keeps a "
    "term at the final time, d_beta p d_theta q - d_theta p d_beta q, and the contrast without it is "
    "wrong. Take Action(doubled(lagrangian, friction), size=2 * size, ...), or the echo "
    "(eqprop.lagrangian.evolve, back-propagation by time reversal), Periodic or FixedEnds boundaries, or "
    "FreeEnd with a Freidlin-Wentzell action."
)


def _point(point: Point | Numbers) -> Point:
    return point if callable(point) else tuple(float(value) for value in np.ravel(point))


def _check_point(boundary: str, point: Point, size: int) -> None:
    if not callable(point) and (len(point) != size or not np.all(np.isfinite(point))):
        raise ValueError(
            f"{boundary}: expected an end with {size} finite coordinates, one a degree of freedom, got "
            f"{point}."
        )


def _place(boundary: str, point: Point, like: Array, x: Array) -> Array:
    place = point(x) if callable(point) else jnp.asarray(point)
    if place.shape != like.shape:
        raise ValueError(
            f"{boundary}: expected an end of shape {like.shape} from the input x of shape {x.shape}, "
            f"got {place.shape}."
        )
    return place.astype(like.dtype)
