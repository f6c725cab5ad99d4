"""The semiclassical statement: slopes of energy levels from orbits of quantised action, and what a nudge
tells of both.

    H = p^2 / 2 + k q^2 / 2 + a q^4 / 4,        int p dq = 2 pi hbar (n + 1/2)

A nudged stationary state answers by ``d<dH/dtheta>/dbeta = d<C>/dtheta``, and so does the orbit of the same
quantum number in the limit of large ``n`` (Massar, arXiv 2505.07363). The orbit's period is a parameter,
in a time of its own: ``dS/dT = -E``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from eqprop.lagrangian import Action, Newton, Periodic
from eqprop.papers.lagrangian import figures as own
from eqprop.papers.lagrangian.duffing import cheaply
from eqprop.papers.study import Asked, Study

STIFFNESS, HARDENING = 1.0, 0.3


class Level(NamedTuple):
    """An energy, and its derivatives ``<q^2> / 2`` and ``<q^4> / 4``."""

    energy: float
    stiffness: float
    hardening: float


@dataclass(frozen=True)
class Semiclassics(Study):
    """Levels of an anharmonic oscillator at ``hbar = 1``, by diagonalisation and by orbits."""

    levels: tuple[int, ...] = (0, 1, 2, 4, 8, 16, 32)
    steps: int = 1600
    """Of an orbit: the error of the discretisation lies below that of the limit."""
    beta: float = 1e-2
    """Of the symmetric nudge by ``C = q^2 / 2``."""

    def results(self, asked: Asked) -> dict[str, Any]:
        levels = self.levels[1:3] if asked.quick else self.levels
        with jax.enable_x64(True):
            rows = [self._row(level) for level in levels]
        lines = {label: _line(rows, key) for key, label in LABELS.items()}
        asked.save("levels", own.levels(lines))
        return {"beta": self.beta, "rows": rows, "lines": lines}

    def summary(self, found: Mapping[str, Any]) -> list[str]:
        return [_spoken(label, line) for label, line in found["lines"].items()]

    def _row(self, level: int) -> dict[str, Any]:
        found = {}
        for way, slopes in (("state", state), ("orbit", self._orbit)):
            here, above, below = (
                slopes(level, STIFFNESS + beta) for beta in (0.0, self.beta, -self.beta)
            )
            answer = (above.hardening - below.hardening) / (2 * self.beta)
            found[way] = here._asdict() | {"answer": answer}
        return {"level": level, **found}

    def _orbit(self, level: int, stiffness: float) -> Level:
        """The orbit whose loop is ``2 pi (n + 1/2)``: by bisection of its period, from the sine of that
        loop which balances the forces at its own frequency."""
        target, square = 2 * np.pi * (level + 0.5), 1.0
        for _ in range(60):
            square = target / np.pi / np.sqrt(stiffness + 0.75 * HARDENING * square)
        near = 2 * np.pi / np.sqrt(stiffness + 0.75 * HARDENING * square)
        wave = np.sin(2 * np.pi * np.arange(self.steps) / self.steps)[:, None]
        path, low, high = jnp.asarray(np.sqrt(square) * wave), 0.95 * near, 1.05 * near
        for _ in range(40):
            period = 0.5 * (low + high)
            path, loop, slopes = orbit(jnp.asarray([period, stiffness, HARDENING]), path)
            low, high = (period, high) if loop > target else (low, period)
        energy, *others = (float(slope) for slope in slopes)
        return Level(energy, *others)


def _spoken(label: str, line: Mapping[str, Any]) -> str:
    levels = ", ".join(map(str, line["level"]))
    errors = ", ".join(f"{error:.1e}" for error in line["error"])
    return f"{label}, orbit against state, n = {levels}: {errors}; order {line['order']:.2f}"


def _line(rows: Sequence[Mapping[str, Any]], key: str) -> dict[str, Any]:
    """Errors by level, and their order in ``n + 1/2``."""
    level = [row["level"] for row in rows]
    error = [abs(row["orbit"][key] / row["state"][key] - 1) for row in rows]
    order = float(np.polyfit(np.log(np.add(level, 0.5)), np.log(error), 1)[0])
    return {"level": level, "error": error, "order": order}


LABELS = {
    "energy": "E",
    "stiffness": "dE/dk = <q²>/2",
    "hardening": "dE/da = <q⁴>/4",
    "answer": "d<q²/2>/da, by nudging",
}


def stretched(q: Array, v: Array, params: PyTree, t: Array) -> Array:
    """The Lagrangian of one period as a unit of time; parameters ``(T, k, a)``."""
    period, k, a = params
    return 0.5 * (v @ v) / period - period * (0.5 * k * (q @ q) + 0.25 * a * jnp.sum(q**4))


@cheaply
def orbit(params: Array, guess: Array) -> tuple[Array, Array, Array]:
    """The orbit (steps, 1) near a guess, its ``int p dq``, and ``(E, dE/dk, dE/da)``."""
    period, steps = params[0], len(guess)
    pinned = Periodic(pin=(0, 0.0))
    action = Action(stretched, params, size=1, steps=steps, dt=1 / steps, boundary=pinned)
    x = jnp.zeros(1, guess.dtype)
    found, _ = Newton(1e-9).settle(action.clamp(x), {"path": guess})
    slopes = eqx.filter_grad(lambda action: action(found, x))(action).params
    path = found["path"]
    velocity = jnp.diff(path, axis=0, append=path[:1]) * steps / period
    loop = jnp.sum(velocity * velocity) * period / steps
    return path, loop, -slopes / jnp.stack([jnp.ones_like(period), period, period])


def state(level: int, stiffness: float, size: int = 300) -> Level:
    """The stationary state, in the basis of ``size`` states of the harmonic oscillator."""
    lower = np.diag(np.sqrt(np.arange(1, size)), 1)
    q = (lower + lower.T) / np.sqrt(2)
    kinetic = -((lower - lower.T) @ (lower - lower.T)) / 4
    q2, q4 = q @ q, q @ q @ q @ q
    values, vectors = np.linalg.eigh(kinetic + 0.5 * stiffness * q2 + 0.25 * HARDENING * q4)
    way = vectors[:, level]
    return Level(float(values[level]), float(0.5 * way @ q2 @ way), float(0.25 * way @ q4 @ way))
