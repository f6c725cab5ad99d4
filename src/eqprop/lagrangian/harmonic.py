"""Harmonic balance: the action of a periodic path in its Fourier coefficients.

    q(t) = c_0 + sum_k c_k cos(2 pi k t / T) + s_k sin(2 pi k t / T)
    S    = T / N sum_j L(q(t_j), q'(t_j), t_j)

The error falls faster than any power of the number of harmonics. The unknowns are few and all coupled: one
block for Newton's method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, SupportsFloat, SupportsIndex

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from eqprop.energies.energy import Energy
from eqprop.energies.units.interval import Linear
from eqprop.energies.units.unit import Units
from eqprop.lagrangian.bordered import Bordered
from eqprop.lagrangian.stationary import (
    PATH,
    Extremal,
    as_function,
    require_drive,
    require_scalar,
    whole,
)


class HarmonicAction(Energy):
    """A driven Lagrangian on paths of a given ``period`` and ``harmonics``; functions and modules as for
    `Action`.

    The state is ``{"path": (1, (2 harmonics + 1) size)}``: ``c_0``, then ``c_1, s_1, c_2, ...``, each of
    ``size`` numbers. Costs are those of one node: `PathError` with ``coordinates`` among the
    coefficients, or any `PathDensity`. ``samples`` is ``N``, by default 6 a harmonic, enough for quartic
    potentials. Raises ``ValueError`` where ``N`` cannot tell the harmonics apart, and for a Lagrangian
    without a drive.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from eqprop import lagrangian as lg
        >>> def driven(q, v, params, t):  # q'' = -2 q + cos t
        ...     return 0.5 * v @ v - q @ q + jnp.sum(q) * jnp.cos(t)
        >>> action = lg.HarmonicAction(driven, size=1, harmonics=1, period=2 * jnp.pi)
        >>> phase: lg.ClampedHarmonics = action.clamp(jnp.zeros(1))
        >>> force = jax.jit(jax.grad(phase))({"path": jnp.array([[0.0, 1.0, 0.0]])})["path"]
        >>> bool(jnp.all(jnp.abs(force) < 1e-5))  # cos t is its answer: of amplitude 1 / (2 - 1)
        True
    """

    params: PyTree
    lagrangian: Callable[..., Array] = eqx.field(static=True)
    size: int = eqx.field(static=True)
    harmonics: int = eqx.field(static=True)
    period: float = eqx.field(static=True)
    samples: int = eqx.field(static=True)
    input_shape: tuple[int, ...] | None = eqx.field(static=True)

    def __init__(
        self,
        lagrangian: Callable[..., Array],
        params: PyTree = None,
        *,
        size: SupportsIndex,
        harmonics: SupportsIndex,
        period: SupportsFloat,
        samples: SupportsIndex | None = None,
    ):
        self.size, self.harmonics, self.period = whole(size), whole(harmonics), float(period)
        if not self.size >= 1 or not self.harmonics >= 1 or not 0 < self.period < np.inf:
            raise ValueError(
                f"HarmonicAction: expected size >= 1, harmonics >= 1 and period > 0, got size={size}, "
                f"harmonics={harmonics}, period={period}."
            )
        self.samples = 6 * self.harmonics + 2 if samples is None else whole(samples)
        if self.samples <= 2 * self.harmonics:
            raise ValueError(
                f"HarmonicAction: expected more than {2 * self.harmonics} samples for {harmonics} "
                f"harmonics, got {samples}."
            )
        self.lagrangian, self.params = as_function(lagrangian, params)
        self.input_shape = None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {PATH: (1, (2 * self.harmonics + 1) * self.size)}

    @property  # type: ignore[misc]
    def units(self) -> Units:  # type: ignore[override]
        return {PATH: Linear()}

    def clamp(self, x: Array) -> ClampedHarmonics:
        return ClampedHarmonics(self, x)

    def waves(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The functions of time that the coefficients multiply, and their derivatives: (times, 2
        harmonics + 1)."""
        rate = 2 * np.pi / self.period * np.repeat(np.arange(1, self.harmonics + 1), 2)
        turn = np.tile([0.0, -0.5 * np.pi], self.harmonics)
        angle = np.asarray(times)[:, None] * rate + turn
        one = np.ones((len(angle), 1))
        slope = np.concatenate([0.0 * one, -rate * np.sin(angle)], 1)
        return np.concatenate([one, np.cos(angle)], 1), slope

    def positions(self, path: Array, times: np.ndarray) -> Array:
        """The path of some coefficients at some times, (times, size)."""
        waves = jnp.asarray(self.waves(times)[0], path.dtype)
        return waves @ path.reshape(-1, self.size)


class ClampedHarmonics(Extremal):
    """The action of one example in its coefficients."""

    action: HarmonicAction
    x: Array

    def __init__(self, action: HarmonicAction, x: Array):
        self.action, self.x = action, x
        require_scalar(self, action.size)
        require_drive(self, action.size)

    @property  # type: ignore[misc]
    def units(self) -> Units:  # type: ignore[override]
        return self.action.units

    @property
    def period(self) -> float | None:
        return self.action.period

    @property
    def duration(self) -> float:
        return self.action.period

    @property
    def weight(self) -> float:
        return 0.5 * self.action.period

    def continuous(self, q: Array, v: Array, t: Array) -> Array:
        action = self.action
        return action.lagrangian(q, v, action.params, t.astype(q.dtype), self.x)

    def samples(self, path: Array) -> tuple[Array, Array, Array]:
        action = self.action
        times = action.period * np.arange(action.samples) / action.samples
        coefficients = path.reshape(-1, action.size)
        q, v = (jnp.asarray(part, path.dtype) @ coefficients for part in action.waves(times))
        return q, v, jnp.asarray(times, jnp.finfo(path.dtype).dtype)

    def total(self, path: Array) -> Array:
        density: Any = jax.vmap(self.continuous)(*self.samples(path))
        return self.action.period * jnp.mean(density)

    def scaled(self, fraction: Array) -> ClampedHarmonics:
        return ClampedHarmonics(self.action, self.x * fraction.astype(self.x.dtype))

    def hessian(self, path: Array) -> Bordered:
        curve = jax.hessian(self.total, holomorphic=jnp.iscomplexobj(path))(path)
        size = path.size
        return Bordered.chain(curve.reshape(1, size, size), jnp.zeros((0, size, size), path.dtype))
