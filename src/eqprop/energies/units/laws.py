"""Exact draws from the laws of one neuron in a field: monotone in one uniform number where they can be,
so that two fields given the same key draw nearby numbers."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import log_ndtr, ndtr, ndtri
from jax.scipy.stats import norm
from jaxtyping import Array, PRNGKeyArray

from eqprop.energies.derivatives import stopped, without_derivative
from eqprop.energies.units.noise import uniform

Curve = Callable[[Array], Array]

Draw = tuple[PRNGKeyArray, Array, Array]
"""A key, the last proposal, and whether it was kept."""


def truncated_normal(
    key: PRNGKeyArray, mean: Array, scale: Array, low: float, high: float
) -> Array:
    """A Gaussian conditioned on ``[low, high]``, by the inverse of its distribution function.

    Worked out in the tail that the interval lies in, where that function keeps its relative precision;
    further out than it reaches, by the expansion ``S(x) = exp(-x^2 / 2) / x`` of the tail, whose error
    there is below 1e-4 of a standard deviation.
    """
    a, b, mirrored = _lower_tail(mean, scale, low, high)
    u = jnp.maximum(uniform(key, mean.shape, mean.dtype), 0.5 * jnp.finfo(mean.dtype).eps)
    u = jnp.where(mirrored, 1.0 - u, u)
    reach = jnp.sqrt(-2.0 * jnp.log(jnp.finfo(mean.dtype).tiny)) - 1.0
    near = b > -reach
    inner = ndtri(ndtr(a) + u * (ndtr(jnp.where(near, b, 0.0)) - ndtr(a)))
    nearest = jnp.where(near, reach, -b)
    width = jnp.exp(0.5 * (nearest - a) * (nearest + a))
    tail = -jnp.log1p(-(1.0 - u) * (1.0 - width))
    outer = jnp.sqrt(nearest * nearest + 2.0 * tail)
    outer = -jnp.sqrt(nearest * nearest + 2.0 * (tail - jnp.log(outer / nearest)))
    x = jnp.where(near, inner, outer)
    x = jnp.where(mirrored, -x, x)
    return jnp.clip(mean + scale * x, low, high)


def truncated_mean(mean: Array, scale: Array, low: float, high: float) -> Array:
    """The mean of `truncated_normal`: ``mean + scale (phi(a) - phi(b)) / (Phi(b) - Phi(a))`` between the
    scaled ends ``a`` and ``b``.

    By logarithms in the tail that the interval lies in; where these lose their precision, as the mean of a
    truncated exponential of rate ``r = |b| + 2 / |b|``, whose error is ``6 / |b|^5`` standard deviations.
    """
    a, b, mirrored = _lower_tail(mean, scale, low, high)
    reach = (12.0 / jnp.finfo(mean.dtype).eps) ** 0.125
    near = b > -reach
    inner_b = jnp.where(near, b, 0.0)
    whole = log_ndtr(inner_b)
    density = jnp.exp(norm.logpdf(a) - whole) - jnp.exp(norm.logpdf(inner_b) - whole)
    inner = density / -jnp.expm1(log_ndtr(a) - whole)
    distance = jnp.where(near, reach, -b)
    rate, width = distance + 2.0 / distance, b - a
    far = jnp.minimum(width, 80.0 / rate)
    outer = b - 1.0 / rate + far / jnp.expm1(far * rate)
    shift = jnp.where(near, inner, outer)
    return jnp.clip(mean + scale * jnp.where(mirrored, -shift, shift), low, high)


def _lower_tail(mean: Array, scale: Array, low: float, high: float) -> tuple[Array, Array, Array]:
    """The scaled ends, mirrored where needed so that ``a + b <= 0``, and whether they were."""
    first, last = (low - mean) / scale, (high - mean) / scale
    mirrored = first + last > 0
    return jnp.where(mirrored, -last, first), jnp.where(mirrored, -first, last), mirrored


def two_values(key: PRNGKeyArray, advantage: Array, low: float, high: float) -> Array:
    """``high`` with probability ``1 / (1 + exp(-advantage))``, else ``low``."""
    u = uniform(key, advantage.shape, advantage.dtype)
    up = u < jax.nn.sigmoid(stopped(advantage))
    drawn = jnp.where(up, high, low).astype(advantage.dtype)
    return without_derivative(advantage, drawn, JUMPS)


JUMPS = (
    "Spins: expected no derivative of the state of a spin, which answers its field in jumps, got one; take "
    "the value of eqprop.thermal.Thermal, whose derivative is that of a law's means."
)


def log_concave(
    key: PRNGKeyArray, log_density: Curve, slope: Curve, show: Curve, hide: Curve, mode: Array
) -> Array:
    """A draw from ``exp(log_density)``, concave in ``u = show(z)``; everything is a function of ``z``.

    Rejection under a roof of three pieces: flat at the mode's height, and a tangent on either side where
    the density has fallen by about ``e``. Right wherever the tangents lie; about two draws in three are
    kept. ``slope`` is the derivative in ``u``, ``hide`` the inverse of ``show``.
    """
    peak = log_density(mode)

    def fall(direction: float) -> Array:
        """Where the density is ``e`` below its peak, by bisection of a doubled bracket."""

        def widen(i: Array, reach: Array) -> Array:
            short = peak - log_density(mode + direction * reach) < 1.0
            return jnp.where(short, 2.0 * reach, reach)

        far = lax.fori_loop(0, 24, widen, jnp.full_like(mode, 1e-4))

        def halve(i: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            near, far = ends
            middle = 0.5 * (near + far)
            short = peak - log_density(mode + direction * middle) < 1.0
            return jnp.where(short, middle, near), jnp.where(short, far, middle)

        ends: tuple[Array, Array] = lax.fori_loop(0, 12, halve, (0.5 * far, far))
        return mode + direction * ends[0]

    left, right = fall(-1.0), fall(1.0)
    low, high = show(jnp.full_like(mode, -jnp.inf)), show(jnp.full_like(mode, jnp.inf))
    u_left, u_right = show(left), show(right)
    rise, drop = slope(left), -slope(right)
    height_left, height_right = log_density(left) - peak, log_density(right) - peak
    mass = jnp.stack(
        [
            jnp.exp(height_left) * -jnp.expm1(-rise * (u_left - low)) / rise,
            u_right - u_left,
            jnp.exp(height_right) * -jnp.expm1(-drop * (high - u_right)) / drop,
        ]
    )
    edges = jnp.cumsum(mass / jnp.sum(mass, 0), 0)

    def propose(key: PRNGKeyArray) -> tuple[Array, Array]:
        piece_key, place_key, keep_key = jax.random.split(key, 3)
        uniform = [
            jax.random.uniform(k, mode.shape, mode.dtype, minval=jnp.finfo(mode.dtype).tiny)
            for k in (piece_key, place_key, keep_key)
        ]
        piece, place, keep = uniform
        below = u_left + jnp.log1p(place * jnp.expm1(-rise * (u_left - low))) / rise
        above = u_right - jnp.log1p(place * jnp.expm1(-drop * (high - u_right))) / drop
        inside = u_left + place * (u_right - u_left)
        u = jnp.where(piece < edges[0], below, jnp.where(piece < edges[1], inside, above))
        roof = jnp.where(
            piece < edges[0],
            height_left + rise * (u - u_left),
            jnp.where(piece < edges[1], 0.0, height_right - drop * (u - u_right)),
        )
        z = hide(u)
        return z, jnp.log(keep) <= log_density(z) - peak - roof

    def unfinished(loop: Draw) -> Array:
        return jnp.any(~loop[2])

    def again(loop: Draw) -> Draw:
        key, z, done = loop
        key, draw = jax.random.split(key)
        proposal, kept = propose(draw)
        return key, jnp.where(done, z, proposal), done | kept

    start = key, mode, ~jnp.isfinite(mode)
    return lax.while_loop(unfinished, again, start)[1]
