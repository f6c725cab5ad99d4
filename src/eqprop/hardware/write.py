"""How a device takes an update: transforms for the end of an Optax chain, that need the parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray, PyTree

from eqprop.hardware.grid import Ranges, check_bits, check_limit, ranges, to_grid
from eqprop.names import parameter_names


class Draws(NamedTuple):
    """The random numbers still to come, as the key's plain numbers, which checkpoints keep."""

    key: Array


def clipped(limit: float) -> optax.GradientTransformation:
    """No write goes beyond ``[-limit, limit]``."""
    check_limit("clipped", limit)
    return optax.stateless(
        lambda updates, params: jax.tree.map(
            lambda u, p: jnp.clip(p + u, -limit, limit) - p, updates, params
        )
    )


def on_grid(
    bits: int, limit: float | Ranges, key: PRNGKeyArray | None = None
) -> optax.GradientTransformation:
    """No master copy: what is written is the nearest of ``2^bits`` levels in ``[-limit, limit]``, so that
    an update below half a step is lost. With a key, rounding is stochastic and loses nothing on average."""
    check_bits("on_grid", bits)
    check_limit("on_grid", limit)
    limits = ranges(limit)

    def written(name: str, u: Array, p: Array, draw: PRNGKeyArray | None = None) -> Array:
        return to_grid(p + u, bits, -limits(name), limits(name), draw) - p

    def named(params: PyTree) -> PyTree:
        names = parameter_names(params)
        limits.check(names)
        return names

    if key is None:
        return optax.stateless(
            lambda updates, params: jax.tree.map(written, named(params), updates, params)
        )
    return _with_draws(written, key, named)


def pulsed(
    pulse: float, limit: float, key: PRNGKeyArray, spread: float = 0.0
) -> optax.GradientTransformation:
    """Whole pulses of size ``pulse``, fewer the nearer the limit: a write of ``n`` pulses changes ``w`` by
    ``n pulse (1 - sign(n) w / limit)`` (soft bounds), times ``1 + spread N(0, 1)``.

    The number of pulses is rounded stochastically, so that small updates count on average.
    """
    check_limit("pulsed", limit)
    if not pulse > 0 or not spread >= 0:
        raise ValueError(f"pulsed: expected pulse > 0 and spread >= 0, got {pulse} and {spread}.")

    def write(name: str, update: Array, value: Array, draw: PRNGKeyArray) -> Array:
        dither, blur = jax.random.split(draw)
        pulses = jnp.floor(update / pulse + jax.random.uniform(dither, update.shape, update.dtype))
        room = 1.0 - jnp.sign(pulses) * value / limit
        change = pulses * pulse * room
        change = change * (1.0 + spread * jax.random.normal(blur, update.shape, update.dtype))
        return jnp.clip(value + change, -limit, limit) - value

    return _with_draws(write, key)


def _with_draws(
    write: Any, key: PRNGKeyArray, named: Callable[[PyTree], PyTree] = parameter_names
) -> optax.GradientTransformation:
    def update(updates: PyTree, state: Draws, params: PyTree = None) -> tuple[PyTree, Draws]:
        now, later = jax.random.split(jax.random.wrap_key_data(state.key))
        draws = optax.tree.split_key_like(now, updates)
        written = jax.tree.map(write, named(params), updates, params, draws)
        return written, Draws(jax.random.key_data(later))

    return optax.GradientTransformation(lambda params: Draws(jax.random.key_data(key)), update)
