"""Actions: paths, their solvers, and gradients by nudging, against the adjoint and closed forms."""

from functools import cache, partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

import systems
from eqprop import (
    Contrast,
    EquilibriumPropagation,
    ImplicitDifferentiation,
    Model,
    SquaredError,
    holomorphic,
    one_sided,
    relax,
    symmetric,
)
from eqprop.diagnose import compare
from eqprop.energy import norm
from eqprop.estimators import mean_loss
from eqprop.lagrangian import (
    Action,
    Adjoint,
    Continuation,
    FixedEnds,
    FourierError,
    FreeEnd,
    HarmonicAction,
    Newton,
    PathDensity,
    PathError,
    Periodic,
    ReversedNudge,
    Shooting,
    doubled,
    examine,
    initial_value,
    midpoint,
    monodromy,
    onsager_machlup,
    verlet,
)
from eqprop.lagrangian.curvature import second_variation, solve, solve_refined
from eqprop.lagrangian.dissipation import not_reciprocal
from eqprop.solvers import CONVERGED, STEPS_SPENT

KEY = jax.random.key(0)
OMEGA = 0.7
PERIOD = 2 * np.pi / OMEGA
STEPS = 120
PARAMS = {
    "k": jnp.array([1.0, 1.2, 0.8]),
    "a": jnp.array([0.3, 0.2, 0.25]),
    "c": jnp.array([0.4, 0.3]),
}
"""Eight parameters: springs and their hardening, and two couplings."""

quickly = partial(
    eqx.filter_jit,
    compiler_options={
        "xla_backend_optimization_level": 0,
        "xla_cpu_use_fusion_emitters": False,
    },
)
"""Compiled with less care still: twice as fast as `systems.quickly` here."""

settle = quickly(lambda phase, state: Newton().settle(phase, state))
estimate = quickly(lambda estimator, *arguments: estimator(*arguments))


def potential(q, params):
    wells = 0.5 * params["k"] @ (q * q) + 0.25 * params["a"] @ (q * q * q * q)
    gaps = q[:-1] - q[1:]
    return wells + 0.5 * params["c"] @ (gaps * gaps)


def duffing(q, v, params, t, x):
    """Three coupled Duffing oscillators, driven at both ends of the chain."""
    drive = x[0] * jnp.cos(OMEGA * t) * q[0] + x[1] * jnp.sin(OMEGA * t) * q[2]
    return 0.5 * (v @ v) - potential(q, params) + drive


def free_duffing(q, v, params, t):
    return 0.5 * (v @ v) - potential(q, params)


def waves(nodes):
    angle = 2 * np.pi * np.arange(nodes) / nodes
    return 0.4 * jnp.asarray(np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle)], -1))


@cache
def periodic(rule=verlet, cost="path"):
    dt = PERIOD / STEPS
    action = Action(duffing, PARAMS, size=3, steps=STEPS, dt=dt, rule=rule)
    costs = {
        "path": (PathError(weight=dt / 4), waves(STEPS)),
        "final": (PathError(at=(0, 40), coordinates=(0, 2)), jnp.array([[0.3, 0.1], [-0.2, 0.2]])),
        "density": (PathDensity(lambda q, y: dt * jnp.cosh(q[0] - y)), waves(STEPS)[:, 0]),
        "fourier": (FourierError((0, 1, 3), (0, 2)), 0.1 * jnp.ones((3, 2, 2))),
    }
    cost, y = costs[cost]
    return Model(action, cost), jnp.array([[0.3, 0.15]]), y[None]


@cache
def fixed():
    action = Action(
        duffing,
        PARAMS,
        size=3,
        steps=60,
        dt=0.025,
        boundary=FixedEnds((0.3, 0.0, -0.2), (0.1, 0.4, 0.0)),
    )
    return Model(action, PathError(weight=0.025)), jnp.array([[0.6, 0.3]]), waves(59)[None]


def flat(gradient):
    return np.asarray(ravel_pytree(gradient)[0])


def apply(estimator, system):
    model, x, y = system
    return estimate(estimator, model, x, y, model.rest(x), KEY)


def name(case):
    builder, *options = case
    return "-".join(getattr(part, "__name__", str(part)) for part in (builder, *options))


class Padded(Contrast):
    """Another contrast's nudges as data, filled up to four phases: one compilation for all."""

    betas: Array
    coefficients: Array

    def __init__(self, contrast):
        parts = contrast.draw(KEY)
        self.betas, self.coefficients = (jnp.pad(p, (0, 4 - len(p))) for p in parts)

    def draw(self, key):
        return self.betas, self.coefficients


@cache
def exact(builder, *options):
    return apply(Adjoint(Newton()), builder(*options))


def error(contrast, builder, *options):
    found = apply(EquilibriumPropagation(Newton(), Padded(contrast)), builder(*options))
    reference = flat(exact(builder, *options).gradient)
    return np.linalg.norm(flat(found.gradient) - reference) / np.linalg.norm(reference)


@pytest.mark.parametrize("case", [(periodic,), (fixed,)], ids=name)
def test_order_of_contrasts(case):
    for contrast, order in ((one_sided, 1), (symmetric, 2)):
        errors = [error(contrast(beta), *case) for beta in (0.04, 0.02)]
        np.testing.assert_allclose(np.log2(errors[0] / errors[1]), order, atol=0.15)


def test_table_periodic():
    """The fact sheet's table: one-sided, symmetric and holomorphic contrasts against the adjoint."""
    for beta, most in ((1e-3, 1.8e-3), (1e-2, 1.8e-2), (1e-1, 2.0e-1)):
        assert error(one_sided(beta), periodic) <= most
    for beta, most in ((1e-3, 2.4e-6), (1e-2, 2.4e-4), (1e-1, 2.4e-2)):
        assert error(symmetric(beta), periodic) <= most
    for points, most in ((2, 2.4e-2), (4, 7e-4), (8, 1e-6)):
        assert error(holomorphic(points, 0.1), periodic) <= most


def test_table_fixed_ends():
    assert error(symmetric(1e-3), fixed) <= 1.8e-6
    assert error(holomorphic(8, 0.1), fixed) <= 1.7e-8


BOUNDARIES = [
    Periodic(),
    Periodic(pin=(1, 0.2)),
    FixedEnds([0.0, 0.0, 0.0], [1.0, 1.0, 1.0]),
    FreeEnd([0.0, 0.0, 0.0]),
]
COSTS = [
    (FourierError((0, 1, 3)), (3, 2, 3)),
    (PathError(0.3, (0, 5, -1), (0, 2)), (3, 2)),
    (PathDensity(lambda q, y: jnp.cosh(q[0] * q[1] - y)), None),
]


@pytest.mark.parametrize("cost, shape", COSTS, ids=["fourier", "chosen", "density"])
@pytest.mark.parametrize("boundary", BOUNDARIES, ids=str)
def test_elimination_equals_the_dense_hessian(boundary, cost, shape):
    """Solution, determinant and Morse index, free and nudged either way."""
    nodes = boundary.unknown(17)
    action = Action(duffing, PARAMS, size=3, steps=17, dt=0.35, boundary=boundary)
    model, x = Model(action, cost), jnp.array([0.3, 0.2])
    path = boundary.unit().retract(systems.normal(1, (nodes, 3)))
    right, y = systems.normal(2, (nodes, 3)), jnp.zeros(shape or nodes)
    free = np.ones(path.size, bool)
    if isinstance(boundary, Periodic) and boundary.pin:
        free[boundary.pin[0]] = False

    @quickly
    def both(beta):
        phase = model.nudged(x, y, beta)
        whole = jax.hessian(lambda path: phase({"path": path}))(path)
        system = second_variation(phase, {"path": path})
        return whole, solve_refined(system, right), system.factor().left.inertia()

    for beta in (0.0, 0.7, -0.7):
        whole, answer, inertia = both(jnp.asarray(beta))
        whole = np.reshape(whole, (path.size, -1))[np.ix_(free, free)]
        expected = np.zeros(path.size)
        expected[free] = np.linalg.solve(whole, np.ravel(right)[free])
        np.testing.assert_allclose(np.ravel(answer), expected, atol=1e-11 * np.abs(expected).max())
        values = np.linalg.eigvalsh(whole)
        assert 0 < inertia.negative == np.sum(values < 0)
        assert inertia.sign == np.prod(np.sign(values))
        logs = np.sum(np.log(np.abs(values)))
        np.testing.assert_allclose(inertia.log_determinant, logs, rtol=1e-10)


def is_program(part):
    return hasattr(part, "eqns")


def work(jaxpr):
    """Numbers computed by a program whose loops have known lengths, and the largest array in it."""
    total = largest = 0
    for equation in jaxpr.eqns:
        sizes = [np.prod(out.aval.shape, dtype=float) for out in equation.outvars]
        times = equation.params.get("length", 1)
        parts = jax.tree.leaves(tuple(equation.params.values()), is_leaf=is_program)
        inner = [work(getattr(part, "jaxpr", part)) for part in parts if is_program(part)]
        total += sum(sizes) + times * sum(count for count, _ in inner)
        largest = max(largest, *sizes, *(size for _, size in inner))
    return total, largest


@pytest.mark.parametrize("boundary", BOUNDARIES[:3], ids=str)
def test_a_newton_step_is_linear_in_time_and_memory(boundary):
    """By the shapes of everything that it computes."""

    def step(steps, size=3):
        def spring(q, v, params, t):
            return 0.5 * (v @ v - params * (q @ q)) + jnp.cos(t) * q[0]

        ends = FixedEnds(np.zeros(size), np.ones(size))
        ends = ends if isinstance(boundary, FixedEnds) else boundary
        action = Action(spring, 1.0, size=size, steps=steps, dt=0.1, boundary=ends)
        phase = action.clamp(jnp.zeros(1))

        def solution(path):
            system = second_variation(phase, {"path": path})
            return solve(system, system.factor(), path)

        return work(jax.make_jaxpr(solution)(action.rest(jnp.float64)["path"]).jaxpr)

    (short, small), (long, large) = step(1000), step(2000)
    assert 1.99 < long / short < 2.01
    assert 1.99 < large / small < 2.01
    assert small <= 1001 * 3 * 7
    wide = [step(100, size) for size in (4, 8)]
    assert wide[1][1] / wide[0][1] < 5


@pytest.mark.parametrize("rule", [verlet, midpoint])
def test_rules_are_of_second_order(rule):
    """Against ``q = sin(w t) / sin(w T)``, an oscillator between fixed ends."""

    def spring(q, v, params, t):
        return 0.5 * (v @ v - params * params * (q @ q))

    errors = []
    for steps in (20, 40):
        dt = 2.0 / steps
        ends = FixedEnds([0.0], [1.0])
        action = Action(spring, 1.1, size=1, steps=steps, dt=dt, boundary=ends, rule=rule)
        path, _ = settle(action.clamp(jnp.zeros(1)), action.rest(jnp.float64))
        truth = np.sin(1.1 * action.times) / np.sin(2.2)
        errors.append(np.max(np.abs(path["path"][:, 0] - truth)))
    np.testing.assert_allclose(np.log2(errors[0] / errors[1]), 2, atol=0.05)


def test_the_verlet_path_is_leapfrog():
    """The stationary path obeys ``m (q_+ - 2 q + q_-) / dt^2 = -V'(q) + f(t)`` at every inner node."""
    model, x, _ = fixed()
    path = exact(fixed).state["path"][0]
    nodes = model.energy.boundary.complete(path, x[0])
    force = jax.vmap(jax.grad(lambda q, t: duffing(q, jnp.zeros(3), PARAMS, t, x[0])))
    pull = force(nodes[1:-1], jnp.asarray(model.energy.times))
    second = (nodes[2:] - 2 * nodes[1:-1] + nodes[:-2]) / model.energy.dt**2
    np.testing.assert_allclose(second, pull, atol=1e-9)
    before, after = model.energy.momenta({"path": path}, x[0])
    np.testing.assert_allclose(before[:-1], after[1:], atol=1e-11)


@pytest.mark.parametrize("case", [(periodic,), (periodic, midpoint, "fourier"), (fixed,)], ids=name)
def test_adjoint_equals_finite_differences(case):
    """Of the relaxed loss along the gradient, and along a random direction."""
    model, x, y = case[0](*case[1:])
    gradient, unravel = ravel_pytree(exact(*case).gradient)

    @quickly
    def loss(move):
        moved = eqx.apply_updates(model, unravel(move))
        state, _ = relax(moved, x, exact(*case).state, Newton())
        return mean_loss(moved, state, y)

    for way in (gradient / jnp.linalg.norm(gradient), systems.normal(3, gradient.shape)):
        slope = (loss(1e-4 * way) - loss(-1e-4 * way)) / 2e-4
        np.testing.assert_allclose(slope, way @ gradient, rtol=1e-6)
    assert float(exact(*case).report.adjoint[0]) < 1e-11


def test_shooting_finds_the_same_paths():
    """On a period, between ends, and with a free end; the monodromy is symplectic."""
    shoot = quickly(lambda phase, state: Shooting().settle(phase, state))
    for case in ((periodic,), (fixed,)):
        model, x, _ = case[0]()
        near = jax.tree.map(lambda z: 0.9 * z, state_of(exact(*case)))
        state, info = shoot(model.free(x[0]), near)
        assert info.outcome == CONVERGED
        np.testing.assert_allclose(state["path"], exact(*case).state["path"][0], atol=1e-8)
    model, x, _ = periodic()
    turn = monodromy(model.free(x[0]), state_of(exact(periodic)))
    unit = np.kron([[0.0, 1.0], [-1.0, 0.0]], np.eye(3))
    np.testing.assert_allclose(turn.T @ unit @ turn, unit, atol=1e-9)
    free = spring_action(1.7, boundary=FreeEnd([0.3]))
    phase = free.clamp(jnp.zeros(1))
    state, _ = shoot(phase, {"path": jnp.full((100, 1), 0.3)})
    np.testing.assert_allclose(state["path"], found(free)[1]["path"], atol=1e-9)
    with refused(TypeError, "nudged phases are for Newton"):
        Shooting().settle(model.nudged(x[0], waves(STEPS), 0.1), model.energy.rest(jnp.float64))


def state_of(result):
    return {"path": result.state["path"][0]}


def test_the_package_audits_it():
    """The package's comparison by parameter, and its Krylov adjoint, on a path as on any other state."""
    found = apply(EquilibriumPropagation(Newton(), Padded(symmetric(1e-3))), fixed())
    rows = compare(found.gradient, exact(fixed).gradient)
    assert [row.name for row in rows] == ["a", "c", "k", "all parameters"]
    assert all(row.cosine > 1 - 1e-9 and row.relative_error < 1e-5 for row in rows)
    krylov = apply(ImplicitDifferentiation(Newton(), 1e-12), fixed())
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
    oracle, nudging = Adjoint(Newton()), EquilibriumPropagation(Newton(), symmetric(1e-3))
    (reference, found) = (estimate(e, model, x, y, start, KEY) for e in (oracle, nudging))
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


def test_continuation_reaches_what_newton_does_not():
    """With few steps a stage, in the forcing and in the nudge."""
    model, x, y = periodic()
    few = Newton(max_steps=3)
    follow = quickly(lambda phase, state: Continuation(few, 6).settle(phase, state))
    phase, rest = model.free(2 * x[0]), model.energy.rest(jnp.float64)
    _, alone = quickly(few.attempt)(phase, rest)
    assert alone.outcome == STEPS_SPENT
    free, info = follow(phase, rest)
    assert info.outcome == CONVERGED and info.residual < 1e-11
    nudged, info = follow(model.nudged(2 * x[0], y[0], 0.3), free)
    assert info.outcome == CONVERGED and norm(jax.tree.map(jnp.subtract, nudged, free)) > 0.1


def friction(q, v, params):
    """Neither linear nor in proportion to the mass."""
    return params["g"] * v * (1.0 + q * q)


def linear_friction(q, v, params):
    return params["g"] @ v


def linear(q, v, params, t, x):
    drive = x[0] * jnp.cos(OMEGA * t) * q[0] + x[1] * jnp.sin(2 * OMEGA * t) * q[1]
    return 0.5 * (v @ params["m"] @ v) - 0.5 * (q @ params["k"] @ q) + drive


def matrix(seed):
    root = systems.normal(seed, (2, 2), 0.3)
    return jnp.eye(2) + root @ root.T


@cache
def damped():
    """The coupled oscillators with a nonlinear damping each."""
    dt = PERIOD / 100
    params = PARAMS | {"g": jnp.array([0.1, 0.2, 0.3])}
    action = Action(doubled(duffing, friction), params, size=6, steps=100, dt=dt)
    cost = PathError(weight=dt, coordinates=(0, 1, 2))
    return Model(action, cost), jnp.array([[0.6, 0.3]]), waves(100)[None]


@cache
def linear_damped(force=linear_friction):
    """Symmetric mass, damping and stiffness matrices."""
    params = {"m": matrix(1), "k": matrix(2), "g": 0.3 * matrix(3)}
    dt = PERIOD / 90
    action = Action(doubled(linear, force), params, size=4, steps=90, dt=dt, rule=midpoint)
    cost = PathError(weight=dt, coordinates=(0, 1))
    return Model(action, cost), jnp.array([[0.6, 0.3]]), waves(90)[None, :, :2]


def test_doubled_variables_are_exact_at_any_nudge():
    """The fact sheet's row: nonlinear damping, a periodic drive."""
    for contrast in (one_sided(1e-2), symmetric(1.0)):
        assert error(contrast, damped) < 1.8e-10


def test_doubled_variables_obey_the_damped_equation():
    """Against the orbit that long integration of the equation of motion settles in, and its slope."""
    model, x, y = damped()
    dt, path = model.energy.dt, exact(damped).state["path"][0]
    np.testing.assert_allclose(path[:, 3:], 0, atol=1e-12)
    substeps = 20

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
        for _ in range(40):
            z, positions = jax.lax.scan(step, z, times)
        return jnp.roll(positions[substeps - 1 :: substeps], 1, axis=0)

    params = model.energy.params
    np.testing.assert_allclose(path[:, :3], orbit(params), atol=3e-3)

    def loss(move):
        found = orbit(params | {"g": params["g"] + move * jnp.array([1.0, 0.0, 0.0])})
        return 0.5 * dt * jnp.sum((found - y[0]) ** 2)

    slope = (loss(1e-4) - loss(-1e-4)) / 2e-4
    np.testing.assert_allclose(exact(damped).gradient.energy.params["g"][0], slope, rtol=1e-2)


def test_the_reversed_nudge_is_exact_at_any_nudge():
    """The fact sheet's row: linear, reciprocal, damped."""
    reference = flat(exact(linear_damped).gradient)
    found = flat(apply(ReversedNudge(Newton(), 50.0), linear_damped()).gradient)
    assert np.linalg.norm(found - reference) < 2e-9 * np.linalg.norm(reference)


def gyroscopic(q, v, params):
    return params["g"] @ v + 0.3 * jnp.stack([v[1], -v[0]])


def cubic(q, v, params):
    return params["g"] @ v + 0.1 * v**3


def test_the_reversed_nudge_refuses_other_systems():
    for force, wrong in ((linear_friction, False), (gyroscopic, True), (cubic, True)):
        model, x, _ = linear_damped(force)
        path = 0.3 * systems.normal(8, (90, 4))
        assert not_reciprocal(model, x[0], path) == wrong
    with pytest.raises(RuntimeError, match="expected a linear reciprocal system"):
        apply(ReversedNudge(Newton()), linear_damped(cubic))


def spring(q, v, params, t):
    """An oscillator of frequency ``params``, driven."""
    return 0.5 * (v @ v - params * params * (q @ q)) + jnp.cos(t) * q[0]


def spring_action(frequency, steps=100, period=2 * np.pi, **options):
    return Action(spring, frequency, size=1, steps=steps, dt=period / steps, **options)


ENDS = FixedEnds([0.0], [1.0])


def found(action, x=None):
    phase = action.clamp(jnp.zeros(1) if x is None else x)
    return phase, settle(phase, action.rest(jnp.float64))[0]


def test_morse_index_counts_conjugate_points():
    """Of an oscillator between fixed ends: how often ``omega t`` passes a multiple of pi."""
    for frequency in (0.3, 0.7, 1.7):
        sharp = examine(*found(spring_action(frequency, boundary=ENDS)))
        assert sharp.morse_index == int(2 * frequency)
        assert sharp.sign == (-1) ** sharp.morse_index
        assert sharp.residual < 1e-11
        expected = min(abs((k / 2) ** 2 - frequency**2) / 0.25 for k in range(1, 6))
        np.testing.assert_allclose(sharp.margin, expected, rtol=0.02)


def test_conjugate_points_and_resonances_are_warned_of():
    near = spring_action(0.5 * 1.001, boundary=ENDS)
    with pytest.warns(UserWarning, match="near a conjugate point or a resonance"):
        examine(*found(near))
    with pytest.warns(UserWarning, match="near a conjugate point or a resonance"):
        examine(*found(spring_action(1.001)))
    assert examine(*found(spring_action(0.6))).margin > 0.2


def refused(kind, match):
    return pytest.raises(kind, match=match)


def test_actions_refuse_bad_data():
    with refused(ValueError, "size >= 1, steps >= 3 and dt > 0"):
        spring_action(1.0, steps=2)
    with refused(ValueError, r"L\(q, v, params, t\)"):
        Action(lambda q, v: 0.0, size=1, steps=10, dt=0.1)
    with refused(ValueError, "an end with 1 finite coordinates"):
        spring_action(1.0, boundary=FixedEnds([0.0, 1.0], [0.0]))
    with refused(ValueError, "an end with 1 finite coordinates"):
        spring_action(1.0, boundary=FreeEnd([np.nan]))
    with refused(ValueError, "an end of shape"):
        found(spring_action(1.0, boundary=FixedEnds(lambda x: x, [0.0])), jnp.zeros(3))
    with refused(ValueError, "pinned coordinate in 0 .. 0"):
        spring_action(1.0, boundary=Periodic(pin=(1, 0.0)))
    with refused(ValueError, "back-propagation by time reversal"):
        initial_value([0.0], [1.0])


def test_an_autonomous_period_needs_a_pin():
    action = Action(free_duffing, PARAMS, size=3, steps=20, dt=0.3)
    with refused(ValueError, r"Periodic\(pin=\(coordinate, value\)\)"):
        action.clamp(jnp.zeros(1))


def test_costs_refuse_bad_data():
    model, x, y = periodic()
    path = model.rest(x)["path"][0]
    with refused(ValueError, r"target of shape \(120, 3\), got \(119, 3\)"):
        model.loss({"path": path}, y[0, 1:])
    with refused(ValueError, "indices below 120"):
        PathError(at=(120,)).predict({"path": path})
    with refused(ValueError, r"harmonics in 0 .. 59"):
        FourierError((60,)).predict({"path": path})


def test_a_singular_mass_is_refused():
    def massless(q, v, params, t):
        return 0.5 * v[0] ** 2 - 0.5 * (q @ q) + q[0] * q[1] * 0.3 + jnp.cos(t) * q[0]

    action = Action(massless, size=2, steps=20, dt=2 * np.pi / 20)
    with refused(RuntimeError, "invertible mass matrix"):
        found(action)


def test_a_time_step_beyond_stability_is_refused():
    """Leapfrog at ``omega dt = 2.2``; the midpoint rule takes it."""
    rough = {"steps": 20, "period": 4.4, "boundary": ENDS}
    with refused(RuntimeError, "within the limit of stability"):
        found(spring_action(10.0, **rough))
    found(spring_action(10.0, rule=midpoint, **rough))


def test_a_drive_out_of_period_is_refused():
    with refused(RuntimeError, "the period of the path"):
        found(spring_action(0.6, period=6.0))


def test_no_convergence_is_refused():
    """At the resonance of the discrete oscillator, and with too few steps."""
    with refused(RuntimeError, "expected to converge"):
        found(spring_action(np.sin(np.pi / 64) * 64 / np.pi, steps=64))
    model, x, _ = periodic()
    with refused(RuntimeError, "Continuation"):
        few = quickly(Newton(max_steps=1).settle)
        few(model.free(x[0]), model.energy.rest(jnp.float64))


def test_a_step_onto_another_branch_is_refused():
    """A negative nudge that outweighs the springs: the index changes, and the path jumps."""
    action = spring_action(0.6, boundary=FixedEnds([0.0], [0.1]))
    model = Model(action, PathError(weight=action.dt))
    x, y = jnp.zeros(1), jnp.zeros((99, 1))
    free, _ = settle(model.free(x), model.energy.rest(jnp.float64))
    settle(model.nudged(x, y, jnp.asarray(-0.05)), free)
    with refused(RuntimeError, "another branch|the branch of the free one"):
        settle(model.nudged(x, y, jnp.asarray(1.0)), free)


def test_newton_serves_actions_alone():
    system = systems.quadratic()
    phase = system.model.free(system.x[0])
    with refused(TypeError, r"the phase of an eqprop.lagrangian.Action"):
        Newton().settle(phase, system.model.energy.rest(jnp.float64))
    model, x, y = periodic()
    other = Model(model.energy, SquaredError(output="path"))
    with refused(TypeError, "a PathCost"):
        Newton().settle(other.nudged(x[0], y[0], 0.1), model.energy.rest(jnp.float64))
    with refused(ValueError, "a solver for saddles"):
        model.free(x[0]).curvature("path")


def downhill(q, params, t):
    """The overdamped motion of the coupled oscillators, under a drive."""
    push = jnp.stack([jnp.cos(t), jnp.zeros_like(t), jnp.sin(t)])
    return -jax.grad(potential)(q, params) + push


def test_onsager_machlup_paths_solve_initial_value_problems():
    """The noiseless path is implicit midpoint integration, and its gradient that of back-propagation."""
    steps, dt, start = 40, 0.05, (0.8, -0.5, 0.3)
    density = onsager_machlup(downhill, 0.5)
    action = Action(
        density, PARAMS, size=3, steps=steps, dt=dt, boundary=FreeEnd(start), rule=midpoint
    )
    model = Model(action, PathError(at=(-1, 20)))
    x, y = jnp.zeros((1, 1)), jnp.ones((1, 2, 3))
    got = apply(EquilibriumPropagation(Newton(), symmetric(1e-4)), (model, x, y))

    @quickly
    @jax.value_and_grad
    def integrated(params):
        def step(q, n):
            after = q
            for _ in range(12):
                after = q + dt * downhill(0.5 * (q + after), params, (n + 0.5) * dt)
            return after, after

        _, path = jax.lax.scan(step, jnp.asarray(start), jnp.arange(float(steps)))
        return 0.5 * jnp.sum((path[jnp.array([-1, 20])] - y[0]) ** 2)

    value, gradient = integrated(PARAMS)
    np.testing.assert_allclose(got.value, value, rtol=1e-8)
    np.testing.assert_allclose(flat(got.gradient), flat(gradient), rtol=1e-5, atol=1e-8)
    assert got.report.free.index == 0
    with refused(ValueError, "temperature > 0"):
        onsager_machlup(downhill, 0.0)


def test_bohr_sommerfeld_orbits_give_the_slopes_of_energy_levels():
    """Of ``p^2/2 + k q^2/2 + a q^4/4`` at ``hbar = 1``.

    The orbit whose ``int p dq`` is ``2 pi (n + 1/2)`` has nearly the energy ``E_n``, and ``-<dL/dtheta>``
    over it is nearly ``<n|dH/dtheta|n>``. The period is a parameter, in a time of its own: ``dS/dT = -E``.
    """
    k, a, level, steps = 1.0, 0.3, 12, 400

    def scaled(q, v, params, t):
        period, k, a = params
        return 0.5 * (v @ v) / period - period * (0.5 * k * (q @ q) + 0.25 * a * jnp.sum(q**4))

    pinned = Periodic(pin=(0, 0.0))
    x, wave = jnp.zeros(1), jnp.sin(2 * np.pi * jnp.arange(float(steps)) / steps)[:, None]

    @quickly
    def orbit(period, guess):
        params = (period, jnp.asarray(k), jnp.asarray(a))
        action = Action(scaled, params, size=1, steps=steps, dt=1 / steps, boundary=pinned)
        state, _ = Newton(1e-9).settle(action.clamp(x), {"path": guess})
        slope = eqx.filter_grad(lambda action: action(state, x))(action).params
        velocity = jnp.diff(state["path"][:, 0], append=state["path"][:1, 0]) * steps / period
        loop = jnp.sum(velocity**2) * period / steps
        return state["path"], loop, -slope[0], [-part / period for part in slope[1:]]

    low, high, guess = 1.5, 4.0, 4.0 * wave
    for _ in range(30):
        period = 0.5 * (low + high)
        path, loop, energy, slopes = orbit(jnp.asarray(period), guess)
        low, high = (period, high) if loop > 2 * np.pi * (level + 0.5) else (low, period)
    assert np.max(path) > 2

    size = 200
    lower = np.diag(np.sqrt(np.arange(1, size)), 1)
    q = (lower + lower.T) / np.sqrt(2)
    p2 = -((lower - lower.T) @ (lower - lower.T)) / 2
    q2, q4 = q @ q, q @ q @ q @ q
    values, vectors = np.linalg.eigh(0.5 * p2 + 0.5 * k * q2 + 0.25 * a * q4)
    state = vectors[:, level]
    exact_slopes = 0.5 * state @ q2 @ state, 0.25 * state @ q4 @ state
    np.testing.assert_allclose(energy, values[level], rtol=2e-3)
    np.testing.assert_allclose(slopes, exact_slopes, rtol=5e-3)


@cache
def harmonic(harmonics=9):
    action = HarmonicAction(duffing, PARAMS, size=3, harmonics=harmonics, period=PERIOD)
    cost = PathError(coordinates=tuple(range(9)), weight=PERIOD / 4)
    return Model(action, cost), jnp.array([[0.3, 0.15]]), jnp.full((1, 1, 9), 0.1)


def test_harmonic_balance_converges_faster_than_any_power():
    """Against more harmonics; and the nodes of a discretised path approach it as ``dt^2``."""
    truth = harmonic(15)[0].energy.positions(exact(harmonic, 15).state["path"][0], np.arange(8.0))
    errors = []
    for count in (2, 4, 8):
        model, x, _ = harmonic(count)
        path = settle(model.free(x[0]), model.energy.rest(jnp.float64))[0]["path"]
        errors.append(np.max(np.abs(model.energy.positions(path, np.arange(8.0)) - truth)))
    assert errors[0] < 1e-2 and errors[1] < errors[0] / 100 and errors[2] < errors[1] / 1e4
    model, x, _ = periodic()
    nodes = model.energy.times
    there = harmonic(15)[0].energy.positions(exact(harmonic, 15).state["path"][0], nodes)
    apart = np.max(np.abs(exact(periodic).state["path"][0] - there))
    assert apart < 0.02 * (PERIOD / STEPS) ** 2


def test_contrasts_of_harmonics():
    errors = [error(symmetric(beta), harmonic) for beta in (0.04, 0.02)]
    np.testing.assert_allclose(np.log2(errors[0] / errors[1]), 2, atol=0.1)


def test_harmonic_actions_refuse_bad_data():
    with refused(ValueError, "harmonics >= 1"):
        HarmonicAction(duffing, PARAMS, size=3, harmonics=0, period=1.0)
    with refused(ValueError, "more than 8 samples"):
        HarmonicAction(duffing, PARAMS, size=3, harmonics=4, period=1.0, samples=8)
    with refused(ValueError, "without the time"):
        HarmonicAction(free_duffing, PARAMS, size=3, harmonics=4, period=1.0).clamp(jnp.zeros(1))
    with refused(RuntimeError, "the period of the path"):
        action = HarmonicAction(spring, 0.6, size=1, harmonics=3, period=6.0)
        settle(action.clamp(jnp.zeros(1)), action.rest(jnp.float64))


class Pendulum(eqx.Module):
    """A Lagrangian with a call of its own."""

    gravity: Array

    def __call__(self, q, v, t, x):
        return 0.5 * (v @ v) + self.gravity * jnp.sum(jnp.cos(q)) + x[0] * jnp.cos(t) * jnp.sum(q)


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


def test_ends_may_come_from_the_input():
    """A free particle goes straight from where its example says to where it says."""

    def particle(q, v, mass, t):
        return 0.5 * mass * (v @ v)

    ends = FixedEnds(lambda x: x[0], lambda x: x[1])
    action = Action(particle, 2.0, size=2, steps=10, dt=0.1, boundary=ends)
    model, x = Model(action, PathError()), systems.normal(10, (3, 2, 2))
    state, _ = quickly(relax)(model, x, model.rest(x), Newton())
    share = jnp.linspace(0.0, 1.0, 11)[1:-1, None]
    straight = x[:, :1] + share * (x[:, 1:] - x[:, :1])
    np.testing.assert_allclose(state["path"], straight, atol=1e-12)
