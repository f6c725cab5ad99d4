"""Residual Hopfield networks: convolutions with skips, every skip one more coupling of the energy.

A block is two layers: a 3x3 convolution, then a 3x3 convolution of stride 2 together with a skip of
its own from the block's input, a 1x1 convolution of stride 2. Four blocks and a dense output are
Hopfield-ResNet13 (Elayedam and Srinivasan, arXiv 2509.26003), named after its 13 weight tensors.
There is no pooling and no normalisation; nets of maximum pooling are `build.convolutional`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import jax
from jaxtyping import PRNGKeyArray

from eqprop.arguments import Count, checked
from eqprop.build import OUTPUT, each
from eqprop.costs import SquaredError
from eqprop.model import Model
from eqprop.network import INPUT, Layer, Network, Op
from eqprop.ops import Conv, Dense
from eqprop.units import Linear, Unit, relu6

RESNET13 = (128, 256, 512, 512)
"""Channels of each block."""
GAINS = (0.6, 0.7, 0.8)
"""Initial gains of the 3x3 convolutions, the skips and the dense layer."""
WIDEST = 4


def channels_of(width: int, blocks: int) -> tuple[int, ...]:
    """The channels of each block: ``width``, twice, then four times as many; of 128 and 4, `RESNET13`."""
    return tuple(width * min(2**i, WIDEST) for i in range(blocks))


@checked
def hopfield_resnet(
    image: tuple[Count, Count, Count],
    classes: Count,
    key: PRNGKeyArray,
    channels: Sequence[Count] = RESNET13,
    unit: Unit | None = None,
    output: Unit | None = None,
    gain: float | Sequence[float] = GAINS,
    skips: bool = True,
) -> Model:
    """``hopfield_resnet((32, 32, 3), 10, key)`` is Hopfield-ResNet13.

    ``image`` is (height, width, channels), channel-last, and each of the blocks halves it. Layers are
    named ``z1``, ``z2``, ... and ``out``; the even ones end a block. Hidden units clip to [0, 6] and
    the output is linear unless given. Weights are ``U(-gain / sqrt(fan_in), gain / sqrt(fan_in))``, with
    one gain for all or one each for convolutions, skips and the dense layer; biases are zero
    (`build.with_biases` draws them). Raises ``ValueError`` where the image cannot be halved so often.
    """
    if not channels or min(channels) < 1:
        raise ValueError(
            f"hopfield_resnet: expected one or more positive numbers of channels, got {tuple(channels)}."
        )
    height, width, depth = image
    shrink = 2 ** len(channels)
    if height % shrink or width % shrink:
        raise ValueError(
            f"hopfield_resnet: expected an image that {shrink} divides, as {len(channels)} blocks halve it "
            f"one after another, got {height}x{width}; pad the image, or use fewer blocks."
        )
    unit, output = unit or relu6(), output or Linear()
    conv_gain, skip_gain, dense_gain = each("gain", gain, 3)
    *keys, last = jax.random.split(key, 3 * len(channels) + 1)
    layers: dict[str, Layer] = {}
    edges: list[tuple[str, str, Op]] = []
    source = INPUT
    for i, (inputs, features) in enumerate(pairwise((depth, *channels))):
        full, half = f"z{2 * i + 1}", f"z{2 * i + 2}"
        layers[full] = Layer((height, width, features), unit)
        height, width = height // 2, width // 2
        layers[half] = Layer((height, width, features), unit)
        first, second, skip = keys[3 * i : 3 * i + 3]
        edges += [
            (source, full, Conv.init(first, inputs, features, gain=conv_gain)),
            (full, half, Conv.init(second, features, features, stride=2, gain=conv_gain)),
        ]
        if skips:
            edges.append(
                (source, half, Conv.init(skip, inputs, features, 1, stride=2, gain=skip_gain))
            )
        source = half
    layers[OUTPUT] = Layer(classes, output)
    dense = Dense.init(last, height * width * channels[-1], classes, dense_gain)
    edges.append((source, OUTPUT, dense))
    return Model(Network(image, layers, edges), SquaredError(OUTPUT))
