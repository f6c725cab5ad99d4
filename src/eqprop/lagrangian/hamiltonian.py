"""Separable Hamiltonian systems and their leapfrog, with damping in proportion to the momenta."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from eqprop._arguments import Checked, checked

PhasePoint = tuple[Array, Array]

T = TypeVar("T")

ROUNDS = 12


class Hamiltonian(Checked):
    """``H = sum_i r_i p_i^2 / 2 + V(q, u)``, its array leaves the parameters. ``q`` and ``p``: (...,
    size); energies are sums over the leading axes.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from eqprop import lagrangian as lg
        >>> class Spring(lg.Hamiltonian):
        ...     stiffness: jax.Array
        ...     def potential(self, q, u):
        ...         return jnp.sum(0.5 * self.stiffness * q * q - u * q)
        >>> float(Spring(jnp.array(2.0)).potential(jnp.array([3.0]), jnp.array([1.0])))  # 9 - 3
        6.0
    """

    @abstractmethod
    def potential(self, q: Array, u: Array) -> Array:
        """``V`` with the input ``u`` of one step, summed over the leading axes of ``q``: a scalar."""

    def inverse_mass(self) -> Array | float:
        """``r``, which broadcasts to (size,)."""
        return 1.0

    def fastest(self, q: Array, u: Array) -> Array:
        """``omega^2`` of the fastest frequency at ``q``, or a bound of it from below: here by power
        iteration on ``r^(1/2) d2V/dq2 r^(1/2)``."""
        root = jnp.sqrt(jnp.broadcast_to(self.inverse_mass(), q.shape)).astype(q.dtype)

        def bend(way: Array) -> Array:
            slope = jax.grad(lambda at: self.potential(at, u))
            return root * jax.jvp(slope, (q,), (root * way,))[1]

        def sharpen(way: Array, _: None) -> tuple[Array, None]:
            bent = bend(way)
            return bent / (jnp.linalg.norm(bent) + jnp.finfo(q.dtype).tiny), None

        start = jax.random.normal(jax.random.key(0), q.shape, q.dtype)
        way, _ = lax.scan(sharpen, start / jnp.linalg.norm(start), length=ROUNDS)
        return jnp.sum(way * bend(way))


@checked
def unroll(
    hamiltonian: Hamiltonian,
    start: PhasePoint,
    inputs: Array,
    dt: float,
    damping: float | Array = 0.0,
) -> tuple[PhasePoint, Array]:
    """The end ``(q, p)`` and the positions after every step, (steps, ..., size), for inputs (steps, ...),
    by

        q += dt/2 r p,  p *= a,  p -= dt dV/dq(q, u_n),  p *= a,  q += dt/2 r p,    a = e^(-damping dt / 2)

    Differentiated as any program: by a tape that grows with the number of steps. Raises ``ValueError`` for
    damping other than one number, and at run time where the path is not finite.
    """
    a = math.exp(-0.5 * check(start, inputs, dt, damping) * dt)
    learnt = jax.tree.leaves(eqx.filter((hamiltonian, inputs), eqx.is_inexact_array))
    wanted = jnp.result_type(start[0], *learnt)
    if wanted != start[0].dtype or wanted != start[1].dtype:
        raise ValueError(
            f"start: expected the precision of the parameters and inputs, {wanted}, got "
            f"{start[0].dtype} and {start[1].dtype}; cast it."
        )

    def step(z: PhasePoint, u: Array) -> tuple[PhasePoint, Array]:
        q, p = z
        q = q + 0.5 * dt * hamiltonian.inverse_mass() * p
        p = a * (a * p - dt * jax.grad(hamiltonian.potential)(q, u))
        q = q + 0.5 * dt * hamiltonian.inverse_mass() * p
        return (q, p), q

    (q, p), positions = lax.scan(step, start, inputs)
    faults = [(~jnp.all(jnp.isfinite(q)), UNBOUNDED)]
    if len(inputs):
        still = lax.stop_gradient(eqx.filter((hamiltonian, q, inputs[-1]), eqx.is_array))
        frozen, at, u = eqx.combine(still, (hamiltonian, q, inputs[-1]))
        faults.insert(0, (dt * dt * frozen.fastest(at, u) >= 4.0, TOO_LONG))
    (q, p), positions = unless(((q, p), positions), faults)
    return (q, p), positions


def unless(tree: T, faults: Sequence[tuple[Array, str]]) -> T:
    """``tree``, of which any part that is asked for raises where there is a fault: each adds a zero that
    is checked, so that the others need not be kept."""
    zero = jnp.zeros(())
    for fault, message in faults:
        zero = eqx.error_if(zero, fault, message)
    return jax.tree.map(lambda part: part + zero.astype(part.dtype), tree)


TOO_LONG = (
    "dt: expected a time step within the limit of stability, omega dt < 2 for the fastest frequency "
    "where the path ends, got a longer one; take a smaller dt or, of a layer of oscillators, smaller rates "
    "or a smaller learning rate for them."
)

UNBOUNDED = (
    "path: expected a finite one, got one that grew without bound, or starts, inputs or parameters that "
    "are not finite; take a smaller time step dt (leapfrog needs omega dt < 2 for the fastest frequency), "
    "or a potential that confines."
)


def check(start: PhasePoint, inputs: Array, dt: float, damping: float | Array) -> float:
    """The damping, unless something is wrong with the arguments."""
    if not isinstance(damping, (int, float, np.floating)) or not damping >= 0:
        raise ValueError(
            "damping: expected one Python number >= 0 for all momenta, fixed and not learnt, "
            f"got {damping!r}. Damping in proportion to the momenta is the only one that a gain undoes "
            "exactly; for damping of another form, nonlinear, learnt or different between coordinates, "
            "use doubled variables with a given start (eqprop.lagrangian.doubled, InitialValue)."
        )
    if not dt > 0:
        raise ValueError(f"dt: expected a time step > 0, got {dt}.")
    if start[0].shape != start[1].shape or inputs.ndim < 1:
        raise ValueError(
            "start: expected positions and momenta of one shape (..., size), and inputs (steps, ...), got "
            f"{start[0].shape}, {start[1].shape} and {inputs.shape}."
        )
    return float(damping)
