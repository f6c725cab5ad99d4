"""Small systems with one equilibrium each, some of them with closed-form answers."""

from functools import cache, partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from eqprop import (
    Box,
    FunctionEnergy,
    Layer,
    Linear,
    Logistic,
    Model,
    Network,
    Oscillator,
    SquaredError,
    Tanh,
    convolutional,
    hard_tanh,
    layered,
    predictive,
    with_read_out,
)
from eqprop.energies.ops import AveragePool, Chain, Conv, Dense, Lateral, MaxPool
from eqprop.energies.units.spin import Spin
from eqprop.thermal import Phases

BATCH = 3
SIGNS = SquaredError(low=-1.0, high=1.0)

quickly = partial(eqx.filter_jit, compiler_options={"xla_backend_optimization_level": 0})
"""Compiled with less care: these tests compile for seconds what runs for milliseconds."""


class System(NamedTuple):
    name: str
    model: Model
    x: jax.Array
    y: jax.Array


def normal(seed, shape, scale=1.0):
    return jnp.asarray(scale * np.random.default_rng(seed).normal(size=shape))


def dense_op(seed, inputs, outputs, gain=1.0):
    return Dense(normal(seed, (inputs, outputs), gain / (3 * inputs) ** 0.5))


def lateral_op(seed, size, gain):
    return Lateral(normal(seed, (size, size), gain / (3 * size) ** 0.5))


def conv_op(seed, inputs, outputs, stride):
    return Conv(normal(seed, (3, 3, inputs, outputs), (27 * inputs) ** -0.5), stride, 1)


def excited(model, seed, scale=0.3):
    """The same model with random biases."""

    def where(model):
        return [layer.bias for layer in model.energy.layers.values()]

    biases = [normal(seed + i, b.shape, scale) for i, b in enumerate(where(model))]
    return eqx.tree_at(where, model, biases)


def with_data(name, model, seed):
    """A batch of inputs around zero and of targets in [0, 1]."""
    x = normal(seed, (BATCH, *model.energy.input_shape))
    y = 0.5 + 0.5 * jnp.tanh(normal(seed + 1, (BATCH, *model.energy.layers["out"].shape)))
    return System(name, excited(model, seed + 2), x, y)


def dense(name, unit, output, seed, gain=1.0):
    return with_data(name, layered((4, 5, 4, 3), jax.random.key(seed), unit, output, gain), seed)


@cache
def box():
    return dense("box", Box(), Linear(), 10)


@cache
def clipped():
    return dense("hard_tanh", hard_tanh(), hard_tanh(), 20, 0.8)


@cache
def tanh():
    return dense("tanh", Tanh(), Tanh(), 30, 0.8)


@cache
def logistic():
    return dense("logistic", Logistic(), Linear(), 40)


@cache
def strided():
    """Convolutions of stride 2 on an image that is not square."""
    layers = {
        "c1": Layer((3, 3, 2), Tanh()),
        "c2": Layer((2, 2, 3), Logistic()),
        "out": Layer(2, Linear()),
    }
    edges = [
        ("x", "c1", conv_op(50, 1, 2, 2)),
        ("c1", "c2", conv_op(51, 2, 3, 2)),
        ("c2", "out", dense_op(52, 12, 2)),
    ]
    return with_data("strided", Model(Network((6, 5, 1), layers, edges), SquaredError()), 50)


@cache
def average_pooled():
    model = convolutional((8, 4, 1), (2, 3), 3, jax.random.key(60), Tanh(), gain=0.8)
    return with_data("average_pooled", model, 60)


@cache
def max_pooled():
    model = convolutional((8, 4, 1), (2, 3), 3, jax.random.key(70), Box(), pool=MaxPool, gain=0.7)
    return with_data("max_pooled", model, 70)


@cache
def skip():
    """A triangle h1, h2, h3: block descent needs three groups."""
    layers = {name: Layer(4, Tanh()) for name in ("h1", "h2", "h3")} | {"out": Layer(3, Linear())}
    edges = [
        ("x", "h1", dense_op(80, 3, 4)),
        ("h1", "h2", dense_op(81, 4, 4)),
        ("h2", "h3", dense_op(82, 4, 4)),
        ("h1", "h3", dense_op(83, 4, 4, 0.7)),
        ("h3", "out", dense_op(84, 4, 3, 0.7)),
    ]
    return with_data("skip", Model(Network(3, layers, edges), SquaredError()), 80)


@cache
def lateral(name="lateral", unit=None, seed=90):
    """Couplings inside the hidden layer and inside the output."""
    layers = {"h": Layer(5, unit or Tanh()), "out": Layer(3, Linear())}
    edges = [
        ("x", "h", dense_op(seed, 4, 5)),
        ("h", "h", lateral_op(seed + 1, 5, 1.0)),
        ("h", "out", dense_op(seed + 2, 5, 3)),
        ("out", "out", lateral_op(seed + 3, 3, 0.7)),
    ]
    return with_data(name, Model(Network(4, layers, edges), SquaredError()), seed)


@cache
def clipped_lateral():
    return lateral("clipped_lateral", hard_tanh(), 95)


@cache
def read_out():
    """Trained softmax on the second hidden layer."""
    below = layered((4, 5, 4, 3), jax.random.key(100), Tanh())
    model = excited(with_read_out(below, 3, jax.random.key(101), gain=2.0), 101)
    model = eqx.tree_at(lambda m: m.cost.bias, model, normal(102, (3,), 0.3))
    y = jax.nn.one_hot(jnp.arange(BATCH) % 3, 3)
    return System("read_out", model, normal(103, (BATCH, 4)), y)


@cache
def oscillators():
    """Phases canted by their injections, a coupling inside a layer and a skip."""
    layers = {
        "h1": Layer(5, Oscillator(normal(1030, (5,), 0.3) - 0.7)),
        "h2": Layer(4, Oscillator(normal(1031, (), 0.3) - 0.7)),
        "out": Layer(3, Oscillator(-0.35)),
    }
    edges = [
        ("x", "h1", dense_op(1032, 4, 5)),
        ("h1", "h1", lateral_op(1033, 5, 0.7)),
        ("h1", "h2", dense_op(1034, 5, 4)),
        ("h1", "out", dense_op(1035, 5, 3, 0.7)),
        ("h2", "out", dense_op(1036, 4, 3)),
    ]
    return with_data("oscillators", Model(Network(4, layers, edges), SIGNS), 1030)


@cache
def mixed():
    """Oscillators on images between layers of numbers: canted by a negative injection and a quadrature."""
    layers = {
        "c": Layer((3, 2, 3), Oscillator(normal(150, (3,), 0.1) - 0.7, 0.3)),
        "h": Layer(5, Tanh()),
        "out": Layer(3, Linear()),
    }
    edges = [
        ("x", "c", conv_op(151, 2, 3, 2)),
        ("c", "h", dense_op(152, 18, 5)),
        ("h", "out", dense_op(153, 5, 3)),
    ]
    return with_data("mixed", Model(Network((6, 4, 2), layers, edges), SquaredError()), 150)


@cache
def medley():
    """Every smooth unit but a linear one, every smooth operator, and a trained read-out: all in one."""
    layers = {
        "c1": Layer((4, 2, 2), Oscillator(normal(160, (2,), 0.1) - 0.7, 0.3)),
        "c2": Layer((2, 1, 3), Logistic()),
        "h": Layer(4, Tanh()),
        "out": Layer(3, Linear()),
    }
    edges = [
        ("x", "c1", conv_op(161, 1, 2, 2)),
        ("c1", "c2", Chain((conv_op(162, 2, 3, 1), AveragePool(2)))),
        ("c2", "h", dense_op(163, 6, 4)),
        ("h", "h", lateral_op(164, 4, 0.7)),
        ("h", "out", dense_op(165, 4, 3)),
    ]
    below = Model(Network((7, 4, 1), layers, edges), SquaredError())
    model = excited(with_read_out(below, 3, jax.random.key(166), gain=2.0), 166)
    model = eqx.tree_at(lambda m: m.cost.bias, model, normal(167, (3,), 0.3))
    y = jax.nn.one_hot(jnp.arange(BATCH) % 3, 3)
    return System("medley", model, normal(168, (BATCH, 7, 4, 1)), y)


@cache
def kinked():
    """Intervals of both kinds, the larger of its neighbours, and a coupling inside a layer."""
    layers = {"c": Layer((4, 2, 2), Box()), "h": Layer(5, hard_tanh()), "out": Layer(3, Linear())}
    edges = [
        ("x", "c", Chain((conv_op(170, 1, 2, 1), MaxPool(2)))),
        ("c", "h", dense_op(171, 16, 5)),
        ("h", "h", lateral_op(172, 5, 1.0)),
        ("h", "out", dense_op(173, 5, 3)),
    ]
    return with_data("kinked", Model(Network((8, 4, 1), layers, edges), SquaredError()), 170)


def bowl(params, state, x):
    """``s'As / 2 - s'(Bx + b)``."""
    s = state["out"]
    return 0.5 * s @ params["A"] @ s - s @ (params["B"] @ x + params["b"])


@cache
def quadratic():
    """A function as energy; minimum ``A^-1 (Bx + b)``."""
    root = normal(110, (4, 4), 0.3)
    params = {
        "A": jnp.eye(4) + root @ root.T,
        "B": normal(111, (4, 3)),
        "b": normal(112, (4,), 0.3),
    }
    model = Model(FunctionEnergy(bowl, params, {"out": (4,)}), SquaredError())
    return System("quadratic", model, normal(113, (BATCH, 3)), normal(114, (BATCH, 4)))


@cache
def quadratic_network():
    """The same form as a network of one layer: ``A = I - S``."""
    edges = [("x", "out", dense_op(120, 3, 4)), ("out", "out", lateral_op(121, 4, 0.7))]
    model = Model(Network(3, {"out": Layer(4, Linear())}, edges), SquaredError())
    return with_data("quadratic_network", model, 120)


def linear_answer(system):
    """Minimum, mean cost, and the derivatives of the mean cost in (A, B, b) of a quadratic system."""
    energy, x, y = system.model.energy, np.asarray(system.x), np.asarray(system.y)
    if isinstance(energy, FunctionEnergy):
        matrix, drive, bias = (np.asarray(energy.params[name]) for name in "ABb")
    else:
        matrix = np.eye(4) - np.asarray(energy.edges["out-out"].op.matrix)
        drive = np.asarray(energy.edges["x-out"].op.weight).T
        bias = np.asarray(energy.layers["out"].bias)
    s = np.linalg.solve(matrix, (x @ drive.T + bias).T).T
    adjoint = np.linalg.solve(matrix.T, (s - y).T).T / len(x)
    value = 0.5 * np.sum((s - y) ** 2) / len(x)
    return s, value, (-adjoint.T @ s, adjoint.T @ x, adjoint.sum(0))


def well(theta, state, x):
    """``cosh s - theta x s``."""
    return jnp.sum(jnp.cosh(state["out"]) - theta * x * state["out"])


@cache
def scalar():
    """One variable; minimum ``asinh(theta x)``."""
    model = Model(FunctionEnergy(well, jnp.asarray(0.8), {"out": (1,)}), SquaredError())
    return System("scalar", model, normal(130, (BATCH, 1)), normal(131, (BATCH, 1)))


def scalar_answer(system):
    """Minimum, mean cost and its derivative in theta."""
    theta, x, y = np.asarray(system.model.energy.params), np.asarray(system.x), np.asarray(system.y)
    s = np.arcsinh(theta * x)
    slope = np.mean((s - y) * x / np.sqrt(1 + (theta * x) ** 2))
    return s, 0.5 * np.mean((s - y) ** 2), slope


@cache
def predictions():
    """Predictive coding of a strided convolution, dense layers and a skip; precisions differ."""
    layers = {
        "c": Layer((3, 2, 2), Tanh()),
        "h": Layer(4, Logistic()),
        "out": Layer(3, Linear()),
    }
    edges = [
        ("x", "c", conv_op(180, 1, 2, 2)),
        ("c", "h", dense_op(181, 12, 4, 0.8)),
        ("c", "out", dense_op(182, 12, 3, 0.6)),
        ("h", "out", dense_op(183, 4, 3, 0.6)),
    ]
    name, below, x, y = with_data(
        "predictions", Model(Network((6, 4, 1), layers, edges), SquaredError()), 180
    )
    return System(name, predictive(below, {"h": 1.5}), x, y)


SMOOTH_NETWORKS = (
    tanh, logistic, strided, average_pooled, skip, lateral, read_out, quadratic_network,
    oscillators, mixed,
)  # fmt: skip
NETWORKS = (*SMOOTH_NETWORKS, box, clipped, max_pooled, clipped_lateral)
FUNCTIONS = (quadratic, scalar, predictions)
SMOOTH = (*SMOOTH_NETWORKS, *FUNCTIONS)
ALL = (*NETWORKS, *FUNCTIONS)


# --- at a temperature --------------------------------------------------------------------------


@cache
def spins(unit=Spin, sizes=(3, 7, 2)):
    """Layers of two-valued units: so few that all states can be summed."""
    model = layered(sizes, jax.random.key(3), unit(), unit(), 2.0)
    model = excited(Model(model.energy, SIGNS if unit is Spin else SquaredError()), 4)
    x, y = normal(5, (2, sizes[0])), jax.nn.one_hot(jnp.arange(2), sizes[-1])
    return model, x, y


@cache
def gaussian():
    """A quadratic energy in three numbers, and one of two layers."""
    edges = [("x", "h", dense_op(1, 2, 2)), ("h", "out", dense_op(2, 2, 2, 0.6))]
    network = Network(2, {"h": Layer(2, Linear()), "out": Layer(2, Linear())}, edges)
    model = excited(Model(network, SquaredError()), 6)
    return model, normal(7, (2, 2)), normal(8, (2, 2))


def by_free_energies(source, model, x, y, beta):
    """``J_beta`` and its flat gradient, by differentiating the free energies of a source."""

    @eqx.filter_value_and_grad
    def objective(model):
        betas = jnp.stack([jnp.zeros_like(beta), beta])
        free, nudged = source.free_energy(Phases(model, x, y, betas))
        return jnp.mean(nudged - free) / beta

    value, gradient = objective(model)
    return value, ravel_pytree(gradient)[0]


_by_free_energies = quickly(by_free_energies)


def exact(source, system, beta):
    """``J_beta`` by the free energies of a source, and its gradient by differentiating them."""
    value, gradient = _by_free_energies(source, *system, jnp.asarray(beta, float))
    return float(value), np.asarray(gradient)
