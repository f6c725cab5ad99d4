"""Solvers: the same minimum, an honest report, no energy gained on the way."""

import dataclasses
from functools import cache
from itertools import pairwise

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqprop import (
    Blockwise,
    Flow,
    GradientDescent,
    Layer,
    Linear,
    Model,
    Momentum,
    Network,
    Spectral,
    SquaredError,
    Tanh,
    convolutional,
    hard_tanh,
    layered,
    relax,
    with_read_out,
)
from eqprop.energies import displacement, residual
from eqprop.energies.energy import norm
from eqprop.energies.ops import Dense, Lateral
from eqprop.energies.units.unit import State, retract
from eqprop.solvers import CONVERGED, DIVERGED, FIXED_STEPS, OUTCOMES, STEPS_SPENT, Info, Iterative
from eqprop.solvers.blockwise import sweep
from eqprop.solvers.solver import judge as verdict
from helpers import systems
from helpers.later import later
from helpers.systems import normal

TOLERANCE = 1e-13
DESCENT = GradientDescent(TOLERANCE, 5000)
BLOCK = (Blockwise(TOLERANCE, 5000), Momentum(TOLERANCE, 5000), Spectral(TOLERANCE, 5000))
FLOW = Flow(1e-9)
FLOWS = (systems.tanh, systems.box, systems.quadratic, systems.scalar)
RISING = (
    *(systems.logistic, systems.average_pooled, systems.skip, systems.lateral, systems.read_out),
    systems.box,
)
SWEPT = (
    systems.tanh, systems.max_pooled, systems.skip, systems.clipped_lateral, systems.read_out,
    systems.mixed,
)  # fmt: skip
"""Every unit and coupling, for accelerated sweeps: their sweep is Blockwise's, tried on all networks."""
FEW = BLOCK[0], DESCENT
OTHERS = [b for b in systems.NETWORKS if b not in (*SWEPT, systems.oscillators)]
CASES = [
    *((solver, builder) for builder in (*SWEPT, systems.oscillators) for solver in FEW),
    *(later(solver, builder) for builder in OTHERS for solver in FEW),
    *((solver, builder) for solver in BLOCK[1:] for builder in SWEPT),
    *((DESCENT, builder) for builder in systems.FUNCTIONS),
    *((FLOW, builder) for builder in FLOWS[:2]),
    *(later(FLOW, builder) for builder in FLOWS[2:]),
]
STEPPED = {
    "blockwise": Blockwise(1e-8, 400),
    "momentum": Momentum(1e-8, 400),
    "spectral": Spectral(1e-8, 400),
    "gradient": GradientDescent(1e-8, 400),
}


def label(value):
    return getattr(value, "__name__", type(value).__name__)


settle = systems.quickly(relax)


@cache
def settled(solver, builder):
    system = builder()
    return settle(system.model, system.x, system.model.rest(system.x), solver)


@systems.quickly
def judge(model, x, state):
    """Relative residual, and the distance from stationarity by the energy's own gradient."""

    def one(x, state):
        phase, units = model.free(x), model.energy.units
        slopes = jax.grad(model.energy)(state, x)
        stays = [units[name].retract(z - slopes[name]) - z for name, z in state.items()]
        return residual(phase, state), jnp.max(jnp.abs(jnp.concatenate([s.ravel() for s in stays])))

    return jax.vmap(one)(x, state)


def random_state(model, seed, scale=1.5):
    """A batch of states in the domain, away from rest."""

    def one(states):
        return retract(model.energy.units, states)

    shapes = enumerate(model.energy.shapes.items())
    return jax.vmap(one)(
        {name: normal(seed + i, (systems.BATCH, *shape), scale) for i, (name, shape) in shapes}
    )


@pytest.mark.parametrize("solver, builder", CASES, ids=label)
def test_reaches_the_minimum(solver, builder):
    system = builder()
    state, info = settled(solver, builder)
    reference, _ = settled(DESCENT, builder)
    loose = 1e-7 if solver is FLOW else 1e-10
    for name in reference:
        np.testing.assert_allclose(state[name], reference[name], atol=loose)
    recomputed, slopes = judge(system.model, system.x, state)
    assert np.max(slopes) < loose
    np.testing.assert_allclose(info.residual, recomputed, rtol=1e-3, atol=5e-14)
    assert np.all(info.residual <= solver.tolerance)
    assert np.all(info.outcome == CONVERGED)
    assert info.converged == 1
    assert np.all((info.steps > 1) & (info.steps < solver.max_steps))


@pytest.mark.parametrize(
    "solver, builder",
    [case for case in CASES if case[1] in (systems.quadratic, systems.quadratic_network)],
    ids=label,
)
def test_quadratic_in_closed_form(solver, builder):
    expected, *_ = systems.linear_answer(builder())
    state, _ = settled(solver, builder)
    np.testing.assert_allclose(state["out"], expected, atol=1e-7 if solver is FLOW else 1e-11)


@pytest.mark.parametrize("solver", [DESCENT, FLOW], ids=label)
def test_scalar_in_closed_form(solver):
    expected, *_ = systems.scalar_answer(systems.scalar())
    state, _ = settled(solver, systems.scalar)
    np.testing.assert_allclose(state["out"], expected, atol=1e-8 if solver is FLOW else 1e-12)


@pytest.mark.parametrize(
    "solver",
    [
        Blockwise(1e-12, 3),
        Momentum(1e-12, 3),
        Spectral(1e-12, 3),
        GradientDescent(1e-12, 3),
        Flow(1e-9, max_steps=3),
    ],
    ids=label,
)
def test_steps_spent(solver):
    _, model, x, _ = systems.lateral()
    state, info = settle(model, x, model.rest(x), solver)
    assert np.all(info.outcome == STEPS_SPENT)
    assert np.all(info.steps == 3)
    assert info.converged == 0
    np.testing.assert_allclose(info.residual, judge(model, x, state)[0], rtol=1e-10)


@pytest.mark.parametrize("builder", [systems.quadratic_network, systems.clipped_lateral], ids=label)
@pytest.mark.parametrize("kind", [Blockwise, Momentum, Spectral])
def test_gives_up_only_when_the_steps_are_spent(kind, builder):
    """Free, and nudged hard."""
    solver = kind(1e-8, 400)
    _, model, x, y = builder()

    @systems.quickly
    def nudged(betas):
        def one(x, y, state, beta):
            return solver.settle(model.nudged(x, y, beta), state)[1]

        return jax.vmap(jax.vmap(one, (0, 0, 0, None)), (None, None, None, 0))(
            x, y, model.rest(x), betas
        )

    info = nudged(jnp.array([0.0, 4.0]))
    assert np.all((info.outcome == CONVERGED) | (info.steps == solver.max_steps)), info


class Half(eqx.Module):
    state: State
    residual: jax.Array


class Optimist(Iterative[Half]):
    """Goes a tenth of the way to zero in each step, and sees half of what it misses."""

    tolerance: float | None = eqx.field(default=1e-3, static=True)
    max_steps: int = eqx.field(default=500, static=True)

    def init(self, phase, state):
        return Half(state, jnp.asarray(jnp.inf))

    def step(self, phase, carry):
        state = {name: 0.9 * z for name, z in carry.state.items()}
        return Half(state, 0.5 * jnp.abs(state["out"][0]))


def test_the_tolerance_is_the_bound_of_the_residual():
    """Of the true one, to the last digit, whatever the iteration sees."""
    values = jnp.array([1.0, 1.0 + 1e-9, 1.9]) * 1e-3
    outcomes = verdict(values, jnp.zeros(3, jnp.int32), 1e-3).outcome
    np.testing.assert_array_equal(outcomes, [CONVERGED, STEPS_SPENT, STEPS_SPENT])
    phase = Network(1, {"out": Layer(1, Linear())}, []).clamp(jnp.zeros(1))
    state, info = systems.quickly(Optimist().settle)(phase, {"out": jnp.ones(1)})
    np.testing.assert_allclose(info.residual, jnp.abs(state["out"][0]))
    assert info.residual <= 1e-3 and info.outcome == CONVERGED


@cache
def chain():
    """Six linear layers that pass nearly all on, so that plain sweeps are slow."""
    names = ("h1", "h2", "h3", "h4", "h5", "out")
    layers = {name: Layer(3, Linear()) for name in names}
    pairs = [("x", "h1"), *pairwise(names)]
    ops = [Dense(0.53 * jnp.linalg.qr(normal(i, (3, 3)))[0]) for i in range(len(pairs))]
    edges = [(*pair, op) for pair, op in zip(pairs, ops, strict=True)]
    return Model(Network(3, layers, edges), SquaredError()), normal(9, (2, 3))


@pytest.mark.parametrize("solver", [Momentum, Spectral], ids=label)
def test_accelerated_sweeps_are_fewer(solver):
    model, x = chain()
    plain, fast = (settle(model, x, model.rest(x), s(1e-9, 900))[1] for s in (Blockwise, solver))
    assert plain.converged == fast.converged == 1
    assert max(fast.steps.tolist()) < 0.5 * min(plain.steps.tolist())


def test_a_spectral_step_is_no_longer_than_its_bound():
    """Nor shorter than the sweep: lengths along it, of which both ends are met."""
    model, x = chain()
    phase, solver = model.free(x[0]), Spectral(longest=4.0)

    @systems.quickly
    def lengths(state):
        def step(carry, _):
            move = jax.tree.map(jnp.subtract, sweep(phase, carry.state)[0], carry.state)
            after = solver.step(phase, carry)
            moved = jax.tree.map(jnp.subtract, after.state, carry.state)
            along = [jnp.vdot(move[name], z) for name, z in moved.items()]
            return after, sum(along) / norm(move) ** 2

        return jax.lax.scan(step, solver.init(phase, state), length=40)[1]

    found = np.asarray(lengths(model.energy.rest(jnp.float64)))
    np.testing.assert_allclose([found.min(), found.max()], [1.0, 4.0], rtol=1e-9)
    ratios = jnp.array([[1.0, 2.0], [6.0, 2.0], [9.0, 1.0], [1.0, -1.0], [0.0, 0.0]])
    np.testing.assert_array_equal(solver._length(*ratios.T), [1.0, 3.0, 4.0, 4.0, 1.0])
    assert np.any((found > 1.1) & (found < 3.9))


def test_read_out_of_an_image_is_nudged_by_blocks():
    keys = jax.random.split(jax.random.key(0), 2)
    pooled = convolutional((4, 4, 1), (2,), 3, keys[0], Tanh())
    model = with_read_out(pooled, 3, keys[1])
    phase = model.nudged(normal(1, (4, 4, 1)), jnp.array([1.0, 0.0, 0.0]), jnp.asarray(0.5))
    state, info = systems.quickly(BLOCK[0].settle)(phase, model.energy.rest(jnp.float64))
    assert state["c1"].shape == (2, 2, 2)
    assert info.outcome == CONVERGED


@pytest.mark.parametrize("name", STEPPED)
def test_fixed_steps(name):
    _, model, x, _ = systems.quadratic_network()
    solver = type(STEPPED[name])(None, 300)
    state, info = settle(model, x, model.rest(x), solver)
    assert np.all(info.steps == 300)
    assert np.all(info.outcome == FIXED_STEPS)
    assert info.converged == 0
    assert np.all(judge(model, x, state)[0] < 1e-12)


@pytest.mark.parametrize("solver", [*STEPPED.values(), Flow(1e-6)], ids=label)
def test_divergence_is_reported(solver):
    model = layered((3, 4, 3), jax.random.key(0), Linear(), Linear(), gain=6.0)
    x = normal(0, (2, 3))
    _, info = settle(model, x, model.rest(x), solver)
    assert np.all(info.outcome == DIVERGED), info
    assert info.converged == 0


@pytest.mark.parametrize("solver", [Blockwise, Momentum, Spectral, GradientDescent])
def test_slow_divergence_is_not_convergence(solver):
    """The norm of the state overflows before the norm of its displacement does."""
    layers = {"out": Layer(2, Linear(), jnp.ones(2))}
    edges = [("out", "out", Lateral(jnp.array([[0.0, 1.1], [1.1, 0.0]])))]
    model = Model(Network(1, layers, edges), SquaredError())
    x = jnp.zeros((1, 1), jnp.float32)
    model, state = jax.tree.map(lambda a: a.astype(jnp.float32), (model, model.rest(x)))
    state, info = settle(model, x, state, solver(1e-5, 4000))
    assert jnp.max(jnp.abs(state["out"])) > 1e15
    assert np.all(info.outcome == DIVERGED), info


def test_outcomes_have_sentences():
    assert set(OUTCOMES) == {CONVERGED, STEPS_SPENT, DIVERGED, FIXED_STEPS}
    codes = jnp.array([CONVERGED, STEPS_SPENT, CONVERGED, CONVERGED])
    assert Info(jnp.zeros(4), jnp.zeros(4), codes).converged == 0.75


@systems.quickly
def descent(model, x, y, state, solver):
    """Energies along 40 steps, shape (nudges, batch, steps); the first nudge is none at all."""

    def energies(phase, state):
        return solver.trace(phase, state, 40)[1]

    def nudged(beta):
        return jax.vmap(lambda x, y, s: energies(model.nudged(x, y, beta), s))(x, y, state)

    free = jax.vmap(lambda x, s: energies(model.free(x), s))(x, state)
    return jnp.concatenate([free[None], jax.vmap(nudged)(jnp.array([0.5, -0.5, 3.0]))])


@pytest.mark.parametrize(
    "builder",
    [
        *(
            systems.tanh,
            systems.oscillators,
            systems.mixed,
            systems.max_pooled,
            systems.clipped_lateral,
        ),
        *(later(builder) for builder in RISING),
    ],
    ids=label,
)
def test_energy_never_rises_by_blocks(builder):
    _, model, x, y = builder()
    energies = np.asarray(descent(model, x, y, random_state(model, 7), Blockwise()))
    rises = np.diff(energies, axis=-1) / np.maximum(1.0, np.abs(energies[..., 1:]))
    assert np.max(rises) < 1e-13
    assert np.all(energies[..., -1] < energies[..., 0] - 1e-3)


def test_damped_blocks_keep_so_much_of_what_was():
    _, model, x, _ = systems.box()
    before = random_state(model, 7)
    at_once = Blockwise(None, 1, (tuple(model.energy.order),), damping=0.3)
    after, _ = settle(model, x, before, at_once)
    whole, _ = settle(model, x, before, dataclasses.replace(at_once, damping=0.0))
    for name, z in after.items():
        np.testing.assert_allclose(z, 0.3 * before[name] + 0.7 * whole[name], atol=1e-14)


def test_damped_the_energy_falls_too():
    _, model, x, y = systems.oscillators()
    energies = np.asarray(descent(model, x, y, random_state(model, 7), Blockwise(damping=0.4)))
    assert np.max(np.diff(energies, axis=-1)) < 1e-13
    assert np.all(energies[..., -1] < energies[..., 0] - 1e-3)


def test_layers_that_move_at_once_settle_where_they_are_damped():
    """Two that want to agree, at odds: at once each takes the other's place, for ever."""
    layers = {name: Layer(1, hard_tanh()) for name in ("h", "out")}
    model = Model(Network(1, layers, [("h", "out", Dense(jnp.array([[3.0]])))]), SquaredError())
    x, start = jnp.zeros((1, 1)), {"h": jnp.array([[0.5]]), "out": jnp.array([[-0.4]])}
    flipping = Blockwise(1e-6, 200, (("h", "out"),))
    _, info = settle(model, x, start, flipping)
    assert np.all(info.outcome == STEPS_SPENT)
    state, info = settle(model, x, start, dataclasses.replace(flipping, damping=0.8))
    assert np.all(info.outcome == CONVERGED)
    np.testing.assert_allclose([state["h"], state["out"]], 1.0, atol=1e-5)


@pytest.mark.parametrize("solver", [Blockwise(), Momentum(), Spectral()], ids=label)
def test_coupled_layers_never_move_at_once(solver):
    """A triangle in which every layer opposes every other: updates at once would oscillate."""
    names = ("h1", "h2", "out")
    pairs = [("h1", "h2"), ("h2", "out"), ("h1", "out")]
    layers = {name: Layer(2, hard_tanh()) for name in names}
    edges = [(source, target, Dense(-2.0 * jnp.eye(2))) for source, target in pairs]
    model = Model(Network(1, layers, edges), SquaredError())
    x, y = jnp.zeros((4, 1)), jnp.zeros((4, 2))
    state = {name: 0.3 + normal(0, (4, 2), 0.01) for name in names}
    energies = np.asarray(descent(model, x, y, state, solver))
    if isinstance(solver, Blockwise):
        assert np.max(np.diff(energies, axis=-1)) < 1e-13
    assert np.max(np.abs(np.diff(energies[..., -5:], axis=-1))) < 1e-12
    np.testing.assert_allclose(energies[0, :, -1], -2.0, rtol=1e-12)


@pytest.mark.parametrize("builder", [systems.tanh, systems.box, systems.quadratic], ids=label)
def test_energy_never_rises_by_small_steps(builder):
    _, model, x, y = builder()
    solver = GradientDescent(step_size=0.1)
    energies = np.asarray(descent(model, x, y, random_state(model, 8), solver))
    assert np.max(np.diff(energies, axis=-1)) < 1e-13
    assert np.all(energies[..., -1] < energies[..., 0] - 1e-3)


def test_trace_is_seen_before_each_step():
    _, model, x, _ = systems.tanh()
    solver, start = STEPPED["gradient"], {k: z[0] for k, z in random_state(model, 9).items()}

    @systems.quickly
    def run(model, x, state):
        phase = model.free(x)
        seen = phase(state), residual(phase, state)
        return seen, solver.trace(phase, state, 5), solver.unroll(phase, state, 5)

    seen, (end, *traced), unrolled = run(model, x[0], start)
    for first, wanted in zip(traced, seen, strict=True):
        assert first.shape == (5,)
        np.testing.assert_allclose(first[0], wanted, rtol=1e-13)
    for name in end:
        np.testing.assert_allclose(end[name], unrolled[name], rtol=1e-13)


@pytest.mark.parametrize("solver", STEPPED.values(), ids=STEPPED)
def test_examples_are_independent(solver):
    _, model, x, _ = systems.tanh()
    whole, info = settle(model, x, model.rest(x), solver)
    other, changed = settle(model, x.at[1].multiply(-3.0), model.rest(x), solver)
    assert len(set(info.steps.tolist())) > 1
    for i in (0, 2):
        assert info.steps[i] == changed.steps[i]
    for name in whole:
        for i in (0, 2):
            np.testing.assert_array_equal(whole[name][i], other[name][i])
        assert np.any(whole[name][1] != other[name][1])


@pytest.mark.parametrize("solver", STEPPED.values(), ids=STEPPED)
def test_complex_nudges(solver):
    """The equilibrium is holomorphic in the nudge: finite differences obey Cauchy-Riemann."""
    _, model, x, y = systems.tanh()
    lifted = jax.tree.map(lambda a: a.astype(complex), (model, x[0], y[0]))
    sharp = type(solver)(TOLERANCE, 2000)

    @systems.quickly
    @jax.vmap
    def output(beta):
        model, x, y = lifted
        state, _ = sharp.settle(model.nudged(x, y, beta), model.energy.rest(jnp.complex128))
        return state["out"]

    step = 1e-3
    right, left, up, down = output(step * jnp.array([1, -1, 1j, -1j]))
    np.testing.assert_allclose((up - down) / 2j, (right - left) / 2, atol=1e-8)
    assert np.max(np.abs(up - down)) > 1e-5


def test_flow_is_real():
    _, model, x, _ = systems.tanh()
    with pytest.raises(ValueError, match="real state"):
        eqx.filter_eval_shape(FLOW.settle, model.free(x[0]), model.energy.rest(jnp.complex128))


@pytest.mark.parametrize("solver", [Blockwise, Momentum, Spectral, GradientDescent, Flow])
@pytest.mark.parametrize(
    "tolerance, dtype",
    [
        (1e-9, "float32"),
        (1e-17, "float64"),
        (0.0, "float64"),
        (-1.0, "float64"),
        (float("nan"), "float64"),
        (float("inf"), "float64"),
    ],
)
def test_tolerance_within_resolution(solver, tolerance, dtype):
    _, model, x, _ = systems.tanh()
    said = f"tolerance of at least .* for {dtype}|tolerance to be a number.* got nan"
    with pytest.raises(ValueError, match=said):
        solver(tolerance).settle(model.free(x[0]), model.energy.rest(dtype))


@pytest.mark.parametrize("solver", BLOCK, ids=label)
def test_blocks_need_a_network(solver):
    _, model, x, _ = systems.quadratic()
    with pytest.raises(ValueError, match="Use GradientDescent or Flow"):
        solver.settle(model.free(x[0]), model.energy.rest(jnp.float64))


@pytest.mark.parametrize("solver", [Blockwise, Momentum, Spectral, GradientDescent])
def test_steps_are_positive(solver):
    with pytest.raises(ValueError, match="max_steps >= 1"):
        solver(1e-5, 0)


@pytest.mark.parametrize("step_size", [0.0, -0.1, float("nan")])
def test_step_size_is_positive(step_size):
    with pytest.raises(ValueError, match="step_size > 0"):
        GradientDescent(step_size=step_size)


def test_gradient_descent_is_first_order_in_the_step():
    _, model, x, _ = systems.tanh()
    phase, start = model.free(x[0]), {k: v[0] for k, v in random_state(model, 3).items()}

    @systems.quickly
    def exact(start):
        return diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, z, args: displacement(phase, z)),
            diffrax.Dopri8(),
            t0=0.0,
            t1=1.0,
            dt0=0.01,
            y0=start,
            stepsize_controller=diffrax.PIDController(rtol=1e-12, atol=1e-12),
        ).ys

    solution, errors = exact(start), []
    for steps in (50, 100, 200):
        solver = GradientDescent(None, steps, 1.0 / steps)
        end, _ = systems.quickly(solver.settle)(phase, start)
        errors.append(max(np.max(np.abs(end[k] - solution[k][-1])) for k in end))
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    np.testing.assert_allclose(orders, 1.0, atol=0.05)
