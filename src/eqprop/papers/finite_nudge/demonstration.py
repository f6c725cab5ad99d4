"""At a temperature the contrast is exact at any nudge, and a large nudge is heard above the noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eqprop.energies.architectures import OUTPUT, layered
from eqprop.energies.costs import SquaredError
from eqprop.energies.model import Model
from eqprop.energies.units.spin import Spin
from eqprop.estimators.audit import compare, estimate
from eqprop.estimators.spread import spread
from eqprop.papers.call import Call
from eqprop.papers.demonstration import Claim, Demonstration, told, train
from eqprop.papers.finite_nudge.recipes import SMALL, digits_thermal
from eqprop.papers.slides import legend, plain, slide
from eqprop.papers.study import Asked
from eqprop.thermal.chains import Chains
from eqprop.thermal.ensemble import Phases, Source
from eqprop.thermal.estimator import Thermal
from eqprop.thermal.exact import Enumeration
from eqprop.thermal.gibbs import Gibbs
from eqprop.thermal.readings import Draws
from eqprop.thermal.rules import Rule, finite_nudge, free_covariance, path_integral

CONTRAST, PATH, SMALL_NUDGE = "contrast of two phases", "path integral", "small-nudge rule"

NODES = 12

RULES: dict[str, Callable[[float], Rule]] = {
    CONTRAST: finite_nudge,
    PATH: lambda beta: path_integral(beta, NODES),
    SMALL_NUDGE: free_covariance,
}

INDEPENDENT = dataclasses.replace(SMALL, common_noise=False)

COMMON, APART = "common noise", "independent noise"


@dataclass(frozen=True)
class Nudged(Demonstration):
    """Rules on a network of spins all of whose states are enumerated, against the derivative of the free
    energies; the signal in sampled gradients of it; and digits learnt from them."""

    sizes: tuple[int, ...] = (4, 7, 3)
    betas: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0)
    chains: int = 64
    repeats: int = 64
    call: Call = field(
        default_factory=lambda: Call(
            digits_thermal, {"source": INDEPENDENT, "reading": Draws(), "epochs": 3}
        )
    )
    nudges: tuple[float, float] = (0.01, 1.0)
    """Of the two trainings."""

    def results(self, asked: Asked) -> dict[str, Any]:
        with jax.enable_x64(True):
            errors = self._errors()
            ratios = self._ratios()
        ways = {f"β = {beta:g}": self.call.but(beta=beta) for beta in self.nudges}
        trained = train(ways, asked)
        asked.save("demonstration", drawn(self.betas, errors, ratios))
        (small, small_right), (large, large_right) = trained.tested.items()
        common, apart = ratios[COMMON], ratios[APART]
        least, most = self.betas[0], self.betas[-1]
        return {
            "spins": {"sizes": self.sizes, "betas": self.betas, "errors": errors, "snr": ratios},
            "training": self.call.told(),
            **trained.found(),
            "claims": told(
                Claim(
                    "the contrast of a free and a nudged phase is exact at any nudge",
                    "exact for arbitrary finite β",
                    "Theorem 3.1",
                    f"{sum(self.sizes[1:])} spins, relative error at most {max(errors[CONTRAST]):.0e} for "
                    f"β up to {most:g}; the small-nudge rule is {errors[SMALL_NUDGE][-1]:.0%} off",
                ),
                Claim(
                    "so is the path integral of covariances of loss and energy",
                    "exact",
                    "Theorem 3.4",
                    f"with {NODES} nodes at most {max(errors[PATH]):.0e}",
                ),
                Claim(
                    "a larger nudge is heard above the noise",
                    "noise below β ≈ 0.01, about 10 times the ratio near β = 1",
                    "its figure, panel B",
                    f"signal to noise of one gradient {apart[0]:.2g} at β = {least:g}, {apart[-1]:.2g} at "
                    f"β = {most:g}; {common[0]:.2g} at β = {least:g} where phases share their noise",
                ),
                Claim(
                    "so that it learns where a small one does not",
                    "Fashion-MNIST 20–30 % by β = 0.01, about 80 % by β = 1",
                    "its figure, panel C",
                    f"8×8 digits, independent noise: {small_right:.0f} % by {small}, {large_right:.0f} % "
                    f"by {large}",
                ),
            ),
        }

    def _problem(self) -> tuple[Model, Array, Array]:
        keys = jax.random.split(jax.random.key(1))
        net = layered(self.sizes, keys[0], Spin(), Spin(), gain=2.0)
        model = Model(net.energy, SquaredError(OUTPUT, -1.0, 1.0))
        outputs = self.sizes[-1]
        x = jax.random.normal(keys[1], (8, self.sizes[0]))
        return model, x, jnp.eye(outputs)[jnp.arange(8) % outputs]

    def _errors(self) -> dict[str, list[float]]:
        model, x, y = self._problem()
        errors: dict[str, list[float]] = {label: [] for label in RULES}
        for beta in self.betas:
            exact = by_free_energies(model, x, y, jnp.asarray(beta))
            for label, rule in RULES.items():
                found = _gradient(model, x, y, Enumeration(1.0), rule(beta))
                errors[label].append(compare(found, exact)[-1].relative_error)
        return errors

    def _ratios(self) -> dict[str, list[float]]:
        """Signal to noise of the sampled contrast by nudge."""
        model, x, y = self._problem()
        found: dict[str, list[float]] = {COMMON: [], APART: []}
        for label in found:
            chains = Chains(1.0, Gibbs(), self.chains, 20, 1, 1, common_noise=label == COMMON)
            for beta in self.betas:
                thermal = Thermal(chains, finite_nudge(beta))
                exact = {"exact": _gradient(model, x, y, Enumeration(1.0), finite_nudge(beta))}
                seen = spread(model, x, y, thermal, exact, jax.random.key(4), self.repeats)[0]
                found[label].append(1 / seen["exact"].deviation)
        return found


@eqx.filter_jit
def by_free_energies(model: Model, x: Array, y: Array, beta: Array) -> PyTree:
    """The gradient of the mean of ``J_beta = (A(beta) - A(0)) / beta`` over all states."""
    betas = jnp.stack([jnp.zeros_like(beta), beta])

    def objective(model: Model) -> Array:
        free, nudged = Enumeration(1.0).free_energy(Phases(model, x, y, betas))
        return jnp.mean(nudged - free) / beta

    return eqx.filter_grad(objective)(model)


def _gradient(model: Model, x: Array, y: Array, source: Source, rule: Rule) -> PyTree:
    return estimate(model, x, y, Thermal(source, rule), jax.random.key(0)).gradient


def drawn(
    betas: Sequence[float],
    errors: Mapping[str, list[float]],
    ratios: Mapping[str, list[float]],
) -> Figure:
    """Errors of the rules, and signal to noise, against the nudge."""
    figure, (left, right) = slide(
        "At a temperature, any nudge gives the exact gradient",
        "Litman, arXiv 2511.22024 · eqprop reproduce finite-nudge --quick",
        2,
    )
    _lines(left, betas, errors, "center right")
    plain(left, "nudge β", "relative error", "Error of the gradient")
    _lines(right, betas, ratios, "lower right")
    plain(right, "nudge β", "signal / noise", "One sampled gradient")
    return figure


def _lines(axes: Axes, betas: Sequence[float], lines: Mapping[str, list[float]], at: str) -> None:
    axes.set(xscale="log", yscale="log")
    for label, values in lines.items():
        shown = np.maximum(values, np.finfo(float).eps)
        axes.plot(betas, shown, "o-", ms=9, lw=3, label=label)
    legend(axes, at)
