"""What a recipe of a spiking network says besides: `eqprop.recipes` joins these fields to its own kinds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from eqprop.spiking import (
    Analog,
    Bernoulli,
    BernoulliCoded,
    Coding,
    Firing,
    Probabilities,
    Rates,
    Reading,
    SigmaDelta,
    Spiking,
    with_soft_reset,
)

if TYPE_CHECKING:
    from eqprop.data import Dataset
    from eqprop.model import Model

FiringName = Literal["bernoulli", "sigma-delta"]
SpikeReadingName = Literal["probabilities", "rates"]
CodingName = Literal["analog", "bernoulli"]
SPIKING = ("spiking", "surrogate")
"""The estimators whose phases spike."""
GRADED, PROBABLE = "linear", ("logistic", "clip", "half-clip")
FIRINGS: dict[FiringName, Firing] = {"bernoulli": Bernoulli(), "sigma-delta": SigmaDelta()}
READINGS: dict[SpikeReadingName, type[Reading]] = {"probabilities": Probabilities, "rates": Rates}
CODINGS: dict[CodingName, Coding] = {"analog": Analog(), "bernoulli": BernoulliCoded()}


@dataclass(frozen=True)
class Spikes:
    """Neurons that fire with a probability; the unit, logistic, clip or half-clip (clip(u / 2)), says with
    which."""

    estimator: Literal["ep", "implicit", "bptt", "thermal", "spiking", "surrogate"] = "spiking"
    """Gradient: spiking contrasts spiking phases; surrogate back-propagates through the free phase with
    straight-through spikes; ep, implicit and bptt are those of the same network without spikes."""
    max_steps: int = 30
    """Steps T1 of the free phase; without spikes, steps after which a relaxation gives up."""
    nudged_steps: int = 10
    """Steps T2 of the nudged phases; 0 is max_steps."""
    leak: float = 0.3
    """Leak lambda in (0, 1]: u <- (1 - leak) u + leak * field; small is slow and quiet, 1 has no memory."""
    firing: FiringName = "bernoulli"
    """How a probability becomes spikes: drawn, or by sigma-delta, without noise."""
    reading: SpikeReadingName = "probabilities"
    """What of a phase enters the gradient and the prediction: firing probabilities, or spike rates."""
    averaged: int = 5
    """Steps K at the end of a nudged phase whose mean enters the gradient; 1 is the last alone."""
    predicted: int = 15
    """Steps at the end of a free phase whose mean is the prediction."""
    coding: CodingName = "analog"
    """How inputs enter: as constant currents, or as spikes drawn anew in each step."""
    reset: float = 0.0
    """Soft reset theta: what a spike takes from its neuron's membrane; part of the energy."""
    test_seeds: int = 5
    """How often the test is taken, each time with other noise."""

    @property
    def fixed_steps(self) -> bool:
        """Whether relaxations take a number of steps, and are not asked to settle."""
        return self.estimator in SPIKING or super().fixed_steps  # type: ignore[misc]

    def check(self) -> None:
        """Raise ``ValueError`` where a value makes no sense."""
        super().check()  # type: ignore[misc]
        units = {"unit": self._named("unit"), "output": self._named("output")}
        for field, name in units.items():
            if name not in (*PROBABLE, *((GRADED,) if field == "output" else ())):
                raise ValueError(
                    f"{field}: expected one of {', '.join(PROBABLE)} in a spiking network (or a linear "
                    f"output, which shows its membrane), got {name}."
                )
        if self.test_seeds < 1:
            raise ValueError(f"test_seeds: expected a number >= 1, got {self.test_seeds}.")
        if self.reset < 0:
            raise ValueError(f"reset: expected a number >= 0, got {self.reset}.")
        if self.estimator in SPIKING:
            self.free_phase()
            self.nudged_phase()

    def free_phase(self) -> Spiking:
        """The dynamics of free phases."""
        return self._phase(self.max_steps, self.predicted)

    def nudged_phase(self) -> Spiking:
        """The dynamics of nudged phases."""
        return self._phase(self.nudged_steps or self.max_steps, self.averaged)

    def build(self, data: Dataset) -> Model:
        """The model at initialisation."""
        model = super().build(data)  # type: ignore[misc]
        return with_soft_reset(model, self.free_phase(), self.reset) if self.reset else model

    def in_short(self) -> dict[str, Any]:
        """What `--quick` changes besides: short phases, and one test."""
        nudged = min(self.nudged_steps, 4)
        return {
            "max_steps": 8,
            "nudged_steps": nudged,
            "averaged": 2,
            "predicted": 4,
            "test_seeds": 1,
        }

    def _phase(self, steps: int, averaged: int) -> Spiking:
        shows = self._named("output") == GRADED and self._named("cost") == "squared-error"
        reading, firing = READINGS[self.reading](averaged), FIRINGS[self.firing]  # type: ignore[call-arg]
        return Spiking(self.leak, steps, reading, firing, ("out",) if shows else ())

    def _named(self, field: str) -> Any:
        return getattr(self, field)
