"""What every sampler is: a Markov kernel on the states of one landscape. One chain; the rest vmaps."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Checked, concrete
from eqprop.energies.energy import Clamped
from eqprop.energies.units.unit import State

T = TypeVar("T")


@runtime_checkable
class ChainCarry(Protocol):
    """What a chain hands on: its state, and the probability with which its last step was accepted."""

    @property
    def state(self) -> State: ...

    @property
    def accepted(self) -> Array: ...


class Link(eqx.Module):
    """The carry of a kernel that remembers nothing but its state, and accepts every step."""

    state: State

    @property
    def accepted(self) -> Array:
        return jnp.ones(())


class Sampler(Checked):
    """A kernel whose law tends to ``exp(-E / T) du``, ``u`` what the layers show.

    ``exact`` says whether it leaves that law as it is, or another one that is near for small steps.

    Examples:
        >>> from eqprop import thermal as th
        >>> near: list[th.Sampler] = [th.UnadjustedLangevin(), th.Underdamped(step_size=0.2)]
        >>> exact: list[th.Sampler] = [th.Mala(), th.Hmc(steps=10), th.Nuts(), th.Gibbs()]
        >>> [kernel.exact for kernel in near + exact]  # leaves exp(-E / T) as it is, at any step size
        [False, False, True, True, True, True]
    """

    exact: ClassVar[bool]

    def check(self, phase: Clamped, state: State) -> None:
        """Raise ``ValueError``, with its remedy, for a landscape that this kernel cannot sample."""
        if discrete := [name for name, unit in phase.units.items() if unit.discrete]:
            raise ValueError(
                f"{type(self).__name__}: expected layers whose energy has a gradient, but {discrete} are "
                "spins; use Gibbs on a Network, or Enumeration for a few of them, whatever the energy."
            )

    def init(
        self, phase: Clamped, state: State, key: PRNGKeyArray, temperature: Array | float
    ) -> ChainCarry:
        """The chain before its first step; unless a kernel remembers more, its state alone."""
        return Link(state)

    @abstractmethod
    def step(
        self, phase: Clamped, carry: ChainCarry, key: PRNGKeyArray, temperature: Array | float
    ) -> ChainCarry:
        """One step."""


def log_density(phase: Clamped, state: State, temperature: Array | float) -> Array:
    """``-E / T + log du/dz``, the logarithm of the density over states; ``-inf`` outside the domain.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> phase = eq.Network(1, {"out": eq.Layer(1, eq.Linear())}, []).clamp(jnp.zeros(1))
        >>> float(eq.thermal.log_density(phase, {"out": jnp.array([2.0])}, 0.5))  # -(2^2 / 2) / T
        -4.0
    """
    units = phase.units
    measure = sum(jnp.sum(units[name].log_measure(z)) for name, z in state.items())
    inside = [
        jnp.all(units[name].retract(z) == z) for name, z in state.items() if units[name].walled
    ]
    value = measure - phase(state) / temperature
    return jnp.where(jnp.all(jnp.array(inside)), value, -jnp.inf) if inside else value


def check_temperature(temperature: float) -> None:
    """Raise ``ValueError`` for a temperature at which nothing moves at random.

    Examples:
        >>> from eqprop.thermal import check_temperature
        >>> check_temperature(0.0)
        Traceback (most recent call last):
        ValueError: temperature: expected a finite number > 0, got 0.0; at T = 0 ...
    """
    if concrete(temperature) and not 0 < temperature < np.inf:
        raise ValueError(
            f"temperature: expected a finite number > 0, got {temperature}; at T = 0 a phase is a "
            "minimum: use a solver, such as Blockwise, with EquilibriumPropagation."
        )


def stand_in(tree: T) -> T:
    """The tree with random numbers for abstract values: what of its form does not depend on them can then
    be looked at while it is compiled. To be called, and used, under ``jax.ensure_compile_time_eval``.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from eqprop.thermal import stand_in
        >>> @jax.jit
        ... def doubled(weight):  # not known yet, but of a form that can be looked at
        ...     with jax.ensure_compile_time_eval():
        ...         print(stand_in(weight).shape, bool(jnp.any(stand_in(weight) != 0.0)))
        ...     return 2.0 * weight
        >>> doubled(jnp.zeros(3)).shape
        (3,) True
        (3,)
    """

    def number(leaf: Any) -> Any:
        if not isinstance(leaf, jax.core.Tracer):
            return leaf
        drawn = np.random.default_rng(leaf.size).normal(size=leaf.shape)
        return jnp.asarray(drawn, leaf.dtype)

    return jax.tree.map(number, tree)
