"""What comes back from a device that has settled: ``read_out(units, state, key) -> state``, one example.

Read-outs are pure and compose; `EquilibriumPropagation` takes one, applies it to the free state, which
then starts the nudged phases, and to the nudged states.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Checked, NotNegative
from eqprop.energies.units.interval import Box
from eqprop.energies.units.oscillator import Oscillator, from_phases, phases, turned
from eqprop.energies.units.unit import State, Unit, Units
from eqprop.hardware.faults import bare
from eqprop.hardware.grid import check_bits, to_circle, to_grid


class ReadOut(Checked):
    """``state -> state``, as it is read.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> class Offset(eq.hardware.ReadOut):
        ...     def __call__(self, units, state, key):
        ...         return {name: units[name].retract(z + 0.25) for name, z in state.items()}
        >>> read = Offset().then(Offset())
        >>> read({"h": eq.Box(0.0, 1.0)}, {"h": jnp.array([0.0, 0.75])}, jax.random.key(0))["h"].tolist()
        [0.5, 1.0]
    """

    @abstractmethod
    def __call__(self, units: Units, state: State, key: PRNGKeyArray) -> State: ...

    def then(self, after: ReadOut) -> ReadOut:
        """This read-out followed by another."""
        return InTurn((self, after))


class InTurn(ReadOut):
    """One read-out after another."""

    stages: tuple[ReadOut, ...]

    def __call__(self, units: Units, state: State, key: PRNGKeyArray) -> State:
        for i, stage in enumerate(self.stages):
            state = stage(units, state, jax.random.fold_in(key, i))
        return state


class ReadBits(ReadOut):
    """``2^bits`` levels: of the phase of an oscillator, of the interval of a box."""

    bits: int = eqx.field(static=True)

    def __check_init__(self):
        check_bits("ReadBits", self.bits)

    def __call__(self, units: Units, state: State, key: PRNGKeyArray) -> State:
        return {name: self._read(name, bare(units[name]), z) for name, z in state.items()}

    def _read(self, name: str, unit: Unit, z: Array) -> Array:
        if isinstance(unit, Oscillator):
            return from_phases(to_circle(phases(z), self.bits))
        if isinstance(unit, Box) and math.isfinite(unit.low) and math.isfinite(unit.high):
            return to_grid(z, self.bits, unit.low, unit.high)
        raise ValueError(
            f"ReadBits: layer {name!r} expected oscillators or an interval with two ends, which levels can "
            f"divide, got {unit}."
        )


class ReadNoise(ReadOut):
    """A Gaussian error of standard deviation ``sigma`` (radians of a phase), inside the domain.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import numpy as np
        >>> import eqprop as eq
        >>> units, state = {"h": eq.Linear()}, {"h": jnp.zeros(1000)}
        >>> read = eq.hardware.ReadNoise(0.1)(units, state, jax.random.key(0))
        >>> round(float(np.std(read["h"])), 1)
        0.1
    """

    sigma: NotNegative = eqx.field(static=True)

    def __call__(self, units: Units, state: State, key: PRNGKeyArray) -> State:
        keys = jax.random.split(key, len(state))
        return {
            name: self._read(bare(units[name]), z, k)
            for (name, z), k in zip(state.items(), keys, strict=True)
        }

    def _read(self, unit: Unit, z: Array, key: PRNGKeyArray) -> Array:
        noise = self.sigma * jax.random.normal(key, unit.read(z).shape, z.dtype)
        if isinstance(unit, Oscillator):
            return jnp.cos(noise) * z + jnp.sin(noise) * turned(z)
        return unit.reflect(z + noise)
