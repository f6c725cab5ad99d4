"""Deep machines of oscillators: how near the gradient of few sweeps is to that of the equilibrium, by how
oscillators couple, and by how softly a layer is heard from below."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from rich.table import Table

from eqprop.energies.model import Model
from eqprop.energies.network import Layer, Network
from eqprop.energies.ops import cast
from eqprop.energies.units.oscillator import Oscillator
from eqprop.estimators.audit import compare, estimate
from eqprop.estimators.steps import cosines, with_steps
from eqprop.papers.call import Call
from eqprop.papers.study import Asked, Study
from eqprop.training.training import batch_of, prepare

COUPLINGS = {"J cos(φ_i − φ_j)": False, "J cos φ_i cos φ_j": True}
"""Whether oscillators couple in phase, by the energy of a coupling."""


def coupled(model: Model, in_phase: bool) -> Model:
    """The same parameters, in layers of oscillators that couple so."""
    network = model.energy
    assert isinstance(network, Network)
    layers = {
        name: Layer(layer.shape, _unit(layer, in_phase), layer.bias, layer.scale)
        for name, layer in network.layers.items()
    }
    edges = [(edge.source, edge.target, edge.op) for edge in network.edges.values()]
    return Model(Network(network.input_shape, layers, edges), model.cost)


def _unit(layer: Layer, in_phase: bool) -> Oscillator:
    assert isinstance(layer.unit, Oscillator)
    return dataclasses.replace(layer.unit, in_phase=in_phase)


@dataclass(frozen=True)
class Depth(Study):
    """The cosine of the recipe's gradient with that of many sweeps and a nudge that is a hundredth of its
    own, in float64, at initialisation: of all parameters, and of the worst one."""

    call: Call
    feedbacks: tuple[float, ...] = (0.1, 0.03, 0.01, 0.003)
    settled: int = 60
    examples: int = 4

    def results(self, asked: Asked) -> dict[str, Any]:
        feedbacks = self.feedbacks[-1:] if asked.quick else self.feedbacks
        rows = [
            {"coupling": coupling, "feedback": feedback, **self._row(asked, feedback, in_phase)}
            for coupling, in_phase in COUPLINGS.items()
            for feedback in feedbacks
        ]
        return {**self.call.told(), "settled": self.settled, "rows": rows}

    def _row(self, asked: Asked, feedback: float, in_phase: bool) -> dict[str, Any]:
        few = self.call.but(feedback=feedback).training()
        fine = self.call.but(feedback=feedback, beta=self.call.arguments["beta"] / 100).training()
        x, y = batch_of(prepare(few, asked.data_dir).validation, few.model, self.examples)
        with jax.enable_x64(True):
            model, x, y = cast((coupled(few.model, in_phase), x, y), np.dtype(np.float64))
            learner = with_steps(fine.estimator, self.settled, self.settled)
            settled, found = (
                estimate(model, x, y, one, jax.random.key(0)).gradient
                for one in (learner, few.estimator)
            )
            worst = min(compare(found, settled)[:-1], key=lambda row: row.cosine)
            whole, _ = cosines(found, settled)
        return {"cosine": whole, "worst": worst.cosine, "parameter": worst.name}

    def summary(self, found: Mapping[str, Any]) -> list[Table]:
        shown = Table(title=f"{found['name']}: cosine with the gradient at the equilibrium")
        for head in ("coupling", "feedback", "all parameters", "the worst", ""):
            shown.add_column(head)
        for row in found["rows"]:
            numbers = f"{row['cosine']:.4f}", f"{row['worst']:.4f}"
            shown.add_row(row["coupling"], f"{row['feedback']:g}", *numbers, row["parameter"])
        return [shown]
