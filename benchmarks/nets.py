"""The networks of the benchmark, the same on both sides."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import torch

import eqprop as eq
from benchmarks import textbook_torch as textbook
from benchmarks.images import BATCH, CLASSES, enlarged_digits
from eqprop.estimators.estimator import Estimate

BIAS = 0.3  # puts the units inside their interval, where gradients are smooth in the nudge
DENSE = ((784, 512, 10), (784, 512, 512, 10))
CHANNELS, IMAGE = (16, 32), (28, 28, 1)


class Pair:
    """One network in both libraries, with equal weights, and one batch of images and labels."""

    def __init__(self, name: str, model: eq.Model, net: textbook.EnergyNet, image: tuple[int, ...]):
        self.name, self.model, self.net = name, model, net
        self.images, self.labels = enlarged_digits(image)
        self.x = self.images[:BATCH]
        self.y = jax.nn.one_hot(self.labels[:BATCH], CLASSES)
        channel_first = np.moveaxis(np.asarray(self.x), -1, 1) if len(image) == 3 else self.x
        self.torch_x = torch.tensor(np.asarray(channel_first))
        self.torch_y = torch.tensor(np.asarray(self.y))
        self.load(eqx.tree_at(_biases, model, replace_fn=lambda bias: bias + BIAS))

    def load(self, model: eq.Model) -> None:
        """Give both sides the parameters of ``model``."""
        self.model = model
        textbook.set_parameters(self.net, in_order(model, model))

    def gradient(self, estimate_gradient) -> np.ndarray:
        """A gradient of ours as one vector, in the order and layouts of the other side."""
        flat = in_order(self.model, estimate_gradient)
        layouts = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}
        return np.concatenate([np.transpose(a, layouts[a.ndim]).ravel() for a in flat])


def _biases(model: eq.Model) -> list[jax.Array]:
    return [layer.bias for layer in model.energy.layers.values()]


def in_order(model: eq.Model, tree: eq.Model) -> list[np.ndarray]:
    """Weight and bias of each layer of a chain, from the input; then the weights of its skips."""
    found, skips = [], []
    for layer in model.energy.order:
        weights = [
            np.asarray(jax.tree.leaves(edge)[0])
            for name, edge in tree.energy.edges.items()
            if name.endswith(f"-{layer}")
        ]
        *skip, weight = sorted(weights, key=np.size)
        found += [weight, np.asarray(tree.energy.layers[layer].bias)]
        skips += skip
    return [*found, *skips]


def pairs() -> list[Pair]:
    """Two dense networks and one convolutional network, all layers clipped to [0, 1]."""
    key, box = jax.random.key(0), eq.Box()
    dense = [
        Pair(
            "-".join(map(str, sizes)),
            eq.layered(sizes, key, box, box),
            textbook.DenseNet(sizes),
            sizes[:1],
        )
        for sizes in DENSE
    ]
    net = textbook.ConvNet(CHANNELS, 3, "avg", IMAGE, CLASSES)
    conv = Pair(
        "conv " + "-".join(map(str, CHANNELS)),
        eq.convolutional(IMAGE, CHANNELS, CLASSES, key, box, box),
        net,
        IMAGE,
    )
    return [*dense, conv]


def feed_forward_loss(model: eq.Model, x: jax.Array, y: jax.Array) -> jax.Array:
    """The plain network of the same shape: clipped layers, squared error."""

    def show(x):
        for layer in model.energy.order:
            edge = next(e for e in model.energy.edges.values() if e.target == layer)
            unit = model.energy.layers[layer]
            x = unit.unit.retract(edge.op(x) + unit.bias)
        return x

    return jnp.mean(jnp.sum((jax.vmap(show)(x) - y) ** 2, axis=1)) / 2


class FeedForward(eq.Estimator):
    """Back-propagation of the plain network, as an estimator."""

    def __call__(self, model, x, y, state, key):
        value, gradient = eqx.filter_value_and_grad(feed_forward_loss)(model, x, y)
        return Estimate(value, gradient, state, None)
