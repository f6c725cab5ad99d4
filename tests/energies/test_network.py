"""Networks and models: built or refused at once, and the energy that they say they have."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqprop import (
    Blockwise,
    Box,
    CrossEntropy,
    FunctionEnergy,
    Layer,
    Linear,
    Logistic,
    Model,
    Network,
    SquaredError,
    Tanh,
    convolutional,
    layered,
    relax,
    with_read_out,
)
from eqprop.energies import residual
from eqprop.energies.architectures import hopfield_resnet
from eqprop.energies.energy import norm
from eqprop.energies.ops import AveragePool, Chain, Conv, Dense, Lateral, MaxPool
from helpers import systems
from helpers.systems import normal

KEY = jax.random.key(0)
LAYERS = {"h": Layer(3, Box()), "out": Layer(2, Linear())}
EDGES = [("x", "h", Dense(jnp.ones((4, 3)))), ("h", "out", Dense(jnp.ones((3, 2))))]


@pytest.mark.parametrize("edge", [("h", "nowhere"), ("nowhere", "h"), ("h", "x"), ("x", "x")])
def test_unknown_layer(edge):
    unknown = "'x'" if "x" in edge else "'nowhere'"
    with pytest.raises(ValueError, match=rf"expected ends among \['h', 'out'\].*got {unknown}"):
        Network(4, LAYERS, [*EDGES, (*edge, Dense(jnp.ones((3, 3))))])


def test_shape_mismatch_names_expected_and_got():
    edges = [EDGES[0], ("h", "out", Dense(jnp.ones((3, 5))))]
    with pytest.raises(ValueError, match=r"edge 'h-out' expected .* shape \(2,\).*got \(5,\)"):
        Network(4, LAYERS, edges)


def test_an_operator_of_another_input_names_its_edge():
    edges = [EDGES[0], ("h", "out", Dense(jnp.ones((7, 2))))]
    with pytest.raises(ValueError, match=r"edge 'h-out' expected .* takes .* 'h' shows, got Dense"):
        Network(4, LAYERS, edges)


def test_reserved_name():
    with pytest.raises(ValueError, match="which belong to the input"):
        Network(4, LAYERS | {"x": Layer(4, Linear())}, EDGES)


def test_one_edge_for_each_pair():
    with pytest.raises(ValueError, match="two edges join the same pair"):
        Network(4, LAYERS, [*EDGES, EDGES[0]])


@pytest.mark.parametrize("shape", [(5,), (1, 4), (2, 4), ()])
def test_input_shape(shape):
    with pytest.raises(ValueError, match=r"input of shape \(4,\), got"):
        Network(4, LAYERS, EDGES).clamp(jnp.zeros(shape))


def test_cost_reads_a_layer():
    with pytest.raises(ValueError, match=r"reads layer 'top', but the energy has \['h', 'out'\]"):
        Model(Network(4, LAYERS, EDGES), SquaredError("top"))


@pytest.mark.parametrize("unit", [Tanh(), Logistic()])
def test_function_energy_shows_its_state(unit):
    with pytest.raises(ValueError, match=f"Linear, Box or Spin unit .* got {type(unit).__name__}"):
        FunctionEnergy(lambda p, s, x: jnp.sum(s["z"] ** 2), (), {"z": (2,)}, {"z": unit})


def test_function_energy_units_have_layers():
    with pytest.raises(ValueError, match=r"units name \['y'\].*\['z'\]"):
        FunctionEnergy(lambda p, s, x: jnp.sum(s["z"] ** 2), (), {"z": (2,)}, {"y": Box()})


def test_parameters_of_whole_numbers_are_said_not_to_learn():
    def bowl(params, state, x):
        return jnp.sum(params["w"] * state["z"]) + params["b"] * state["z"][0]

    params = {"w": jnp.ones(2, int), "b": 3}
    with pytest.warns(UserWarning, match=r"floats, which learn, got whole numbers in \['w'\]"):
        energy = FunctionEnergy(bowl, params, {"z": (2,)})
    assert energy.params["b"].dtype == float  # a Python number learns
    with pytest.warns(UserWarning, match="whole numbers in"):
        FunctionEnergy(lambda p, s, x: jnp.sum(p * s["z"]), jnp.ones(2, int), {"z": 2})


@pytest.mark.parametrize(
    "op, shape", [(Dense, (4, 3)), (Conv, (1, 1, 1, 3))], ids=["dense", "conv"]
)
def test_builds_in_single_precision(op, shape):
    """Parameters of one's own in float32, while float64 is on."""
    kernel = jnp.ones(shape, jnp.float32)
    inputs, outputs = ((4,), (3,)) if op is Dense else ((2, 2, 1), (2, 2, 3))
    layers = {"out": Layer(outputs, Linear(), jnp.zeros(3, jnp.float32))}
    energy = Network(inputs, layers, [("x", "out", op(kernel))])
    value = energy(energy.rest(jnp.float32), jnp.ones(inputs, jnp.float32))
    assert value.dtype == jnp.float32


def test_energy_of_a_chain_by_hand():
    """Two hidden layers of different units, one skip connection, one lateral coupling."""
    w = [np.asarray(normal(i, s)) for i, s in enumerate([(4, 3), (3, 5), (5, 2), (4, 2), (3, 3)])]
    b = [np.asarray(normal(10 + i, (n,))) for i, n in enumerate((3, 5, 2))]
    layers = {
        "h1": Layer(3, Tanh(), jnp.asarray(b[0])),
        "h2": Layer(5, Logistic(), jnp.asarray(b[1])),
        "out": Layer(2, Box(-5.0, 5.0), jnp.asarray(b[2])),
    }
    edges = [
        ("x", "h1", Dense(jnp.asarray(w[0]))),
        ("h1", "h2", Dense(jnp.asarray(w[1]))),
        ("h2", "out", Dense(jnp.asarray(w[2]))),
        ("x", "out", Dense(jnp.asarray(w[3]))),
        ("h1", "h1", Lateral(jnp.asarray(w[4]))),
    ]
    energy = Network(4, layers, edges)
    x, state = normal(20, (4,)), {"h1": normal(21, (3,)), "h2": normal(22, (5,))}
    state["out"] = normal(23, (2,))
    z1, z2, z3 = (np.asarray(state[name]) for name in ("h1", "h2", "out"))
    u1, u2 = np.tanh(z1), 1 / (1 + np.exp(2 - 4 * z2))
    own = np.sum(z1 * u1 - np.log(np.cosh(z1))) + 0.5 * np.sum(z3**2)
    own += np.sum(z2 * u2 - 0.25 * np.log1p(np.exp(4 * z2 - 2)))
    biases = b[0] @ u1 + b[1] @ u2 + b[2] @ z3
    symmetrised = 0.5 * (w[4] + w[4].T)
    np.fill_diagonal(symmetrised, 0.0)
    pairs = np.asarray(x) @ w[0] @ u1 + u1 @ w[1] @ u2 + u2 @ w[2] @ z3 + np.asarray(x) @ w[3] @ z3
    expected = own - biases - pairs - 0.5 * u1 @ symmetrised @ u1
    constant = energy(state, x) - expected
    np.testing.assert_allclose(constant, 0.0, atol=1e-12)


def test_energy_of_a_convolution_by_hand():
    """One number of bias a channel, at half its size; an average-pooled convolution; a dense output."""
    kernel, weight = normal(0, (3, 3, 1, 2)), normal(1, (4, 3))
    layers = {"c": Layer((2, 1, 2), Box(), normal(2, (2,)), 0.5), "out": Layer(3, Linear())}
    edges = [
        ("x", "c", Chain((Conv(kernel, padding=1), AveragePool(2)))),
        ("c", "out", Dense(weight)),
    ]
    x, c, out = normal(3, (4, 2, 1)), normal(4, (2, 1, 2)), normal(5, (3,))
    padded = np.pad(np.asarray(x)[..., 0], 1)
    seen = np.zeros((4, 2, 2))
    for i in range(4):
        for j in range(2):
            seen[i, j] = np.tensordot(padded[i : i + 3, j : j + 3], kernel[:, :, 0], 2)
    pooled = seen.reshape(2, 2, 1, 2, 2).mean((1, 3))
    z, s = np.asarray(c), np.asarray(out)
    expected = (
        0.5 * np.sum(z**2) + 0.5 * np.sum(s**2) - 0.5 * np.sum(z * np.asarray(layers["c"].bias))
    )
    expected -= np.sum(z * pooled) + z.reshape(-1) @ np.asarray(weight) @ s
    energy = Network((4, 2, 1), layers, edges)
    np.testing.assert_allclose(energy({"c": c, "out": out}, x), expected, atol=1e-12)


@pytest.mark.parametrize("builder", [systems.tanh, systems.read_out, systems.quadratic])
def test_nudged_is_energy_and_cost(builder):
    _, model, x, y = builder()
    x, y, beta = x[0], y[0], jnp.asarray(0.7)
    state = {name: normal(1, shape) for name, shape in model.energy.shapes.items()}
    expected = model.energy(state, x) + 0.7 * model.loss(state, y)
    np.testing.assert_allclose(model.nudged(x, y, beta)(state), expected, rtol=1e-13)
    np.testing.assert_allclose(model.free(x)(state), model.energy(state, x), rtol=1e-14)
    np.testing.assert_allclose(model.energy.clamp(x)(state), model.energy(state, x), rtol=1e-14)


def test_costs_by_hand():
    out, y = normal(0, (3,)), jnp.array([0.2, 0.5, 0.3])
    squared = SquaredError()({"out": out}, y)
    np.testing.assert_allclose(squared, 0.5 * np.sum(np.asarray(out - y) ** 2), rtol=1e-14)
    weight, bias = np.asarray(normal(1, (4, 3))), np.asarray(normal(2, (3,)))
    cost = CrossEntropy(jnp.asarray(weight), jnp.asarray(bias), "h")
    image = normal(3, (2, 2, 1))
    scores = np.asarray(image).reshape(-1) @ weight + bias
    np.testing.assert_allclose(cost.predict({"h": image}), scores, rtol=1e-14)
    surprise = -np.sum(np.asarray(y) * (scores - np.log(np.sum(np.exp(scores)))))
    np.testing.assert_allclose(cost({"h": image}, y), surprise, rtol=1e-13)
    np.testing.assert_allclose(cost({"h": image}, 3 * y), 3 * surprise, rtol=1e-13)
    shifted = SquaredError(low=-1.0, high=3.0)({"out": out}, y)
    np.testing.assert_allclose(shifted, 0.5 * np.sum(np.asarray(out - 4 * y + 1) ** 2), rtol=1e-14)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_cross_entropy_of_large_scores(dtype):
    cost = CrossEntropy(1e4 * jnp.eye(2, dtype=dtype), jnp.zeros(2, dtype), "h")
    u, y = jnp.array([1.0, -1.0], dtype), jnp.array([0.0, 1.0], dtype)
    np.testing.assert_allclose(cost({"h": u}, y), 2e4)
    assert jnp.all(jnp.isfinite(jax.grad(lambda u: cost({"h": u}, y))(u)))


def test_residual_vanishes_at_the_minimum_alone():
    _, model, x, _ = systems.quadratic_network()
    answer, *_ = systems.linear_answer(systems.quadratic_network())
    phase = model.free(x[0])
    assert residual(phase, {"out": jnp.asarray(answer[0])}) < 1e-14
    away = jnp.asarray(answer[0]) + 0.1
    matrix = np.eye(4) - np.asarray(model.energy.edges["out-out"].op.matrix)
    relative = np.linalg.norm(matrix @ np.full(4, 0.1)) / max(np.linalg.norm(away), 1.0)
    np.testing.assert_allclose(residual(phase, {"out": away}), relative, rtol=1e-12)


def test_the_norm_of_complex_states_is_real():
    assert norm({"a": jnp.array([3 + 4j, 0.0]), "b": jnp.array([[12j]])}) == 13.0


def test_layered():
    model = layered((6, 5, 4, 3), KEY)
    assert model.energy.shapes == {"h1": (5,), "h2": (4,), "out": (3,)}
    assert list(model.energy.edges) == ["x-h1", "h1-h2", "h2-out"]
    assert model.energy.units == {"h1": Box(), "h2": Box(), "out": Linear()}
    assert model.energy.edges["h1-h2"].op.weight.shape == (5, 4)
    assert model.free(jnp.zeros(6)).blocks == (("h1", "out"), ("h2",))
    wide = layered((100, 80), KEY, gain=2.0).energy.edges["x-out"].op.weight
    np.testing.assert_allclose(jnp.max(jnp.abs(wide)), 0.2, rtol=0.01)
    assert jnp.max(jnp.abs(wide)) <= 0.2


@pytest.mark.parametrize("sizes", [(4,), (), (4, 0), (4, -1, 2)])
def test_layered_needs_sizes(sizes):
    with pytest.raises(ValueError, match=r"two or more sizes|each a whole number >= 1"):
        layered(sizes, KEY)


@pytest.mark.parametrize("pool", [AveragePool, MaxPool])
def test_convolutional(pool):
    model = convolutional((8, 12, 3), (4, 5), 10, KEY, Tanh(), pool=pool)
    assert model.energy.shapes == {"c1": (4, 6, 4), "c2": (2, 3, 5), "out": (10,)}
    assert isinstance(model.energy.edges["c1-c2"].op.ops[1], pool)
    assert model.energy.edges["c2-out"].op.weight.shape == (30, 10)
    assert model.energy.units["c2"] == Tanh()
    assert model.energy.layers["c2"].bias.shape == (5,)


def test_convolutional_needs_even_images():
    with pytest.raises(ValueError, match="windows of 2 divide, got 6x3"):
        convolutional((12, 6, 1), (2, 2), 3, KEY)


def test_read_out_replaces_the_output():
    model = with_read_out(convolutional((4, 8, 1), (2,), 7, KEY), 5, KEY)
    assert model.energy.shapes == {"c1": (2, 4, 2)}
    assert model.cost.output == "c1"
    assert model.cost.weight.shape == (16, 5)
    assert model.predict(model.energy.rest(jnp.float64)).shape == (5,)


@pytest.mark.parametrize(
    "build",
    [
        lambda: layered((5, 5, 5, 5), KEY),
        lambda: convolutional((16, 16, 2), (2, 2), 3, KEY, dense=(8, 8, 8)),
        lambda: with_read_out(layered((5, 5, 5, 5), KEY), 5, jax.random.key(1)),
        lambda: hopfield_resnet((8, 8, 3), 3, KEY, (3, 3)),
    ],
    ids=["layered", "convolutional", "read-out", "resnet"],
)
def test_no_two_parameters_begin_alike(build):
    """Not even where they have the same shape, as keys used twice would make them."""
    leaves = [np.ravel(w) for w in jax.tree.leaves(eqx.filter(build(), eqx.is_inexact_array))]
    numbers = np.concatenate([w / np.max(np.abs(w)) for w in leaves if np.any(w)]).round(12)
    inside = numbers[np.abs(numbers) < 1]
    assert len(np.unique(inside)) == len(inside) > 40


def test_rest_is_in_the_domain():
    layers = {"h": Layer((2, 3), Box(0.5, 1.0)), "out": Layer(3, Linear())}
    energy = Network(2, layers, [("h", "out", Dense(jnp.ones((6, 3))))])
    state = Model(energy, SquaredError()).rest(jnp.zeros((4, 2), jnp.float32))
    assert jax.tree.map(jnp.shape, state) == {"h": (4, 2, 3), "out": (4, 3)}
    assert state["h"].dtype == jnp.float32
    assert jnp.all(state["h"] == 0.5)


def test_order_of_layers_survives_a_jit_boundary():
    layers = {name: Layer(2, Linear()) for name in ("z", "a", "m")}
    energy = Network(2, layers, [("x", "z", Dense(jnp.eye(2)))])
    passed = eqx.filter_jit(lambda energy: energy)(energy)
    assert list(passed.shapes) == list(passed.units) == ["z", "a", "m"]


def test_predict_scores_the_batch():
    _, model, x, y = systems.read_out()
    state, _ = relax(model, x, model.rest(x), Blockwise())
    assert jax.vmap(model.predict)(state).shape == y.shape


@pytest.mark.parametrize("cost", ["squared error", "cross-entropy"])
def test_labels_are_no_targets(cost):
    model = layered((4, 5, 3), jax.random.key(0))
    if cost == "cross-entropy":
        model = with_read_out(model, 3, jax.random.key(1))
    state = model.energy.rest(jnp.float64)
    with pytest.raises(ValueError, match=r"shape \(3,\).* got \(\); class labels go in one-hot"):
        model.loss(state, jnp.asarray(2))
