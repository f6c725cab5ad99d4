"""Recipes of spiking networks: what they say besides, joined to chains of layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from eqprop.energies.feedback import with_stiff_layers
from eqprop.energies.model import Model
from eqprop.spiking import (
    Analog,
    BernoulliCoded,
    Coding,
    Drawn,
    Firing,
    Probabilities,
    Rates,
    Reading,
    SigmaDelta,
    Spiking,
    Staggered,
    with_soft_reset,
)
from eqprop.training.chain_recipes import ConvRecipe, DenseRecipe
from eqprop.training.choices import SPIKING, DataName, EstimatorName
from eqprop.training.data.datasets import Dataset
from eqprop.training.recipe import Recipe

FiringName = Literal["bernoulli", "staggered", "sigma-delta"]

SpikeReadingName = Literal["probabilities", "rates"]

CodingName = Literal["analog", "bernoulli"]

GRADED, PROBABLE = "linear", ("logistic", "clip", "half-clip")

FIRINGS: dict[FiringName, Callable[[int], Firing]] = {
    "bernoulli": Drawn,
    "staggered": Staggered,
    "sigma-delta": lambda population: SigmaDelta(),
}

READINGS: dict[SpikeReadingName, type[Reading]] = {"probabilities": Probabilities, "rates": Rates}

CODINGS: dict[CodingName, Coding] = {"analog": Analog(), "bernoulli": BernoulliCoded()}


@dataclass(frozen=True)
class SpikingOptions:
    """Neurons that fire with a probability; the unit, logistic, clip or half-clip (clip(u / 2)), says with
    which."""

    estimator: EstimatorName = "spiking"
    """Gradient: spiking contrasts spiking phases; surrogate back-propagates through the free phase with
    straight-through spikes; ep, implicit and bptt are those of the same network without spikes."""
    max_steps: int = 30
    """Steps T1 of the free phase; without spikes, steps after which a relaxation gives up."""
    nudged_steps: int = 10
    """Steps T2 of the nudged phases; 0 is max_steps."""
    leak: float = 0.3
    """Leak lambda in (0, 1]: u <- (1 - leak) u + leak * field; small is slow and quiet, 1 has no memory."""
    firing: FiringName = "bernoulli"
    """How a probability becomes spikes: drawn; drawn once for a population, whose neurons fire one after
    another as the membrane rises; or by sigma-delta, without noise."""
    population: int = 1
    """Neurons that share a membrane; neighbours see the share that fires."""
    layer_populations: tuple[int, ...] = ()
    """Population of each layer, in order from the input, as multiples of population; () is all 1. Small
    layers take large ones at little cost, and answers fade less in their noise on the way down."""
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
        sizes = (self.population, *self.layer_populations)
        if min(sizes) < 1 or (self.firing == "sigma-delta" and max(sizes) > 1):
            raise ValueError(
                f"population: expected a number >= 1, and 1 where firing is not drawn (sigma-delta), got "
                f"{self.population} and {self.layer_populations} with {self.firing}."
            )
        layers = self._named("order")
        if self.layer_populations and len(self.layer_populations) != len(layers):
            raise ValueError(
                f"layer_populations: expected {len(layers)} numbers, one for each of {layers}, got "
                f"{len(self.layer_populations)}."
            )
        if self.reset < 0:
            raise ValueError(f"reset: expected a number >= 0, got {self.reset}.")
        steps = {"predicted": self.max_steps, "averaged": self.nudged_steps or self.max_steps}
        for field, most in steps.items():
            if self.estimator in SPIKING and self._named(field) > most:
                raise ValueError(
                    f"{field}: expected at most the {most} steps of its phase, got {self._named(field)}."
                )
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

    def weakened(self, model: Model) -> Model:
        """The model with the recipe's feedback, its spikes as large as ever."""
        return with_stiff_layers(model, self._named("feedback"))

    @property
    def smaller(self) -> dict[str, Any]:
        """What `--quick` changes besides: short phases, and one test."""
        nudged = min(self.nudged_steps, 4)
        return {
            **super().smaller,  # type: ignore[misc]
            "max_steps": 8,
            "nudged_steps": nudged,
            "averaged": 2,
            "predicted": 4,
            "test_seeds": 1,
        }

    def _phase(self, steps: int, averaged: int) -> Spiking:
        shows = self._named("output") == GRADED and self._named("cost") == "squared-error"
        reading = READINGS[self.reading](averaged)  # type: ignore[call-arg]
        rule, layers = FIRINGS[self.firing], self._named("order")
        sizes = [
            self.population * factor for factor in self.layer_populations or (1,) * len(layers)
        ]
        alike = len(set(sizes)) == 1
        firing = rule(sizes[0]) if alike else dict(zip(layers, map(rule, sizes), strict=True))
        return Spiking(self.leak, steps, reading, firing, ("out",) if shows else ())

    def _named(self, field: str) -> Any:
        return getattr(self, field)


@dataclass(frozen=True)
class SpikingRecipe(SpikingOptions, DenseRecipe):
    """A chain of dense layers of neurons that spike."""


@dataclass(frozen=True)
class SpikingConvRecipe(SpikingOptions, ConvRecipe):
    """Convolutions of neurons that spike, each pooled 2x2, then dense layers."""

    dense: tuple[int, ...] = (128,)
    """Sizes of the dense layers before the output."""


def _spiking_images(name: DataName, epochs: int) -> SpikingConvRecipe:
    """Two convolutions and two dense layers, as in Lin, Bal and Sengupta (arXiv 2405.02546). Weak feedback
    lets the phases settle in a few steps, however large the weights grow."""
    return SpikingConvRecipe(
        data=name,
        unit="logistic",
        output="logistic",
        channels=(24, 48),
        dense=(256,),
        gain=(10.0, 1.5, 1.0, 1.0),
        beta=0.5,
        feedback=0.25,
        leak=1.0,
        firing="staggered",
        population=64,
        layer_populations=(1, 1, 4, 8),
        max_steps=8,
        predicted=4,
        nudged_steps=8,
        averaged=5,
        optimiser="momentum",
        learning_rate=0.05,
        layer_rates=(10.0, 2.0, 1.0, 1.0),
        epochs=epochs,
        batch_size=50,
        shift=1,
    )


def _spiking_cifar(channels: tuple[int, ...], epochs: int) -> SpikingConvRecipe:
    """Four convolutions and a dense layer, as in Lin, Jiang and Sengupta (arXiv 2511.11320). Answers fade
    less in clipped units than in logistic ones, whose slopes fall to 0.42 at the ends of [0, 1]."""
    return replace(
        _spiking_images("cifar-10", epochs),
        unit="clip",
        channels=channels,
        kernel=(3, 3, 3, 3),
        dense=(),
        gain=(3.0, 2.0, 2.0, 2.0, 1.0),
        beta=1.0,
        population=4096,
        layer_populations=(),
        max_steps=10,
        nudged_steps=10,
        layer_rates=(10.0, 4.0, 2.0, 1.0, 0.5),
    )


NETWORKS: dict[str, Recipe] = {
    "mnist-spiking": SpikingRecipe(
        data="mnist",
        hidden=(512,),
        unit="logistic",
        output="logistic",
        beta=0.5,
        learning_rate=1.5e-3,
        epochs=20,
        batch_size=64,
    ),
    "mnist-spiking-conv": _spiking_images("mnist", 10),
    "fashion-mnist-spiking-conv": replace(
        _spiking_images("fashion-mnist", 20),
        beta=1.0,
        feedback=0.1,
        population=1024,
        layer_populations=(1, 4, 4, 4),
        learning_rate=0.07,
    ),
    "cifar-10-spiking-conv": _spiking_cifar((128, 256, 512, 512), 60),
    "cifar-10-spiking-conv-narrow": replace(_spiking_cifar((16, 32, 64, 64), 10), examples=5000),
}
