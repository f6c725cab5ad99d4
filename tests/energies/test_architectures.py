"""Residual Hopfield networks: their shape, their schedule, their gradient."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import eqprop as eq
from eqprop.energies.architectures import GAINS, RESNET13, channels_of
from eqprop.energies.drawn import with_biases, with_weights
from eqprop.energies.energy import field
from eqprop.energies.graph import grid, on_graph
from eqprop.energies.network import alternate
from eqprop.energies.ops import Dense, MaxPool
from eqprop.energies.units.unit import retract
from eqprop.estimators.audit import compare
from eqprop.solvers.blockwise import sweep
from eqprop.training.predict import sweep_flops
from helpers.systems import normal, quickly

KEY = jax.random.key(0)
CIFAR = (32, 32, 3)


def count(model):
    """Parameters, and the number of weight tensors."""
    leaves = jax.tree.leaves(model)
    return sum(leaf.size for leaf in leaves), sum(leaf.ndim > 1 for leaf in leaves)


def built(channels=RESNET13, image=CIFAR, classes=10, **options):
    """The shapes of a network, at no cost."""
    return eqx.filter_eval_shape(
        lambda: eq.hopfield_resnet(image, classes, KEY, channels, **options)
    )


@quickly
def drawn(channels, image, classes=10):
    model = eq.hopfield_resnet(image, classes, KEY, channels)
    return with_biases(model, jax.random.key(1), 0.5)


@cache
def narrow():
    return drawn(channels_of(4, 4), (16, 16, 3))


@cache
def small():
    """Two blocks, whose skips join layers of the second group."""
    return drawn((3, 4), (8, 8, 2), 3)


@cache
def tiny():
    return drawn((2, 3), (4, 4, 2), 3)


def blocks_of(model):
    return eqx.filter_eval_shape(model.free, jnp.zeros(model.energy.input_shape)).blocks


def batch(size):
    return normal(1, (size, 8, 8, 2)), jax.nn.one_hot(jnp.arange(size) % 3, 3)


def test_resnet13_has_the_published_parameters():
    assert count(built()) == (9_742_858, 13)
    assert channels_of(128, 4) == RESNET13
    assert count(built(classes=100))[0] - count(built())[0] == 90 * (4 * 512 + 1)


def test_resnet13_has_the_published_layers():
    shapes = built().energy.shapes
    sides, channels = (32, 16, 16, 8, 8, 4, 4, 2), np.repeat(RESNET13, 2)
    wanted = [(side, side, depth) for side, depth in zip(sides, channels, strict=True)]
    assert shapes == {f"z{i + 1}": shape for i, shape in enumerate(wanted)} | {"out": (10,)}


@pytest.mark.parametrize("blocks, tensors", [(1, 4), (2, 7), (4, 13), (5, 16)])
def test_depth(blocks, tensors):
    model = built(channels_of(8, blocks))
    assert count(model)[1] == tensors
    assert len(model.energy.order) == 2 * blocks + 1
    without = built(channels_of(8, blocks), skips=False)
    assert count(without)[1] == tensors - blocks


def test_width_scales_inner_weights_by_its_square():
    def inner(width):
        edges = built(channels_of(width, 4)).energy.edges.items()
        return sum(e.op.kernel.size for n, e in edges if "x" not in n and "out" not in n)

    assert inner(128) == 64 * inner(16)


@pytest.mark.parametrize("blocks", [1, 2, 4, 5])
def test_no_block_holds_coupled_layers(blocks):
    model = built(channels_of(1, blocks))
    groups = blocks_of(model)
    home = {name: group for group in groups for name in group}
    assert sorted(home) == sorted(model.energy.order)
    inner = [e for e in model.energy.edges.values() if e.source != "x"]
    assert len(inner) == 3 * blocks - 1
    assert all(e.target not in home[e.source] for e in inner)


def test_resnet13_is_coloured_with_three_groups():
    assert blocks_of(built()) == (("z1", "z3", "z5", "z7", "out"), ("z2", "z6"), ("z4", "z8"))


def test_operations_of_a_sweep():
    dense = eq.layered((7, 5, 3), jax.random.key(0))
    assert sweep_flops(dense.energy) == sweep_flops(eq.with_weak_feedback(dense, 0.1).energy) == 60
    blocks = {"z2-z3": 18 * 4 * 4, "z3-z4": 36 * 2 * 2, "z2-z4": 2 * 2 * 2, "z4-out": 2 * 2 * 2 * 3}
    first = 9 * 4 * 4  # z1, one channel of 8 x 8, to z2, one channel of 4 x 4
    narrow = eq.hopfield_resnet((8, 8, 3), 3, jax.random.key(0), (1, 2)).energy
    assert sweep_flops(narrow) == 4 * (first + sum(blocks.values()))
    pooled = eq.convolutional((4, 4, 1), (1,), 3, jax.random.key(0)).energy
    with pytest.raises(ValueError, match="edge 'x-c1' expected Dense or Conv, got Chain"):
        sweep_flops(pooled)
    assert (
        sweep_flops(eq.hopfield_resnet((32, 32, 3), 10, jax.random.key(0)).energy) == 1_266_761_728
    )


def test_energy_by_hand():
    """A stride-2 edge, a skip from the image and a skip between layers, against loops over pixels."""
    model = tiny()
    x = np.asarray(normal(3, (4, 4, 2)))
    state = {n: normal(i, shape) for i, (n, shape) in enumerate(model.energy.shapes.items())}
    z = {n: np.asarray(value) for n, value in state.items()} | {"x": x}

    def conv(u, kernel, stride, padding):
        u, size = np.pad(u, ((padding, padding), (padding, padding), (0, 0))), len(kernel)
        side = (u.shape[0] - size) // stride + 1
        patches = [
            u[stride * i : stride * i + size, stride * j : stride * j + size]
            for i in range(side)
            for j in range(side)
        ]
        flat = [np.tensordot(patch, kernel, 3) for patch in patches]
        return np.reshape(flat, (side, side, kernel.shape[-1]))

    couplings = {"x-z1": (1, 1), "z1-z2": (2, 1), "x-z2": (2, 0)}
    couplings |= {"z2-z3": (1, 1), "z3-z4": (2, 1), "z2-z4": (2, 0)}
    energy = -np.sum(z["out"] * (z["z4"].reshape(-1) @ model.energy.edges["z4-out"].op.weight))
    for name, how in couplings.items():
        source, target = name.split("-")
        energy -= np.sum(z[target] * conv(z[source], model.energy.edges[name].op.kernel, *how))
    for name, layer in model.energy.layers.items():
        energy += np.sum(0.5 * z[name] ** 2 - layer.bias * z[name])
    np.testing.assert_allclose(model.energy(state, jnp.asarray(x)), energy, rtol=1e-12)


def test_initial_sizes():
    """Weights fill +-gain / sqrt(fan_in), biases +-0.5 / sqrt(fan_in) of the widest edge."""
    energy = narrow().energy
    conv, skip, dense = GAINS
    cases = [
        (energy.edges["z3-z4"].op.kernel, conv / (9 * 8) ** 0.5),
        (energy.edges["z2-z4"].op.kernel, skip / 4**0.5),
        (energy.edges["z8-out"].op.weight, dense / 16**0.5),
        (energy.layers["z6"].bias, 0.5 / (9 * 16) ** 0.5),
    ]
    for values, bound in cases:
        assert 0.8 * bound < np.max(np.abs(values)) <= bound


def test_biases_of_pooled_convolutions():
    @quickly
    def pooled():
        model = eq.convolutional((4, 4, 3), (16,), 5, KEY, pool=MaxPool)
        return with_biases(model, jax.random.key(1), 0.5)

    bound, model = 0.5 / 27**0.5, pooled()
    assert 0.7 * bound < np.max(np.abs(model.energy.layers["c1"].bias)) <= bound


@pytest.mark.parametrize("image", [(28, 28, 1), (32, 24, 3)])
def test_strides_divide_the_image(image):
    with pytest.raises(ValueError, match=rf"image that 16 divides.*got {image[0]}x{image[1]}"):
        eq.hopfield_resnet(image, 10, KEY)


@pytest.mark.parametrize("channels", [(), (4, 0)])
def test_channels_are_positive(channels):
    with pytest.raises(ValueError, match=r"positive numbers of channels|each a whole number >= 1"):
        eq.hopfield_resnet(CIFAR, 10, KEY, channels)


def test_weights_are_drawn_by_any_law():
    """Of a dense edge and of a convolution, at the places of the old ones; nothing else changes."""
    model = eq.with_read_out(eq.convolutional((8, 8, 2), (6,), 3, KEY, dense=(5,)), 3, KEY)
    model = with_biases(model, KEY, 1.0)
    drawn = with_weights(model, jax.random.key(1), jax.nn.initializers.he_uniform())
    kernel, weight = (jax.tree.leaves(drawn.energy.edges[name])[0] for name in ("x-c1", "c1-h1"))
    for found, fan_in in ((kernel, 9 * 2), (weight, 16 * 6)):
        bound = (6 / fan_in) ** 0.5
        assert 0.9 * bound < jnp.max(jnp.abs(found)) <= bound
    back = eqx.tree_at(lambda m: m.energy.edges, drawn, model.energy.edges)
    assert eqx.tree_equal(back, model)
    other = with_weights(model, jax.random.key(2), jax.nn.initializers.he_uniform())
    assert not jnp.array_equal(jax.tree.leaves(other.energy.edges["x-c1"])[0], kernel)


def turned(key, shape, dtype):
    return jnp.zeros(shape[::-1], dtype)


def single(key, shape, dtype):
    return jnp.zeros(shape, jnp.float32)


def test_no_two_weights_are_drawn_alike():
    square = with_weights(eq.layered((5, 5, 5), KEY), KEY, jax.nn.initializers.he_normal())
    first, second = jax.tree.leaves(square.energy.edges)
    assert not jnp.any(first == second)


@pytest.mark.parametrize(
    ("law", "says"),
    [
        (turned, r"draws \(4, 3\) in float64, got \(3, 4\)"),
        (single, "in float64, got .* in float32"),
    ],
)
def test_a_law_of_another_shape_is_refused(law, says):
    with pytest.raises(ValueError, match=says):
        with_weights(eq.layered((4, 3), KEY), KEY, law)


def test_laws_need_matrices():
    energy = eq.FunctionEnergy(lambda p, s, x: jnp.sum(s["out"] ** 2), (), {"out": (2,)})
    with pytest.raises(ValueError, match=r"expected a Network.*got FunctionEnergy"):
        with_weights(eq.Model(energy, eq.SquaredError()), KEY, jax.nn.initializers.he_normal())
    edges = grid(1, 8)
    chain = on_graph(edges, jnp.ones(len(edges)), jnp.zeros(8), eq.Spin()).network
    with pytest.raises(ValueError, match=r"got others in \['colour0-colour1'\]"):
        with_weights(
            eq.Model(chain, eq.SquaredError("colour0")), KEY, jax.nn.initializers.he_normal()
        )
    alone = eq.Network(1, {"out": eq.Layer(1, eq.Tanh())}, [])
    with pytest.raises(ValueError, match="expected a network with weights, got none"):
        with_weights(eq.Model(alone, eq.SquaredError()), KEY, jax.nn.initializers.he_normal())


def test_biases_need_a_network():
    energy = eq.FunctionEnergy(lambda p, s, x: jnp.sum(s["out"] ** 2), (), {"out": (2,)})
    with pytest.raises(ValueError, match=r"expected a Network.*got FunctionEnergy"):
        with_biases(eq.Model(energy, eq.SquaredError()), KEY, 0.5)


def test_biases_need_an_edge_into_every_layer():
    layers = {"top": eq.Layer(2, eq.Tanh()), "out": eq.Layer(2, eq.Tanh())}
    network = eq.Network(3, layers, [("x", "out", Dense(jnp.ones((3, 2))))])
    with pytest.raises(ValueError, match=r"an edge with weights into every layer, .*\['top'\]"):
        with_biases(eq.Model(network, eq.SquaredError()), KEY, 0.5)
    edges = grid(1, 64)
    chain = on_graph(edges, jnp.ones(len(edges)), jnp.zeros(64), eq.Spin()).network
    with pytest.raises(
        ValueError, match=r"an edge with weights .* none into \['colour0', 'colour1'\]"
    ):
        with_biases(eq.Model(chain, eq.SquaredError("colour0")), KEY, 0.5)


@pytest.mark.long
def test_gradient_is_that_of_implicit_differentiation():
    """Every tensor of the 7 and every bias, with units at both bounds and between them."""
    model = small()
    x, y = batch(3)
    x = 20.0 * x
    learner = eq.EquilibriumPropagation(eq.Momentum(1e-13, 4000), eq.symmetric(1e-3))
    mine = quickly(learner)(model, x, y, model.rest(x), KEY)
    assert float(mine.report.free.converged) == float(mine.report.nudged.converged) == 1.0
    hidden = np.concatenate([np.ravel(z) for n, z in mine.state.items() if n != "out"])
    assert min(np.sum(hidden == 0), np.sum(hidden == 6), np.sum(abs(hidden - 3) < 3)) > 10
    exact = quickly(eq.ImplicitDifferentiation(eq.Momentum(1e-11, 4000), 1e-10))
    theirs = exact(model, x, y, model.rest(x), KEY)
    assert max(theirs.report.adjoint) < 1e-9
    rows = compare(mine.gradient, theirs.gradient)
    assert sum(row.name.endswith(("kernel", "weight")) for row in rows) == 7
    assert min(row.cosine for row in rows) >= 0.9999
    assert max(row.relative_error for row in rows) < 1e-3


def test_published_schedule_reaches_the_same_equilibrium_in_more_sweeps():
    """Odd layers, then even ones: a skip joins two layers of the second group."""
    model, (x, _) = small(), batch(2)
    published = alternate(model.energy.order)
    assert published[1] == ("z2", "z4")

    def settle(solver):
        return quickly(eq.relax)(model, x, model.rest(x), solver)

    state, info = settle(eq.Blockwise(1e-8, 2000, published))
    ours, faster = settle(eq.Blockwise(1e-8, 2000))
    assert float(info.converged) == float(faster.converged) == 1.0
    assert all(np.allclose(state[name], z, atol=1e-6) for name, z in ours.items())
    assert int(jnp.max(info.steps)) > int(jnp.max(faster.steps))


def test_published_sweep_by_hand():
    """The even layers all answer the state before any of them moved."""
    model = tiny()
    odd, even = alternate(model.energy.order)
    start = {n: jnp.abs(normal(i, s)) for i, (n, s) in enumerate(model.energy.shapes.items())}

    @quickly
    def three_ways(start, x):
        phase = model.free(x)
        half = retract(phase.units, start | field(phase, start, odd))
        wanted = retract(phase.units, half | field(phase, half, even))
        return wanted, sweep(phase, start, (odd, even))[0], sweep(phase, start)[0]

    wanted, got, coloured = three_ways(start, normal(3, (4, 4, 2)))
    assert all(np.allclose(got[name], z, rtol=1e-12) for name, z in wanted.items())
    assert not np.allclose(coloured["z4"], got["z4"])


@pytest.mark.parametrize("blocks", [(("z1",),), (("z1", "z1"),), (("z1", "elsewhere"),)])
def test_groups_name_every_layer_once(blocks):
    model = tiny()
    solver = eq.Blockwise(None, 1, blocks)
    with pytest.raises(ValueError, match="expected every layer in one group"):
        eqx.filter_eval_shape(
            eq.relax, model, jnp.zeros((1, 4, 4, 2)), model.rest(jnp.zeros((1, 4, 4, 2))), solver
        )
