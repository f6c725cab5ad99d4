"""Neurons that answer nothing: what training logs and warns of."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from eqprop.solvers import Info
from eqprop.spiking.dynamics import SpikingCarry

RARE, MOST = 0.01, 0.9


class Activity(NamedTuple):
    """Of the neurons that spike: the mean probability, and the shares whose mean over the batch is below
    0.01 (``silent``) and above 0.99 (``busy``)."""

    rate: Array
    silent: Array
    busy: Array


class SpikingReport(NamedTuple):
    """The free phase, the nudged ones (shape (phases, batch)), and the free phase's last step.

    Examples:
        >>> import equinox as eqx
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> from eqprop import spiking as sp
        >>> model = eq.Model(eq.Network(1, {"out": eq.Layer(1, eq.Logistic())}, []), eq.SquaredError())
        >>> solver = sp.Spiking(leak=1.0, steps=2, reading=sp.Probabilities(1))
        >>> learner = sp.SurrogateBackpropagation(solver)
        >>> x, y = jnp.zeros((1, 1)), jnp.ones((1, 1))
        >>> found = eqx.filter_jit(learner)(model, x, y, model.rest(x), jax.random.key(0))
        >>> report: sp.SpikingReport = found.report
        >>> round(float(report.activity.rate), 3)  # 1 / (1 + e^2), where nothing drives
        0.119
    """

    free: Info
    nudged: Info | None
    activity: Activity

    def metrics(self) -> dict[str, Array]:
        """What training logs: the residual is that of the mean-field energy in what was read."""
        seen = {"free_residual": jnp.mean(self.free.residual)}
        if self.nudged is not None:
            seen["nudged_residual"] = jnp.mean(self.nudged.residual)
        return seen | self.activity._asdict()


def activity(carry: SpikingCarry) -> Activity:
    """Of a batch, where it ended. Raises ``ValueError`` for one example, which has no mean.

    Examples:
        >>> import jax.numpy as jnp
        >>> from eqprop import spiking as sp
        >>> p = {"h1": jnp.array([[0.0, 0.5, 0.5, 1.0]])}  # of one example and four neurons
        >>> carry = sp.SpikingCarry(p, p, {"h1": p["h1"] > 0.7}, {}, p, None, jnp.zeros(1))
        >>> found: sp.Activity = sp.activity(carry)
        >>> found.rate.item(), found.silent.item(), found.busy.item()
        (0.5, 0.25, 0.25)
    """
    if not jnp.ndim(carry.step):
        raise ValueError(
            "activity: expected the carry of a batch, got that of one example; give it as a batch of one, "
            "by jax.tree.map(lambda leaf: leaf[None], carry)."
        )
    means = [jnp.mean(carry.own[name], 0).ravel() for name in carry.spikes]
    p = jnp.concatenate(means)
    return Activity(
        jnp.mean(p), jnp.mean(p < RARE, dtype=p.dtype), jnp.mean(p > 1 - RARE, dtype=p.dtype)
    )


def warn_if_unmoved(row: Mapping[str, float]) -> None:
    """Warn of an epoch in which nearly all neurons were silent, or fired at every step."""
    remedies = {
        "silent": "hardly ever fire, whatever the input: raise the gain, or lower the learning rate",
        "busy": "fire at nearly every step, whatever the input: lower the gain or the learning rate",
    }
    for kind, remedy in remedies.items():
        if row.get(kind, 0.0) > MOST:
            warnings.warn(
                f"Epoch {row['epoch']:.0f}: {row[kind]:.1%} of the spiking neurons {remedy}; a reset "
                "or the other unit (logistic, clip) also moves them.",
                stacklevel=2,
            )
