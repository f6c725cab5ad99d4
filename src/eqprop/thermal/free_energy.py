"""What thermal learning minimises: ``J_beta = (A(beta) - A(0)) / beta`` with ``A = -T log Z_beta``.

Since ``dA/d beta = <C>_beta``, the costs met in the phases are all that these estimators need. Costs
have shape (moments, phases, batch, members), values (batch,). Litman, arXiv 2511.22024, section 3.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import logsumexp
from jaxtyping import Array, PRNGKeyArray

from eqprop.energies.derivatives import CONSTANT, stopped, without_derivative
from eqprop.energies.model import Model
from eqprop.energies.units.noise import typed
from eqprop.energies.units.unit import State
from eqprop.thermal.chains import Chains, Walk
from eqprop.thermal.ensemble import Phases


class Bounds(NamedTuple):
    """``<C>_beta <= J <= <C>_0``; ``J = <C>_beta + (T / beta) KL(rho_beta || rho_0)``."""

    nudged: Array
    free: Array
    divergence: Array


def gauss_legendre(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [0, 1], exact for polynomials of degree ``2 points - 1``."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    return 0.5 * (nodes + 1), 0.5 * weights


def integrate(costs: Array, weights: Array, quadrature: Array | np.ndarray) -> Array:
    """Thermodynamic integration, ``sum_k q_k <C>_{b_k}`` with the ``q_k`` of [0, 1]."""
    means = jnp.mean(jnp.sum(costs * weights, -1), 0)
    return jnp.asarray(quadrature, costs.dtype) @ means


def log_mean_exp(costs: Array, weights: Array, beta: Array | float, temperature: float) -> Array:
    """``-(T / beta) log <exp(-beta C / T)>_0`` from the free phase alone, the first; for small beta / T.

    Examples:
        >>> import math
        >>> import jax.numpy as jnp
        >>> from eqprop.thermal import free_energy
        >>> costs, weights = jnp.array([[[[0.0, math.log(3.0)]]]]), jnp.full((1, 1, 2), 0.5)
        >>> found = free_energy.log_mean_exp(costs, weights, beta=1.0, temperature=1.0)
        >>> round(float(found[0]), 3)  # -log((1 + 1/3) / 2)
        0.405
    """
    free, moments = costs[:, 0], costs.shape[0]
    logs = logsumexp(-beta * free / temperature, axis=(0, -1), b=weights[0] / moments)
    return -temperature / beta * logs


def acceptance_ratio(costs: Array, weights: Array, betas: Array, temperature: float) -> Array:
    """``A`` of each phase over the first's, (phases, batch), by Bennett's acceptance ratio (1976).

    Between neighbours, ``c = (A_1 - A_0) / T`` balances the mean of ``1 / (1 + exp(W - c))`` over the one
    with that of ``1 / (1 + exp(c - W))`` over the other, ``W = (b_1 - b_0) C / T``. Found by halves, it
    has no derivative, and says so.
    """
    given = costs, weights, betas
    costs, weights, betas = stopped(given)
    flat = jnp.moveaxis(costs, 0, -1).reshape(*costs.shape[1:3], -1)
    shares = jnp.repeat(weights, costs.shape[0], -1) / costs.shape[0]

    def between(low: Array, high: Array, share_low: Array, share_high: Array, step: Array) -> Array:
        work_low, work_high = step * low / temperature, step * high / temperature

        def balance(c: Array) -> Array:
            forward = logsumexp(jax.nn.log_sigmoid(c - work_low), b=share_low)
            return forward - logsumexp(jax.nn.log_sigmoid(work_high - c), b=share_high)

        def halve(i: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            middle = 0.5 * (ends[0] + ends[1])
            below = balance(middle) < 0
            return jnp.where(below, middle, ends[0]), jnp.where(below, ends[1], middle)

        every = jnp.concatenate([work_low, work_high])
        low_end, high_end = lax.fori_loop(0, 60, halve, (jnp.min(every), jnp.max(every)))
        return temperature * 0.5 * (low_end + high_end)

    pairs = flat[:-1], flat[1:], shares[:-1], shares[1:]
    steps = jax.vmap(jax.vmap(between, (0, 0, 0, 0, None)))(*pairs, jnp.diff(betas))
    found = jnp.concatenate([jnp.zeros_like(steps[:1]), jnp.cumsum(steps, 0)])
    return without_derivative(given, found, CONSTANT)


def bounds(objective: Array, free: Array, nudged: Array, beta: float, temperature: float) -> Bounds:
    """The bounds of an objective from the mean costs of the free and of the nudged phase."""
    return Bounds(nudged, free, beta / temperature * (objective - nudged))


def jarzynski(
    model: Model,
    x: Array,
    y: Array,
    source: Chains,
    beta: float,
    state: State,
    key: PRNGKeyArray,
    steps: int = 100,
) -> tuple[Array, Array]:
    """``-(T / beta) log <exp(-W / T)>``, from the work ``W`` of ramping the nudge from 0 to ``beta``.

    The chains of ``source`` settle in the free phase; then the nudge rises in ``steps`` equal parts, with
    one step of the sampler after each (Jarzynski 1997). Returns J (batch,) and the effective number of
    chains among ``source.chains``, (batch,): near 1, one chain decides all, and the ramp is too fast.
    """
    if beta == 0 or steps < 1:
        raise ValueError(
            f"jarzynski: expected beta other than 0 and steps >= 1, got {beta}, {steps}."
        )
    source.check(Phases(model, x, y, np.array([0.0, beta])))
    zero, key = jnp.zeros(1, x.dtype), typed(key)
    free = Phases(model, x, y, zero).frozen()
    walk = Walk(source, free)
    keys = jax.random.split(key, (1, x.shape[0], source.chains))
    carry = walk.burn_in(source.starts(free.model, state, 1), keys)
    part = beta / steps

    def ramp(index: Array, at: tuple) -> tuple:
        states, work = at
        work = work + part * free.costs(states)
        risen = Walk(source, free._replace(betas=zero + part * (index + 1)))
        time = source.burn + index
        carry = risen.go_on(risen.init(states, keys, index + 1), keys, time, time + 1)
        return carry.state, work

    work = jnp.zeros((1, x.shape[0], source.chains), x.dtype)
    _, work = lax.fori_loop(0, steps, ramp, (carry.state, work))
    logs = -work[0] / source.temperature
    share = jax.nn.softmax(logs, -1)
    value = logsumexp(logs, -1) - jnp.log(source.chains)
    return -source.temperature / beta * value, 1.0 / jnp.sum(share**2, -1)
