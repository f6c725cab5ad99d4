"""How an input enters a spiking network: as it is, or as spikes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Checked
from eqprop.energies.energy import Clamped
from eqprop.energies.units.noise import uniform

Clamp = Callable[[Array], Clamped]


class Coding(Checked):
    """From ``x`` of one example to what the network sees of it in each step.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> from eqprop.spiking import Analog, BernoulliCoded, Coding
        >>> class Half(Coding):
        ...     def phases(self, clamp, x):
        ...         return Analog().phases(clamp, 0.5 * x)
        >>> edges = [("x", "out", eq.ops.Dense(jnp.eye(2)))]
        >>> clamp = eq.Network(2, {"out": eq.Layer(2, eq.Logistic())}, edges).clamp
        >>> for coding in (Half(), BernoulliCoded()):  # what the layer sees in a step
        ...     step = jax.jit(lambda x, key: coding.phases(clamp, x)(key).drive["out"])
        ...     print(step(jnp.array([0.0, 1.0]), jax.random.key(0)))
        [0.  0.5]
        [0. 1.]
    """

    @abstractmethod
    def phases(self, clamp: Clamp, x: Array) -> Callable[[PRNGKeyArray], Clamped]:
        """The landscape of a step, given the step's key."""


class Analog(Coding):
    """Constant currents, computed once."""

    def phases(self, clamp: Clamp, x: Array) -> Callable[[PRNGKeyArray], Clamped]:
        phase = clamp(x)
        return lambda key: phase


class BernoulliCoded(Coding):
    """A spike of each input with probability ``x`` in each step; values outside [0, 1] raise.

    The learning rule takes an input's probability ``x`` itself.
    """

    def phases(self, clamp: Clamp, x: Array) -> Callable[[PRNGKeyArray], Clamped]:
        x = eqx.error_if(
            x,
            jnp.any(~((x >= 0) & (x <= 1))),
            "BernoulliCoded: expected inputs in [0, 1], which are firing probabilities, got a negative "
            "one or one above 1; rescale the data, or use Analog.",
        )

        def phase(key: PRNGKeyArray) -> Clamped:
            return clamp((uniform(key, x.shape, x.dtype) < x).astype(x.dtype))

        return phase
