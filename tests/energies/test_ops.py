"""Operators against numpy; frozen operators against the operators; curvatures against Hessians."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqprop import CrossEntropy
from eqprop.energies.convolution import _Axis
from eqprop.energies.ops import (
    AveragePool,
    Chain,
    Conv,
    Dense,
    Lateral,
    MaxPool,
    Scaled,
    freeze,
    is_linear,
    near,
)
from helpers import systems
from helpers.later import later
from helpers.systems import normal

HEIGHT, WIDTH = 7, 6


def naive_convolution(u, kernel, stride, padding):
    u = np.pad(u, ((padding, padding), (padding, padding), (0, 0)))
    size = kernel.shape[0]
    rows, columns = ((n - size) // stride + 1 for n in u.shape[:2])
    out = np.zeros((rows, columns, kernel.shape[3]))
    for i in range(rows):
        for j in range(columns):
            window = u[i * stride : i * stride + size, j * stride : j * stride + size]
            out[i, j] = np.einsum("abc,abcd->d", window, kernel)
    return out


@systems.quickly
def derivatives(op, u, weight, direction):
    """Value, adjoint and a Hessian product, reverse over reverse, for two batch axes."""

    def one(u, weight, direction):
        def energy(u):
            return jnp.sum(weight * jnp.tanh(op(u)))

        value, adjoint = jax.vjp(op, u)
        _, product = jax.vjp(jax.grad(energy), u)
        return value, adjoint(weight)[0], product(direction)[0]

    return jax.vmap(jax.vmap(one))(u, weight, direction)


@pytest.mark.parametrize("padding", [0, 1, later(2)])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_convolution(kernel, stride, padding):
    op = Conv(normal(0, (kernel, kernel, 2, 3)), stride, padding)
    u, direction = normal(1, (2, 2, 2, HEIGHT, WIDTH, 2))
    expected = [
        [naive_convolution(np.asarray(e), np.asarray(op.kernel), stride, padding) for e in row]
        for row in u
    ]
    weight = normal(2, np.shape(expected))
    plain = derivatives(op, u, weight, direction)
    np.testing.assert_allclose(plain[0], expected, atol=1e-12)
    frozen = derivatives(freeze(op), u, weight, direction)
    for got, wanted in zip(frozen, plain, strict=True):
        assert float(jnp.max(jnp.abs(wanted))) > 1e-3
        np.testing.assert_allclose(got, wanted, atol=1e-12)


@pytest.mark.parametrize("stride, most", [(1, 1.0), (2, 16 / 9)])
def test_an_adjoint_forms_no_product_that_is_cut_off(stride, most):
    """Of phases, each has as many taps as the one of most."""
    op, u = freeze(Conv(normal(0, (3, 3, 4, 5)), stride, 1)), normal(1, (4, 4, 4))

    def products(function, *given):
        return jax.jit(function).lower(*given).compile().cost_analysis()["flops"]

    adjoint = products(lambda v: jax.vjp(op, u)[1](v)[0], op(u))
    assert adjoint <= 1.02 * most * products(lambda u: op(u), u)


def test_of_as_many_products_an_adjoint_takes_fewer_taps():
    """Three taps for two pixels of each phase, or two for three: XLA is slow at the first."""
    axis = _Axis.of(kernel=4, stride=2, padding=1, size=4)
    assert (axis.taps, axis.places) == (2, 3)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("stride, padding", [(1, 1), (2, 1), later(2, 0)])
def test_convolution_joined_with_its_pooling(stride, padding, size):
    op, pool = Conv(normal(0, (3, 3, 2, 3)), stride, padding), AveragePool(size)
    joined = Chain((op, pool))
    n = (size * 2 - 1) * stride + 3 - 2 * padding
    u, direction = normal(1, (2, 2, 2, n, n, 2))
    weight = normal(2, (2, 2, 2, 2, 3))
    apart = derivatives(lambda u: pool(op(u)), u, weight, direction)
    assert float(jnp.min(jnp.max(jnp.abs(apart[2]), axis=(2, 3, 4)))) > 1e-3
    for got in (
        derivatives(joined, u, weight, direction),
        derivatives(freeze(joined), u, weight, direction),
    ):
        for found, wanted in zip(got, apart, strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-12)
    slope = jax.grad(
        lambda k: jnp.sum(weight[0, 0] * Chain((Conv(k, stride, padding), pool))(u[0, 0]))
    )
    wanted = jax.grad(lambda k: jnp.sum(weight[0, 0] * pool(Conv(k, stride, padding)(u[0, 0]))))
    np.testing.assert_allclose(slope(op.kernel), wanted(op.kernel), atol=1e-12)


def test_a_joined_pooling_needs_whole_windows():
    with pytest.raises(ValueError, match="windows of 2 divide, got 5x4"):
        Chain((Conv(normal(0, (3, 3, 1, 2)), 1, 1), AveragePool(2)))(jnp.zeros((5, 4, 1)))


def test_frozen_convolution_is_holomorphic():
    op = Conv(jax.lax.complex(*normal(0, (2, 3, 3, 2, 3))), 2, 1)
    u = jax.lax.complex(*normal(1, (2, HEIGHT, WIDTH, 2)))

    @systems.quickly
    def gradient(op):
        return jax.grad(lambda u: jnp.sum(op(u) ** 3), holomorphic=True)(u)

    np.testing.assert_allclose(gradient(freeze(op)), gradient(op), atol=1e-11)


@pytest.mark.parametrize("builder", [systems.strided, systems.max_pooled, systems.read_out])
def test_frozen_parameters_let_no_gradient_pass(builder):
    _, model, x, y = builder()
    state = {name: normal(5, shape) for name, shape in model.energy.shapes.items()}

    parts, rest = eqx.partition(model, eqx.is_inexact_array)

    @systems.quickly
    def slopes(parts, swap, inputs):
        def energy(parts, state):
            nudged = swap(eqx.combine(parts, rest)).nudged(x[0], y[0], jnp.asarray(0.5))
            return nudged(state)

        return jax.value_and_grad(energy, argnums=inputs)(parts, state)

    value, (moving, force) = slopes(parts, lambda model: model, (0, 1))
    assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(moving))
    with pytest.raises(ValueError, match="expected no derivative through what settles"):
        slopes(parts, freeze, (0, 1))
    frozen_value, (frozen_force,) = slopes(parts, freeze, (1,))
    np.testing.assert_allclose(frozen_value, value, rtol=1e-14)
    for name in force:
        np.testing.assert_allclose(frozen_force[name], force[name], atol=1e-13)


def test_frozen_inner_operator():
    op = Conv(normal(0, (3, 3, 1, 2)), 1, 1)
    with pytest.raises(ValueError, match="expected no derivative through what settles"):
        eqx.filter_grad(lambda op: jnp.sum(freeze(op)(normal(1, (5, 4, 1))) ** 2))(op)


@pytest.mark.parametrize("op, reduce", [(AveragePool, np.mean), (MaxPool, np.max)])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_pooling(op, reduce, size):
    u = np.asarray(normal(0, (2 * size, 3 * size, 2)))
    expected = [
        [reduce(u[i : i + size, j : j + size], axis=(0, 1)) for j in range(0, 3 * size, size)]
        for i in range(0, 2 * size, size)
    ]
    np.testing.assert_allclose(op(size)(jnp.asarray(u)), expected, atol=1e-15)


def test_maximum_pooling_is_linear_near_an_image():
    """To first order the same, and the same operator for every other image."""
    op = Chain((Conv(normal(0, (3, 3, 1, 2)), 1, 1), Scaled(MaxPool(2), 0.5)))
    u, du, other = (normal(seed, (4, 6, 1)) for seed in (1, 2, 3))
    linear = near(op, u)
    np.testing.assert_allclose(linear(u), op(u), atol=1e-14)
    np.testing.assert_allclose(linear(du), jax.jvp(op, (u,), (du,))[1], atol=1e-14)
    np.testing.assert_allclose(linear(u + other), linear(u) + linear(other), atol=1e-13)
    assert near(op.ops[0], u) is op.ops[0]


def test_winners_of_equal_size_share_a_window_as_in_the_derivative():
    for image in ([[3.0, 1.0], [3.0, 2.0]], [[3.0, 3.0], [3.0, 2.0]]):
        u, du = jnp.asarray(image)[..., None], normal(0, (2, 2, 1))
        moved = jax.jvp(MaxPool(2), (u,), (du,))[1]
        np.testing.assert_allclose(near(MaxPool(2), u)(du), moved, atol=1e-14)


def test_what_is_linear():
    dense = Dense(normal(0, (4, 4)))
    assert is_linear(Chain((dense, Scaled(AveragePool(2), 2.0))))
    assert not is_linear(Chain((dense, MaxPool(2))))
    assert is_linear(Chain((dense, MaxPool(2))), MaxPool)
    assert not is_linear(jnp.tanh)


@pytest.mark.parametrize("op", [AveragePool(2), MaxPool(2)])
@pytest.mark.parametrize("shape", [(5, 4, 1), (4, 5, 1)])
def test_pooling_needs_whole_windows(op, shape):
    with pytest.raises(ValueError, match=f"windows of 2 divide, got {shape[0]}x{shape[1]}"):
        op(jnp.zeros(shape))


def test_dense_flattens_and_chain_composes():
    weight, u = normal(0, (6, 4)), normal(1, (3, 2, 1))
    expected = np.asarray(u).reshape(-1) @ np.asarray(weight)
    np.testing.assert_allclose(Dense(weight)(u), expected, atol=1e-14)
    second = normal(2, (4, 2))
    chained = Chain((Dense(weight), Dense(second)))(u)
    np.testing.assert_allclose(chained, expected @ np.asarray(second), atol=1e-14)


@pytest.mark.parametrize("shape", [(6,), (3, 2, 1)])
def test_lateral(shape):
    op = Lateral(normal(0, (6, 6)))
    matrix = np.asarray(op.matrix)
    np.testing.assert_array_equal(matrix, matrix.T)
    np.testing.assert_array_equal(np.diag(matrix), 0.0)
    assert np.abs(matrix).max() > 0.5
    u = normal(1, shape)
    assert op(u).shape == op.curvature(shape).shape == shape
    flat = np.asarray(u).reshape(-1)
    np.testing.assert_allclose(jnp.sum(u * op(u)), 0.5 * flat @ matrix @ flat, atol=1e-13)
    bound = np.diag(np.asarray(op.curvature(shape)).reshape(-1))
    assert np.linalg.eigvalsh(bound + matrix).min() >= -1e-12


@pytest.mark.parametrize(
    "builder",
    [systems.tanh, systems.lateral, systems.read_out, systems.quadratic_network, systems.skip],
    ids=lambda b: b.__name__,
)
def test_curvature_bounds_the_hessian(builder):
    _, model, x, y = builder()
    shown = {name: normal(5, shape, 0.5) for name, shape in model.energy.shapes.items()}

    @jax.jit
    @jax.vmap
    def slack(beta):
        phase = model.nudged(x[0], y[0], beta)

        def lowest(name):
            hessian = jax.hessian(lambda u: phase.coupling(shown | {name: u}))(shown[name])
            bound = jnp.broadcast_to(jnp.asarray(phase.curvature(name)), shown[name].shape)
            return jnp.linalg.eigvalsh(jnp.diag(bound) - hessian)[0]

        return [lowest(name) for name in shown]

    assert np.min(slack(jnp.array([-0.5, 0.0, 2.0]))) >= -1e-12


@pytest.mark.parametrize("beta", [0.8, -0.8])
def test_the_curvature_of_a_cross_entropy_is_a_bound_that_is_met(beta):
    """By two classes of opposite weights, undecided."""
    cost = CrossEntropy(jnp.array([[1.0, -1.0]]), jnp.zeros(2), "h")
    curve = jax.hessian(lambda u: beta * cost({"h": u}, jnp.array([1.0, 0.0])))(jnp.zeros(1))
    np.testing.assert_allclose(cost.curvature(jnp.asarray(beta)), abs(curve[0]), rtol=1e-12)
