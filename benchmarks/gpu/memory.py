"""Batches that the device's memory holds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import jax

FULL = "RESOURCE_EXHAUSTED"

T = TypeVar("T")

log = logging.getLogger(__name__)


def largest_batch(batch: int, attempt: Callable[[int], T]) -> tuple[int, T]:
    """The first of ``batch``, a half of it, a quarter ... that fits, and what ``attempt`` makes of it.

    Raises ``MemoryError`` where not even one image fits.
    """
    while True:
        try:
            return batch, attempt(batch)
        except jax.errors.JaxRuntimeError as error:
            if FULL not in str(error):
                raise
        if batch == 1:
            raise MemoryError(
                "Expected one image or more to fit the device's memory, got none; take a smaller --width, "
                "or free memory that other processes hold."
            )
        log.warning("A batch of %d does not fit the device's memory; taking %d.", batch, batch // 2)
        batch //= 2
