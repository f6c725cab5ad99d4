"""How near a spiking network is to its deterministic fixed point: by leak, averaging and width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqprop.energies.architectures import layered
from eqprop.energies.model import Model
from eqprop.energies.units.sigmoid import Logistic
from eqprop.energies.units.unit import embed
from eqprop.estimators.contrast import symmetric
from eqprop.papers import figures
from eqprop.papers.study import Asked, Study
from eqprop.solvers import Momentum
from eqprop.solvers.relax import relax
from eqprop.spiking import Probabilities, Spiking, SpikingCarry, SpikingPropagation
from eqprop.training.terminal import tell

INPUTS, OUTPUTS, GAIN, BURN = 100, 10, 1.5, 500

WIDTH, LEAK = 128, 0.3

MEASURED = "h2"


@dataclass(frozen=True)
class MeanField(Study):
    """Root mean square difference, over neurons of the second hidden layer, of averaged firing
    probabilities from the deterministic fixed point: of one chain, and of the mean over chains, which is
    the bias. Random logistic networks 100-width-width-10 in float32, so that each neuron measured hears
    the spikes of ``width`` others."""

    leaks: tuple[float, ...] = (1.0, 0.5, 0.3, 0.2, 0.1)
    widths: tuple[int, ...] = (32, 128, 512, 1024)
    steps: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    """Numbers of steps averaged over."""
    chains: int = 64

    def results(self, asked: Asked) -> dict[str, Any]:
        leaks, widths = self.leaks, self.widths
        if asked.quick:
            leaks, widths = leaks[::4], widths[:2]
        cases = dict.fromkeys((leak, WIDTH) for leak in leaks)
        cases |= dict.fromkeys((LEAK, width) for width in widths)
        rows = []
        for leak, width in cases:
            rows.append({"leak": leak, "width": width, **self._distances(leak, width)})
            tell(
                f"leak {leak:g}, width {width}: error of one step {rows[-1]['error'][0]:.4f}, of "
                f"{self.steps[-1]} {rows[-1]['error'][-1]:.4f}; bias {rows[-1]['bias']:.4f}"
            )
        asked.save("mean_field", self._drawn(rows, leaks, widths))
        return {"steps": self.steps, "chains": self.chains, "rows": rows}

    def _distances(self, leak: float, width: int) -> dict[str, Any]:
        sizes, unit = (INPUTS, width, width, OUTPUTS), Logistic()
        model = layered(sizes, jax.random.key(0), unit, unit, GAIN)
        x = jax.random.uniform(jax.random.key(1), (1, INPUTS))
        most = self.steps[-1]
        solver = Spiking(leak, BURN + most, Probabilities(most))
        seen = np.asarray(_hidden(model, jnp.repeat(x, self.chains, 0), solver))[:, BURN:]
        settled, _ = eqx.filter_jit(relax)(model, x, model.rest(x), Momentum(1e-6, 500))
        fixed = np.asarray(embed(model.energy.units, settled)[MEASURED])[0]
        off = seen - fixed
        error = [float(np.sqrt(np.mean(off[:, -k:].mean(1) ** 2))) for k in self.steps]
        bias, noise = off.mean((0, 1)), off.mean(1).var(0, ddof=1) / self.chains
        return {"error": error, "bias": float(np.sqrt(max(np.mean(bias**2 - noise), 0.0)))}

    def _drawn(
        self, rows: list[dict[str, Any]], leaks: tuple[float, ...], widths: tuple[int, ...]
    ) -> Any:
        found: Mapping = {(row["leak"], row["width"]): row for row in rows}
        by_steps = {f"λ = {leak:g}": (self.steps, found[leak, WIDTH]["error"]) for leak in leaks}
        by_leak = {
            "one step": (leaks, [found[leak, WIDTH]["error"][0] for leak in leaks]),
            f"{self.steps[-1]} steps": (leaks, [found[leak, WIDTH]["error"][-1] for leak in leaks]),
            "bias": (leaks, [found[leak, WIDTH]["bias"] for leak in leaks]),
        }
        by_width = {
            "one step": (widths, [found[LEAK, width]["error"][0] for width in widths]),
            f"{self.steps[-1]} steps": (widths, [found[LEAK, n]["error"][-1] for n in widths]),
            "bias": (widths, [found[LEAK, width]["bias"] for width in widths]),
        }
        panels: dict[str, Any] = {
            f"width {WIDTH}": by_steps,
            f"width {WIDTH} ": by_leak,
            f"λ = {LEAK:g}": by_width,
        }
        axes = ("steps averaged", "leak λ", "width")
        return figures.curves(panels, axes, "distance to the fixed point")


@eqx.filter_jit
def _hidden(model: Model, x: Array, solver: Spiking) -> Array:
    """Probabilities of the measured layer after every step: (chains, steps, neurons)."""

    def hidden(carry: SpikingCarry) -> Array:
        return carry.own[MEASURED]

    spiking = SpikingPropagation(solver, symmetric(0.5))
    return spiking.free(model, x, model.rest(x), jax.random.key(2), hidden).records
