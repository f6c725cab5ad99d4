"""Export to NIR, run again by a small integrate-and-fire loop that knows NIR's arrays alone."""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqprop import (
    Box,
    Layer,
    Model,
    Network,
    SquaredError,
    Tanh,
    convolutional,
    layered,
    with_read_out,
)
from eqprop.energies.ops import MaxPool
from eqprop.spiking import Drawn, Rates, Spiking, Threshold, to_nir, with_soft_reset
from helpers import systems

nir = pytest.importorskip("nir", reason="NIR NOT TESTED: pip install nir")

KEY, STEPS = jax.random.key(0), 40
SOLVER = Spiking(0.25, STEPS, Rates(1), Threshold(0.4))


def convolve(image, node):
    """Channel-first, stride and zero padding as the node has them."""
    (top, left), (down, right) = node.padding, node.stride
    image = np.pad(image, ((0, 0), (top, top), (left, left)))
    out, _, height, width = node.weight.shape
    rows, columns = (image.shape[1] - height) // down + 1, (image.shape[2] - width) // right + 1
    found = np.empty((out, rows, columns))
    for i in range(rows):
        for j in range(columns):
            patch = image[:, i * down : i * down + height, j * right : j * right + width]
            found[:, i, j] = np.tensordot(node.weight, patch, 3)
    return found + node.bias[:, None, None]


def pool(image, node):
    (height, width), shape = node.kernel_size, image.shape
    windows = image.reshape(shape[0], shape[1] // height, height, shape[2] // width, width)
    return windows.mean((2, 4))


def simulate(graph, x, steps=STEPS):
    """Spikes of every neuron node, (steps, ...), in steps of 1; all nodes in turn within a step."""
    following = dict(graph.edges)
    order = ["input"]
    while order[-1] != "output":
        order.append(following[order[-1]])
    v = {name: 0.0 for name, node in graph.nodes.items() if isinstance(node, nir.LIF)}
    seen = {name: [] for name in v}
    for _ in range(steps):
        signal = x
        for name in order[1:-1]:
            node = graph.nodes[name]
            match node:
                case nir.Affine():
                    signal = node.weight @ signal + node.bias
                case nir.Conv2d():
                    signal = convolve(signal, node)
                case nir.AvgPool2d():
                    signal = pool(signal, node)
                case nir.Flatten():
                    signal = signal.reshape(-1)
                case nir.LIF():
                    pull = node.v_leak - v[name] + node.r * signal
                    v[name] = v[name] + pull / node.tau
                    fired = v[name] > node.v_threshold
                    v[name] = np.where(fired, node.v_reset, v[name])
                    seen[name].append(fired)
                    signal = fired.astype(float)
                case _:
                    raise AssertionError(f"no such node: {node}")
    return {name: np.asarray(fired) for name, fired in seen.items()}


def forward(model, x):
    """The feed-forward half by this package's own operators, layer after layer within a step."""
    network = model.energy
    v = {name: np.zeros(shape) for name, shape in network.shapes.items()}
    seen = {name: [] for name in v}
    edges = {edge.target: edge for edge in network.edges.values()}
    ops = {name: eqx.filter_jit(edge.op) for name, edge in edges.items()}
    for _ in range(STEPS):
        signal = x
        for name in network.order:
            current = np.asarray(ops[name](jnp.asarray(signal)) + network.layers[name].bias)
            v[name] = 0.75 * v[name] + 0.25 * current
            fired = v[name] >= 0.4
            v[name] = np.where(fired, 0.0, v[name])
            seen[name].append(fired)
            signal = fired.astype(float)
    return {name: np.asarray(fired) for name, fired in seen.items()}


def first(spikes):
    return np.moveaxis(spikes, -1, 1) if spikes.ndim == 4 else spikes


def networks():
    return {
        "dense": systems.excited(layered((5, 8, 6, 3), KEY, Box(), Box(), 3.0), 1),
        "convolutional": systems.excited(
            convolutional((8, 8, 2), (3, 4), 3, KEY, Box(), Box(), (5, 3), gain=4.0, dense=(6,)),
            4,
            0.8,
        ),
    }


@pytest.mark.parametrize("name", networks())
def test_the_exported_graph_fires_as_the_feed_forward_half(name, tmp_path):
    model = networks()[name]
    x = np.random.default_rng(0).uniform(0, 1, model.energy.input_shape)
    graph = to_nir(model, SOLVER, without_feedback=True)
    nir.write(tmp_path / "net.nir", graph)
    graph = nir.read(tmp_path / "net.nir")
    found = simulate(graph, np.moveaxis(x, -1, 0) if x.ndim == 3 else x)
    for layer, spikes in forward(model, x).items():
        np.testing.assert_array_equal(found[layer], first(spikes))
        assert 0 < spikes.mean() < 1, layer


def test_one_layer_is_the_solver_itself():
    """Without a layer above there is no feedback, and nothing is approximated."""
    model = systems.excited(layered((5, 4), KEY, Box(), Box(), 3.0), 1)
    x = jax.random.uniform(KEY, (5,))
    phase = model.free(x)
    start = SOLVER.start(phase, model.energy.rest(x.dtype), KEY)
    _, fired = SOLVER.run(lambda key: phase, start, lambda carry: carry.spikes["out"])
    graph = to_nir(model, SOLVER, without_feedback=True)
    np.testing.assert_array_equal(simulate(graph, np.asarray(x))["out"], fired)
    assert "approximation" in graph.metadata


def skip():
    model = systems.skip().model
    layers = {n: Layer(layer.shape, Box()) for n, layer in model.energy.layers.items()}
    edges = [(e.source, e.target, e.op) for e in model.energy.edges.values()]
    return Model(Network(3, layers, edges), SquaredError())


def per_pixel():
    model = convolutional((4, 4, 1), (2,), 3, KEY, Box(), Box())
    layers, bias = dict(model.energy.layers), jax.random.normal(KEY, (2, 2, 2))
    layers["c1"] = Layer((2, 2, 2), Box(), bias)
    edges = [(e.source, e.target, e.op) for e in model.energy.edges.values()]
    order = {name: layers[name] for name in model.energy.order}
    return Model(Network((4, 4, 1), order, edges), SquaredError())


@pytest.mark.parametrize(
    "model, solver, message",
    [
        (networks()["dense"], Spiking(firing=Drawn()), "stochastic neuron"),
        (skip(), SOLVER, "expected a chain of layers"),
        (layered((4, 3, 2), KEY, Tanh(), Tanh()), SOLVER, "a unit that shows a probability"),
        (layered((4, 3, 2), KEY, Box()), SOLVER, "layer 'out' expected a unit that shows"),
        (
            with_read_out(layered((4, 3, 2), KEY, Box(), Box()), 2, KEY),
            SOLVER,
            "a cost without parameters, got CrossEntropy",
        ),
        (with_soft_reset(networks()["dense"], SOLVER, 0.1), SOLVER, "soft resets cannot"),
        (systems.quadratic().model, SOLVER, "expected a Network"),
        (
            convolutional((4, 4, 1), (2,), 3, KEY, Box(), Box(), pool=MaxPool),
            SOLVER,
            "AveragePool, got .*MaxPool",
        ),
        (per_pixel(), SOLVER, "one bias a channel"),
    ],
)
def test_what_nir_cannot_say(model, solver, message):
    with pytest.raises(ValueError, match=message):
        to_nir(model, solver, without_feedback=True)


@pytest.mark.parametrize("name", ["input", "output"])
def test_a_layer_is_not_lost_in_the_names_of_the_graph(name):
    chain = systems.excited(layered((3, 2), KEY, Box(), Box()), 0)
    edges = [("x", name, chain.energy.edges["x-out"].op)]
    network = Network(3, {name: Layer(2, Box())}, edges)
    with pytest.raises(
        ValueError, match=rf"expected layers with other names than .* got \['{name}'\]"
    ):
        to_nir(Model(network, SquaredError(name)), SOLVER, without_feedback=True)


def test_the_approximation_must_be_declared():
    with pytest.raises(ValueError, match="yours to declare"):
        to_nir(networks()["dense"], SOLVER)


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "nir", None)
    with pytest.raises(ImportError, match="pip install nir"):
        to_nir(networks()["dense"], SOLVER, without_feedback=True)
