"""Metropolis-adjusted dynamics, by BlackJAX: exact at any step size."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Count, Positive
from eqprop.energies.energy import Clamped
from eqprop.energies.units.unit import State
from eqprop.thermal.langevin import _require_numbers
from eqprop.thermal.sampler import ChainCarry, Sampler, log_density


class _Adjusted(eqx.Module):
    kernel: Any
    accepted: Array

    @property
    def state(self) -> State:
        return self.kernel.position


class Adjusted(Sampler):
    """A kernel of BlackJAX on the density over states; what would leave the domain is refused.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> phase = eq.Network(1, {"out": eq.Layer(1, eq.Linear())}, []).clamp(jnp.zeros(1))
        >>> kernel: eq.thermal.Adjusted = eq.thermal.Hmc(step_size=0.05, steps=20)
        >>> @jax.jit
        ... def accepted(key):  # the probability, of a step from z = 1 at T = 1
        ...     chain = kernel.init(phase, {"out": jnp.ones(1)}, key, 1.0)
        ...     return kernel.step(phase, chain, key, 1.0).accepted
        >>> round(float(accepted(jax.random.key(0))), 2)  # leapfrog keeps the energy
        1.0
    """

    step_size: eqx.AbstractVar[float]
    exact: ClassVar[bool] = True

    def check(self, phase: Clamped, state: State) -> None:
        super().check(phase, state)
        _require_numbers(self, phase)

    @abstractmethod
    def _algorithm(self, log_density: Any, temperature: Array | float, state: State) -> Any:
        """BlackJAX's sampling algorithm."""

    def _target(self, phase: Clamped, state: State, temperature: Array | float) -> Any:
        def density(state: State) -> Array:
            return log_density(phase, state, temperature)

        return self._algorithm(density, temperature, state)

    def init(
        self, phase: Clamped, state: State, key: PRNGKeyArray, temperature: Array | float
    ) -> ChainCarry:
        return _Adjusted(self._target(phase, state, temperature).init(state), jnp.ones(()))

    def step(
        self, phase: Clamped, carry: ChainCarry, key: PRNGKeyArray, temperature: Array | float
    ) -> ChainCarry:
        assert isinstance(carry, _Adjusted)
        algorithm = self._target(phase, carry.state, temperature)
        kernel, info = algorithm.step(key, carry.kernel)
        return _Adjusted(kernel, info.acceptance_rate.astype(jnp.result_type(float)))


class Mala(Adjusted):
    """Langevin's step of length ``step_size`` in time, accepted or refused (Roberts and Tweedie 1996)."""

    step_size: Positive = eqx.field(default=0.1, static=True)

    def _algorithm(self, log_density: Any, temperature: Array | float, state: State) -> Any:
        import blackjax

        return blackjax.mala(log_density, self.step_size * temperature)


class Hmc(Adjusted):
    """Hamiltonian Monte Carlo: ``steps`` leapfrog steps of ``step_size`` times ``sqrt(T)``, then a test."""

    step_size: Positive = eqx.field(default=0.2, static=True)
    steps: Count = eqx.field(default=10, static=True)

    def _algorithm(self, log_density: Any, temperature: Array | float, state: State) -> Any:
        import blackjax

        step = self.step_size * jnp.sqrt(temperature)
        return blackjax.hmc(log_density, step, _unit_mass(state), self.steps)


class Nuts(Adjusted):
    """The no-U-turn sampler (Hoffman and Gelman 2014): Hamiltonian paths of a length found on the way."""

    step_size: Positive = eqx.field(default=0.3, static=True)
    max_doublings: Count = eqx.field(default=8, static=True)

    def _algorithm(self, log_density: Any, temperature: Array | float, state: State) -> Any:
        import blackjax

        step = self.step_size * jnp.sqrt(temperature)
        return blackjax.nuts(
            log_density, step, _unit_mass(state), max_num_doublings=self.max_doublings
        )


def _unit_mass(state: State) -> Array:
    return jnp.ones(sum(z.size for z in state.values()), next(iter(state.values())).dtype)
