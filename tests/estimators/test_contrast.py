"""Contrasts: exact for polynomials of their order, and no further."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqprop import RandomSign, finite_difference, holomorphic, n_point, one_sided, symmetric
from eqprop.estimators.contrast import Rescaled

KEY = jax.random.key(0)
CONTRASTS = {
    "one_sided": (one_sided(0.5), 1),
    "one_sided_negative": (one_sided(-0.5), 1),
    "random_sign": (RandomSign(0.5), 1),
    "symmetric": (symmetric(0.5), 2),
    "three_points": (finite_difference((-0.7, 0.0, 0.7)), 2),
    "skewed": (finite_difference((-0.3, 0.0, 0.4, 0.8)), 3),
    "unordered": (finite_difference((0.4, -0.4, 0.8, -0.8)), 4),
    "one_signed": (finite_difference((0.3, 0.6)), 1),
    "n_point_2": (n_point(2, 0.5), 2),
    "n_point_4": (n_point(4, 0.5), 4),
    "n_point_6": (n_point(6, 0.8), 6),
    "holomorphic_2": (holomorphic(2, 0.5), 2),
    "holomorphic_4": (holomorphic(4, 0.5), 4),
    "holomorphic_8": (holomorphic(8, 0.7), 8),
}
each_contrast = pytest.mark.parametrize("contrast, order", CONTRASTS.values(), ids=CONTRASTS)


TRACED = {
    "one_sided": one_sided,
    "symmetric": symmetric,
    "n_point": lambda beta: n_point(6, beta),
    "holomorphic": lambda beta: holomorphic(4, beta),
    "random_sign": RandomSign,
}
EIGHTHS = np.arange(25) / 8


def derivative(contrast, function):
    """``Re sum_k c_k f(beta_k)``."""
    betas, coefficients = (np.asarray(part) for part in contrast.draw(KEY))
    return np.real(np.sum(coefficients * function(betas)))


@each_contrast
def test_order_is_stated(contrast, order):
    assert contrast.order == order


@each_contrast
@given(data=st.data())
def test_exact_up_to_the_order_and_no_further(contrast, order, data):
    coefficient = st.floats(-5, 5)
    p = np.array(data.draw(st.lists(coefficient, min_size=order + 1, max_size=order + 1)))
    powers = np.arange(order + 1)
    exact = derivative(contrast, lambda beta: np.sum(p * beta[:, None] ** powers, axis=1))
    np.testing.assert_allclose(exact, p[1], atol=1e-11)
    top = data.draw(st.floats(0.5, 5))
    off = derivative(contrast, lambda beta: p[0] + p[1] * beta + top * beta ** (order + 1)) - p[1]
    assert abs(off) > 1e-3 * top


@each_contrast
def test_shapes(contrast, order):
    betas, coefficients = contrast.draw(KEY)
    assert betas.shape == coefficients.shape
    assert betas.ndim == 1
    assert jnp.iscomplexobj(betas) == jnp.iscomplexobj(coefficients)


@pytest.mark.parametrize("points", [2, 4, 8])
def test_holomorphic_keeps_one_of_each_conjugate_pair(points):
    radius = 0.3
    betas, coefficients = (np.asarray(part) for part in holomorphic(points, radius).draw(KEY))
    assert betas.shape == (points // 2,)
    np.testing.assert_allclose(np.abs(betas), radius)
    assert np.all(betas.imag > 0)
    half = 0.5 * np.sum(coefficients * np.exp(np.sin(betas)))
    other = 0.5 * np.sum(coefficients.conj() * np.exp(np.sin(betas.conj())))
    assert abs((half + other).imag) < 1e-15
    whole = derivative(holomorphic(points, radius), lambda beta: np.exp(np.sin(beta)))
    np.testing.assert_allclose(whole, (half + other).real, atol=1e-14)


@pytest.mark.parametrize("points, tolerance", [(4, 1e-3), (8, 2e-6), (16, 1e-12)])
def test_holomorphic_on_an_analytic_function(points, tolerance):
    error = derivative(holomorphic(points, 0.3), lambda beta: np.exp(np.sin(beta))) - 1.0
    assert abs(error) < tolerance


def test_random_sign_draws_both_signs_and_averages_to_symmetric():
    draws = [RandomSign(0.4).draw(key) for key in jax.random.split(KEY, 16)]
    signs = np.array([float(jnp.sign(betas[1])) for betas, _ in draws])
    assert set(signs) == {-1.0, 1.0}
    for betas, coefficients in draws:
        np.testing.assert_allclose(np.abs(betas), [0.0, 0.4])
        np.testing.assert_allclose(coefficients @ betas, 1.0)
        np.testing.assert_allclose(jnp.sum(coefficients), 0.0)


@pytest.mark.parametrize("beta", [0.0, float("nan"), float("inf")])
@pytest.mark.parametrize(
    "make",
    [one_sided, symmetric, RandomSign, lambda b: n_point(4, b), lambda b: holomorphic(4, b)],
    ids=["one_sided", "symmetric", "random_sign", "n_point", "holomorphic"],
)
def test_no_nudge_is_refused(make, beta):
    with pytest.raises(
        ValueError, match=r"nudge (beta|radius) other than 0|to be a number.*got nan"
    ):
        make(beta)


@pytest.mark.parametrize(
    "betas", [(0.1, 0.1), (0.0, 0.1, 0.1), (0.5,), (), (0.0, 0.0), (float("nan"), 0.1)]
)
def test_nudges_must_differ(betas):
    with pytest.raises(ValueError, match="expected"):
        finite_difference(betas)


@pytest.mark.parametrize("make", [n_point, holomorphic])
@pytest.mark.parametrize("points", [0, 1, 3, -2])
def test_points_are_even(make, points):
    with pytest.raises(ValueError, match="even number of points"):
        make(points, 0.1)


@pytest.mark.parametrize("name", TRACED)
def test_a_nudge_may_be_traced(name):
    make = TRACED[name]
    nudges = jnp.array([0.1, 0.25])
    found = jax.vmap(lambda beta: make(beta).draw(KEY))(nudges)
    for i, beta in enumerate((0.1, 0.25)):
        for part, alone in zip(found, make(beta).draw(KEY), strict=True):
            np.testing.assert_allclose(part[i], alone, rtol=1e-15)


def skewed(points):
    """Unequally spread, on one side and the other."""
    return np.sort(np.cos(np.pi * (np.arange(points) + 0.3) / points))


@pytest.mark.parametrize(
    "contrast",
    [
        n_point(40, 0.5),
        n_point(100, 0.1),
        finite_difference(skewed(64)),
        finite_difference(EIGHTHS),
    ],
    ids=["n_point_40", "n_point_100", "skewed_64", "one_sided_25"],
)
def test_weights_of_many_points_have_all_their_digits(contrast):
    """Every power up to the order, in rational arithmetic: wrong by the rounding of nudges and weights."""
    betas = [Fraction(beta) for beta in contrast.betas.tolist()]
    weights = [Fraction(weight) for weight in contrast.coefficients.tolist()]
    for power in range(len(betas)):
        terms = [c * beta**power for c, beta in zip(weights, betas, strict=True)]
        error = abs(sum(terms) - (power == 1))
        assert error <= (power + 2) * Fraction(1.2e-16) * sum(map(abs, terms)), power


def test_weights_that_outweigh_the_derivative_are_refused():
    with pytest.raises(
        ValueError, match=r"sum \|c\| max \|beta\| = 1.2e\+18 at a precision of 2.2e-16"
    ):
        finite_difference(np.linspace(0, 1, 60))
    with jax.enable_x64(False):
        n_point(100, 0.5)
        with pytest.raises(ValueError, match=r"at a precision of 1.2e-07; use fewer"):
            finite_difference(np.linspace(0, 1, 25))


def test_order_does_not_depend_on_scale():
    assert finite_difference((1e-9, 2e-9)).order == 1
    assert finite_difference((-1e-9, 1e-9)).order == 2


@pytest.mark.parametrize("name", CONTRASTS)
def test_a_rescaled_contrast_is_that_of_other_nudges(name):
    """Of the same slope of any function, and with opposite nudges where those were."""
    contrast, _ = CONTRASTS[name]
    scaled = Rescaled(contrast, 0.25)
    (betas, weights), (small, large) = contrast.draw(KEY), scaled.draw(KEY)
    np.testing.assert_allclose(small, betas / 4)
    np.testing.assert_allclose(small * large, betas * weights)
    assert scaled.opposed == contrast.opposed
