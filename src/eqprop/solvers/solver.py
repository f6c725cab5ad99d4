"""What every solver is: landscape and state in, state and report out. One example; batches vmap."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Checked
from eqprop.energies.derivatives import CONSTANT, stopped, without_derivative
from eqprop.energies.energy import Clamped, residual
from eqprop.energies.units.unit import State

CONVERGED = 0
"""The outcome of an example whose relative residual is within the tolerance."""

STEPS_SPENT = 1
"""The outcome of an example that had no steps left before it was within the tolerance."""

DIVERGED = 2
"""The outcome of an example whose state or field is not finite."""

FIXED_STEPS = 3
"""The outcome of an example that was asked for a number of steps, and for no tolerance."""

OUTCOMES = {
    CONVERGED: "converged: the relative residual is within the tolerance",
    STEPS_SPENT: "not converged: the steps allowed were spent; raise max_steps, loosen the tolerance, "
    "or use an accelerated solver",
    DIVERGED: "diverged: the state or a field is not finite; look for inputs and parameters that are not "
    "(eqprop.estimators.health.not_finite names them), or use a smaller step, nudge or initial weights",
    FIXED_STEPS: "ran the fixed number of steps asked for (tolerance=None); judge by the residual",
}
"""Every outcome in words, with its remedy."""


class Info(eqx.Module):
    """How a relaxation ended; every field has the shape of the batch.

    ``residual`` is `eqprop.energies.energy.residual` of the returned state, ``steps`` the sweeps or steps
    taken, ``outcome`` a key of `OUTCOMES`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from eqprop.solvers import CONVERGED, DIVERGED, FIXED_STEPS, OUTCOMES, STEPS_SPENT, Info
        >>> ends = jnp.array([CONVERGED, CONVERGED, STEPS_SPENT, DIVERGED])
        >>> info = Info(jnp.array([1e-6, 1e-5, 0.1, jnp.nan]), jnp.array([7, 9, 50, 50]), ends)
        >>> float(info.converged), OUTCOMES[int(info.outcome[2])][:45]
        (0.5, 'not converged: the steps allowed were spent; ')
        >>> OUTCOMES[FIXED_STEPS]
        'ran the fixed number of steps asked for (tolerance=None); judge by the residual'
    """

    residual: Array
    steps: Array
    outcome: Array

    @property
    def converged(self) -> Array:
        """The fraction of examples within the tolerance."""
        return jnp.mean(self.outcome == CONVERGED)


class Rounding(NamedTuple):
    """Relaxation in fewer bits: by what, its unit roundoff (the largest relative error of a number that is
    rounded), and the solver in the model's own type."""

    kind: str
    unit: float
    solver: Any


class Solver(Checked):
    """How a landscape relaxes. Fields are hyper-parameters only.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> class Unmoved(eq.Solver):
        ...     def settle(self, phase, state, key=None):
        ...         missed, outcome = eq.energies.residual(phase, state), eq.solvers.FIXED_STEPS
        ...         return state, eq.solvers.Info(missed, jnp.array(0), jnp.array(outcome))
        >>> phase = eq.Network(1, {"u": eq.Layer(1, eq.Linear(), jnp.ones(1))}, []).clamp(jnp.zeros(1))
        >>> state, info = Unmoved().settle(phase, {"u": jnp.zeros(1)})
        >>> float(info.residual)  # the bias asks for u = 1
        1.0
    """

    noisy: ClassVar[bool] = False
    """Whether the state that it ends in is a draw, and no equilibrium."""
    watchful: ClassVar[bool] = False
    """Whether it says itself where a nudged phase left the branch of the free one."""

    @property
    def rounding(self) -> Rounding | None:
        """How states are rounded on the way; ``None`` where they keep their type."""
        return None

    @abstractmethod
    def settle(
        self, phase: Clamped, state: State, key: PRNGKeyArray | None = None
    ) -> tuple[State, Info]:
        """The equilibrium reached from ``state``; solvers without noise do not look at ``key``."""

    def settle_from_rest(
        self, phase: Clamped, rest: State, key: PRNGKeyArray | None = None
    ) -> tuple[State, Info]:
        """The same from the resting state, of which a solver may make use."""
        return self.settle(phase, rest, key)


@runtime_checkable
class Carry(Protocol):
    """What an iteration hands on: the state and its last relative change or residual."""

    state: State
    residual: Array


C = TypeVar("C", bound=Carry)

Loop = tuple[Array, C]
"""The steps taken, and what the last one handed on."""

Watched = tuple[Loop[C], Array, Array, Array]
"""A loop, the true residual at its end, its next target, and the steps before it."""


class Iterative(Solver, Generic[C]):
    """A solver that repeats one step: stopped by ``tolerance``, or unrolled by a reference.

    With ``tolerance=None`` exactly ``max_steps`` steps are taken.

    Examples:
        >>> from collections import namedtuple
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> Carry = namedtuple("Carry", "state residual")
        >>> class Halfway(eq.solvers.Iterative):  # to the answers of all layers, at once
        ...     tolerance, max_steps = 1e-5, 100
        ...     def init(self, phase, state):
        ...         return Carry(state, jnp.array(jnp.inf))
        ...     def step(self, phase, carry):
        ...         move = eq.energies.displacement(phase, carry.state)
        ...         state = {name: z + 0.5 * move[name] for name, z in carry.state.items()}
        ...         return Carry(state, eq.energies.residual(phase, carry.state))
        >>> phase = eq.Network(1, {"u": eq.Layer(1, eq.Linear(), jnp.ones(1))}, []).clamp(jnp.zeros(1))
        >>> Halfway().trace(phase, {"u": jnp.zeros(1)}, steps=3)[2].tolist()  # the residuals
        [1.0, 0.5, 0.25]
    """

    tolerance: eqx.AbstractVar[float | None]
    max_steps: eqx.AbstractVar[int]

    @abstractmethod
    def init(self, phase: Clamped, state: State) -> C:
        """The iteration before its first step; its residual is infinite or true."""

    @abstractmethod
    def step(self, phase: Clamped, carry: C) -> C:
        """One step."""

    def __check_init__(self) -> None:
        if self.max_steps < 1:
            raise ValueError(
                f"{type(self).__name__}: expected max_steps >= 1, got {self.max_steps}."
            )

    def settle(
        self, phase: Clamped, state: State, key: PRNGKeyArray | None = None
    ) -> tuple[State, Info]:
        return self._settled(phase, state, lambda phase, state: (0, self.init(phase, state)))

    def _settled(
        self, phase: Clamped, state: State, begin: Callable[[Clamped, State], tuple[int, C]]
    ) -> tuple[State, Info]:
        """After so many steps and what they handed on, by ``begin``."""
        check_tolerance(self.tolerance, state)
        given = phase, state
        phase, state = stopped(given)
        taken, carry = begin(phase, state)
        start = jnp.asarray(taken, jnp.int32), carry
        if self.tolerance is None:
            steps, carry = self._run(phase, start, None)
        else:
            steps, carry = self._until_settled(phase, start, self.tolerance)
        found = carry.state, report(phase, carry.state, steps, self.tolerance)
        return without_derivative(given, found, CONSTANT)

    def _run(self, phase: Clamped, start: Loop[C], target: Array | None) -> Loop[C]:
        """Steps until the iteration's own residual meets the target or the steps are spent."""

        def unsettled(loop: Loop[C]) -> Array:
            step, carry = loop
            running = step < self.max_steps
            return running if target is None else running & (carry.residual > target)

        def advance(loop: Loop[C]) -> Loop[C]:
            step, carry = loop
            return step + 1, self.step(phase, carry)

        return lax.while_loop(unsettled, advance, start)

    def _until_settled(self, phase: Clamped, start: Loop[C], tolerance: float) -> Loop[C]:
        """Go on with a sharper target while the true residual misses the tolerance.

        The iteration's own residual is what it meets on the way, free of charge; the true one costs a
        step, and is computed when the other is small. The target of a settled example is infinite, so
        that it waits at no cost for the rest of its batch.
        """

        def missed(loop: Watched[C]) -> Array:
            (step, _), true, _, before = loop
            return (step < self.max_steps) & (true > tolerance) & (step > before)

        def sharpen(loop: Watched[C]) -> Watched[C]:
            (before, carry), _, target, _ = loop
            step, carry = self._run(phase, (before, carry), target)
            true = residual(phase, carry.state)
            sharper = 0.5 * jnp.minimum(target, carry.residual)
            return (step, carry), true, jnp.where(true > tolerance, sharper, jnp.inf), before

        own = start[1].residual
        first = jnp.full_like(own, jnp.inf), jnp.full_like(own, tolerance)
        never = jnp.full_like(start[0], -1)
        return lax.while_loop(missed, sharpen, (start, *first, never))[0]

    def unroll(self, phase: Clamped, state: State, steps: int) -> State:
        """``steps`` steps that reverse mode can differentiate."""

        def advance(carry: C, _: None) -> tuple[C, None]:
            return self.step(phase, carry), None

        carry, _ = lax.scan(advance, self.init(phase, state), length=steps)
        return carry.state

    def trace(self, phase: Clamped, state: State, steps: int) -> tuple[State, Array, Array]:
        """``steps`` steps, with the energy and the residual before each: arrays of shape (steps,)."""

        def advance(carry: C, _: None) -> tuple[C, tuple[Array, Array]]:
            seen = jnp.real(phase(carry.state)), residual(phase, carry.state)
            return self.step(phase, carry), seen

        carry, (energies, residuals) = lax.scan(advance, self.init(phase, state), length=steps)
        return carry.state, energies, residuals


def report(phase: Clamped, state: State, steps: Array, tolerance: float | None) -> Info:
    """The true residual of the state returned, and what it means."""
    return judge(residual(phase, state), steps, tolerance)


def judge(value: Array, steps: Array, tolerance: float | None) -> Info:
    """What a residual means."""
    if tolerance is None:
        ended = jnp.full_like(steps, FIXED_STEPS)
    else:
        ended = jnp.where(value <= tolerance, CONVERGED, STEPS_SPENT)
    outcome = jnp.where(jnp.isfinite(value), ended, DIVERGED)
    return Info(value, steps, outcome.astype(jnp.int8))


def lost_unless(finite: Array, info: Info) -> Info:
    """The report; that of a divergence where something that the relaxation did not see is not finite.

    Examples:
        >>> import jax.numpy as jnp
        >>> from eqprop.solvers import CONVERGED, DIVERGED, Info, lost_unless
        >>> info = Info(jnp.zeros(2), jnp.full(2, 7), jnp.full(2, CONVERGED))
        >>> lost_unless(jnp.array([True, False]), info).outcome.tolist() == [CONVERGED, DIVERGED]
        True
    """
    residual = jnp.where(finite, info.residual, jnp.nan)
    outcome = jnp.where(finite, info.outcome, DIVERGED).astype(info.outcome.dtype)
    return Info(residual, info.steps, outcome)


def check_tolerance(tolerance: float | None, state: State) -> None:
    """Raise ``ValueError`` for a tolerance that the state's float type cannot resolve.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> eq.solvers.check_tolerance(1e-9, {"u": jnp.zeros(3)})
        Traceback (most recent call last):
        ValueError: Solver: expected a tolerance of at least 4.8e-07 for float32, got 1e-09; ...
    """
    dtype = jnp.result_type(*jax.tree.leaves(state))
    floor = 4 * float(jnp.finfo(dtype).eps)
    if tolerance is not None and not floor <= tolerance < np.inf:
        raise ValueError(
            f"Solver: expected a tolerance of at least {floor:.1e} for {dtype}, got {tolerance}; "
            "loosen it, or use float64 (jax.config.update('jax_enable_x64', True))."
        )
