"""Recording: what a hook keeps of every step, as (time, batch, ...) arrays."""

from __future__ import annotations

from functools import singledispatch

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from eqprop._arguments import checked
from eqprop.energies.model import Model
from eqprop.energies.ops import freeze
from eqprop.energies.units.unit import State
from eqprop.estimators.estimator import Estimator
from eqprop.spiking.dynamics import Hook, SpikingCarry
from eqprop.spiking.estimator import SpikingPropagation, SurrogateBackpropagation, free_phase


def spikes(carry: SpikingCarry) -> State:
    """The hook that keeps spikes: booleans, of the layers that fire."""
    return carry.spikes


def membranes(carry: SpikingCarry) -> State:
    """The hook that keeps membranes, of all layers.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> from eqprop import spiking as sp
        >>> model = eq.Model(eq.Network(1, {"out": eq.Layer(1, eq.Logistic())}, []), eq.SquaredError())
        >>> learner = sp.SurrogateBackpropagation(sp.Spiking(steps=5, reading=sp.Rates(2)))
        >>> given = model, jnp.zeros((3, 1)), jnp.ones((3, 1)), jax.random.key(0)
        >>> sp.record(learner, *given, hook=sp.membranes)["free"]["out"].shape  # (time, batch, neurons)
        (5, 3, 1)
    """
    return carry.membrane


@checked
def record(
    estimator: SpikingPropagation | SurrogateBackpropagation,
    model: Model,
    x: Array,
    y: Array,
    key: PRNGKeyArray,
    hook: Hook = spikes,
) -> dict[str, PyTree]:
    """What ``hook`` keeps of each phase of an estimate from rest, by the phase's name: ``free``, then
    ``beta = ...`` where there are nudges; the phases are those of the estimate with the same key. The hook
    must be traceable.

    Raises ``ValueError`` for estimators whose phases do not spike.
    """
    return _recorded(estimator, model, x, y, key, hook)


def _named(betas: Array) -> list[str]:
    """A name for each nudge, with all digits where three do not tell them apart."""
    short = [f"beta = {float(beta):.3g}" for beta in betas]
    return short if len(set(short)) == len(short) else [f"beta = {float(b)!r}" for b in betas]


@singledispatch
def _recorded(estimator: Estimator, *_: object) -> dict[str, PyTree]:
    raise ValueError(f"record: expected an estimator that spikes, got {type(estimator).__name__}.")


@_recorded.register
def _(
    estimator: SurrogateBackpropagation,
    model: Model,
    x: Array,
    y: Array,
    key: PRNGKeyArray,
    hook: Hook,
) -> dict[str, PyTree]:
    return {"free": _free(estimator, model, x, key, hook)}


@_recorded.register
def _(
    estimator: SpikingPropagation, model: Model, x: Array, y: Array, key: PRNGKeyArray, hook: Hook
) -> dict[str, PyTree]:
    betas, free, nudged = _phases(estimator, model, x, y, key, hook)
    parts = [jax.tree.map(lambda a, i=index: a[i], nudged) for index in range(len(betas))]
    return {"free": free, **dict(zip(_named(betas), parts, strict=True))}


@eqx.filter_jit
def _free(
    estimator: SurrogateBackpropagation, model: Model, x: Array, key: PRNGKeyArray, hook: Hook
) -> PyTree:
    phase = free_phase(
        estimator.solver, estimator.coding, freeze(model), x, model.rest(x), key, hook
    )
    return jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1), phase.records)


@eqx.filter_jit
def _phases(
    estimator: SpikingPropagation, model: Model, x: Array, y: Array, key: PRNGKeyArray, hook: Hook
) -> tuple[Array, PyTree, PyTree]:
    draw, noise = jax.random.split(key)
    free = estimator.free(model, x, model.rest(x), noise, hook)
    betas = estimator.contrast.draw(draw)[0].astype(x.dtype)
    nudged = estimator.nudged(model, x, y, betas, free.carry, hook)
    return (
        betas,
        jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1), free.records),
        jax.tree.map(lambda a: jnp.swapaxes(a, 1, 2), nudged.records),
    )
