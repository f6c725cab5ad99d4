"""A resistive network solved by SPICE, its gradient by nudges, and digits that it learns."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array
from matplotlib.figure import Figure

from eqprop.energies.model import Model
from eqprop.energies.ops import cast
from eqprop.estimators.audit import BetaSweep, sweep_beta
from eqprop.estimators.contrast import symmetric
from eqprop.estimators.implicit import ImplicitDifferentiation
from eqprop.hardware.netlist import netlist
from eqprop.papers.call import Call
from eqprop.papers.demonstration import Claim, Demonstration, told, train
from eqprop.papers.resistive.recipes import digits_resistive
from eqprop.papers.slides import learning, plain, slide
from eqprop.papers.study import Asked
from eqprop.solvers import Blockwise
from eqprop.solvers.relax import relax
from eqprop.training.fit import AUDITED
from eqprop.training.rivals import bptt
from eqprop.training.training import batch_of, prepare

EP, BPTT = "equilibrium propagation", "back-propagation through time"

SHARP = Blockwise(1e-12, 5000)

NGSPICE = "ngspice"


@dataclass(frozen=True)
class Circuits(Demonstration):
    """Digits learnt by a resistive network, by nudges and by back-propagation through its sweeps; the
    gradient's error by nudge; and the learnt circuit's voltages beside those that SPICE finds."""

    call: Call = field(default_factory=lambda: Call(digits_resistive))
    betas: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0)

    def results(self, asked: Asked) -> dict[str, Any]:
        trained = train({EP: self.call, BPTT: self.call.but(bptt)}, asked)
        training = self.call.training()
        with jax.enable_x64(True):
            x, y = batch_of(prepare(training, asked.data_dir).validation, training.model, AUDITED)
            model, x, y = cast((trained.runs[EP].model, x, y), np.dtype(np.float64))
            swept = self._swept(model, x, y)
            apart = beside_spice(model, x)
        asked.save("demonstration", drawn(swept, trained.curves))
        ep, rival = trained.tested.values()
        return {
            **self.call.told(),
            **trained.found(),
            "gradients": swept._asdict(),
            "volts_apart": apart,
            "claims": told(
                Claim(
                    "a circuit of sources, resistors and diodes minimises an energy, half its power",
                    "such networks possess an energy, by Kirchhoff's laws",
                    "Kendall et al. 2020, abstract",
                    "ngspice is not installed"
                    if apart is None
                    else f"voltages of the learnt circuit, in SPICE and here: {apart:.0e} V apart",
                ),
                Claim(
                    "currents at the output give the gradient in every conductance",
                    "a rule that is local, of the voltage across the resistor alone",
                    "Kendall et al. 2020, abstract",
                    f"two nudges: relative error {swept.errors[0]:.0e} at β = {swept.betas[0]:g}, falling "
                    f"as β^{swept.order:.2f}",
                ),
                Claim(
                    "such circuits learn as neural networks do",
                    "MNIST: 1.57 % error with one hidden layer of 1,024 nodes",
                    "Scellier 2024, published code",
                    f"8×8 digits, test accuracy {ep:.1f} %, by BPTT {rival:.1f} %",
                ),
            ),
        }

    def _swept(self, model: Model, x: Array, y: Array) -> BetaSweep:
        key = jax.random.key(0)
        rule = ImplicitDifferentiation(SHARP, tolerance=1e-10)
        exact = rule(model, x, y, model.rest(x), key).gradient
        return sweep_beta(model, x, y, SHARP, symmetric, self.betas, exact, key)


def beside_spice(model: Model, x: Array) -> float | None:
    """The largest difference in volts between our equilibrium of the first example and ngspice's; ``None``
    where that is not installed."""
    if shutil.which(NGSPICE) is None:
        return None
    found, _ = relax(model, x[:1], None, SHARP)
    asked = ".control\nop\nset numdgt=12\nprint all\n.endc\n.end"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "circuit.cir"
        path.write_text(netlist(model, x[0]).removesuffix(".op\n.end") + asked)
        said = subprocess.run([NGSPICE, "-b", path], capture_output=True, text=True, check=False)
    volts = dict(re.findall(r"^(\w+) = (\S+)$", said.stdout, re.MULTILINE))
    return max(
        abs(float(volts[f"{name}_{i}"]) - v)
        for name, layer in found.items()
        for i, v in enumerate(np.ravel(layer[0]))
    )


def drawn(swept: BetaSweep, curves: Mapping[str, Sequence[float]]) -> Figure:
    """Errors against the nudge, and validation accuracies by epoch."""
    figure, (left, right) = slide(
        "A circuit of resistors and diodes learns by itself",
        "Kendall et al. 2020; Scellier 2024 · eqprop reproduce resistive --quick",
        2,
    )
    left.set(xscale="log", yscale="log")
    left.plot(swept.betas, swept.errors, "o-", ms=9, lw=4)
    plain(left, "nudge β (siemens)", "relative error", "Error of the gradient")
    learning(right, curves, "Learning 8×8 digits")
    return figure
