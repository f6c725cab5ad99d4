"""What the recipes are put together from: architectures, augmentation, and ways to sweep."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

import jax

from eqprop._arguments import Bound, Count, NotNegative, Whole, require_types
from eqprop.energies.architectures import (
    GAINS,
    OUTPUT,
    channels_of,
    convolutional,
    hopfield_resnet,
    with_read_out,
)
from eqprop.energies.costs import SquaredError
from eqprop.energies.drawn import with_biases
from eqprop.energies.model import Model
from eqprop.energies.network import alternate, one_by_one
from eqprop.energies.ops import MaxPool
from eqprop.energies.units.interval import Box, relu6
from eqprop.solvers import Blockwise, Momentum, Solver
from eqprop.training.data.augment import Augment, Compose, Flip, RandomCrop
from eqprop.training.data.named import Named
from eqprop.training.data.randaugment import RandAugment

TRIED = 2
"""Width of a quick trial."""


@dataclass(frozen=True)
class Architecture:
    """Blocks, each of which halves the image; 4 are ResNet13 and VGG5.

    Args:
        width: channels of the first block; the second has twice, the others four times as many.
        blocks: their number.
        skips: two 3x3 convolutions a block, the second of stride 2 beside a 1x1 skip; or no skips.
        vgg: one 3x3 convolution a block, and maximum pooling.
        clipped: hidden units of [0, 1] in place of [0, 6].
        gain: initial weights are uniform in +-gain / sqrt(fan_in), one each for convolutions, skips and the
            dense layer; of vgg one for all.
        bias_gain: the same for biases; 0 starts them at zero.
    """

    width: Count = 128
    blocks: Count = 4
    skips: bool = True
    vgg: bool = False
    clipped: bool = False
    gain: tuple[float, ...] = GAINS
    bias_gain: NotNegative = 0.5

    def __post_init__(self) -> None:
        require_types(self)

    def in_short(self) -> Architecture:
        """The same for a quick trial."""
        return dataclasses.replace(self, width=min(self.width, TRIED))

    def build(self, data: Named, seed: int, read_out: bool) -> Model:
        """At initialisation; with a softmax read-out in place of a linear output."""
        key, last = jax.random.split(jax.random.key(seed))
        weights, biases = jax.random.split(key)
        unit = Box() if self.clipped else relu6()
        image, channels = _framed(data, 2**self.blocks), channels_of(self.width, self.blocks)
        if self.vgg:
            model = convolutional(
                image, channels, data.classes, weights, unit, pool=MaxPool, gain=self.gain
            )
        else:
            model = hopfield_resnet(
                image, data.classes, weights, channels, unit, gain=self.gain, skips=self.skips
            )
        if self.bias_gain:
            model = with_biases(model, biases, self.bias_gain)
        if read_out:
            return with_read_out(model, data.classes, last, self.gain[-1])
        return Model(model.energy, SquaredError(OUTPUT))


@dataclass(frozen=True)
class Augmentation:
    """What becomes of images, one after another.

    Args:
        flip: mirror them left to right, with probability one half.
        operations: of RandAugment, an image.
        magnitude: of these, 0 to 30.
        crop: shifts of up to this many pixels that repeat the edge.
    """

    flip: bool = True
    operations: Whole = 3
    magnitude: Annotated[Whole, Bound("<", 31)] = 9
    crop: Whole = 4

    def __post_init__(self) -> None:
        require_types(self)

    def build(self) -> Augment | None:
        parts: list[Augment] = [Flip()] if self.flip else []
        parts += [RandAugment(self.operations, self.magnitude)] if self.operations else []
        parts += [RandomCrop(self.crop)] if self.crop else []
        if len(parts) < 2:
            return parts[0] if parts else None
        return Compose(tuple(parts))


@dataclass(frozen=True)
class Ordered:
    """Sweeps layer by layer: ``free`` from the input up, ``nudged`` from the output down."""

    free: Count = 2
    nudged: Count = 1

    def solvers(self, order: tuple[str, ...]) -> tuple[Solver, Solver]:
        return (
            Blockwise(None, self.free, one_by_one(order)),
            Blockwise(None, self.nudged, one_by_one(order[::-1])),
        )


@dataclass(frozen=True)
class Coloured:
    """Sweeps over sets of layers that are not coupled."""

    free: Count = 4
    nudged: Count = 2

    def solvers(self, order: tuple[str, ...]) -> tuple[Solver, Solver]:
        return Blockwise(None, self.free), Blockwise(None, self.nudged)


@dataclass(frozen=True)
class Alternating:
    """Sweeps over the odd and the even layers, coupled or not, as published."""

    free: Count = 4
    nudged: Count = 2

    def solvers(self, order: tuple[str, ...]) -> tuple[Solver, Solver]:
        blocks = alternate(order)
        return Blockwise(None, self.free, blocks), Blockwise(None, self.nudged, blocks)


@dataclass(frozen=True)
class Accelerated:
    """Coloured sweeps with Nesterov's momentum."""

    free: Count = 12
    nudged: Count = 8

    def solvers(self, order: tuple[str, ...]) -> tuple[Solver, Solver]:
        return Momentum(None, self.free), Momentum(None, self.nudged)


def _framed(data: Named, multiple: int) -> tuple[int, int, int]:
    height, width, channels = data.image_shape
    return height + -height % multiple, width + -width % multiple, channels
