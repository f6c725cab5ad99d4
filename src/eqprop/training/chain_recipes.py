"""Chains of layers as recipes: dense, at a temperature, convolutional."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from jaxtyping import PRNGKeyArray

from eqprop.energies.architectures import convolutional, layered
from eqprop.energies.model import Model
from eqprop.training.choices import (
    POOLS,
    EstimatorName,
    PoolName,
    ReadingName,
    RuleName,
    SamplerName,
)
from eqprop.training.data.datasets import Dataset
from eqprop.training.recipe import Recipe


@dataclass(frozen=True)
class DenseRecipe(Recipe):
    """A chain of dense layers."""

    hidden: tuple[int, ...] = (256,)
    """Sizes of the hidden layers."""

    @property
    def hidden_layers(self) -> tuple[str, ...]:
        return tuple(f"h{i + 1}" for i in range(len(self.hidden)))

    def network(self, data: Dataset, key: PRNGKeyArray) -> Model:
        sizes = (data.features, *self.hidden, data.classes)
        return layered(
            sizes, key, self.make_unit(self.unit), self.make_unit(self.output), self.gain
        )


@dataclass(frozen=True)
class ThermalRecipe(DenseRecipe):
    """A chain of dense layers whose phases are Gibbs laws at a temperature."""

    estimator: EstimatorName = "thermal"
    """Gradient: thermal samples the phases; the others take them at zero temperature."""
    rule: RuleName = "contrast"
    """How phases make a gradient: the finite nudge against the free phase; symmetric nudges; the path
    integral of loss-energy covariances; its free end, the covariance; reweighted free samples."""
    nodes: int = 3
    """Nudges of the path integral."""
    reading: ReadingName = "means"
    """What enters the gradient: draws, or conditional means of the hidden layers that the output does not
    couple inside, which have less variance."""
    temperature: float = 0.1
    """Temperature T, in units of the energy."""
    sampler: SamplerName = "gibbs"
    """Markov kernel; gibbs draws whole layers exactly, the others make steps of step_size."""
    chains: int = 4
    """Chains for each example and nudge."""
    burn: int = 20
    """Steps before the first sample."""
    samples: int = 2
    """Samples of each chain."""
    thinning: int = 5
    """Steps from one sample to the next."""
    hot: float = 1.0
    """Temperature at the start of the burn-in, as a multiple of T, to which it falls geometrically."""
    persistent: bool = False
    """Let chains go on from where those of the last batch ended; else each batch begins at rest."""
    exchange: bool = False
    """Swap the states of neighbouring nudges (replica exchange); needs independent_noise."""

    def check(self) -> None:
        super().check()
        if self.estimator == "thermal" and not 0 < self.temperature < math.inf:
            raise ValueError(
                f"temperature: expected a finite number > 0, got {self.temperature}; at T = 0 use "
                "--estimator ep."
            )
        if self.exchange and not self.independent_noise:
            raise ValueError(
                "exchange: expected independent_noise, without which replicas are no such."
            )
        for name in ("chains", "samples", "thinning", "nodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a number >= 1, got {getattr(self, name)}.")
        curved = {"logistic", "tanh", "oscillator"} & {self.unit}
        if self.estimator == "thermal" and self.reading == "means" and curved:
            raise ValueError(
                f"reading: expected draws with the unit {self.unit}, whose mean is not known, got "
                "means; use --reading draws."
            )
        if self.estimator != "thermal" and {"spin", "bernoulli"} & {self.unit, self.output}:
            raise ValueError(
                f"unit: expected the estimator thermal with spins, which have no gradient, got "
                f"{self.estimator}."
            )


@dataclass(frozen=True)
class ConvRecipe(Recipe):
    """Convolutions, each pooled 2x2, then dense layers."""

    channels: tuple[int, ...] = (16, 32)
    """Channels of each convolution."""
    kernel: tuple[int, ...] = (5, 3)
    """Size of each convolution's kernel."""
    pool: PoolName = "average"
    """Pooling after each convolution."""
    dense: tuple[int, ...] = ()
    """Sizes of the dense layers before the output."""

    @property
    def hidden_layers(self) -> tuple[str, ...]:
        convolved = (f"c{i + 1}" for i in range(len(self.channels)))
        return (*convolved, *(f"h{i + 1}" for i in range(len(self.dense))))

    @property
    def smaller(self) -> dict[str, Any]:
        return {"channels": tuple(max(1, n // 4) for n in self.channels)}

    def check(self) -> None:
        super().check()
        if self.pool == "max" and self.unit == "oscillator":
            raise ValueError(
                "pool: expected average with oscillators, whose two components have no common largest, "
                "got max."
            )

    def network(self, data: Dataset, key: PRNGKeyArray) -> Model:
        return convolutional(
            data.image_shape,
            self.channels,
            data.classes,
            key,
            self.make_unit(self.unit),
            self.make_unit(self.output),
            self.kernel,
            POOLS[self.pool],
            self.gain,
            self.dense,
        )
