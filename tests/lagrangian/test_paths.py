"""Actions: gradients by nudging paths, against the adjoint, integration and closed forms."""

from contextlib import nullcontext
from functools import cache, partial
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from eqprop import (
    EquilibriumPropagation,
    ImplicitDifferentiation,
    Model,
    holomorphic,
    one_sided,
    relax,
    symmetric,
)
from eqprop.estimators.audit import compare
from eqprop.estimators.estimator import mean_loss
from eqprop.lagrangian import (
    Action,
    Adjoint,
    InitialValue,
    Newton,
    PathDensity,
    PathError,
    Periodic,
    ReversedNudge,
    doubled,
    midpoint,
    verlet,
)
from eqprop.lagrangian.friction import frictionless, not_linear, not_reciprocal
from helpers import systems
from helpers.later import later
from helpers.paths import (
    KEY,
    OMEGA,
    PARAMS,
    PERIOD,
    STEPS,
    Found,
    Padded,
    apply,
    duffing,
    error,
    estimate,
    exact,
    fixed,
    flat,
    from_settled,
    harmonic,
    name,
    nudged,
    periodic,
    quickly,
    refused,
    settled,
    waves,
)

COSTS = [(periodic, verlet, cost) for cost in ("final", "density")]


def test_order_of_contrasts():
    for contrast, order in ((one_sided, 1), (symmetric, 2)):
        errors = [error(contrast(beta), periodic) for beta in (0.04, 0.02)]
        np.testing.assert_allclose(np.log2(errors[0] / errors[1]), order, atol=0.15)


@pytest.mark.long
def test_table_periodic():
    """The fact sheet's table: one-sided, symmetric and holomorphic contrasts against the adjoint."""
    for beta, most in ((1e-3, 1.8e-3), (1e-2, 1.8e-2), (1e-1, 2.0e-1)):
        assert error(one_sided(beta), periodic) <= most
    for beta, most in ((1e-3, 2.4e-6), (1e-2, 2.4e-4), (1e-1, 2.4e-2)):
        assert error(symmetric(beta), periodic) <= most
    reference = flat(exact(periodic).gradient)
    for points, most in ((2, 2.4e-2), (4, 7e-4), (8, 1e-6)):
        found = flat(by_complex_nudges(holomorphic(points, 0.1)).gradient)
        assert np.linalg.norm(found - reference) <= most * np.linalg.norm(reference)


@pytest.mark.parametrize(
    "case",
    [(periodic,), (periodic, midpoint, "fourier"), later((fixed,)), *COSTS],
    ids=name,
)
def test_adjoint_equals_finite_differences(case):
    """Of the relaxed loss along the gradient, and along a random direction."""
    model, x, y = case[0](*case[1:])
    gradient, unravel = ravel_pytree(exact(*case).gradient)

    def loss(move):
        moved = eqx.apply_updates(model, unravel(move))
        return moved.loss({"path": settled(moved, x)["path"][0]}, y[0])

    for way in (gradient / jnp.linalg.norm(gradient), systems.normal(3, gradient.shape)):
        slope = (loss(1e-4 * way) - loss(-1e-4 * way)) / 2e-4
        np.testing.assert_allclose(slope, way @ gradient, rtol=1e-6)
    assert float(exact(*case).report.adjoint[0]) < 1e-11


def test_the_package_audits_it():
    """The package's comparison by parameter, and its Krylov adjoint, on a path as on any other state."""
    found = nudged(symmetric(1e-3), periodic())
    rows = compare(found.gradient, exact(periodic).gradient)
    assert [row.name for row in rows] == ["a", "c", "k", "all parameters"]
    assert all(row.cosine > 1 - 1e-9 and row.relative_error < 1e-5 for row in rows)
    krylov = from_settled(ImplicitDifferentiation(Found(), 1e-12), fixed())
    np.testing.assert_allclose(flat(krylov.gradient), flat(exact(fixed).gradient), rtol=1e-9)


def test_an_autonomous_orbit_with_a_pin():
    """A Duffing oscillator of given period, by nudging, with the phase fixed at ``q(0) = 0``."""

    def alone(q, v, params, t):
        return 0.5 * (v @ v) - 0.5 * params["k"] * (q @ q) - 0.25 * params["a"] * jnp.sum(q**4)

    steps, period = 100, 5.0
    dt = period / steps
    params = {"k": 1.0, "a": 0.5}
    pinned = Periodic(pin=(0, 0.0))
    action = Action(alone, params, size=1, steps=steps, dt=dt, boundary=pinned)
    model = Model(action, PathError(weight=dt))
    x, y = jnp.zeros((1, 1)), jnp.zeros((1, steps, 1))
    start = {"path": jnp.sin(2 * np.pi * jnp.arange(float(steps)) / steps)[None, :, None]}
    nudging = EquilibriumPropagation(Newton(), symmetric(1e-3))
    found = estimate(nudging, model, x, y, start, KEY)
    reference = estimate(Adjoint(Found()), model, x, y, found.state, KEY)
    orbit = reference.state["path"][0, :, 0]
    assert orbit[0] == 0 and np.max(orbit) > 0.8
    error = np.abs(flat(found.gradient) - flat(reference.gradient))
    assert np.all(error < 1e-5 * np.abs(flat(reference.gradient)))

    def amplitude(params):
        """By quadrature: the period of an orbit of amplitude ``A`` is ``4 int dq / v``."""
        angle = (np.arange(400) + 0.5) * np.pi / 800
        low, high = 0.1, 3.0
        for _ in range(60):
            size = 0.5 * (low + high)
            rate = params["k"] + 0.5 * params["a"] * size**2 * (1 + np.sin(angle) ** 2)
            time = 4 * np.mean(1 / np.sqrt(rate)) * np.pi / 2
            low, high = (size, high) if time > period else (low, size)
        return size

    np.testing.assert_allclose(np.max(orbit), amplitude(params), rtol=2e-3)


def friction(q, v, params):
    """Neither linear nor in proportion to the mass."""
    return params["g"] * v * (1.0 + q * q)


IRRECIPROCAL = {"turn": 0.3, "bend": 0.1, "dry": 0.3, "swell": 0.5}
"""How gyroscopic a system is; how much of its friction is cubic, and how much is dry, of no slope but at
rest; and how much its stiffness varies, seven times a period."""


def drag(q, v, params):
    turned = params["turn"] * jnp.stack([v[1], -v[0]])
    return params["g"] @ v + turned + params["bend"] * v**3 + params["dry"] * jnp.sign(v)


def linear(q, v, params, t, x):
    drive = x[0] * jnp.cos(OMEGA * t) * q[0] + x[1] * jnp.sin(2 * OMEGA * t) * q[1]
    swelling = params["swell"] * jnp.sin(7 * OMEGA * t) * (q @ q)
    return 0.5 * (v @ params["m"] @ v) - 0.5 * (q @ params["k"] @ q + swelling) + drive


def matrix(seed):
    root = systems.normal(seed, (2, 2), 0.3)
    return jnp.eye(2) + root @ root.T


@cache
def damped():
    """The coupled oscillators with a nonlinear damping each."""
    dt = PERIOD / 100
    params = PARAMS | {"g": jnp.array([0.1, 0.2, 0.3])}
    lagrangian = doubled(duffing, friction)
    action = Action(lagrangian, params, size=6, steps=100, dt=dt, rule=midpoint)
    cost = PathError(weight=dt, coordinates=(0, 1, 2))
    return Model(action, cost), jnp.array([[0.6, 0.3]]), waves(100)[None]


doubled_linear = doubled(linear, drag)


@cache
def linear_damped(*wrong):
    """Symmetric mass, damping and stiffness matrices, but for what is named as wrong."""
    others = {name: size if name in wrong else 0.0 for name, size in IRRECIPROCAL.items()}
    params = {"m": matrix(1), "k": matrix(2), "g": 0.3 * matrix(3), **others}
    dt = PERIOD / 90
    action = Action(doubled_linear, params, size=4, steps=90, dt=dt, rule=midpoint)
    cost = PathError(weight=dt, coordinates=(0, 1))
    return Model(action, cost), jnp.array([[0.6, 0.3]]), waves(90)[None, :, :2]


@pytest.mark.long
def test_doubled_variables_are_exact_at_any_nudge():
    """The fact sheet's row: nonlinear damping, a periodic drive."""
    for contrast in (one_sided(1e-2), symmetric(1.0)):
        assert error(contrast, damped) < 1.8e-10


def test_doubled_variables_obey_the_damped_equation():
    """Against the orbit that long integration of the equation of motion settles in, and its slope."""
    model, x, y = damped()
    dt, path = model.energy.dt, exact(damped).state["path"][0]
    np.testing.assert_allclose(path[:, 3:], 0, atol=1e-12)
    substeps, periods = 4, 30

    @quickly
    def orbit(params):
        def rate(z, t):
            q, v = z
            pull = jax.grad(duffing)(q, jnp.zeros(3), params, t, x[0])
            return v, pull - friction(q, v, params)

        h = dt / substeps

        def step(z, t):
            def ahead(k, size):
                return jax.tree.map(lambda a, b: a + size * b, z, k)

            k1 = rate(z, t)
            k2 = rate(ahead(k1, h / 2), t + h / 2)
            k3 = rate(ahead(k2, h / 2), t + h / 2)
            k4 = rate(ahead(k3, h), t + h)
            z = jax.tree.map(
                lambda a, b, c, d, e: a + h / 6 * (b + 2 * c + 2 * d + e), z, k1, k2, k3, k4
            )
            return z, z[0]

        times = h * jnp.arange(100.0 * substeps)
        z = (jnp.zeros(3), jnp.zeros(3))
        z = jax.lax.fori_loop(1, periods, lambda _, z: jax.lax.scan(step, z, times)[0], z)
        _, positions = jax.lax.scan(step, z, times)
        return jnp.roll(positions[substeps - 1 :: substeps], 1, axis=0)

    params = model.energy.params
    np.testing.assert_allclose(path[:, :3], orbit(params), atol=3e-3)

    def loss(move):
        found = orbit(params | {"g": params["g"] + move * jnp.array([1.0, 0.0, 0.0])})
        return 0.5 * dt * jnp.sum((found - y[0]) ** 2)

    slope = (loss(1e-4) - loss(-1e-4)) / 2e-4
    np.testing.assert_allclose(exact(damped).gradient.energy.params["g"][0], slope, rtol=1e-2)


START = (0.5, -0.3, 0.2), (0.1, 0.4, -0.2)


@cache
def launched(force=friction):
    """The coupled oscillators with a damping each, from a given position and momentum."""
    params = PARAMS | {"g": jnp.array([0.1, 0.2, 0.3])}
    lagrangian, start = doubled(duffing, force), InitialValue(*START)
    action = Action(lagrangian, params, size=6, steps=60, dt=0.05, boundary=start)
    cost = PathError(weight=0.05, at=(-1, 20), coordinates=(0, 1, 2))
    return Model(action, cost), jnp.array([[0.6, 0.3]]), jnp.ones((1, 2, 3))


def test_a_given_start_is_exact_in_doubled_variables():
    """At any nudge, with friction and without, against back-propagation through the steps of leapfrog:

    ``p_n = v - dt/2 Q(q_n, v, t_n)`` and ``p_{n+1} = v + dt/2 Q(q_{n+1}, v, t_{n+1})`` for unit masses,
    with the force ``Q`` of potential, drive and friction.
    """
    model, x, y = launched()
    dt = model.energy.dt

    @quickly
    @jax.value_and_grad
    def integrated(params):
        def push(q, v, t):
            drive = jax.grad(duffing)(q, jnp.zeros(3), params, t, x[0])
            return 0.5 * dt * (drive - friction(q, v, params))

        def step(carry, n):
            q, p = carry
            v = jax.lax.fori_loop(0, 12, lambda _, v: p + push(q, v, n * dt), p)
            q = q + dt * v
            return (q, v + push(q, v, (n + 1) * dt)), q

        _, path = jax.lax.scan(step, tuple(map(jnp.array, START)), jnp.arange(60.0))
        return 0.025 * jnp.sum((path[jnp.array([-1, 20])] - y[0]) ** 2)

    for strength in (1.0, 0.0):
        drags = strength * model.energy.params["g"]
        given = eqx.tree_at(lambda m: m.energy.params["g"], model, drags)
        value, gradient = integrated(given.energy.params)
        for contrast in (one_sided(1.0), symmetric(1e-3)):
            got = apply(EquilibriumPropagation(Newton(), Padded(contrast)), (given, x, y))
            np.testing.assert_allclose(got.value, value, rtol=1e-10)
            np.testing.assert_allclose(flat(got.gradient), flat(gradient), rtol=1e-9, atol=1e-12)


def test_doubled_variables_refuse_bad_data():
    with refused(ValueError, r"a friction F\(q, v, params\)"):
        doubled(duffing, lambda v: 0.1 * v)
    with refused(ValueError, r"a friction of shape \(3,\), one force a coordinate, got \(\)"):
        model, x, _ = launched(lambda q, v, params: 0.1 * (v @ v))
        model.free(x[0])
    with refused(ValueError, "got the module Pendulum"):
        doubled(Pendulum(jnp.asarray(0.5)))
    with refused(ValueError, "which goes into the params of the action"):
        doubled(duffing, Pendulum(jnp.asarray(0.5)))
    with refused(ValueError, "of size twice that of the Lagrangian, got 5"):
        Action(doubled(duffing), PARAMS, size=5, steps=20, dt=0.1).clamp(jnp.zeros(2))


@quickly
def by_reversal_and_by_the_adjoint(*given):
    """The slopes of a reversed nudge's value, its gradient, and the slopes of the settled path's loss."""

    def value(given):
        found = ReversedNudge(Newton(), 50.0)(*given, KEY)
        return found.value, (found.gradient, found.state)

    def loss(given):
        model, x, y, start = given
        return mean_loss(model, relax(model, x, start, Found())[0], y)

    slopes, (gradient, settled) = eqx.filter_grad(value, has_aux=True)(given)
    return (slopes, gradient), eqx.filter_grad(loss)((*given[:3], settled))


@cache
def derivatives(*wrong):
    model, x, y = linear_damped(*wrong)
    return by_reversal_and_by_the_adjoint(model, x, y, model.rest(x))


def test_the_reversed_nudge_is_exact_at_any_nudge():
    """The fact sheet's row: linear, reciprocal, damped."""
    (_, gradient), (reference, *_) = derivatives()
    found, reference = flat(gradient), flat(reference)
    assert np.linalg.norm(found - reference) < 2e-9 * np.linalg.norm(reference)


def test_the_derivative_of_a_reversed_nudge_is_its_gradient():
    """In drives, targets and the start, too, as the settled path has it by the adjoint equation."""
    (slopes, gradient), reference = derivatives()
    np.testing.assert_array_equal(flat(slopes[0]), flat(gradient))
    for found, wanted in zip(slopes[:3], reference[:3], strict=True):
        assert np.linalg.norm(flat(wanted)) > 1e-3
        assert np.linalg.norm(flat(found) - flat(wanted)) < 1e-8 * np.linalg.norm(flat(wanted))
    assert not np.any(flat(slopes[3]))


irreciprocal = quickly(lambda action, x, path: not_reciprocal(action.clamp(x), path))


def test_the_reversed_nudge_refuses_other_systems():
    path = 0.3 * systems.normal(8, (90, 4))
    for wrong in ((), ("turn",), ("bend",), ("swell",)):
        model, x, _ = linear_damped(*wrong)
        assert irreciprocal(model.energy, x[0], path) == bool(wrong)
        low = jax.tree.map(lambda a: a.astype(jnp.float32), (model.energy, x[0], path))
        assert irreciprocal(*low) == bool(wrong)
    with pytest.raises(RuntimeError, match="of a linear reciprocal system"):
        derivatives("bend")
    with refused(ValueError, "a nudge beta other than 0"):
        ReversedNudge(beta=0.0)


def test_the_reversed_nudge_looks_where_it_leads():
    """Dry friction has no slope that would tell."""
    free, away = (0.3 * systems.normal(seed, (90, 4)) for seed in (8, 9))
    ask = quickly(lambda model, x, *paths: not_linear(model.free(x), *paths))
    for wrong in ((), ("dry",)):
        model, x, _ = linear_damped(*wrong)
        assert ask(model, x[0], free, free + away) == bool(wrong)


def test_the_reversed_nudge_refuses_an_action_that_is_not_doubled():
    """At rest, too, where nothing moves."""

    def plain(q, v, params, t, x):
        return linear(q, v, params, t, 0.0 * x)

    model, x, _ = linear_damped()
    action = Action(plain, model.energy.params, size=2, steps=90, dt=PERIOD / 90)
    assert irreciprocal(action, x[0], jnp.zeros((90, 2)))


@pytest.mark.long
def test_contrasts_of_harmonics():
    errors = [error(symmetric(beta), harmonic) for beta in (0.04, 0.02)]
    np.testing.assert_allclose(np.log2(errors[0] / errors[1]), 2, atol=0.1)


def test_arguments_with_defaults_are_no_inputs():
    """They keep their value, as those that `functools.partial` gives do."""

    def loud(q, v, params, t, size=2.0):
        return 0.5 * (v @ v) - 0.5 * params * (q @ q) + size * jnp.cos(t) * q[0]

    options = {"size": 1, "steps": 30, "dt": 2 * np.pi / 30}
    path, x = {"path": systems.normal(9, (30, 1))}, jnp.array([0.3])
    values = [Action(f, 0.6, **options)(path, x) for f in (loud, partial(loud, size=2.0))]
    plain = Action(lambda q, v, k, t: loud(q, v, k, t), 0.6, **options)(path, x)
    assert values == [plain, plain]


class Pendulum(eqx.Module):
    """A Lagrangian with a call of its own."""

    gravity: Array

    def __call__(self, q, v, t, x):
        return 0.5 * (v @ v) + self.gravity * jnp.sum(jnp.cos(q)) + x[0] * jnp.cos(t) * jnp.sum(q)


def test_friction_may_depend_on_time_and_input():
    """The same action as with its numbers put in by hand."""
    state, x = {"path": systems.normal(9, (60, 6))}, jnp.array([0.6, 0.3])

    def action(force):
        return quickly(lambda energy: energy(state, x))(launched(force)[0].energy)

    timed = action(lambda q, v, params, t: params["g"] * v * (1.0 + 0.0 * t))
    given = action(lambda q, v, params, t, x: x[0] / 0.6 * params["g"] * v)
    usual = action(lambda q, v, params: params["g"] * v)
    np.testing.assert_allclose([timed, given], usual, rtol=1e-12)
    assert abs(action(lambda q, v, params, t: t * v) - usual) > 1e-3 * abs(usual)
    none = action(lambda q, v, params: 0.0 * v)
    assert action(frictionless) == none and abs(none - usual) > 1e-3 * abs(usual)


def test_whole_numbers_learn():
    action = Action(lambda q, v, p, t: 0.5 * p["m"] * (v @ v), {"m": 2}, size=1, steps=9, dt=0.1)
    assert action.params["m"].dtype == jnp.float64


def squared(q):
    return jnp.vdot(q, q)


def damaged(q, v, params, t, x):
    return duffing(q, v, params, t, x) - x[2] * squared(q)


def squared_error(q, y):
    """That of `periodic`, and what is 0 on real paths."""
    error = q - y[:3]
    return PERIOD / STEPS * (0.125 * (error @ error) + y[3] * (squared(q) - q @ q))


def by_complex_nudges(contrast, energy=0.0, cost=0.0):
    """In the periodic system, with parts of its energy and of its cost that are not analytic."""
    action = Action(damaged, PARAMS, size=3, steps=STEPS, dt=PERIOD / STEPS)
    x, y = jnp.array([[0.3, 0.15, energy]]), jnp.full((1, STEPS, 1), cost)
    y = jnp.concatenate([waves(STEPS)[None], y], 2)
    learner = EquilibriumPropagation(Newton(), Padded(contrast))
    return apply(learner, (Model(action, PathDensity(squared_error)), x, y))


def test_complex_nudges_need_holomorphic_functions():
    """Conjugates, whose slope along ``i`` is another one, are told from what is analytic."""
    for wrong in ({}, {"energy": 0.02}, {"cost": 0.5}):
        wanted = pytest.raises(RuntimeError, match="energy and a cost that are holomorphic")
        with wanted if wrong else nullcontext():
            by_complex_nudges(holomorphic(4, 0.05), **wrong)


def test_a_density_of_absolute_values_is_refused_for_complex_nudges():
    model, x, y = periodic()
    model = Model(model.energy, PathDensity(lambda q, y: jnp.sum(jnp.abs(q) ** 2)))
    wanted = refused(ValueError, "a density that is holomorphic for complex nudges")
    with jax.numpy_dtype_promotion("standard"), wanted:
        learner = EquilibriumPropagation(Found(), holomorphic(4, 0.05), Newton())
        apply(learner, (model, x, y))


def test_a_lagrangian_may_be_a_module():
    options = {"size": 2, "steps": 30, "dt": 2 * np.pi / 30}
    module = Action(Pendulum(jnp.asarray(0.5)), **options)
    function = Action(lambda q, v, g, t, x: Pendulum(g)(q, v, t, x), 0.5, **options)
    state, x = {"path": systems.normal(9, (30, 2))}, jnp.array([0.3])
    slopes = [
        eqx.filter_grad(lambda action: action(state, x))(a).params for a in (module, function)
    ]
    assert module(state, x) == function(state, x)
    assert slopes[0].gravity == slopes[1] != 0


def test_oscillators_learn_a_periodic_response():
    """That of a teacher with other parameters, by descent along the contrast of two nudged paths."""
    model, x, _ = periodic()
    moved = jax.tree.map(lambda a: 1.15 * a, PARAMS)
    teacher = eqx.tree_at(lambda m: m.energy.params, model, moved)
    y = settled(teacher, x)["path"]
    values = []
    for _ in range(30):
        got = nudged(symmetric(1e-2), (model, x, y))
        values.append(float(got.value))
        step = jax.tree.map(lambda g: -5.0 * g, got.gradient)
        model = eqx.apply_updates(model, step)
    assert values[-1] < 0.02 * values[0]
    assert all(after < before for before, after in pairwise(values))
