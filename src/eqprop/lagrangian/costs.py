"""Costs of paths: on nodes, all of them or chosen ones, and in frequency."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact

from eqprop.energies.costs import Cost
from eqprop.energies.units.unit import State
from eqprop.lagrangian.stationary import PATH

Some = tuple[int, ...] | None


class PathCost(Cost):
    """``C(path, y) = sum_n c_n(q_n, y) + |U path - y|^2 / 2`` with either part absent.

    Examples:
        >>> import jax.numpy as jnp
        >>> from eqprop import lagrangian as lg
        >>> costs: list[lg.PathCost] = [lg.PathError(at=(-1,)), lg.FourierError(harmonics=(0,))]
        >>> path = {"path": jnp.array([[1.0], [0.0], [2.0], [1.0]])}
        >>> [float(cost.predict(path).ravel()[0]) for cost in costs]  # the last node; the mean
        [1.0, 1.0]
    """

    @property  # type: ignore[misc]
    def output(self) -> str:  # type: ignore[override]
        return PATH

    @abstractmethod
    def blocks(self, path: Array, y: Array) -> Array:
        """The second derivatives of the first part node by node: (nodes, size, size)."""

    def features(self, path: Array) -> Array | None:
        """``U`` of the second part: (features, nodes, size)."""
        return None


class PathError(PathCost):
    """``weight / 2 sum_n |q_n - y_n|^2``: on all nodes, or on those ``at`` some indices (-1: the last).

    Nodes are counted among the unknown ones (`Action.times`). ``coordinates`` chooses among the degrees
    of freedom. ``y``: (nodes chosen, coordinates chosen). With ``weight = dt`` on all nodes it is the
    integral of the squared error over time.
    """

    weight: float = eqx.field(default=1.0, static=True)
    at: Some = eqx.field(default=None, static=True)
    coordinates: Some = eqx.field(default=None, static=True)

    def __call__(self, shown: State, y: Array) -> Inexact[Array, ""]:
        error = self.predict(shown)
        _require_target("PathError", y, error.shape)
        error = error - y.astype(error.dtype)
        return 0.5 * self.weight * jnp.sum(error * error)

    def predict(self, shown: State) -> Array:
        path = shown[self.output]
        return path[_chosen("PathError: at", self.at, path, 0)][
            :, _chosen("PathError: coordinates", self.coordinates, path, 1)
        ]

    def blocks(self, path: Array, y: Array) -> Array:
        rows = np.zeros(path.shape)
        at = _chosen("PathError: at", self.at, path, 0)
        rows[np.ix_(at, _chosen("PathError: coordinates", self.coordinates, path, 1))] = self.weight
        return jax.vmap(jnp.diag)(jnp.asarray(rows, path.dtype))

    def curvature(self, beta: Array) -> Array:
        return beta * self.weight


class PathDensity(PathCost):
    """``sum_n density(q_n, y_n)`` for any function of one node and its target; ``y``: (nodes, ...). For
    complex nudges it must be holomorphic: ``q @ q`` rather than ``|q|^2``.

    Examples:
        >>> import jax.numpy as jnp
        >>> from eqprop import lagrangian as lg
        >>> cost = lg.PathDensity(lambda q, y: jnp.sum((q - y) ** 4))
        >>> float(cost({"path": jnp.array([[1.0], [2.0]])}, jnp.zeros((2, 1))))  # 1 + 16
        17.0
    """

    density: Callable[[Array, Array], Array] = eqx.field(static=True)

    def __call__(self, shown: State, y: Array) -> Inexact[Array, ""]:
        path = shown[self.output]
        _require_target("PathDensity", y, (len(path), *y.shape[1:]))
        return jnp.sum(jax.vmap(self.density)(path, y.astype(path.dtype)))

    def predict(self, shown: State) -> Array:
        return shown[self.output]

    def blocks(self, path: Array, y: Array) -> Array:
        holomorphic = jnp.iscomplexobj(path)
        y = y.astype(path.dtype)
        if holomorphic and not jnp.iscomplexobj(jax.eval_shape(self.density, path[0], y[0])):
            raise ValueError(
                "PathDensity: expected a density that is holomorphic for complex nudges, got one that is "
                "real there: write (q - y) @ (q - y) for |q - y|^2, or use a real contrast such as n_point."
            )
        curve = jax.hessian(self.density, holomorphic=holomorphic)
        return jax.vmap(curve)(path, y)

    def curvature(self, beta: Array) -> Array:
        raise ValueError("PathDensity: expected eqprop.lagrangian.Newton as the solver.")


class FourierError(PathCost):
    """``|a - y|^2 / 2`` in the amplitudes of a periodic path at chosen harmonics ``k`` of its period:

        a_k = 2/N sum_n q_n (cos, sin)(2 pi k n / N),   the mean for k = 0

    ``y``: (harmonics, 2, coordinates chosen). Raises ``ValueError`` for a harmonic that ``N`` nodes
    cannot tell from a lower one.

    Examples:
        >>> import jax.numpy as jnp
        >>> import numpy as np
        >>> from eqprop import lagrangian as lg
        >>> t = 2 * np.pi / 8 * np.arange(8)
        >>> path = {"path": jnp.asarray(3.0 + 2.0 * np.sin(t), "float32")[:, None]}
        >>> cost = lg.FourierError(harmonics=(0, 1))
        >>> np.abs(cost.predict(path)[..., 0]).round().tolist()  # (cos, sin) of harmonics 0 and 1
        [[3.0, 0.0], [0.0, 2.0]]
    """

    harmonics: tuple[int, ...] = eqx.field(static=True)
    coordinates: Some = eqx.field(default=None, static=True)

    def __call__(self, shown: State, y: Array) -> Inexact[Array, ""]:
        error = self.predict(shown)
        _require_target("FourierError", y, error.shape)
        error = error - y.astype(error.dtype)
        return 0.5 * jnp.sum(error * error)

    def predict(self, shown: State) -> Array:
        path = shown[self.output]
        waves = jnp.asarray(self._waves(len(path)), path.dtype)
        chosen = path[:, _chosen("FourierError: coordinates", self.coordinates, path, 1)]
        return jnp.einsum("hpn,nc->hpc", waves, chosen)

    def blocks(self, path: Array, y: Array) -> Array:
        return jnp.zeros((*path.shape, path.shape[1]), path.dtype)

    def features(self, path: Array) -> Array:
        waves = self._waves(len(path)).reshape(-1, len(path))
        chosen = _chosen("FourierError: coordinates", self.coordinates, path, 1)
        rows = np.einsum("wn,cs->wcns", waves, np.eye(path.shape[1])[chosen])
        return jnp.asarray(rows.reshape(-1, *path.shape), path.dtype)

    def curvature(self, beta: Array) -> Array:
        return 4.0 * beta

    def _waves(self, nodes: int) -> np.ndarray:
        harmonics = np.asarray(self.harmonics)
        if harmonics.size == 0 or harmonics.min() < 0 or 2 * harmonics.max() >= nodes:
            raise ValueError(
                f"FourierError: expected harmonics in 0 .. {(nodes - 1) // 2} for {nodes} nodes, got "
                f"{self.harmonics}; take more steps a period, or for coefficients of a HarmonicAction "
                "PathError(coordinates=...)."
            )
        angle = 2 * np.pi / nodes * harmonics[:, None] * np.arange(nodes)
        scale = np.where(harmonics == 0, 1.0, 2.0)[:, None, None] / nodes
        return scale * np.stack([np.cos(angle), np.sin(angle)], 1)


def _chosen(what: str, indices: Some, path: Array, axis: int) -> np.ndarray:
    size = path.shape[axis]
    if indices is None:
        return np.arange(size)
    found = np.asarray(indices)
    if found.dtype.kind not in "iu":
        raise ValueError(f"{what}: expected whole numbers, got {indices}.")
    if found.ndim != 1 or not found.size or found.min() < -size or found.max() >= size:
        raise ValueError(f"{what}: expected indices below {size}, or from -{size}, got {indices}.")
    return found % size


def _require_target(cost: str, y: Array, shape: tuple[int, ...]) -> None:
    if y.shape != shape:
        raise ValueError(
            f"{cost}: expected a target of shape {shape}, got {y.shape}; paths have the shape (nodes, "
            "size) of the unknown nodes, and batches one more leading axis."
        )
