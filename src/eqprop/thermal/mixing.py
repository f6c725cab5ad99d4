"""Whether chains have mixed: split R-hat and effective sample size from starts far apart."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import Count, checked
from eqprop.thermal.chains import Chains, scatter
from eqprop.thermal.ensemble import Numbers, Phases, no_statistic

LARGEST = 1.05

FEWEST = 4


class Mixing(NamedTuple):
    """Of one quantity at one nudge, over the examples: the largest rank-normalised split R-hat, and the
    smallest bulk effective sample size of ``draws`` draws (Vehtari et al. 2021)."""

    beta: float
    quantity: str
    r_hat: float
    effective: float
    draws: int

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Mixing:
        """From JSON, where what is not a number is null."""
        found: list[Any] = [math.nan if row[key] is None else row[key] for key in cls._fields]
        return cls(*found)

    @property
    def mixed(self) -> bool:
        """Whether R-hat is below 1.05; a number that never changes has none, and has not mixed."""
        return self.r_hat < LARGEST


@checked
def mixing(phases: Phases, source: Chains, key: PRNGKeyArray, samples: Count = 200) -> list[Mixing]:
    """Of the cost and of the nudged energy, from chains scattered over the domain, after the source's own
    burn-in, ``samples`` draws a chain and one step apart."""
    chains = max(FEWEST, source.chains)
    source.check(phases)
    apart = dataclasses.replace(source, chains=chains, samples=samples, thinning=1)

    @eqx.filter_jit
    def watch(phases: Phases) -> tuple[Array, Array]:
        def record(states, weights):
            return phases.costs(states), phases.energies(states)

        start = scatter(phases.model, phases.x, chains, jax.random.fold_in(key, 0))
        draw = jax.random.fold_in(key, 1)
        return apart.average(phases, start, draw, no_statistic, record).records

    values = zip(("cost", "energy"), watch(phases), strict=True)
    return [row for name, seen in values for row in mixing_of(name, seen, phases.betas)]


def mixing_of(quantity: str, values: Array, betas: Numbers) -> list[Mixing]:
    """Of values (samples, phases, batch, chains)."""
    draws = values.shape[0] * values.shape[-1]
    with jax.numpy_dtype_promotion("standard"):
        worst = _worst(values)
    return [
        Mixing(float(beta), quantity, float(r_hat), float(effective), draws)
        for beta, r_hat, effective in zip(np.asarray(betas), *worst, strict=True)
    ]


@jax.jit
def _worst(values: Array) -> tuple[Array, Array]:
    """By phase, over the examples of values (samples, phases, batch, chains)."""
    from blackjax.diagnostics import ess_bulk, rhat  # asks JAX for its devices when imported

    def one(values: Array) -> tuple[Array, Array]:
        return jnp.max(rhat(values, 2, 0)), jnp.min(ess_bulk(values, 2, 0))

    return jax.vmap(one, 1)(values)


def warn_if_unmixed(rows: Sequence[Mixing]) -> None:
    """Warn, once, of the quantity that has mixed worst."""
    if all(row.mixed for row in rows):
        return
    worst = max(rows, key=lambda row: np.nan_to_num(row.r_hat, nan=np.inf))
    warnings.warn(
        f"Chains have not mixed: expected a split R-hat below {LARGEST}, got {worst.r_hat:.2f} for the "
        f"{worst.quantity} at beta = {worst.beta:g} ({worst.effective:.0f} effective of {worst.draws} "
        "draws). Raise burn; anneal (hot > 1) or swap replicas (exchange); or raise the temperature.",
        stacklevel=2,
    )
