"""What of a phase's members enters the gradient: the draws, or means of the neurons' conditional laws.

The derivative of the energy in a coupling is ``-u_i u_j``. Where the neurons ``i`` of a block are
independent given all others, ``<C u_i u_j> = <C <u_i | rest> u_j>``: a mean in place of the draw leaves the
gradient what it is and lowers its variance (Rao 1945, Blackwell 1947; in Boltzmann machines, Hinton 2010,
"A practical guide to training restricted Boltzmann machines", section 3).
"""

from __future__ import annotations

from abc import abstractmethod

import jax
import jax.numpy as jnp
from jaxtyping import Array

from eqprop._arguments import Checked
from eqprop.energies.energy import curvature, field
from eqprop.energies.model import Nudged
from eqprop.energies.units.unit import State, embed
from eqprop.thermal.ensemble import Phases
from eqprop.thermal.gibbs import Gibbs


class EnsembleReading(Checked):
    """What of each member, (phases, batch, members, ...), enters the gradient."""

    @abstractmethod
    def __call__(self, phases: Phases, states: State, temperature: float) -> State:
        """States of the same shapes."""

    @abstractmethod
    def check(self, phase: Nudged, state: State) -> None:
        """Raise ``ValueError`` where a phase has nothing of the kind to read."""


class Draws(EnsembleReading):
    """The members as they are.

    Examples:
        >>> import equinox as eqx
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> layers = {"h": eq.Layer(1, eq.Spin()), "out": eq.Layer(1, eq.Spin())}
        >>> one = eq.ops.Dense(jnp.ones((1, 1)))
        >>> network = eq.Network(1, layers, [("x", "h", one), ("h", "out", one)])
        >>> model = eq.Model(network, eq.SquaredError())
        >>> states = {name: jnp.ones((1, 1, 1, 1)) for name in layers}  # one phase, example and chain
        >>> phases = eq.thermal.Phases(model, jnp.ones((1, 1)), jnp.ones((1, 1)), jnp.zeros(1))
        >>> float(eq.thermal.Draws()(phases, states, 2.0)["h"].sum())
        1.0
        >>> means = eqx.filter_jit(eq.thermal.ConditionalMeans())(phases, states, 2.0)
        >>> round(float(means["h"].sum()), 3)  # tanh((x + out) / T)
        0.762
    """

    def __call__(self, phases: Phases, states: State, temperature: float) -> State:
        return states

    def check(self, phase: Nudged, state: State) -> None:
        pass


class ConditionalMeans(EnsembleReading):
    """The members with one block, the largest that the cost does not see, at its mean given the others.

    Exact where Gibbs sampling is, and where parameters couple to what each neuron shows: in networks.
    """

    def __call__(self, phases: Phases, states: State, temperature: float) -> State:
        def averaged(beta: Array, x: Array, y: Array, state: State) -> State:
            phase = phases.model.nudged(x, y, beta)
            return state | _means(phase, state, temperature)

        return phases.each(averaged, states)

    def check(self, phase: Nudged, state: State) -> None:
        Gibbs().check(phase, state)
        if not _averaged(phase, state):
            raise ValueError(
                f"ConditionalMeans: expected a layer that the cost does not see, got only {list(state)}, "
                "all in the block of the output; use Draws."
            )
        jax.eval_shape(lambda: _means(phase, state, 1.0))


def _means(phase: Nudged, state: State, temperature: float) -> State:
    names = _averaged(phase, state)
    fields = field(phase, embed(phase.units, state), names)
    at = jnp.asarray(temperature, fields[names[0]].dtype)
    return {
        name: phase.units[name].mean(
            state[name], fields[name], curvature(phase, name, state[name]), at
        )
        for name in names
    }


def _averaged(phase: Nudged, state: State) -> tuple[str, ...]:
    hidden = [names for names in phase.blocks or () if phase.cost.output not in names]
    return max(hidden, key=lambda names: sum(state[n].size for n in names), default=())
