"""Coupled driven oscillators and other paths for the tests of `eqprop.lagrangian`."""

from functools import cache, partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from eqprop import Contrast, EquilibriumPropagation, Model, Solver
from eqprop.lagrangian import (
    Action,
    Adjoint,
    FixedEnds,
    FourierError,
    HarmonicAction,
    Newton,
    PathDensity,
    PathError,
    verlet,
)
from eqprop.solvers.solver import report

KEY = jax.random.key(0)
OMEGA = 0.7
PERIOD = 2 * np.pi / OMEGA
STEPS = 120
PARAMS = {
    "k": jnp.array([1.0, 1.2, 0.8]),
    "a": jnp.array([0.3, 0.2, 0.25]),
    "c": jnp.array([0.4, 0.3]),
}
"""Eight parameters: springs and their hardening, and two couplings."""

quickly = partial(
    eqx.filter_jit,
    compiler_options={
        "xla_backend_optimization_level": 0,
        "xla_cpu_use_fusion_emitters": False,
    },
)
"""Compiled with less care still: twice as fast as `systems.quickly` here."""

settle = quickly(lambda phase, state: Newton().settle(phase, state))
estimate = quickly(lambda estimator, *arguments: estimator(*arguments))


def potential(q, params):
    wells = 0.5 * params["k"] @ (q * q) + 0.25 * params["a"] @ (q * q * q * q)
    gaps = q[:-1] - q[1:]
    return wells + 0.5 * params["c"] @ (gaps * gaps)


def duffing(q, v, params, t, x):
    """Three coupled Duffing oscillators, driven at both ends of the chain."""
    drive = x[0] * jnp.cos(OMEGA * t) * q[0] + x[1] * jnp.sin(OMEGA * t) * q[2]
    return 0.5 * (v @ v) - potential(q, params) + drive


def free_duffing(q, v, params, t):
    return 0.5 * (v @ v) - potential(q, params)


def waves(nodes):
    angle = 2 * np.pi * np.arange(nodes) / nodes
    return 0.4 * jnp.asarray(np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle)], -1))


@cache
def periodic(rule=verlet, cost="path"):
    dt = PERIOD / STEPS
    action = Action(duffing, PARAMS, size=3, steps=STEPS, dt=dt, rule=rule)
    costs = {
        "path": (PathError(weight=dt / 4), waves(STEPS)),
        "final": (PathError(at=(0, 40), coordinates=(0, 2)), jnp.array([[0.3, 0.1], [-0.2, 0.2]])),
        "density": (PathDensity(lambda q, y: dt * jnp.cosh(q[0] - y)), waves(STEPS)[:, 0]),
        "fourier": (FourierError((0, 1, 3), (0, 2)), 0.1 * jnp.ones((3, 2, 2))),
    }
    cost, y = costs[cost]
    return Model(action, cost), jnp.array([[0.3, 0.15]]), y[None]


@cache
def fixed():
    action = Action(
        duffing,
        PARAMS,
        size=3,
        steps=60,
        dt=0.025,
        boundary=FixedEnds((0.3, 0.0, -0.2), (0.1, 0.4, 0.0)),
    )
    return Model(action, PathError(weight=0.025)), jnp.array([[0.6, 0.3]]), waves(59)[None]


def flat(gradient):
    return np.asarray(ravel_pytree(gradient)[0])


def apply(estimator, system):
    model, x, y = system
    return estimate(estimator, model, x, y, model.rest(x), KEY)


def name(case):
    builder, *options = case
    return "-".join(getattr(part, "__name__", str(part)) for part in (builder, *options))


class Padded(Contrast):
    """Another contrast's nudges as data, filled up to four phases: one compilation for all."""

    betas: Array
    coefficients: Array

    def __init__(self, contrast):
        parts = contrast.draw(KEY)
        self.betas, self.coefficients = (jnp.pad(p, (0, 4 - len(p))) for p in parts)

    def draw(self, key):
        return self.betas, self.coefficients


class Found(Solver):
    """Where a path is settled already, as by `settle`: one compilation for all costs and estimators."""

    def settle(self, phase, state, key=None):
        return state, report(phase, state, jnp.zeros((), jnp.int32), 1e-9)


def settled(model, x):
    """The free path of a batch of one."""
    path, _ = settle(model.free(x[0]), model.energy.rest(jnp.float64))
    return jax.tree.map(lambda z: z[None], path)


def from_settled(estimator, system):
    model, x, y = system
    return estimate(estimator, model, x, y, settled(model, x), KEY)


@cache
def exact(builder, *options):
    return from_settled(Adjoint(Found()), builder(*options))


def nudged(contrast, system):
    return from_settled(EquilibriumPropagation(Found(), Padded(contrast), Newton()), system)


def error(contrast, builder, *options):
    found = nudged(contrast, builder(*options))
    reference = flat(exact(builder, *options).gradient)
    return np.linalg.norm(flat(found.gradient) - reference) / np.linalg.norm(reference)


@cache
def free_path(builder):
    model, x, _ = builder()
    return settle(model.free(x[0]), model.energy.rest(jnp.float64))[0]


def spring(q, v, params, t, x):
    """An oscillator of frequency ``params``, driven at the frequency ``1 + x``."""
    return 0.5 * (v @ v - params * params * (q @ q)) + jnp.cos((1.0 + x[0]) * t) * q[0]


def spring_action(frequency, steps=100, period=2 * np.pi, **options):
    return Action(spring, frequency, size=1, steps=steps, dt=period / steps, **options)


ENDS = FixedEnds([0.0], [1.0])


def found(action, x=None):
    phase = action.clamp(jnp.zeros(1) if x is None else x)
    return phase, settle(phase, action.rest(jnp.float64))[0]


def refused(kind, match):
    return pytest.raises(kind, match=match)


@cache
def harmonic(harmonics=9):
    action = HarmonicAction(duffing, PARAMS, size=3, harmonics=harmonics, period=PERIOD)
    cost = PathError(coordinates=tuple(range(9)), weight=PERIOD / 4)
    return Model(action, cost), jnp.array([[0.3, 0.15]]), jnp.full((1, 1, 9), 0.1)
