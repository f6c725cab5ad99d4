"""The second variation of a phase: the bordered system of a path, nudged or not."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from eqprop.energies.energy import Clamped, norm
from eqprop.energies.model import Nudged
from eqprop.energies.units.unit import State
from eqprop.lagrangian.bordered import Bordered, Factor
from eqprop.lagrangian.costs import PathCost
from eqprop.lagrangian.stationary import PATH, Extremal


def action_of(phase: Clamped) -> Extremal:
    """The action of a phase, free or nudged. Raises ``TypeError`` for phases of other energies and for
    costs whose curvature along a path is not known."""
    base = phase.base if isinstance(phase, Nudged) else phase
    if not isinstance(base, Extremal):
        raise TypeError(
            "Newton: expected the phase of an eqprop.lagrangian.Action, got one of "
            f"{type(base).__name__}; other energies relax by eqprop.Blockwise, Momentum or "
            "GradientDescent."
        )
    if isinstance(phase, Nudged) and not isinstance(phase.cost, PathCost):
        raise TypeError(
            "Newton: expected a PathCost (PathError, PathDensity or FourierError) on the path, got "
            f"{type(phase.cost).__name__}."
        )
    return base


def second_variation(phase: Clamped, state: State) -> Bordered:
    """The Hessian of ``S + beta C`` in the unknown nodes.

    What of the cost is low in rank, ``beta U'U``, is a border of multipliers, scaled so that it stays
    finite at ``beta = 0``.
    """
    path = state[PATH]
    found = action_of(phase).hessian(path)
    if not isinstance(phase, Nudged):
        return found
    cost, beta = phase.cost, phase.beta
    assert isinstance(cost, PathCost)
    found = found.plus_blocks(beta * cost.blocks(path, phase.y))
    features = cost.features(path)
    if features is None:
        return found
    size = jnp.abs(beta)
    known = jnp.where(size > 0, beta, 1.0)
    turned = jnp.where(size > 0, size, 1.0).astype(path.dtype) / known
    count = len(features)
    surplus = jnp.where(jnp.real(known) > 0, count, 0)
    columns = jnp.sqrt(size).astype(path.dtype) * features
    return found.bordered_by(columns, -turned * jnp.eye(count, dtype=path.dtype), surplus)


def solve(factor: Factor, right: Array) -> Array:
    """The path that the eliminated system maps to the path ``right``."""
    inner, outer = _split(right, len(factor.pivots), len(factor.schur))
    return _join(right, factor.solve(inner, outer))


def softest(factor: Factor, scale: Array, path: Array, rounds: int) -> Array:
    """The size of the smallest eigenvalue of ``H / (scale scale')``, from above, by inverse iteration: near
    in as few as 3 rounds where it is far smaller than the others."""

    def sharpen(way: Array, _: None) -> tuple[Array, Array]:
        answer = scale * solve(factor, scale * way)
        size = norm({PATH: answer})
        return answer / size, 1.0 / size

    start = jax.random.normal(jax.random.key(0), path.shape, path.dtype)
    return lax.scan(sharpen, start / norm({PATH: start}), length=rounds)[1][-1]


def solve_refined(system: Bordered, right: Array) -> Array:
    """The same, with one step of iterative refinement."""
    factor = system.factor()
    inner, outer = _split(right, len(system.diagonal), system.ends)

    def refine(answer: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        there = system.times(*answer)
        more = factor.solve(inner - there[0], outer - there[1])
        return (answer[0] + more[0], answer[1] + more[1]), None

    start = jnp.zeros_like(inner), jnp.zeros_like(outer)
    return _join(right, lax.scan(refine, start, length=2)[0])


def _split(path: Array, count: int, ends: int) -> tuple[Array, Array]:
    """A path as the numbers in the chain and those in the border, multipliers zero."""
    ours = path[count:].reshape(-1)
    return path[:count], jnp.pad(ours, (0, ends - len(ours)))


def _join(like: Array, answer: tuple[Array, Array]) -> Array:
    chain, ends = answer
    after = len(like) - len(chain)
    ours = ends[: after * like.shape[1]].reshape(after, like.shape[1])
    return jnp.concatenate([chain, ours])
