"""How a device takes an update: transforms for the end of an Optax chain, that need the parameters."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray, PyTree

from eqprop._arguments import NotNegative, Positive, checked
from eqprop.energies.parameters import parameter_names
from eqprop.hardware.grid import Ranges, check_bits, check_limit, ranges, to_grid


class WritingState(NamedTuple):
    """The random numbers still to come, as the key's plain numbers, which checkpoints keep."""

    key: Array


@checked
def clipped(limit: float | Ranges) -> optax.GradientTransformation:
    """No write goes beyond ``[-limit, limit]``, nor beyond a layer's own limit where `Ranges` are given.

    Examples:
        >>> import jax.numpy as jnp
        >>> import optax
        >>> import eqprop as eq
        >>> writer, w = eq.hardware.clipped(1.0), jnp.array([0.5, 0.5])
        >>> updates, _ = writer.update(jnp.array([0.25, 2.0]), writer.init(w), w)
        >>> optax.apply_updates(w, updates).tolist()
        [0.75, 1.0]
    """
    check_limit("clipped", limit)

    def written(name: str, u: Array, p: Array, limits: Ranges) -> Array:
        return jnp.clip(p + u, -limits(name), limits(name)) - p

    return _at_once(written, limit)


@checked
def on_grid(
    bits: int, limit: float | Ranges, key: PRNGKeyArray | None = None
) -> optax.GradientTransformation:
    """No master copy: what is written is the nearest of ``2^bits`` levels in ``[-limit, limit]``, so that
    an update below half a step is lost. With a key, rounding is stochastic and loses nothing on average.

    Examples:
        >>> import jax.numpy as jnp
        >>> import optax
        >>> import eqprop as eq
        >>> writer, w = eq.hardware.on_grid(bits=1, limit=1.0), jnp.array([-1.0, -1.0])
        >>> updates, _ = writer.update(jnp.array([0.75, 1.25]), writer.init(w), w)  # half a step is 1
        >>> optax.apply_updates(w, updates).tolist()
        [-1.0, 1.0]
    """
    check_bits("on_grid", bits)
    check_limit("on_grid", limit)

    def written(
        name: str, u: Array, p: Array, limits: Ranges, draw: PRNGKeyArray | None = None
    ) -> Array:
        return to_grid(p + u, bits, -limits(name), limits(name), draw) - p

    return _at_once(written, limit) if key is None else _with_draws(written, limit, key)


@checked
def pulsed(
    pulse: Positive, limit: float | Ranges, key: PRNGKeyArray, spread: NotNegative = 0.0
) -> optax.GradientTransformation:
    """Whole pulses of size ``pulse``, fewer the nearer the limit: a write of ``n`` pulses changes ``w`` by
    ``n pulse (1 - sign(n) w / limit)`` (soft bounds), times ``1 + spread N(0, 1)``.

    The number of pulses is rounded stochastically, so that small updates count on average.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import optax
        >>> import eqprop as eq
        >>> writer = eq.hardware.pulsed(0.125, limit=1.0, key=jax.random.key(0))
        >>> w = jnp.array([0.0, 0.5])
        >>> updates, _ = writer.update(jnp.array([0.25, 0.25]), writer.init(w), w)
        >>> optax.apply_updates(w, updates).tolist()  # two pulses each, half as large at half the limit
        [0.25, 0.625]
    """
    check_limit("pulsed", limit)

    def written(name: str, u: Array, p: Array, limits: Ranges, draw: PRNGKeyArray) -> Array:
        dither, blur = jax.random.split(draw)
        pulses = jnp.floor(u / pulse + jax.random.uniform(dither, u.shape, u.dtype))
        room = 1.0 - jnp.sign(pulses) * p / limits(name)
        change = pulses * pulse * room
        change = change * (1.0 + spread * jax.random.normal(blur, u.shape, u.dtype))
        return jnp.clip(p + change, -limits(name), limits(name)) - p

    return _with_draws(written, limit, key)


def _named(params: PyTree, limit: float | Ranges) -> tuple[PyTree, Ranges]:
    """A name for every parameter, where layers have limits of their own, and the limits."""
    if not isinstance(limit, Ranges):
        return jax.tree.map(lambda _: "", params), Ranges(limit)
    names = parameter_names(params)
    return names, ranges(limit, names)


def _at_once(written: Any, limit: float | Ranges) -> optax.GradientTransformation:
    def update(updates: PyTree, params: PyTree = None) -> PyTree:
        names, limits = _named(params, limit)
        return jax.tree.map(lambda *of: written(*of, limits), names, updates, params)

    return optax.stateless(update)


def _with_draws(
    written: Any, limit: float | Ranges, key: PRNGKeyArray
) -> optax.GradientTransformation:
    def update(
        updates: PyTree, state: WritingState, params: PyTree = None
    ) -> tuple[PyTree, WritingState]:
        names, limits = _named(params, limit)
        now, later = jax.random.split(jax.random.wrap_key_data(state.key))
        draws = optax.tree.split_key_like(now, updates)
        made = jax.tree.map(
            lambda name, u, p, draw: written(name, u, p, limits, draw),
            names,
            updates,
            params,
            draws,
        )
        return made, WritingState(jax.random.key_data(later))

    return optax.GradientTransformation(
        lambda params: WritingState(jax.random.key_data(key)), update
    )
