"""Actions of noisy, overdamped paths of given start: how probable they are, and their way without noise.

    dq = f(q, theta, t) dt + sqrt(2 T) dW

From a given start to a free end (`FreeEnd`). Onsager and Machlup 1953; Freidlin and Wentzell 1998.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from eqprop._arguments import checked
from eqprop.lagrangian.stationary import arguments

Drift = Callable[..., Array]

Density = Callable[[Array, Array, PyTree, Array, Array], Array]


@checked
def freidlin_wentzell(drift: Drift) -> Density:
    """``L = |v - f|^2 / 4`` for a drift ``f(q, params, t)`` or ``f(q, params, t, x)``, shapes (size,).

    The path of least action is the motion without noise, and with the midpoint rule its implicit
    midpoint integration; nudging it gives the gradient of an initial-value problem of first order.
    ``L / T`` is what `onsager_machlup` tends to at low temperature.

    Examples:
        >>> import jax.numpy as jnp
        >>> from eqprop import lagrangian as lg
        >>> density = lg.freidlin_wentzell(lambda q, params, t: -q)
        >>> q, v, t, x = jnp.ones(1), jnp.ones(1), jnp.zeros(()), jnp.zeros(1)
        >>> float(density(q, v, None, t, x)), float(density(q, -v, None, t, x))  # up; down
        (1.0, 0.0)
    """
    force = _with_input(drift)

    def density(q: Array, v: Array, params: PyTree, t: Array, x: Array) -> Array:
        noise = v - force(q, params, t, x)
        return 0.25 * (noise @ noise)

    return density


@checked
def onsager_machlup(drift: Drift, temperature: float) -> Density:
    """``L = |v - f|^2 / 4 + T div f / 2``: paths have the probability ``exp(-S / T)``.

    For the midpoint rule, whose reading of the noise asks for the divergence. Sampled at the same
    temperature, finite nudges of such paths (`thermal.Thermal`) learn expected costs of noisy, damped
    motion from a given start, by the contrast ``E_beta[dS/dtheta] - E_0[dS/dtheta]`` over ``beta``.
    Raises ``ValueError`` for a temperature that is not positive.

    Examples:
        >>> import jax.numpy as jnp
        >>> from eqprop import lagrangian as lg
        >>> density = lg.onsager_machlup(lambda q, params, t: -q, temperature=0.5)
        >>> q, v, t, x = jnp.ones(1), jnp.ones(1), jnp.zeros(()), jnp.zeros(1)
        >>> float(density(q, v, None, t, x))  # 2^2 / 4 - T / 2
        0.75
    """
    if not temperature > 0:
        raise ValueError(f"onsager_machlup: expected a temperature > 0, got {temperature}.")
    likely, force = freidlin_wentzell(drift), _with_input(drift)

    def density(q: Array, v: Array, params: PyTree, t: Array, x: Array) -> Array:
        slopes = jax.jacfwd(force, holomorphic=jnp.iscomplexobj(q))(q, params, t, x)
        spread = jnp.trace(slopes)
        return likely(q, v, params, t, x) + 0.5 * temperature * spread

    return density


def _with_input(drift: Drift) -> Drift:
    """The drift as a function of ``(q, params, t, x)``, its shape checked."""
    count = arguments(drift)
    if count not in (3, 4):
        raise ValueError(
            f"drift: expected a function f(q, params, t) or f(q, params, t, x), got {drift!r} of "
            f"{count} arguments."
        )

    def force(q: Array, params: PyTree, t: Array, x: Array) -> Array:
        found = jnp.asarray(drift(q, params, t, x) if count == 4 else drift(q, params, t))
        if found.shape != q.shape:
            raise ValueError(
                f"drift: expected numbers of shape {q.shape}, one number a coordinate, got "
                f"{found.shape}."
            )
        return found

    return force
