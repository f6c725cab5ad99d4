"""Warnings of compiled programs, raised where they run: one for all examples of a batch."""

from __future__ import annotations

import warnings
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap
from jaxtyping import Array


def warn_if(fault: Array, message: str) -> None:
    """A ``UserWarning`` at run time where ``fault``, a scalar, is true."""
    _warning(message)(lax.stop_gradient(fault))


@cache
def _warning(message: str) -> Any:
    tell = partial(warnings.warn, message, stacklevel=2)

    @custom_vmap
    def warn(fault: Array) -> Array:
        lax.cond(fault, lambda: jax.debug.callback(tell), lambda: None)
        return fault

    @warn.def_vmap
    def _(axis_size: int, in_batched: list[bool], fault: Array) -> tuple[Array, bool]:
        return warn(jnp.any(fault)), False

    return warn
