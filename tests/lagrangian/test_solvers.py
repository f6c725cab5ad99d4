"""Solvers of actions: elimination, the paths they find, and what they refuse."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqprop import (
    Blockwise,
    EquilibriumPropagation,
    Model,
    SquaredError,
    relax,
    symmetric,
)
from eqprop.energies.energy import norm, residual
from eqprop.energies.ops import cast
from eqprop.lagrangian import (
    Action,
    Continuation,
    FixedEnds,
    FourierError,
    FreeEnd,
    HarmonicAction,
    InitialValue,
    Newton,
    PathDensity,
    PathError,
    Periodic,
    Shooting,
    doubled,
    examine,
    midpoint,
    monodromy,
    verlet,
)
from eqprop.lagrangian.curvature import second_variation, solve, solve_refined
from eqprop.lagrangian.stationary import whole
from eqprop.solvers import CONVERGED, STEPS_SPENT
from helpers import systems
from helpers.later import later
from helpers.paths import (
    ENDS,
    PARAMS,
    PERIOD,
    STEPS,
    duffing,
    fixed,
    found,
    free_duffing,
    free_path,
    harmonic,
    periodic,
    quickly,
    refused,
    settle,
    spring,
    spring_action,
    waves,
)

BOUNDARIES = [
    Periodic(),
    Periodic(pin=(1, 0.2)),
    FixedEnds([0.0, 0.0, 0.0], [1.0, 1.0, 1.0]),
    FreeEnd([0.0, 0.0, 0.0]),
]


def turning(q, v, params, t, x):
    """In a field in which no mixed block of the Hessian is symmetric."""
    return duffing(q, v, params, t, x) + 0.6 * (q[0] * v[1] - q[1] * v[0])


HARMONICS = FourierError((0, 1, 3)), (3, 2, 3)
NODES = PathError(0.3, (0, 5, -1), (0, 2)), (3, 2)
DENSITY = PathDensity(lambda q, y: jnp.cosh(q[0] * q[1] - y)), None
STARTED = InitialValue([0.1, 0.2, 0.3], [0.0, -0.1, 0.2])


@pytest.mark.parametrize(
    "boundary, cost",
    [
        *zip([*BOUNDARIES[:2], STARTED], [HARMONICS, DENSITY, NODES], strict=True),
        *(later(*case) for case in zip(BOUNDARIES[2:], [NODES, HARMONICS], strict=True)),
    ],
)
def test_elimination_equals_the_dense_hessian(boundary, cost):
    """Solution, determinant and Morse index, free and nudged either way."""
    cost, shape = cost
    nodes, twice = boundary.unknown(17), isinstance(boundary, InitialValue)
    lagrangian, size = (doubled(duffing), 6) if twice else (turning, 3)
    action = Action(lagrangian, PARAMS, size=size, steps=17, dt=0.35, boundary=boundary)
    model, x = Model(action, cost), jnp.array([0.3, 0.2])
    path = boundary.unit().retract(systems.normal(1, (nodes, size)))
    right, y = systems.normal(2, (nodes, size)), jnp.zeros(shape or nodes)
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


def test_matrices_are_taken_one_by_one():
    """Batched LAPACK calls that meet in XLA's thread pool may wait for one another without end."""
    model, x, y = periodic()
    learner = EquilibriumPropagation(Newton(), symmetric(1e-3))

    def gradient(x, y, state):
        return learner(model, x, y, state, jax.random.key(0)).gradient.energy.params

    x, y = (jnp.repeat(part, 5, 0) for part in (x, y))
    program = jax.jit(gradient).lower(x, y, model.rest(x)).as_text()
    calls = [line for line in program.splitlines() if "custom_call" in line and "lapack" in line]
    assert calls or jax.default_backend() != "cpu"
    shapes = [shape for line in calls for shape in re.findall(r"tensor<([0-9x]+)x[fi]", line)]
    assert max(len(shape.split("x")) for shape in shapes) == 2


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
            return solve(system.factor(), path)

        return work(jax.make_jaxpr(solution)(action.rest(jnp.float64)["path"]).jaxpr)

    (short, small), (long, large) = step(1000), step(2000)
    assert 1.99 < long / short < 2.01
    assert 1.99 < large / small < 2.01
    assert small <= 1001 * 3 * 7
    wide = [step(100, size) for size in (4, 8)]
    assert wide[1][1] / wide[0][1] < 5


@pytest.mark.parametrize("rule", [verlet, midpoint])
def test_rules_are_of_second_order(rule):
    """Against ``q = A sin(w t) + B sin(2 t)``, a driven oscillator between fixed ends."""

    def spring(q, v, params, t, x):
        return 0.5 * (v @ v - params * params * (q @ q)) + x[0] * jnp.sin(2 * t) * q[0]

    def error(drive, steps):
        options = {"size": 1, "steps": steps, "dt": 2.0 / steps, "boundary": ENDS}
        action = Action(spring, 1.1, rule=rule, **options)
        path, _ = settle(action.clamp(jnp.array([drive])), action.rest(jnp.float64))
        answer = drive / (1.1**2 - 4)
        size = (1 - answer * np.sin(4.0)) / np.sin(2.2)
        truth = size * np.sin(1.1 * action.times) + answer * np.sin(2 * action.times)
        return np.max(np.abs(path["path"][:, 0] - truth))

    coarse, fine = ([error(drive, steps) for drive in (0.0, 0.8)] for steps in (20, 40))
    np.testing.assert_allclose(np.log2(np.divide(coarse, fine)), 2, atol=0.05)


def test_the_verlet_path_is_leapfrog():
    """The stationary path obeys ``m (q_+ - 2 q + q_-) / dt^2 = -V'(q) + f(t)`` at every inner node."""
    model, x, _ = fixed()

    @quickly
    def looked_at(path):
        nodes = model.energy.boundary.complete(path, x[0])
        force = jax.vmap(jax.grad(lambda q, t: duffing(q, jnp.zeros(3), PARAMS, t, x[0])))
        pull = force(nodes[1:-1], jnp.asarray(model.energy.times))
        return nodes, pull, model.energy.momenta({"path": path}, x[0])

    nodes, pull, (before, after) = map(np.asarray, looked_at(free_path(fixed)["path"]))
    second = (nodes[2:] - 2 * nodes[1:-1] + nodes[:-2]) / model.energy.dt**2
    np.testing.assert_allclose(second, pull, atol=1e-9)
    np.testing.assert_allclose(before[:-1], after[1:], atol=1e-11)


def test_shooting_finds_the_same_paths():
    """On a period, between ends, and with a free end; the monodromy is symplectic."""
    shoot = quickly(lambda phase, state: Shooting().settle(phase, state))
    model, x, _ = periodic()
    closed = model.free(x[0]), free_path(periodic)
    for phase, path in (closed, found(spring_action(1.7, boundary=ENDS))):
        state, info = shoot(phase, {"path": 0.9 * path["path"]})
        assert info.outcome == CONVERGED
        np.testing.assert_allclose(state["path"], path["path"], atol=1e-8)
    free_end = spring_action(1.7, boundary=FreeEnd([0.3]))
    _, info = shoot(free_end.clamp(jnp.zeros(1)), free_end.rest(jnp.float64))
    assert info.outcome == CONVERGED and info.residual < 1e-11  # linear: of one stationary path
    turn = np.asarray(quickly(monodromy)(*closed))
    unit = np.kron([[0.0, 1.0], [-1.0, 0.0]], np.eye(3))
    np.testing.assert_allclose(turn.T @ unit @ turn, unit, atol=1e-9)
    with refused(ValueError, "a Periodic boundary, got FreeEnd"):
        monodromy(free_end.clamp(jnp.zeros(1)), free_end.rest(jnp.float64))
    with refused(TypeError, "nudged phases are for Newton"):
        Shooting().settle(model.nudged(x[0], waves(STEPS), 0.1), model.energy.rest(jnp.float64))


def test_continuation_reaches_what_newton_does_not():
    """With few steps a stage, in the forcing and in the nudge."""
    model, x, y = periodic()
    few = Newton(max_steps=3)
    follow = quickly(lambda phase, state: Continuation(few, 6).settle(phase, state))
    phase, rest = model.free(2 * x[0]), model.energy.rest(jnp.float64)
    path, alone = quickly(few.attempt)(phase, rest)
    assert alone.outcome == STEPS_SPENT
    with refused(RuntimeError, "by Continuation"):
        quickly(few.judged)(phase, rest, path, alone, alone)
    free, info = follow(phase, rest)
    assert info.outcome == CONVERGED and info.residual < 1e-11
    nudged, info = follow(model.nudged(2 * x[0], y[0], 0.3), free)
    assert info.outcome == CONVERGED and norm(jax.tree.map(jnp.subtract, nudged, free)) > 0.1


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
    """By the solver that finds the path, once for a batch, and by a look at it."""
    near = [spring_action(0.5 * 1.001, boundary=ENDS), spring_action(1.001)]
    for action in near:
        with pytest.warns(UserWarning, match="near a conjugate point or a resonance"):
            phase, state = found(action)
            jax.effects_barrier()
        with pytest.warns(UserWarning, match="near a conjugate point or a resonance"):
            examine(phase, state)
    assert examine(*found(spring_action(0.6))).margin > 0.2

    def settled(x):
        return Newton().settle(near[0].clamp(x), near[0].rest(jnp.float64))[1].margin

    with pytest.warns(UserWarning, match="near a conjugate point") as seen:
        margins = quickly(jax.vmap(settled))(jnp.zeros((5, 1)))
        jax.effects_barrier()
    assert len(seen) == 1 and jnp.all(margins < 0.02)


def test_a_jump_between_free_paths_is_warned_of():
    """The orbit of a large amplitude stays with its drive when that turns round, at another index; a first
    guess is no branch to leave."""

    def hard(q, v, params, t, x):
        pull = x[0] * jnp.cos(1.6 * t) * q[0]
        return 0.5 * (v @ v) - 0.5 * (q @ q) - 0.25 * jnp.sum(q**4) + pull

    steps = 80
    action = Action(hard, size=1, steps=steps, dt=2 * np.pi / 1.6 / steps)
    guess = 1.5 * np.cos(2 * np.pi * np.arange(steps) / steps)[:, None]
    path, info = settle(action.clamp(jnp.array([0.3])), {"path": jnp.asarray(guess)})
    assert info.index == 3
    settle(action.clamp(jnp.array([0.2])), path)
    with pytest.warns(UserWarning, match="the branch that it started near"):
        _, info = settle(action.clamp(jnp.array([-0.1])), path)
        jax.effects_barrier()
    assert info.index == 2


def test_actions_refuse_bad_data():
    with refused(ValueError, "size >= 1, steps >= 3 and a finite dt > 0"):
        spring_action(1.0, steps=2)
    with refused(ValueError, r"L\(q, v, params, t\)"):
        Action(lambda q, v: 0.0, size=1, steps=10, dt=0.1)
    with refused(ValueError, "an end with 1 finite coordinates"):
        spring_action(1.0, boundary=FixedEnds([0.0, 1.0], [0.0]))
    with refused(ValueError, "an end with 1 finite coordinates"):
        spring_action(1.0, boundary=FreeEnd(np.array([np.nan])))
    with refused(ValueError, "an end of shape"):
        found(spring_action(1.0, boundary=FixedEnds(lambda x: x, [0.0])), jnp.zeros(3))
    with refused(ValueError, "pinned coordinate in 0 .. 0"):
        spring_action(1.0, boundary=Periodic(pin=(1, 0.0)))
    unchecked = object.__new__(Periodic)  # past the type checker of the tests
    object.__setattr__(unchecked, "pin", (0.0, 1.0))
    for make in (lambda: Periodic(pin=(0, np.inf)), unchecked.__check_init__):
        with refused(ValueError, r"pin = \(coordinate, value\), a whole number and a finite one"):
            make()
    with refused(ValueError, "a whole number of coordinates, steps, harmonics"):
        whole(3.5)
    with refused(ValueError, "a finite dt > 0"):
        Action(spring, 1.0, size=1, steps=10, dt=np.inf)
    with refused(ValueError, r"floating-point numbers, got int64; cast them"):
        found(spring_action(1.0, boundary=FixedEnds([0.0], [1.0])), jnp.arange(2))
    with pytest.raises(IndexError) as raised:
        Action(duffing, PARAMS, size=3, steps=20, dt=0.1).clamp(jnp.asarray(0.3))
    assert any("the input x of one example, of shape ()" in n for n in raised.value.__notes__)
    by_coordinate = Action(lambda q, v, params, t: v * v + jnp.cos(t), size=3, steps=20, dt=0.3)
    with refused(ValueError, "sum over the coordinates"):
        by_coordinate.clamp(jnp.zeros(1))


def test_a_given_start_needs_doubled_variables():
    options = {"steps": 20, "dt": 0.1}
    for boundary in (InitialValue([0.0], [1.0]), InitialValue([0.0] * 3, [1.0] * 3)):
        with refused(ValueError, "back-propagation by time reversal"):
            Action(duffing, PARAMS, size=3, boundary=boundary, **options)

    def pair(q, v, params, t):
        return params["size"] * (0.5 * (v @ v - q @ q) + params["drive"] * jnp.cos(t) * q[0])

    start = InitialValue(lambda x: x[:1], lambda x: x[1:])
    plain, small = {"size": 1.0, "drive": 1.0}, {"size": 1e-6, "drive": 1.0}
    still = {"size": 1.0, "drive": 0.0}  # at rest, where its action is 0 as well
    for params, given in ((plain, [0.2, 1.0]), (small, [0.2, 1.0]), (still, [0.0, 0.0])):
        with refused(RuntimeError, "expected doubled variables"):
            found(Action(pair, params, size=2, boundary=start, **options), jnp.array(given))


def test_a_given_start_may_be_marched_from():
    """To the path that Newton's method finds; where that one does not settle, nudged phases take it."""
    start = InitialValue([1.5], [0.4])

    def quartic(q, v, params, t):
        return 0.5 * (v @ v) - 0.25 * params * jnp.sum(q**4)

    action = Action(doubled(quartic), 1.0, size=2, steps=100, dt=0.05, boundary=start)
    phase, rest = action.clamp(jnp.zeros(1)), action.rest(jnp.float64)
    marched, info = quickly(Shooting().settle)(phase, rest)
    np.testing.assert_allclose(marched["path"], settle(phase, rest)[0]["path"], atol=1e-9)
    assert info.outcome == CONVERGED


def test_counts_and_times_may_be_of_any_type():
    options = {"size": np.int64(1), "steps": np.int64(20), "dt": jnp.asarray(0.1)}
    action = Action(spring, 1.0, boundary=FixedEnds([0.0], [1.0]), **options)
    assert (type(action.steps), type(action.dt)) == (int, float)


def test_a_start_that_is_not_finite_is_named():
    with refused(RuntimeError, "finite forces along the path where the search starts"):
        found(spring_action(jnp.nan, boundary=ENDS))


def test_drives_above_the_harmonics_are_told():
    action = HarmonicAction(spring, 0.5, size=1, harmonics=5, period=2 * np.pi)
    found(action, jnp.array([3.0]))
    with pytest.warns(UserWarning, match="in harmonics above the 5 of the path"):
        found(action, jnp.array([6.0]))
    with refused(RuntimeError, "the period of the path"):
        found(action, jnp.array([0.05]))


def nudged_spring(frequency, beta, off=0.0):
    """Settles a spring between two ends that is nudged, from its free path on or from near it."""
    action = spring_action(frequency, boundary=ENDS)
    phase, free = found(action)
    start = {"path": free["path"] + off * jnp.sin(0.5 * action.times)[:, None]}
    assert residual(phase, start) < 1e-3
    beta = jnp.asarray(beta)
    model, x, start = cast((Model(action, PathError(weight=action.dt)), phase.x, start), beta.dtype)
    settle(model.nudged(x, jnp.zeros((99, 1)), beta), start)
    jax.effects_barrier()


def test_nudges_near_a_resonance_are_told():
    """Whose response is no more linear, though the system is."""
    nudged_spring(1.2**0.5, 1e-2)
    with pytest.warns(UserWarning, match="half as much again"):
        nudged_spring(1.02**0.5, 1e-2)
    with refused(RuntimeError, "over 4 times as far"):
        nudged_spring(1.0115**0.5, 1e-2)


def weights(q, v, params, t):
    springs = params["k"] @ (q * q) - 0.6 * q[0] * q[1]
    return 0.5 * (params["m"] @ (v * v) - springs) + 0.1 * jnp.cos(t) * q[0]


def two_weights(masses):
    """Two oscillators far from resonance, one of them driven."""
    params = {"m": jnp.array(masses), "k": 1.5 * jnp.maximum(jnp.array(masses), 1.0)}
    return Action(weights, params, size=2, steps=60, dt=2 * np.pi / 60)


def test_margins_do_not_depend_on_units():
    """Where one weighs ten thousand times as much as the other."""
    action = two_weights([1.0, 1e4])
    _, info = settle(action.clamp(jnp.zeros(1)), action.rest(jnp.float64))
    assert 0.5 < info.margin < 4


def test_a_singular_mass_is_refused():
    with refused(RuntimeError, "invertible mass matrix"):
        found(two_weights([1.0, 0.0]))


def test_continuation_needs_an_input():
    def oscillator(q, v, params, t):
        return 0.5 * (v @ v - params * (q @ q)) + jnp.cos(t) * q[0]

    alone = Action(oscillator, 0.3, size=1, steps=20, dt=2 * np.pi / 20)
    with refused(ValueError, "does not depend on it"):
        Continuation().settle(alone.clamp(jnp.zeros(1)), alone.rest(jnp.float64))


def test_an_autonomous_period_needs_a_pin():
    clock = Action(
        lambda q, v, params, t: free_duffing(q, v, params, t) + jnp.cos(t),
        PARAMS,
        size=3,
        steps=20,
        dt=0.3,
    )
    with refused(ValueError, "do not know the time"):
        clock.clamp(jnp.zeros(1))
    action = Action(free_duffing, PARAMS, size=3, steps=20, dt=0.3)
    with refused(ValueError, r"Periodic\(pin=\(coordinate, value\)\)"):
        action.clamp(jnp.zeros(1))


def well(q, v, middle, t):
    return 0.5 * (v @ v) - 0.5 * jnp.sum((q - middle) ** 2) - 0.25 * jnp.sum((q - middle) ** 4)


def test_an_orbit_must_cross_its_pin():
    """A path kicked or turning at the pin, and rest, are no orbits; one that moves there is found again."""
    angle, pinned = 2 * np.pi * np.arange(50) / 50, Periodic(pin=(0, 0.5))

    def orbit(middle, start):
        action = Action(well, middle, size=1, steps=50, dt=0.1, boundary=pinned)
        return settle(action.clamp(jnp.zeros(1)), {"path": jnp.asarray(start)[:, None]})

    kicked, turning, resting = np.zeros(50), 0.5 * np.cos(angle), np.full(50, 0.5)
    for middle, start in ((0.0, kicked), (0.0, turning), (0.5, resting)):
        with refused(RuntimeError, "an orbit that crosses the pinned value"):
            orbit(middle, start)
        state, info = orbit(middle, 0.5 + np.sin(angle))
        assert info.outcome == CONVERGED and jnp.max(state["path"]) > 0.8


def test_a_step_onto_another_branch_is_refused():
    """A negative nudge that outweighs the spring: the index changes, and the path jumps; from a free path
    of a loose tolerance, too. A complex nudge is refused as real ones of its size are."""
    nudged_spring(0.6, -0.05)
    for beta, off in ((1.0, 0.0), (1.0, 1e-4), (0.2j, 0.0)):
        with refused(RuntimeError, "the branch of the free one"):
            nudged_spring(0.6, beta, off)
    nudged_spring(0.6, 0.05j)


def test_the_amplitudes_of_a_path_are_its_harmonics():
    angle = 2 * np.pi / 20 * np.arange(20)[:, None]
    path = jnp.asarray(0.7 + 0.2 * np.cos(3 * angle) - 0.4 * np.sin(3 * angle))
    found = FourierError((0, 3, 4)).predict({"path": path})[..., 0]
    np.testing.assert_allclose(found, [[0.7, 0.0], [0.2, -0.4], [0.0, 0.0]], atol=1e-14)


def test_costs_refuse_bad_data():
    model, x, y = periodic()
    path = model.rest(x)["path"][0]
    with refused(ValueError, r"target of shape \(120, 3\), got \(119, 3\)"):
        model.loss({"path": path}, y[0, 1:])
    with refused(ValueError, "indices below 120"):
        PathError(at=(120,)).predict({"path": path})
    with refused(ValueError, r"harmonics in 0 .. 59"):
        FourierError((60,)).predict({"path": path})


def test_a_time_step_beyond_stability_is_refused():
    """Leapfrog at ``omega dt = 2.2``; the midpoint rule takes it."""
    dt = 2 * np.pi / 100
    with refused(RuntimeError, "within the limit of stability"):
        found(spring_action(2.2 / dt, boundary=ENDS))
    twice = doubled(spring, lambda q, v, params: 0.1 * v)
    ends = FixedEnds([0.0, 0.0], [1.0, 0.0])
    for rule, least in ((verlet, 1.93), (midpoint, 2.2)):
        found(Action(twice, least / dt, size=2, steps=100, dt=dt, boundary=ends, rule=rule))
    with refused(RuntimeError, "within the limit of stability"):
        found(Action(twice, 2.05 / dt, size=2, steps=100, dt=dt, boundary=ends))


def test_a_drive_out_of_period_is_refused():
    with refused(RuntimeError, "the period of the path"):
        found(spring_action(0.6), jnp.array([0.05]))


def test_no_convergence_is_refused():
    """At the resonance of the discrete oscillator."""
    with refused(RuntimeError, "the search converges|near a conjugate point or a resonance"):
        found(spring_action(float(np.sin(np.pi / 100) * 100 / np.pi)))


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
    with refused(ValueError, "a solver for saddles"):
        relax(model, x, model.rest(x), Blockwise())


def test_harmonic_balance_converges_faster_than_any_power():
    """Against more harmonics; and the nodes of a discretised path approach it as ``dt^2``."""
    nodes = periodic()[0].energy.times

    def positions(count):
        model, x, _ = harmonic(count)
        path = settle(model.free(x[0]), model.energy.rest(jnp.float64))[0]["path"]
        return np.asarray(model.energy.positions(path, nodes))

    truth = positions(9)
    errors = [np.max(np.abs(positions(count) - truth)) for count in (2, 6)]
    assert errors[0] < 1e-2 and errors[1] < errors[0] / 1e5
    apart = np.max(np.abs(free_path(periodic)["path"] - truth))
    assert apart < 0.02 * (PERIOD / STEPS) ** 2


def test_harmonic_actions_refuse_bad_data():
    with refused(ValueError, "harmonics >= 1"):
        HarmonicAction(duffing, PARAMS, size=3, harmonics=0, period=1.0)
    with refused(ValueError, "more than 8 samples"):
        HarmonicAction(duffing, PARAMS, size=3, harmonics=4, period=1.0, samples=8)
    with refused(ValueError, "do not know the time"):
        HarmonicAction(free_duffing, PARAMS, size=3, harmonics=4, period=1.0).clamp(jnp.zeros(1))


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
