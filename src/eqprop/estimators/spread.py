"""A random estimator's error, split into its bias and its variance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PRNGKeyArray, PyTree

from eqprop._arguments import Count, checked
from eqprop.energies.model import Model
from eqprop.energies.ops import cast
from eqprop.estimators.estimator import Estimate, Estimator

Sums = tuple[Array, Array, dict[str, Array]]
"""The mean of the gradients so far, and the sums of their squares about it and of their cosines."""


class Spread(NamedTuple):
    """Of repeated estimates ``g`` against a reference ``r``, all parameters together.

    ``cosine``: of one estimate, the mean, where an estimate of 0 counts 0; ``bias = |<g> - r| / |r|`` and
    ``deviation = sqrt(tr Var g) / |r|``, so that the mean squared relative error is ``bias^2 +
    deviation^2``; ``snr = |<g>| / sqrt(tr Var g)``. The noise of the mean is taken out of ``|<g> - r|^2``
    and ``|<g>|^2``, which are 0 where less.
    """

    cosine: float
    bias: float
    deviation: float
    snr: float


@checked
def spread(
    model: Model,
    x: Array,
    y: Array,
    estimator: Estimator | Callable[..., Estimate],
    references: Mapping[str, PyTree],
    key: PRNGKeyArray,
    repeats: Count = 16,
) -> tuple[dict[str, Spread], dict[str, float]]:
    """`Spread` of ``repeats`` estimates on one batch from rest, against each reference; and means of
    what they report. At least 2 repeats."""
    if repeats < 2:
        raise ValueError(f"spread: expected 2 repeats or more for a variance, got {repeats}.")
    flat = {name: ravel_pytree(cast(r, x.dtype))[0] for name, r in references.items()}
    found, seen = _spread(model, x, y, estimator, flat, jax.random.split(key, repeats))
    spreads = {name: Spread(*map(float, one)) for name, one in found.items()}
    return spreads, {name: float(value) for name, value in seen.items()}


@eqx.filter_jit
def _spread(
    model: Model,
    x: Array,
    y: Array,
    estimator: Callable[..., Estimate],
    references: PyTree,
    keys: Array,
) -> PyTree:
    count, parameters = len(keys), ravel_pytree(eqx.filter(model, eqx.is_inexact_array))[0]

    def once(sums: Sums, at: tuple[Array, PRNGKeyArray]) -> tuple[Sums, dict[str, Array]]:
        mean, squares, cosines = sums
        index, key = at
        estimate = estimator(model, x, y, model.rest(x), key)
        g = ravel_pytree(estimate.gradient)[0]
        moved = mean + (g - mean) / (index + 1)
        size = jnp.linalg.norm(g)
        ahead = g / jnp.where(size > 0, size, 1.0)
        cosines = {
            name: cosines[name] + ahead @ r / jnp.linalg.norm(r) for name, r in references.items()
        }
        return (moved, squares + (g - mean) @ (g - moved), cosines), estimate.report.metrics()

    zero = jnp.zeros((), parameters.dtype)
    start = jnp.zeros_like(parameters), zero, dict.fromkeys(references, zero)
    indices = jnp.arange(count, dtype=zero.dtype)
    (mean, squares, cosines), seen = lax.scan(once, start, (indices, keys))
    variance = squares / (count - 1)
    noise = jnp.sqrt(variance)

    def length(vector: Array) -> Array:
        return jnp.sqrt(jnp.maximum(vector @ vector - variance / count, 0.0))

    def against(name: str, reference: Array) -> tuple[Array, ...]:
        scale = jnp.linalg.norm(reference)
        return (
            cosines[name] / count,
            length(mean - reference) / scale,
            noise / scale,
            length(mean) / noise,
        )

    found = {name: against(name, reference) for name, reference in references.items()}
    return found, jax.tree.map(jnp.mean, seen)
