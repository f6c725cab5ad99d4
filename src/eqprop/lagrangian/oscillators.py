"""Layers of oscillators for sequences, whose gradients are echoes: constant memory in the length of a
sequence.

Pourcel and Ernoult, NeurIPS 2025; the nonlinear unit is that of Rusch and Mishra, ICML 2021.
"""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Inexact, PRNGKeyArray

from eqprop._arguments import Count, NotNegative, checked
from eqprop.energies.ops import uniform_weights
from eqprop.lagrangian.echo import evolve
from eqprop.lagrangian.hamiltonian import Hamiltonian, PhasePoint

Passage = Callable[..., tuple[PhasePoint, Array]]


class Oscillators(Hamiltonian):
    """A layer: inputs (steps, ..., features) to positions (steps, ..., size), from rest.

    Batch axes lie between time and features, and the time step is 1. The rate ``r`` scales the energy of
    each oscillator, and so its speed: slow ones remember longer, and fast nonlinear ones are chaotic under
    long inputs. ``passage`` says how the layer is differentiated: `evolve` by its echo, `unroll` by a tape.

    Examples:
        >>> import equinox as eqx
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from eqprop import lagrangian as lg
        >>> layer: lg.Oscillators = lg.NonlinearOscillators.init(jax.random.key(0), features=3, size=4)
        >>> eqx.filter_jit(layer)(jnp.ones((5, 2, 3))).shape  # 5 steps of a batch of 2
        (5, 2, 4)
    """

    weight: Inexact[Array, "size features"]
    log_rate: Inexact[Array, " size"]
    log_stiffness: Inexact[Array, " size"]
    damping: float = eqx.field(static=True)
    passage: Passage = eqx.field(static=True)

    def inverse_mass(self) -> Array:
        return jnp.exp(self.log_rate)

    def run(self, inputs: Inexact[Array, "steps ... features"]) -> tuple[PhasePoint, Array]:
        """The last positions and momenta, and the positions after every step."""
        if inputs.ndim < 2 or inputs.shape[-1] != self.weight.shape[1]:
            raise ValueError(
                f"{type(self).__name__}: expected inputs of shape (steps, ..., {self.weight.shape[1]}), "
                f"got {inputs.shape}; time comes first and batch axes between."
            )
        rest = jnp.zeros((*inputs.shape[1:-1], len(self.weight)), inputs.dtype)
        return self.passage(self, (rest, rest), inputs, 1.0, self.damping)

    def __call__(self, inputs: Inexact[Array, "steps ... features"]) -> Array:
        return self.run(inputs)[1]

    def last(self, inputs: Inexact[Array, "steps ... features"]) -> Array:
        """The positions after the last step, (..., size), without those before."""
        return self.run(inputs)[0][0]


class LinearOscillators(Oscillators):
    """``H = sum_i r_i (p_i^2 / 2 + A_i q_i^2 / 2 - q_i (B u)_i)`` with ``A = exp(log_stiffness) > 0``.

    Examples:
        >>> import jax
        >>> from eqprop import lagrangian as lg
        >>> layer = lg.LinearOscillators.init(jax.random.key(0), features=1, size=3, rates=(0.01, 1.0))
        >>> [round(float(rate), 2) for rate in layer.inverse_mass()]
        [0.01, 0.1, 1.0]
    """

    @classmethod
    @checked
    def init(
        cls,
        key: PRNGKeyArray,
        features: Count,
        size: Count,
        rates: tuple[float, float] = (0.01, 0.2),
        damping: NotNegative = 0.0,
        passage: Passage = evolve,
    ) -> LinearOscillators:
        """Stiffness 1, and rates per step spread evenly in their logarithm."""
        weight, log_rate = _initial(key, features, size, rates)
        return cls(weight, log_rate, jnp.zeros(size), damping, passage)

    def fastest(self, q: Array, u: Array) -> Array:
        return jnp.max(jnp.exp(2.0 * self.log_rate + self.log_stiffness))

    def potential(self, q: Array, u: Array) -> Array:
        stored = 0.5 * jnp.exp(self.log_stiffness) * q * q - q * (u @ self.weight.T)
        return jnp.sum(jnp.exp(self.log_rate) * stored)


class NonlinearOscillators(Oscillators):
    """``H = sum_i r_i (p_i^2 / 2 + alpha q_i^2 / 2 + log cosh(A_i q_i + (B u)_i + b_i) / A_i)``: the
    force is ``-alpha q - tanh(A q + B u + b)``."""

    bias: Inexact[Array, " size"]
    alpha: float = eqx.field(static=True)

    @classmethod
    @checked
    def init(
        cls,
        key: PRNGKeyArray,
        features: Count,
        size: Count,
        rates: tuple[float, float] = (0.01, 0.2),
        alpha: float = 1.0,
        damping: NotNegative = 0.0,
        passage: Passage = evolve,
    ) -> NonlinearOscillators:
        """``A = 1``, ``b = 0``, and rates per step spread evenly in their logarithm."""
        weight, log_rate = _initial(key, features, size, rates)
        zero = jnp.zeros(size)
        return cls(weight, log_rate, zero, damping, passage, zero, alpha)

    def fastest(self, q: Array, u: Array) -> Array:
        return self.alpha * jnp.max(jnp.exp(2.0 * self.log_rate))

    def potential(self, q: Array, u: Array) -> Array:
        slope = jnp.exp(self.log_stiffness)
        answer = _log_cosh(slope * q + u @ self.weight.T + self.bias) / slope
        return jnp.sum(jnp.exp(self.log_rate) * (0.5 * self.alpha * q * q + answer))


def _initial(
    key: PRNGKeyArray, features: int, size: int, rates: tuple[float, float]
) -> tuple[Array, Array]:
    slow, fast = rates
    if not 0 < slow <= fast < 2:
        raise ValueError(
            f"Oscillators: expected rates 0 < slow <= fast < 2 per step, got {rates}: leapfrog is "
            "unstable where a rate times the root of the stiffness reaches 2."
        )
    weight = uniform_weights(key, (size, features), features, 1.0)
    return weight, jnp.linspace(jnp.log(slow), jnp.log(fast), size)


def _log_cosh(z: Array) -> Array:
    size = jnp.abs(z)
    return size + jnp.log1p(jnp.exp(-2.0 * size)) - jnp.log(2.0)
