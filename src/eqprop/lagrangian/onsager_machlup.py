"""The Onsager-Machlup action: noisy, overdamped, initial-value paths as extrema of an action.

    dq = f(q, theta, t) dt + sqrt(2 T) dW,        S = int |q' - f|^2 / (4 T) dt

Where the divergence of ``f`` is constant, as for linear drifts, paths have the probability ``exp(-S)``;
else the midpoint rule asks for the weight ``exp(-int div f / 2 dt)`` besides, which this action leaves out,
so that its extrema are the motion without noise. From a given start to a free end (`FreeEnd`), the path of
least action is the motion without noise; nudging it gives the gradient of an initial-value problem with
friction, of which no Lagrangian in ``q`` alone has the motion as an extremum. Onsager and Machlup 1953.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from jaxtyping import Array, PyTree


def onsager_machlup(
    drift: Callable[..., Array], temperature: float = 1.0
) -> Callable[[Array, Array, PyTree, Array, Array], Array]:
    """``L = |v - f|^2 / (4 T)`` for a drift ``f(q, params, t)`` or ``f(q, params, t, x)``, shapes (size,).

    Without the term ``div f / 2`` of path probabilities. With the midpoint rule the noiseless path is
    the implicit midpoint integration of ``f``. Raises ``ValueError`` for a temperature that is not
    positive.
    """
    if not temperature > 0:
        raise ValueError(f"onsager_machlup: expected a temperature > 0, got {temperature}.")

    takes_input = len(inspect.signature(drift).parameters) == 4

    def density(q: Array, v: Array, params: PyTree, t: Array, x: Array) -> Array:
        noise = v - (drift(q, params, t, x) if takes_input else drift(q, params, t))
        return (noise @ noise) / (4.0 * temperature)

    return density
