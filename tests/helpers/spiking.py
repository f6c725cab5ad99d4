"""Spiking networks, and how far the mean of many chains is from the fixed point."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from eqprop import (
    Blockwise,
    Logistic,
    layered,
    relax,
    symmetric,
)
from eqprop.energies.units.unit import embed
from eqprop.spiking import (
    SpikingPropagation,
)
from helpers import systems

KEY = jax.random.key(0)


EXACT = Blockwise(1e-10, 5000)


def dense(unit=None, sizes=(6, 8, 5, 3), gain=1.5):
    unit = unit or Logistic()
    model = systems.excited(layered(sizes, jax.random.key(1), unit, unit, gain), 2)
    x = jax.random.uniform(jax.random.key(3), (4, sizes[0]))
    y = jax.nn.one_hot(jnp.arange(4) % sizes[-1], sizes[-1])
    return model, x, y


free = eqx.filter_jit(lambda estimator, model, x: estimator.free(model, x, model.rest(x), KEY))
settled = systems.quickly(lambda model, x: relax(model, x, model.rest(x), EXACT)[0])


def chains(model, x, solver, count=4000, coding=None):
    """One example many times over: the states read, and where they ended."""
    estimator = SpikingPropagation(solver, symmetric(0.5), **({"coding": coding} if coding else {}))
    return free(estimator, model, jnp.broadcast_to(x[:1], (count, *x.shape[1:])))


def distance(model, x, solver, count=4000):
    """Of the mean probability of many chains to the deterministic fixed point, and its standard error."""
    return apart(model, chains(model, x, solver, count).state, settled(model, x[:1]))


def apart(model, states, fixed):
    """The mean of what many states show from what one shows, and the mean's standard error."""
    states, fixed = (
        {name: np.asarray(u) for name, u in embed(model.energy.units, z).items()}
        for z in (states, fixed)
    )
    gaps = [np.ravel(np.mean(u, 0) - fixed[name][0]) for name, u in states.items()]
    errors = [np.ravel(np.std(u, 0) / len(u) ** 0.5) for u in states.values()]
    return np.linalg.norm(np.concatenate(gaps)), np.linalg.norm(np.concatenate(errors))
