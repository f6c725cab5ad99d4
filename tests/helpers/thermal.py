"""Thermal estimates, and the laws of single neurons."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from eqprop import Box, Linear, Logistic, Ramp, Tanh, hard_tanh
from eqprop.thermal.estimator import Thermal
from helpers import systems

KEY = jax.random.key(0)
LAWS = {
    "linear": (Linear(), 0.4),
    "box": (Box(), 0.4),
    "box beyond its wall": (Box(), 1.8),
    "hard tanh": (hard_tanh(), -0.7),
    "ramp": (Ramp(), 0.9),
    "tanh": (Tanh(), 0.6),
    "logistic": (Logistic(), 0.9),
}
"""Units, each in a field."""

estimate = systems.quickly(lambda estimator, *arguments: estimator(*arguments))


def found(source, rule, system, key=KEY):
    model, x, y = system
    result = estimate(Thermal(source, rule), model, x, y, model.rest(x), key)
    return result, np.asarray(ravel_pytree(result.gradient)[0])


@systems.quickly
def repeated(learner, model, x, y, keys):
    """Flat gradients from rest, one for each key."""

    def one(key):
        return ravel_pytree(learner(model, x, y, model.rest(x), key).gradient)[0]

    return jax.vmap(one)(keys)


@systems.quickly
def shown_and_energy(unit, z, field, curvature, centre):
    u = unit.embed(z)
    return u, unit.potential(z) - field * u + 0.5 * curvature * (u - centre) ** 2


def law(unit, field, curvature, centre, temperature):
    """States, what they show, and masses of ``exp(-(potential - a u + q (u - c)^2 / 2) / T) du``."""
    z = np.linspace(getattr(unit, "low", -12.0), getattr(unit, "high", 12.0), 40001)
    given = map(jnp.asarray, (z, field, curvature, centre))
    u, energy = map(np.asarray, shown_and_energy(unit, *given))
    mass = np.exp(-energy / temperature) * np.gradient(u, z)
    return z, u, mass / mass.sum()
