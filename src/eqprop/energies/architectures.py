"""The usual networks in a line."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from eqprop._arguments import Count, checked
from eqprop.energies.costs import CrossEntropy, SquaredError
from eqprop.energies.feedback import Enlarged
from eqprop.energies.model import Model
from eqprop.energies.network import INPUT, Layer, Network
from eqprop.energies.ops import AveragePool, Chain, Conv, Dense, MaxPool, Op
from eqprop.energies.units.interval import Box, Linear, relu6
from eqprop.energies.units.oscillator import Oscillator
from eqprop.energies.units.unit import Unit

OUTPUT = "out"

T = TypeVar("T", int, float)


def each(name: str, values: T | Sequence[T], count: int) -> list[T]:
    """One value for each of ``count`` edges, from one for all or one each."""
    given = list(values) if isinstance(values, Sequence) else [values]
    if len(given) not in (1, count):
        raise ValueError(
            f"{name}: expected one number for all edges, or {count} in order from the input, got {values}."
        )
    return given * count if len(given) == 1 else given


@checked
def layered(
    sizes: Sequence[Count],
    key: PRNGKeyArray,
    unit: Unit | None = None,
    output: Unit | None = None,
    gain: float | Sequence[float] = 1.0,
) -> Model:
    """A chain of dense layers with a squared error: ``layered((784, 512, 10), key)``.

    Layers are named ``h1``, ``h2``, ... and ``out``. Hidden units clip to [0, 1] and the output is
    linear unless given; weights are ``U(-gain / sqrt(fan_in), gain / sqrt(fan_in))``, with one gain for
    all edges or one each.

    Examples:
        >>> import jax
        >>> import eqprop as eq
        >>> list(eq.layered((784, 512, 10), jax.random.key(0)).energy.edges)
        ['x-h1', 'h1-out']
    """
    if len(sizes) < 2:
        raise ValueError(f"layered: expected two or more sizes, got {tuple(sizes)}.")
    unit, output = unit or Box(), output or Linear()
    keys, gains = jax.random.split(key, len(sizes) - 1), each("gain", gain, len(sizes) - 1)
    names = [INPUT, *(f"h{i}" for i in range(1, len(sizes) - 1)), OUTPUT]
    layers = {name: Layer(size, unit) for name, size in zip(names[1:], sizes[1:], strict=True)}
    layers[OUTPUT] = Layer(sizes[-1], output)
    edges: list[tuple[str, str, Op]] = [
        (source, target, Dense.init(k, inputs, outputs, g))
        for (source, target), (inputs, outputs), k, g in zip(
            pairwise(names), pairwise(sizes), keys, gains, strict=True
        )
    ]
    return Model(Network(sizes[0], layers, edges), SquaredError(OUTPUT))


@checked
def convolutional(
    image: tuple[Count, Count, Count],
    channels: Sequence[Count],
    classes: Count,
    key: PRNGKeyArray,
    unit: Unit | None = None,
    output: Unit | None = None,
    kernel: Count | Sequence[Count] = 3,
    pool: type[AveragePool] | type[MaxPool] = AveragePool,
    gain: float | Sequence[float] = 1.0,
    dense: Sequence[Count] = (),
) -> Model:
    """Convolutions, each followed by 2x2 pooling, then dense layers of the sizes ``dense`` and a dense
    output.

    ``image`` is (height, width, channels), channel-last; layer ``c1`` has the shape of the first
    pooled image, ``h1`` is the first dense one. Weights as in `layered`.

    Examples:
        >>> import equinox as eqx
        >>> import jax
        >>> import eqprop as eq
        >>> made = eqx.filter_eval_shape(eq.convolutional, (8, 8, 1), (4, 16), 10, jax.random.key(0))
        >>> made.energy.shapes  # filter_eval_shape draws no weights
        {'c1': (4, 4, 4), 'c2': (2, 2, 16), 'out': (10,)}
    """
    if not channels:
        raise ValueError("convolutional: expected channels of one convolution or more, got none.")
    unit, output = unit or Box(), output or Linear()
    keys = jax.random.split(key, len(channels) + len(dense) + 1)
    kernels, gains = each("kernel", kernel, len(channels)), each("gain", gain, len(keys))
    height, width, depth = image
    layers: dict[str, Layer] = {}
    edges: list[tuple[str, str, Op]] = []
    source = INPUT
    for i, (features, size) in enumerate(zip(channels, kernels, strict=True)):
        height, width, name = height // 2, width // 2, f"c{i + 1}"
        layers[name] = Layer((height, width, features), unit)
        conv = Conv.init(keys[i], depth, features, size, gain=gains[i])
        edges.append((source, name, Chain((conv, pool(2)))))
        source, depth = name, features
    features = height * width * depth
    names = [*(f"h{i + 1}" for i in range(len(dense))), OUTPUT]
    rest = zip(names, (*dense, classes), range(len(channels), len(keys)), strict=True)
    for name, size, i in rest:
        layers[name] = Layer(size, output if name == OUTPUT else unit)
        edges.append((source, name, Dense.init(keys[i], features, size, gains[i])))
        source, features = name, size
    return Model(Network(image, layers, edges), SquaredError(OUTPUT))


@checked
def with_injections(model: Model, value: float) -> Model:
    """The same network with an injection of its own, that learns, for every oscillator."""
    network = model.energy
    layers = network.layers if isinstance(network, Network) else {}
    names = [name for name, layer in layers.items() if isinstance(layer.unit, Oscillator)]
    if not names:
        raise ValueError("with_injections: expected a Network with oscillators, got none.")

    def injections(model: Model) -> list[object]:
        return [model.energy.layers[name].unit.injection for name in names]  # type: ignore[attr-defined]

    made = [jnp.full(layers[name].shape, value) for name in names]
    injected: Model = eqx.tree_at(injections, model, made)
    return injected


@checked
def with_read_out(model: Model, classes: Count, key: PRNGKeyArray, gain: float = 1.0) -> Model:
    """The same energy without its output layer, read by a trained softmax on the layer below.

    Examples:
        >>> import jax
        >>> import eqprop as eq
        >>> model = eq.layered((4, 8, 2), jax.random.key(0))
        >>> read = eq.with_read_out(model, classes=2, key=jax.random.key(1))
        >>> list(read.energy.shapes), read.cost.output, read.cost.weight.shape
        (['h1'], 'h1', (8, 2))
    """
    network = model.energy
    if not isinstance(network, Network) or OUTPUT not in network.shapes:
        raise ValueError(
            f"with_read_out: expected a Network with a layer {OUTPUT!r} to replace, got a "
            f"{type(network).__name__} with {sorted(network.shapes)}."
        )
    if isinstance(model.cost, Enlarged):
        raise ValueError(
            "with_read_out: expected the model before with_weak_feedback, whose layers are kept small, got "
            "the one after it; read out first."
        )
    last = next(e.source for e in network.edges.values() if e.target == OUTPUT)
    if last == INPUT:
        raise ValueError(
            "with_read_out: expected a hidden layer for the read-out to see, got a model whose output is "
            "driven by the input alone; add a hidden layer."
        )
    layers = {name: network.layers[name] for name in network.order if name != OUTPUT}
    edges = [(e.source, e.target, e.op) for e in network.edges.values() if e.target != OUTPUT]
    features = 1
    for extent in layers[last].shape:
        features *= extent
    return Model(
        Network(network.input_shape, layers, edges),
        CrossEntropy.init(key, features, classes, last, gain),
    )


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
    (`with_biases` draws them). Raises ``ValueError`` where the image cannot be halved so often.
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
