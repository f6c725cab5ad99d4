"""Chains with skips, read one way: as deep as one likes, for predictive coding.

    z_1 = W_1 x / sqrt(D),    z_l = z_{l-1} + W_l f(z_{l-1}) / sqrt(N L),    out = W_L f(z_{L-1}) / N

of ``D`` inputs, width ``N`` and ``L`` layers of weights, all entries from the standard normal law. States,
errors and the best rate of Adam then depend little on width and depth (muPC: Innocenti, Achour and Buckley
2025, arXiv 2505.13124).
"""

from __future__ import annotations

import jax
from jaxtyping import PRNGKeyArray

from eqprop._arguments import Count, checked
from eqprop.energies.architectures import OUTPUT
from eqprop.energies.costs import SquaredError
from eqprop.energies.model import Model
from eqprop.energies.network import INPUT, Layer, Network
from eqprop.energies.ops import Activation, Chain, Dense, Op, Residual, Scaled
from eqprop.energies.predictive import predictive
from eqprop.energies.units.interval import Linear, relu
from eqprop.energies.units.unit import Unit


@checked
def predictive_residual(
    features: Count,
    width: Count,
    depth: Count,
    classes: Count,
    key: PRNGKeyArray,
    unit: Unit | None = None,
) -> Model:
    """A residual network of predictive coding with ``depth`` layers of weights and a squared error.

    Layers are named ``h1``, ``h2``, ... and ``out``; ``unit`` is a `relu` unless given. A bias counts as
    little as a weight. Raises ``ValueError`` for fewer than 2 layers of weights.

    Source: Innocenti, Achour and Buckley 2025 (muPC); see the module's equation.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> model = eq.predictive_residual(4, width=64, depth=32, classes=2, key=jax.random.key(0))
        >>> state, _ = eq.relax(model, jnp.ones((1, 4)), None, eq.solvers.ErrorDescent())
        >>> bool(0.5 < jnp.std(state["h31"]) / jnp.std(state["h1"]) < 2.0)  # it does not explode
        True
    """
    if depth < 2:
        raise ValueError(f"predictive_residual: expected a depth of 2 or more, got {depth}.")
    unit = unit or relu()
    names = [INPUT, *(f"h{i}" for i in range(1, depth)), OUTPUT]
    sizes = [features, *[width] * (depth - 1), classes]
    factors = [features**-0.5, *[(width * depth) ** -0.5] * (depth - 2), 1.0 / width]
    layers: dict[str, Layer] = {}
    edges: list[tuple[str, str, Op]] = []
    for at, (factor, drawn) in enumerate(zip(factors, jax.random.split(key, depth), strict=True)):
        op: Op = Dense(jax.random.normal(drawn, (sizes[at], sizes[at + 1])))
        if at:
            op = Chain((Activation(unit), op))
        op = Scaled(op, factor)
        target = names[at + 1]
        layers[target] = Layer(sizes[at + 1], Linear(), scale=factor)
        edges.append((names[at], target, Residual(op) if 0 < at < depth - 1 else op))
    return predictive(Model(Network(features, layers, edges), SquaredError(OUTPUT)))
