"""What an oscillator machine makes of parameters and phases, and the rules by which it learns."""

from __future__ import annotations

from dataclasses import dataclass

from eqprop._arguments import NotNegative, Positive, Whole, require_types
from eqprop.estimators.contrast import symmetric
from eqprop.estimators.equilibrium import EquilibriumPropagation
from eqprop.estimators.estimator import Estimator
from eqprop.hardware import Programmed, Quantise, Ranges, ReadBits
from eqprop.solvers import GradientDescent, Langevin, Solver
from eqprop.training.optimisers import Optimiser, Sgd, Writing

STEP, FREE, NUDGED = 0.5, 40, 8


@dataclass(frozen=True)
class Machine:
    """What a device makes of parameters and phases; 0 bits are floating point.

    Args:
        parameter_bits: of every coupling and field, which lie in +- ``parameter_range``.
        parameter_range: one for all, times ``layer_ranges`` of each layer, in order from the input.
        layer_ranges: () is all 1.
        without_master: round every update to the device's levels, instead of keeping floating-point
            parameters beside it.
        stochastic_rounding: without a master copy, round up or down at random.
        state_bits: with which settled phases are read while training.
        noise: xi of the phases, ``dt xi N(0, 1)`` a step, by steps of 0.1: 200 free and 40 nudged ones.
    """

    parameter_bits: Whole = 0
    parameter_range: Positive = 1.0
    layer_ranges: tuple[float, ...] = ()
    without_master: bool = False
    stochastic_rounding: bool = False
    state_bits: Whole = 0
    noise: NotNegative | None = None

    def __post_init__(self) -> None:
        require_types(self)
        if self.without_master and not self.parameter_bits:
            raise ValueError("without_master: expected parameter_bits of 1 or more, got 0.")
        if self.stochastic_rounding and not self.without_master:
            raise ValueError(
                "stochastic_rounding: expected without_master, whose updates it rounds."
            )

    def ranges(self, layers: tuple[str, ...]) -> Ranges:
        if len(self.layer_ranges) not in (0, len(layers)):
            raise ValueError(
                f"layer_ranges: expected {len(layers)} numbers, one for each of {layers}, got "
                f"{self.layer_ranges}."
            )
        return Ranges(self.parameter_range, tuple(zip(layers, self.layer_ranges, strict=False)))

    def solvers(self) -> tuple[Solver, Solver]:
        """Of the free phase and of the nudged ones."""
        if self.noise is None:
            return GradientDescent(None, FREE, STEP), GradientDescent(None, NUDGED, STEP)
        return (
            Langevin.phase_noise(self.noise, 0.1, 200),
            Langevin.phase_noise(self.noise, 0.1, 40),
        )

    def learner(self, beta: float, layers: tuple[str, ...]) -> Estimator:
        free, nudged = self.solvers()
        reading = ReadBits(self.state_bits) if self.state_bits else None
        learner = EquilibriumPropagation(free, symmetric(beta), nudged, reading, self.noise is None)
        if not self.parameter_bits:
            return learner
        return Programmed(learner, Quantise(self.parameter_bits, self.ranges(layers)))

    def writing(self, layers: tuple[str, ...], seed: int) -> Writing | None:
        if not self.without_master:
            return None
        drawn = seed if self.stochastic_rounding else 0
        return Writing(self.parameter_bits, self.ranges(layers), self.stochastic_rounding, drawn)


@dataclass(frozen=True)
class Local:
    """The plain local rule: one rate a layer, no optimiser.

    Args:
        rates: of couplings, by layer.
        peak: what all are multiplied by, at the start of the cosine.
        bias_rate: of fields, as a multiple of that of their layer.
    """

    rates: tuple[float, float] = (0.04, 0.008)
    peak: Positive = 1.0
    bias_rate: NotNegative = 0.1

    def __post_init__(self) -> None:
        require_types(self)

    def optimiser(self, writing: Writing | None) -> Optimiser:
        return Optimiser(
            self.peak, Sgd(), layer_rates=self.rates, bias_rate=self.bias_rate, writing=writing
        )


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay.

    Args:
        learning_rate: at its peak.
        weight_decay: of couplings and fields.
    """

    learning_rate: Positive = 3e-4
    weight_decay: NotNegative = 1.0

    def __post_init__(self) -> None:
        require_types(self)

    def optimiser(self, writing: Writing | None) -> Optimiser:
        return Optimiser(self.learning_rate, weight_decay=self.weight_decay, writing=writing)
