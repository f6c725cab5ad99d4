"""What a recipe says of its neurons that spike, and of the two phases of EP."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from eqprop._arguments import Count, NotNegative, require_types
from eqprop.energies.model import Model
from eqprop.estimators.contrast import symmetric
from eqprop.spiking import (
    Analog,
    BernoulliCoded,
    Drawn,
    Firing,
    Probabilities,
    Rates,
    SigmaDelta,
    Spiking,
    SpikingPropagation,
    Staggered,
    with_soft_reset,
)


@dataclass(frozen=True)
class Spikes:
    """Two phases of neurons that fire with a probability.

    Args:
        leak: lambda in (0, 1]: u <- (1 - leak) u + leak * field; small is slow and quiet, 1 has no memory.
        free_steps: T1, of the free phase.
        predicted: steps at its end whose mean is the prediction.
        nudged_steps: T2, of the nudged phases.
        averaged: steps K at their end whose mean enters the gradient.
        firing: how a probability becomes spikes; ``population`` neurons share a membrane.
        factors: population of each layer, in order from the input, as multiples of that; () is all 1.
        rates: read spikes and not probabilities.
        coding: how inputs enter: as constant currents, or as spikes drawn anew in each step.
        reset: what a spike takes from its neuron's membrane, softly; part of the energy.
        common_noise: nudged phases share their random numbers, which cancels what is common.
    """

    leak: float = 0.3
    free_steps: Count = 30
    predicted: Count = 15
    nudged_steps: Count = 10
    averaged: Count = 5
    firing: Drawn | Staggered | SigmaDelta = field(default_factory=Drawn)
    factors: tuple[Count, ...] = ()
    rates: bool = False
    coding: Analog | BernoulliCoded = field(default_factory=Analog)
    reset: NotNegative = 0.0
    common_noise: bool = True

    def __post_init__(self) -> None:
        require_types(self)

    def in_short(self) -> Spikes:
        """The same for a quick trial."""
        nudged = min(self.nudged_steps, 4)
        return dataclasses.replace(self, free_steps=8, predicted=4, nudged_steps=nudged, averaged=2)

    def phase(self, layers: tuple[str, ...], steps: int, averaged: int) -> Spiking:
        """One phase of so many steps, of which the last ``averaged`` are read."""
        if averaged > steps:
            raise ValueError(
                f"predicted, averaged: expected at most the {steps} steps of their phase, got {averaged}."
            )
        reading = (Rates if self.rates else Probabilities)(averaged)
        return Spiking(self.leak, steps, reading, self.fired(layers), ())

    def fired(self, layers: tuple[str, ...]) -> Firing | dict[str, Firing]:
        """The firing of all layers, or of each."""
        if not self.factors:
            return self.firing
        if len(self.factors) != len(layers) or isinstance(self.firing, SigmaDelta):
            raise ValueError(
                f"factors: expected {len(layers)} numbers, one for each of {layers}, and firing that is "
                f"drawn, got {self.factors} with {type(self.firing).__name__}."
            )
        kind, size = type(self.firing), self.firing.population
        return {name: kind(size * n) for name, n in zip(layers, self.factors, strict=True)}

    def learner(self, layers: tuple[str, ...], beta: float) -> SpikingPropagation:
        free = self.phase(layers, self.free_steps, self.predicted)
        nudged = self.phase(layers, self.nudged_steps, self.averaged)
        return SpikingPropagation(free, symmetric(beta), nudged, self.coding, self.common_noise)

    def resetting(self, model: Model) -> Model:
        """The model whose spikes reset their neurons, where they do."""
        if not self.reset:
            return model
        layers = tuple(model.energy.shapes)
        return with_soft_reset(
            model, self.phase(layers, self.free_steps, self.predicted), self.reset
        )
