"""Block minimisation: one group of uncoupled layers after another, each exactly."""

from __future__ import annotations

from typing import Annotated

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Bound, Count, NotNegative, younger
from eqprop.energies.energy import Blocks, Clamped, field, norm, relative
from eqprop.energies.units.unit import State, embed
from eqprop.solvers.solver import Info, Iterative


def sweep(
    phase: Clamped,
    state: State,
    blocks: Blocks | None = None,
    silent: frozenset[str] = frozenset(),
    damping: float = 0.0,
) -> tuple[State, Array]:
    """Minimise the energy over each block in turn, the others fixed; or go there but for the share
    ``damping`` of the way.

    Also returns the relative residual that each block had when its turn came. ``blocks`` are those of the
    energy unless given. Layers that are ``silent`` show zeros: until their turn comes nothing is
    multiplied with them.

    A layer whose block of the coupling is linear goes to ``retract(a)``, its exact minimiser. Where
    the coupling has a curvature ``q`` within the layer (a nudge, a lateral coupling) the step is still
    that of `Unit.minimise`: exact for a quadratic cost, and otherwise the minimiser of an upper bound.
    The energy never rises where operators are linear (dense, convolution, average pooling); `MaxPool`
    says what holds for it.
    """
    blocks = phase.blocks if blocks is None else blocks
    if blocks is None:
        raise ValueError(
            f"Block sweep: {type(phase).__name__} does not say which of its blocks can be minimised; "
            "expected an energy with `blocks`, such as a Network. Use GradientDescent or Flow."
        )
    if sorted(name for names in blocks for name in names) != sorted(state):
        raise ValueError(
            f"Block sweep: expected every layer in one group, those of {sorted(state)}, got {blocks}."
        )
    shown = embed(phase.units, {name: z for name, z in state.items() if name not in silent})
    missed: State = {}
    for names in blocks:
        shown = shown | embed(phase.units, {name: state[name] for name in names})
        fields = field(phase, shown, names)
        for name in names:
            unit, z, a = phase.units[name], state[name], fields[name]
            missed = missed | {name: unit.velocity(z, a)}
            q = jnp.asarray(phase.curvature(name), z.dtype)
            q = q.reshape(unit.read(z).shape) if q.ndim else q
            answer = unit.minimise(z, a, q)
            if damping:
                answer = unit.retract(answer + damping * (z - answer))
            state = state | {name: answer}
            shown = shown | {name: unit.embed(answer)}
    return state, relative(missed, state)


class _Sweep(eqx.Module):
    state: State
    residual: Array


class Blockwise(Iterative[_Sweep]):
    """Sweeps of exact block minimisation over the coloured layer graph. Each costs as much as one
    gradient step (Scellier et al. 2023, without the fixed number of sweeps).

    ``blocks``, unless None, are relaxed one after another in place of the colouring's. Where one holds
    coupled layers these move at once, the energy may rise, and nothing is known to converge. A ``damping``
    keeps so much of each old state, ``z <- damping z + (1 - damping) argmin E``, by which layers that move
    at once may settle where they would flip for ever.

    Examples:
        >>> import eqprop as eq
        >>> eq.Blockwise(1e-4).max_steps  # at most so many sweeps; exactly so many with a tolerance of None
        500
        >>> at_once = eq.Blockwise(None, 20, blocks=(("h1", "out"),), damping=0.5)
    """

    tolerance: float | None = eqx.field(default=1e-5, static=True)
    max_steps: Count = eqx.field(default=500, static=True)
    blocks: Blocks | None = eqx.field(default=None, static=True)
    damping: Annotated[NotNegative, Bound("<", 1)] = younger(0.0)

    def init(self, phase: Clamped, state: State) -> _Sweep:
        return _Sweep(state, jnp.asarray(jnp.inf, norm(state).dtype))

    def step(self, phase: Clamped, carry: _Sweep) -> _Sweep:
        return _Sweep(*sweep(phase, carry.state, self.blocks, damping=self.damping))

    def settle_from_rest(
        self, phase: Clamped, rest: State, key: PRNGKeyArray | None = None
    ) -> tuple[State, Info]:
        """With a first sweep of its own, where sweeps are counted: it does no product with layers that are
        still at rest, which is half of them."""
        if self.tolerance is not None:
            return self.settle(phase, rest, key)
        return self._settled(phase, rest, self._first)

    def _first(self, phase: Clamped, rest: State) -> tuple[int, _Sweep]:
        return 1, _Sweep(*sweep(phase, rest, self.blocks, phase.silent, self.damping))
