"""How exact the gradients are, in float64 on small networks: ``python -m benchmarks.exactness``."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from tests.helpers import systems

import eqprop as eq
from eqprop.estimators.audit import compare, estimate
from eqprop.estimators.estimator import mean_loss
from eqprop.training.files import write_json
from eqprop.training.surroundings import surroundings

OUT = Path(__file__).with_suffix(".json")
TIGHT = eq.Blockwise(1e-14, 5000)
NETWORKS = {
    "dense, tanh": systems.tanh,
    "dense, clip": systems.box,
    "convolution, stride 2": systems.strided,
    "average pooling": systems.average_pooled,
    "max pooling, clip": systems.max_pooled,
    "skip": systems.skip,
    "lateral": systems.lateral,
    "read-out, cross-entropy": systems.read_out,
    "oscillators": systems.oscillators,
}
STEPS, DIRECTIONS = 1e-4, 4
BETAS = (0.01, 0.1, 1.0, 10.0)

console = Console()


def relative_error(gradient, reference) -> float:
    """Of all parameters together."""
    return compare(gradient, reference)[-1].relative_error


def against_differences(system, gradient) -> float:
    """Directional derivatives by Richardson-extrapolated central differences, random directions."""
    parameters, static = eqx.partition(system.model, eqx.is_inexact_array)
    flat, unravel = jax.flatten_util.ravel_pytree(parameters)
    slope = jax.flatten_util.ravel_pytree(gradient)[0]

    @jax.jit
    def loss(flat):
        model = eqx.combine(unravel(flat), static)
        state, _ = eq.relax(model, system.x, model.rest(system.x), TIGHT)
        return mean_loss(model, state, system.y)

    rng, errors, sizes = np.random.default_rng(0), [], []
    for _ in range(DIRECTIONS):
        ahead = jnp.asarray(rng.normal(size=flat.shape))
        ahead = ahead / jnp.linalg.norm(ahead)
        wide, narrow = (
            (loss(flat + h * ahead) - loss(flat - h * ahead)) / (2 * h) for h in (2 * STEPS, STEPS)
        )
        found = (4 * narrow - wide) / 3
        errors.append(float(found - slope @ ahead))
        sizes.append(float(found))
    return float(np.linalg.norm(errors) / np.linalg.norm(sizes))


def row(system) -> dict[str, float | None]:
    """Every estimator on one network."""
    key = jax.random.key(0)
    model, x, y = system.model, system.x, system.y

    def gradient(estimator):
        return estimate(model, x, y, estimator, key).gradient

    exact = gradient(eq.ImplicitDifferentiation(TIGHT, 1e-13))

    def ep(contrast):
        return relative_error(gradient(eq.EquilibriumPropagation(TIGHT, contrast)), exact)

    smooth = all(unit.smooth for unit in model.energy.units.values())
    blockwise, descent = (
        eqx.filter_jit(eq.relax)(model, x, model.rest(x), solver)[0]
        for solver in (TIGHT, eq.GradientDescent(1e-14, 20000))
    )
    apart = max(float(jnp.max(jnp.abs(blockwise[name] - descent[name]))) for name in descent)
    return {
        "implicit": against_differences(system, exact),
        "BPTT, 500 sweeps": relative_error(gradient(eq.Backpropagation(TIGHT, 500)), exact),
        "one-sided 1e-3": ep(eq.one_sided(1e-3)),
        "symmetric 1e-2": ep(eq.symmetric(1e-2)),
        "symmetric 1e-3": ep(eq.symmetric(1e-3)),
        "symmetric 1e-4": ep(eq.symmetric(1e-4)),
        "holomorphic 8, 0.03": ep(eq.holomorphic(8, 0.03)) if smooth else None,
        "blockwise − descent": apart,
    }


def thermal_rows() -> dict[str, dict[str, float]]:
    """Largest error of a parameter, by rule and nudge, on 12 spins and on a Gaussian in their exact phases;
    against the derivative of the exact free energies."""
    cases = {"12 spins, T = 1": (systems.spins, eq.thermal.Enumeration(1.0))}
    cases["Gaussian, T = 0.4"] = (systems.gaussian, eq.thermal.Gaussian(0.4))
    rules = {"contrast": eq.thermal.finite_nudge}
    rules |= {f"{n} nodes": partial(eq.thermal.path_integral, nodes=n) for n in (2, 4, 8, 16, 64)}
    rows = {}
    for name, (build, source) in cases.items():
        model, x, y = build()
        for beta in BETAS:
            _, slope = systems.exact(source, (model, x, y), beta)
            row = {}
            for label, rule in rules.items():
                thermal = eq.thermal.Thermal(source, rule(beta))
                found = estimate(model, x, y, thermal, jax.random.key(0)).gradient
                flat = jax.flatten_util.ravel_pytree(found)[0]
                row[label] = float(np.max(np.abs(flat - slope)))
            rows[f"{name}, β = {beta:g}"] = row
    return rows


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    rows = {}
    for name, build in NETWORKS.items():
        rows[name] = row(build())
        cells = "  ".join(f"{k} {'–' if v is None else f'{v:.0e}'}" for k, v in rows[name].items())
        console.print(f"{name}: {cells}", highlight=False)
    thermal = thermal_rows()
    for name, cells in thermal.items():
        console.print(
            f"{name}: " + "  ".join(f"{k} {v:.0e}" for k, v in cells.items()), highlight=False
        )
    console.print(str(write_json(OUT, {"rows": rows, "thermal": thermal, **surroundings()})))


if __name__ == "__main__":
    main()
