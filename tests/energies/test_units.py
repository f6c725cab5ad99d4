"""Units: self-energy and show belong together, the answer to a field is the minimiser."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from eqprop import Box, Linear, Logistic, Ramp, Stiff, Tanh, hard_tanh, relu, relu6

UNITS = {
    "linear": Linear(),
    "box": Box(),
    "shifted_box": Box(-2.0, 0.5),
    "hard_tanh": hard_tanh(),
    "relu": relu(),
    "relu6": relu6(),
    "ramp": Ramp(),
    "logistic": Logistic(),
    "tanh": Tanh(),
    "stiff": Stiff(Logistic(), 2.0),
}
SMOOTH = {name: unit for name, unit in UNITS.items() if unit.smooth}

each_unit = pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
each_smooth = pytest.mark.parametrize("unit", SMOOTH.values(), ids=SMOOTH)


def domain(unit, reach=6.0):
    """The ends of the unit's domain, cut at ``reach``."""
    return max(getattr(unit, "low", -reach), -reach), min(getattr(unit, "high", reach), reach)


def slope(function):
    return jax.jit(jax.vmap(jax.grad(function)))


def test_smooth_means_not_clipped():
    assert set(UNITS) - set(SMOOTH) == {"box", "shifted_box", "hard_tanh", "relu", "relu6", "ramp"}


@each_unit
def test_potential_derivative_is_the_state(unit):
    low, high = domain(unit, reach=2.5)
    z = jnp.linspace(low, high, 41)
    np.testing.assert_allclose(slope(unit.potential)(z), z * slope(unit.embed)(z), atol=1e-13)
    step = 1e-4
    rise = unit.potential(z + step) - unit.potential(z - step)
    run = unit.embed(z + step) - unit.embed(z - step)
    np.testing.assert_allclose(rise / run, z, atol=1e-6)


@each_unit
def test_retract_is_the_minimiser(unit):
    low, high = domain(unit)
    grid, fields = jnp.linspace(low, high, 20001), jnp.linspace(-2.7, 2.9, 23)
    energies = unit.potential(grid) - fields[:, None] * unit.embed(grid)
    best = grid[jnp.argmin(energies, axis=1)]
    np.testing.assert_allclose(unit.retract(fields), best, atol=3 * (grid[1] - grid[0]))


@each_unit
@given(z=st.floats(allow_nan=False, allow_infinity=False))
def test_retract_stays_in_the_domain(unit, z):
    once = unit.retract(jnp.asarray(z))
    low, high = domain(unit, reach=np.inf)
    assert low <= once <= high
    assert unit.retract(once) == once
    if low <= z <= high:
        assert once == z


@each_unit
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_finite_far_out(unit, dtype):
    """Values, first and second derivatives."""

    @jax.jit
    @jax.vmap
    def values(z):
        functions = (unit.embed, unit.potential, unit.retract)
        return [(f(z), jax.grad(f)(z), jax.grad(jax.grad(f))(z)) for f in functions]

    for value in jax.tree.leaves(values(jnp.linspace(-1e3, 1e3, 501, dtype=dtype))):
        assert value.dtype == dtype
        assert jnp.all(jnp.isfinite(value))


@each_unit
@given(start=st.floats(-5, 5), pull=st.floats(-5, 5), target=st.floats(-2, 2), q=st.floats(-4, 9))
def test_minimise_never_raises_the_energy(unit, start, pull, target, q):
    """One block step on a coupling ``q (u - target)^2 / 2 - pull u``; exact on a quadratic."""
    assume(jnp.isfinite(getattr(unit, "high", jnp.inf)) or q > -0.95)

    def energy(z):
        u = unit.embed(z)
        return unit.potential(z) + 0.5 * q * (u - target) ** 2 - pull * u

    start = unit.retract(jnp.asarray(start))
    field = pull - q * (unit.embed(start) - target)
    end = unit.minimise(start, field, jnp.asarray(q))
    assert energy(end) <= energy(start) + 1e-12
    if not unit.smooth or isinstance(unit, Linear):
        stiffness = 1 + q * getattr(unit, "slope", 1.0)
        assume(abs(stiffness) > 1e-3)
        stationary = unit.retract(jnp.asarray((pull + q * target) / stiffness))
        walls = (unit.low, unit.high) if unit.walled else ()
        ends = [jnp.asarray(end) for end in walls]
        best = min(map(energy, [stationary, *ends]))
        np.testing.assert_allclose(energy(end), best, rtol=1e-9, atol=1e-9)


@each_unit
def test_saturation_is_what_the_answer_to_a_field_lacks(unit):
    """1 less the slope of what is shown, over the largest slope there is: 1 beyond either wall."""
    fields = jnp.linspace(-3.03, 3.0, 41)
    slopes = slope(lambda a: unit.embed(unit.retract(a)))(fields)
    largest = jnp.max(slope(unit.embed)(jnp.linspace(0.0, 1.0, 41)))
    saturated = unit.saturation(unit.retract(fields))
    np.testing.assert_allclose(saturated, 1 - slopes / largest, atol=1e-12)


@pytest.mark.parametrize("name", ["logistic", "tanh", "stiff"])
def test_sigmoid_units_are_scattered_evenly_over_what_they_show(name):
    unit = UNITS[name]
    shown = unit.embed(unit.scatter(jax.random.key(0), jnp.zeros(4000)))
    ends = unit.embed(jnp.array([-1e3, 1e3]))
    assert stats.kstest((shown - ends[0]) / (ends[1] - ends[0]), "uniform").pvalue > 1e-3


def test_no_minimum_is_not_finite():
    one = jnp.asarray(1.0)
    assert not jnp.isfinite(Linear().minimise(one, one, jnp.asarray(-1.5)))


@each_smooth
def test_complex_agrees_on_the_real_line(unit):
    z = jnp.linspace(-1e3, 1e3, 501)
    for function in (unit.embed, unit.potential, unit.retract):
        lifted = function(z.astype(complex))
        np.testing.assert_allclose(jnp.real(lifted), function(z), rtol=1e-14, atol=1e-12)
        np.testing.assert_allclose(jnp.imag(lifted), 0.0, atol=1e-14)


@each_smooth
def test_complex_step_is_the_derivative(unit):
    z = jnp.linspace(-4.0, 4.0, 41)
    step = 1e-30
    for function in (unit.embed, unit.potential, unit.retract):
        stepped = jnp.imag(function(jax.lax.complex(z, jnp.full_like(z, step)))) / step
        np.testing.assert_allclose(stepped, slope(function)(z), rtol=1e-12, atol=1e-13)


@each_smooth
def test_cauchy_riemann(unit):
    real, imaginary = jnp.meshgrid(jnp.linspace(-3, 3, 13), jnp.linspace(-0.5, 0.5, 5))
    z = jax.lax.complex(real, imaginary).reshape(-1)
    step = 1e-5
    for function in (unit.embed, unit.potential, unit.retract):
        derivative = jax.vmap(jax.grad(function, holomorphic=True))(z)
        for turn in (1.0, 1j):
            difference = (function(z + turn * step) - function(z - turn * step)) / (2 * step * turn)
            np.testing.assert_allclose(derivative, difference, atol=1e-8)


@pytest.mark.parametrize("low, high", [(1.0, 0.0), (0.5, 0.5), (0.0, float("nan"))])
def test_empty_box(low, high):
    with pytest.raises(ValueError, match=r"low < high|high to be a number, got nan"):
        Box(low, high)
