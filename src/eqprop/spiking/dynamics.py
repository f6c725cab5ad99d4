"""Spiking dynamics: leaky membranes that see nothing of each other but spikes.

    g_l = - d coupling / d s_l  at the neighbours' spikes,
    u_l <- (1 - leak) u_l + leak g_l,   p_l = sigma(u_l),   spikes_l ~ Bernoulli(p_l),

all layers at once. A network's coupling is linear in each neuron, so that the mean of ``g`` over
independent spikes is the field of their probabilities, and the mean membrane's fixed point is that of the
network's own energy: ``potential`` is ``p / 2 + (p log p + (1 - p) log(1 - p)) / 4`` of a `Logistic`,
``p^2 / 2`` of a `Box` and ``p^2`` of a `Ramp`. What the mean of ``sigma(u)`` misses is at most
``sup |sigma''| Var(u) / 2``, where ``Var(u_i)`` is about ``leak / (2 - leak) sum_j w_ij^2 p_j (1 - p_j)``,
over the population of neurons that share a membrane where there are several.

In the style of Lin, Jiang and Sengupta, "StochEP", arXiv 2511.11320; the leak, the order of
updates, the readings and what a nudge sees are choices of this package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, PRNGKeyArray, PyTree

from eqprop._arguments import Count
from eqprop.energies.energy import Clamped, field, relative
from eqprop.energies.model import Nudged
from eqprop.energies.ops import MaxPool
from eqprop.energies.units.noise import typed, uniform
from eqprop.energies.units.unit import State, Units, read
from eqprop.solvers import Info, Solver
from eqprop.solvers.solver import judge
from eqprop.spiking.firing import Drawn, Firing, check_units, numbers, probability
from eqprop.spiking.reading import Probabilities, Reading


class SpikingCarry(NamedTuple):
    """Where the dynamics of one example are: all that goes on from here.

    ``membrane`` ``u`` of every layer, and what each neuron knows of itself, ``own``: its probability, or
    the membrane of a graded layer; ``spikes``, booleans (of a population on a leading axis, or how many of
    it fired: `Spiking.neurons`), and ``memory`` of the firing rule, of layers that spike; ``total``, the
    sum of the reading so far; ``key`` and ``step``, which fix the draws to come.
    """

    membrane: State
    own: State
    spikes: State
    memory: State
    total: State
    key: PRNGKeyArray
    step: Array


Hook = Callable[[SpikingCarry], PyTree]


def no_hook(carry: SpikingCarry) -> None:
    """The hook of one who does not ask."""


class Spiking(Solver):
    """The module's dynamics for ``steps`` steps; what settles is what ``reading`` reads.

    ``leak`` lies in (0, 1]: small is slow and quiet, 1 has no memory. ``firing`` is one rule, or one for
    each layer by name. ``graded`` layers do not spike: they
    are leaky integrators whose neighbours see the membrane, such as a `Linear` output. The cost is part of
    its layer: its nudge is the exact slope at that layer's own probability (a membrane, where graded).
    The residual reported is that of the network's energy, the mean-field one, in what was read and shown.

    What was read is NaN where a membrane is not finite.

    Raises ``ValueError`` for a leak outside (0, 1], a reading longer than the phase, units without a
    firing probability, layers without a rule and rules without a layer, max pooling between layers,
    nudges where no energy describes the firing, and energies that are not networks.
    """

    noisy: ClassVar[bool] = True
    leak: float = eqx.field(default=0.3, static=True)
    steps: Count = eqx.field(default=100, static=True)
    reading: Reading = Probabilities(15)
    firing: Firing | dict[str, Firing] = Drawn()
    graded: tuple[str, ...] = eqx.field(default=(), static=True)

    def __check_init__(self):
        if not 0 < self.leak <= 1:
            raise ValueError(
                f"Spiking: expected a leak in (0, 1], got {self.leak}; 1 is memoryless, 0.2 to 0.5 usual."
            )
        if self.steps < self.reading.steps:
            raise ValueError(
                f"Spiking: expected a phase of at least the {self.reading.steps} steps that "
                f"{type(self.reading).__name__} reads, got steps={self.steps}; raise steps, or read fewer."
            )

    @property
    def rules(self) -> tuple[Firing, ...]:
        """All rules of firing."""
        return tuple(self.firing.values()) if isinstance(self.firing, dict) else (self.firing,)

    def rule(self, name: str) -> Firing:
        """How a layer fires."""
        if not isinstance(self.firing, dict):
            return self.firing
        if name not in self.firing:
            raise ValueError(
                f"Spiking: expected a rule of firing for layer {name!r}, got rules for "
                f"{list(self.firing)}; give one for each layer that spikes, or one for all."
            )
        return self.firing[name]

    def neurons(self, spikes: State) -> State:
        """Booleans, of a population on a leading axis: which neurons fired."""
        return {name: self.rule(name).neurons(fired) for name, fired in spikes.items()}

    def settle(
        self, phase: Clamped, state: State, key: PRNGKeyArray | None = None
    ) -> tuple[State, Info]:
        if key is None:
            raise ValueError("Spiking: expected a random key, got none; pass `key` to `relax`.")
        carry, _ = self.run(lambda _: phase, self.start(phase, state, key))
        return self.conclude(phase, carry)

    def start(self, phase: Clamped, state: State, key: PRNGKeyArray) -> SpikingCarry:
        """Membranes as the state's pre-activations, and spikes drawn from them."""
        self.check(phase)
        spiking = [name for name in state if name not in self.graded]
        silent = {name: jnp.zeros(state[name].shape, bool) for name in spiking}
        memory = {name: self.rule(name).rest(state[name]) for name in spiking}
        total = jax.tree.map(jnp.zeros_like, state)
        carry = SpikingCarry(
            state, state, silent, memory, total, typed(key), jnp.zeros((), jnp.int32)
        )
        return self._fire(phase.units, carry)

    def run(
        self, phases: Callable[[PRNGKeyArray], Clamped], carry: SpikingCarry, hook: Hook = no_hook
    ) -> tuple[SpikingCarry, Any]:
        """``steps`` steps, each in a landscape that may have draws of its own, and what ``hook`` makes of
        the carry after each, along a leading axis of time."""
        check_spikes(self.neurons(carry.spikes))

        def advance(carry: SpikingCarry, index: Array) -> tuple[SpikingCarry, Any]:
            noise = jax.random.fold_in(jax.random.fold_in(carry.key, 1), carry.step)
            phase = phases(noise)
            carry = self.step(phase, carry)
            counts = index >= self.steps - self.reading.steps
            total = {
                name: carry.total[name] + jnp.where(counts, value, 0.0)
                for name, value in self.measured(carry).items()
            }
            carry = carry._replace(total=total)
            return carry, hook(carry._replace(spikes=self.neurons(carry.spikes)))

        carry = carry._replace(total=jax.tree.map(jnp.zeros_like, carry.total))
        return lax.scan(advance, carry, jnp.arange(self.steps))

    def step(self, phase: Clamped, carry: SpikingCarry) -> SpikingCarry:
        """One step of all layers."""
        fields = self._currents(phase, carry)
        membrane = {
            name: (1.0 - self.leak) * u + self.leak * fields[name]
            for name, u in carry.membrane.items()
        }
        return self._fire(phase.units, carry._replace(membrane=membrane, step=carry.step + 1))

    def conclude(self, phase: Clamped, carry: SpikingCarry) -> tuple[State, Info]:
        """The state that shows what was read, and the report of it."""
        shown = self.read_out(carry)
        state = {name: phase.units[name].invert(u) for name, u in shown.items()}
        return state, judge(_residual(phase, shown), jnp.asarray(self.steps, jnp.int32), None)

    def read_out(self, carry: SpikingCarry) -> State:
        """What was read of every layer over the last phase, as its neighbours would see it. A spike is true
        or false whatever its membrane, so that one that is not finite is told apart here."""
        finite = jnp.stack([jnp.all(jnp.isfinite(u)) for u in carry.membrane.values()])
        shown = jax.tree.map(lambda total: total / self.reading.steps, carry.total)
        return jax.tree.map(lambda u: jnp.where(jnp.all(finite), u, jnp.nan), shown)

    def measured(self, carry: SpikingCarry) -> State:
        """What the reading takes of this step; of graded layers the membrane."""
        own = carry.own
        return own | {name: self.reading.of(u, own[name]) for name, u in self._shown(carry).items()}

    def _shown(self, carry: SpikingCarry) -> State:
        """The spikes of each layer as its neighbours see them."""
        return {
            name: numbers(spikes, carry.own[name], self.rule(name).population)
            for name, spikes in carry.spikes.items()
        }

    def check(self, phase: Clamped) -> None:
        """Raise ``ValueError`` for a landscape in which spikes do not mean what they should."""
        if phase.blocks is None:
            raise ValueError(
                f"Spiking: expected a Network, whose layers couple by products, got {type(phase).__name__}."
            )
        check_units(phase.units, self.graded)
        if isinstance(self.firing, dict) and (
            unknown := sorted(set(self.firing) - set(phase.units))
        ):
            raise ValueError(
                f"Spiking: expected rules of firing for layers among {list(phase.units)}, got some for "
                f"{unknown}."
            )
        if isinstance(phase, Nudged):
            self.require_energy()
        check_pooling(phase)

    def require_energy(self) -> None:
        """Raise ``ValueError`` for a rule that no energy describes, whose nudges teach nothing."""
        for rule in (rule for rule in self.rules if not rule.follows_energy):
            raise ValueError(
                f"Spiking: expected firing that follows an energy in nudged phases, got {rule}, whose "
                "hard reset forgets what drove the neuron; use Drawn, and with_soft_reset where a "
                "reset is wanted."
            )

    def _currents(self, phase: Clamped, carry: SpikingCarry) -> State:
        """The field of every layer: of its neighbours' spikes, and of a nudge at its own probability."""
        own = carry.own
        shown = own | self._shown(carry)
        base = phase.base if isinstance(phase, Nudged) else phase
        fields = field(base, shown, tuple(shown))
        if isinstance(phase, Nudged):
            output = phase.cost.output

            def nudge(u: Array) -> Array:
                return phase.beta * phase.cost(read(phase.units, own | {output: u}), phase.y)

            fields = fields | {output: fields[output] - jax.grad(nudge)(own[output])}
        return fields

    def _fire(self, units: Units, carry: SpikingCarry) -> SpikingCarry:
        """Spikes of all layers; one draw of numbers serves them all."""
        names = tuple(carry.spikes)
        sizes = [carry.membrane[name].size * self.rule(name).draws for name in names]
        total = sum(sizes)
        drawn = uniform(jax.random.fold_in(carry.key, carry.step), (total,))
        ends = np.cumsum(sizes)[:-1] if total else np.zeros(len(sizes) - 1, int)
        spikes, membrane, memory, own = {}, dict(carry.membrane), {}, dict(carry.membrane)
        for name, part in zip(names, jnp.split(drawn, ends), strict=True):
            u = carry.membrane[name]
            rule = self.rule(name)
            draws = part.reshape(-1, *u.shape) if rule.draws else jnp.zeros(())
            own[name] = probability(units[name], u)
            spikes[name], membrane[name], memory[name] = rule(
                draws.astype(u.dtype), own[name], u, carry.memory[name]
            )
        return carry._replace(membrane=membrane, own=own, spikes=spikes, memory=memory)


def check_spikes(spikes: State) -> None:
    """Raise ``ValueError`` for spikes that are not booleans."""
    for name, array in spikes.items():
        if array.dtype != jnp.bool_:
            raise ValueError(
                f"Spiking: spikes of layer {name!r} expected booleans, true where a neuron fired, got "
                f"{array.dtype}; a 0/1 array converts by `array == 1`."
            )


def check_pooling(where: PyTree) -> None:
    """Raise ``ValueError`` for max pooling."""

    def found(node: Any) -> bool:
        return isinstance(node, MaxPool)

    if any(found(leaf) for leaf in jax.tree.leaves(where, is_leaf=found)):
        raise ValueError(
            "Spiking: expected average pooling, got max pooling: a window's largest spike has not the "
            "mean of its largest probability, and feedback has no window of its own to go to; use "
            "ops.AveragePool."
        )


def _residual(phase: Clamped, shown: State) -> Array:
    """How far what is shown is from what it would answer, relative to it; saturated membranes, which show
    nothing of how far they are, do not count."""
    fields = field(phase, shown, tuple(shown))
    missed = {name: probability(phase.units[name], a) - shown[name] for name, a in fields.items()}
    return relative(missed, shown)
