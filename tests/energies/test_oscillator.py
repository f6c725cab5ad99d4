"""Oscillators: the energy on the circle, its force, and how a layer moves."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eqprop import (
    Blockwise,
    DeltaPropagation,
    GradientDescent,
    ImplicitDifferentiation,
    Model,
    Network,
    Oscillator,
    SquaredError,
    layered,
    one_sided,
    relax,
    symmetric,
    with_stiff_layers,
)
from eqprop.energies.architectures import with_injections
from eqprop.energies.feedback import nudge_scale
from eqprop.energies.network import Layer, one_by_one
from eqprop.energies.ops import Dense
from eqprop.energies.units.oscillator import from_phases, phases
from eqprop.estimators.audit import compare
from eqprop.estimators.updates import follow_updates
from eqprop.hardware import programmed
from helpers import systems

KEY = jax.random.key(0)
estimate = systems.quickly(lambda rule, model, x, y: rule(model, x, y, model.rest(x), KEY))
ANGLES = st.floats(-3.1, 3.1)
PULLS = st.floats(-3, 3)
QUADRATURES = st.floats(0, 3)


def along(injection, a, b):
    """``V(phi)`` of one oscillator in the field ``(a, b)``."""
    return lambda phi: -a * jnp.cos(phi) - b * jnp.sin(phi) - 0.5 * injection * jnp.cos(2 * phi)


@given(phi=ANGLES, a=PULLS, b=PULLS, injection=PULLS, quadrature=QUADRATURES)
def test_force_is_minus_the_slope(phi, a, b, injection, quadrature):
    unit, field = Oscillator(injection, quadrature), jnp.asarray([a, b])
    slope = jax.grad(along(injection, a, b + quadrature))(phi)
    z = from_phases(jnp.asarray(phi))
    np.testing.assert_allclose(unit.force(z, field), -slope, atol=1e-12)
    np.testing.assert_allclose(unit.potential(z), along(injection, 0, quadrature)(phi), atol=1e-12)
    moving = unit.velocity(z, field)
    np.testing.assert_allclose(moving, -slope * jnp.stack([-z[1], z[0]]), atol=1e-12)


@given(
    phi=ANGLES,
    a=PULLS,
    b=PULLS,
    injection=PULLS,
    quadrature=QUADRATURES,
    c=st.floats(0, 3),
    target=PULLS,
)
@example(phi=0.5, a=0.0, b=0.0, injection=-1.0, quadrature=0.0, c=0.0, target=0.0)
def test_minimise_never_raises_the_energy(phi, a, b, injection, quadrature, c, target):
    """On ``V`` with a nudge ``c (cos phi - target)^2 / 2``."""
    unit = Oscillator(injection, quadrature)

    def energy(phi):
        return along(injection, a, b + quadrature)(phi) + 0.5 * c * (jnp.cos(phi) - target) ** 2

    z = from_phases(jnp.asarray(phi))
    field = jnp.asarray([a - c * (z[0] - target), b])
    end = unit.minimise(z, field, jnp.asarray(c))
    np.testing.assert_allclose(jnp.sum(end**2), 1.0, rtol=1e-12)
    assert energy(phases(end)) <= energy(phi) + 1e-10


def test_rotation_is_eulers_step_to_third_order():
    phi, field, unit = 0.4, jnp.asarray([0.3, -0.8]), Oscillator(0.5)
    z = from_phases(jnp.asarray(phi))
    force = unit.force(z, field)
    errors = [phases(unit.move(z, field, dt)) - phi - dt * force for dt in (0.2, 0.1)]
    np.testing.assert_allclose(errors[0] / errors[1], 8, rtol=0.01)


def test_rotation_stays_on_the_circle():
    """Ten thousand steps in single precision, from a point beside it."""
    start = jnp.asarray([0.6, 0.9], jnp.float32)
    angle = jnp.asarray(0.3, jnp.float32)
    end = jax.lax.fori_loop(0, 10_000, lambda i, z: Oscillator.rotate(z, angle), start)
    np.testing.assert_allclose(jnp.sum(end**2), 1.0, rtol=1e-6)


def test_rest_is_upright_and_zero_fields_keep_it():
    unit = Oscillator()
    rest = unit.retract(jnp.zeros((2, 3)))
    np.testing.assert_array_equal(rest, [[0, 0, 0], [1, 1, 1]])
    slope = jax.jit(jax.jacobian(unit.retract))(jnp.zeros((2, 3)))
    assert np.all(np.isfinite(slope))


def test_the_energy_is_that_of_the_paper():
    """Against the double sum over all pairs of oscillators."""
    _, model, x, _ = systems.oscillators()
    network = model.energy
    rng = np.random.default_rng(0)
    phi = {name: rng.uniform(-3, 3, layer.shape) for name, layer in network.layers.items()}
    state = {name: from_phases(jnp.asarray(p)) for name, p in phi.items()}
    flat = np.concatenate([phi[name] for name in network.order])
    at = {"h1": slice(0, 5), "h2": slice(5, 9), "out": slice(9, 12)}
    coupling = np.zeros((12, 12))
    for edge in network.edges.values():
        if edge.source == "x":
            continue
        if edge.source == edge.target:
            coupling[at["h1"], at["h1"]] = edge.op.matrix
        else:
            coupling[at[edge.source], at[edge.target]] = edge.op.weight
            coupling[at[edge.target], at[edge.source]] = edge.op.weight.T
    fields = np.concatenate([np.broadcast_to(network.layers[n].bias, (len(phi[n]),)) for n in at])
    fields[at["h1"]] += x[0] @ network.edges["x-h1"].op.weight
    strength = [np.broadcast_to(network.layers[n].unit.injection, (len(phi[n]),)) for n in at]
    expected = -0.5 * np.sum(coupling * np.cos(flat[:, None] - flat))
    expected -= np.sum(fields * np.cos(flat) + 0.5 * np.concatenate(strength) * np.cos(2 * flat))
    found = systems.quickly(lambda state, x: network(state, x))(state, x[0])
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_nudge_is_a_field_and_an_injection():
    """``h -> h + beta t``, ``S -> S - beta / 2``: the same trajectory as the nudged energy."""
    _, model, x, y = systems.oscillators()
    beta, out = 0.3, model.energy.layers["out"]
    solver = GradientDescent(None, 25, 0.3)

    def mapped(target):
        layer = Layer(
            out.shape, Oscillator(out.unit.injection - beta / 2), out.bias + beta * target
        )
        edges = [(e.source, e.target, e.op) for e in model.energy.edges.values()]
        return Network(4, model.energy.layers | {"out": layer}, edges)

    @systems.quickly
    def both(x, y):
        start = model.energy.rest(x.dtype)
        nudged, _ = solver.settle(model.nudged(x, y, beta), start)
        same, _ = solver.settle(mapped(model.cost.target(y)).clamp(x), start)
        return nudged, same

    nudged, same = both(x[0], y[0])
    assert max(np.max(np.abs(z[0])) for z in nudged.values()) > 0.1
    for name, z in nudged.items():
        np.testing.assert_allclose(z, same[name], atol=1e-13)


def test_fields_alone_lock_and_a_negative_injection_cants():
    """``cos phi = clip(h / (2 |S|))``: with ``S < 0`` an oscillator is a hard-tanh unit."""
    drive = jnp.asarray([-0.3, 0.1, 0.5, 1.5])

    @systems.quickly
    def settled(injection):
        layers = {"out": Layer(4, Oscillator(injection), drive)}
        model, x = Model(Network(1, layers, []), SquaredError()), jnp.zeros((1, 1))
        state, info = relax(model, x, model.rest(x), Blockwise(1e-9, 20_000))
        return state["out"][0], info, model.energy.units["out"].saturation(state["out"][0])

    for injection, expected in ((0.0, np.sign(drive)), (-0.5, np.clip(drive, -1, 1))):
        z, info, saturation = settled(jnp.full(4, injection))
        assert info.converged == 1
        np.testing.assert_allclose(z[0], expected, atol=1e-6)
        assert np.all(saturation >= 0)


def test_a_quadrature_keeps_oscillators_canted():
    """``cos phi = h / sqrt(h^2 + q^2)``, found in one sweep."""
    drive = jnp.asarray([-0.3, 0.1, 0.5, 1.5])
    model = Model(Network(1, {"out": Layer(4, Oscillator(0.0, 0.4), drive)}, []), SquaredError())
    x = jnp.zeros((1, 1))
    settled = systems.quickly(lambda: relax(model, x, model.rest(x), Blockwise(1e-9, 2)))
    state, info = settled()
    assert info.converged == 1
    np.testing.assert_allclose(state["out"][0, 0], drive / np.hypot(drive, 0.4), atol=1e-12)


def test_injections_that_learn_leave_the_quadrature():
    model = with_injections(layered((3, 2, 2), KEY, Oscillator(0.0, 0.4), Oscillator()), -0.5)
    units = model.energy.units
    np.testing.assert_allclose(units["h1"].injection, [-0.5, -0.5])
    assert [unit.quadrature for unit in units.values()] == [0.4, 0.0]


@pytest.mark.parametrize("quadrature", [-0.1, math.nan, math.inf])
def test_a_quadrature_that_turns_no_oscillator_upward_is_refused(quadrature):
    with pytest.raises(
        ValueError, match=r"expected (a quadrature >= 0|quadrature to be a number), got"
    ):
        Oscillator(0.0, quadrature)


def test_costs_read_the_cosine():
    layers = {"h": Layer(3, Oscillator()), "out": Layer(2, Oscillator())}
    edges = [("x", "h", Dense(jnp.ones((1, 3)))), ("h", "out", Dense(jnp.ones((3, 2))))]
    model = Model(Network(1, layers, edges), SquaredError(low=-1.0, high=1.0))
    state = {"h": jnp.zeros((2, 3)), "out": from_phases(jnp.asarray([0.0, 2.0]))}
    expected = 0.5 * ((1 - 1) ** 2 + (np.cos(2.0) + 1) ** 2)
    np.testing.assert_allclose(model.loss(state, jnp.asarray([1.0, 0.0])), expected)
    np.testing.assert_allclose(model.predict(state), [1.0, np.cos(2.0)])


@pytest.mark.parametrize("shape", [(4,), (5, 2)])
def test_a_target_of_the_wrong_shape_is_refused(shape):
    model = systems.oscillators().model
    state = model.energy.rest(jnp.float64)
    with pytest.raises(ValueError, match="expected one target of shape"):
        model.loss(state, jnp.zeros(shape))


def test_updates_are_those_of_back_propagation_step_by_step():
    """From an equilibrium, EP's update after ``t`` nudged steps is BPTT's through as many; else not."""
    unit = Oscillator(-0.7)
    model = Model(layered((3, 4, 2), KEY, unit, unit).energy, systems.SIGNS)
    model, x, y = systems.with_data("canted", model, 160)[1:]
    settled = GradientDescent(1e-12, 5000, 0.3)

    def follow(free, steps):
        def after(count):
            return GradientDescent(None, count, 0.3)

        return follow_updates(model, x, y, free, after, symmetric(1e-3), steps)

    rows = follow(settled, (1, 6))
    for row in rows:
        assert row.agreement.cosine > 1 - 1e-6
        assert row.agreement.relative_error < 1e-3
    assert rows[1].norm > 2 * rows[0].norm
    (early,) = follow(GradientDescent(None, 1, 0.3), (2,))
    assert early.agreement.cosine < 0.99


def chain(unit, other=None):
    layers = {"a": Layer(3, unit), "b": Layer(2, other or unit)}
    weight = jax.random.normal(KEY, (3, 2))
    return Network(1, layers, [("a", "b", Dense(weight))]), weight


@pytest.mark.parametrize("other", [Oscillator(), Oscillator(in_phase=True)])
def test_oscillators_in_phase_couple_by_their_cosines(other):
    network, weight = chain(Oscillator(in_phase=True), other)
    a, b = jnp.array([0.3, 1.2, -2.0]), jnp.array([0.7, 2.5])
    state = {"a": from_phases(a), "b": from_phases(b)}
    wanted = -jnp.cos(a) @ weight @ jnp.cos(b)
    np.testing.assert_allclose(network.clamp(jnp.zeros(1))(state), wanted, atol=1e-14)


@pytest.mark.parametrize("unit", [Oscillator(0.0, 0.7, in_phase=True), Oscillator(0.2, 0.7)])
def test_stiff_layers_couple_as_they_did(unit):
    network, _ = chain(unit)
    stiff = with_stiff_layers(Model(network, SquaredError("b")), 0.25).energy
    assert [layer.unit.in_phase for layer in stiff.layers.values()] == [unit.in_phase] * 2


def deep(in_phase):
    unit = Oscillator(0.0, 1.0, in_phase)
    model = layered((4, 6, 6, 3), KEY, unit, unit, gain=6.0)
    model = with_stiff_layers(model, 0.01)
    return model, systems.normal(1, (5, 4)), systems.normal(2, (5, 3)) / 3


def test_in_phase_an_oscillator_shows_a_sigmoid_of_its_field():
    model, x, _ = deep(True)
    state, _ = relax(model, x, model.rest(x), Blockwise(1e-12, 50))
    network, below = model.energy, x
    for name, edge in zip(network.order, network.edges.values(), strict=True):
        field = below @ edge.op.op.weight
        below = state[name][:, 0]
        np.testing.assert_allclose(below, field / jnp.sqrt(field**2 + 1), atol=0.1)
        assert jnp.all(state[name][:, 1] > 0)


def test_differences_find_the_gradient_of_oscillators_in_phase():
    """Few sweeps do: a pass from the input up, its correction, and one from the output down."""
    model, x, y = deep(True)
    order = model.energy.order
    up, down = Blockwise(None, 2, one_by_one(order)), Blockwise(None, 1, one_by_one(order[::-1]))
    exact = ImplicitDifferentiation(Blockwise(1e-13, 100), tolerance=1e-12)
    settled = DeltaPropagation(Blockwise(1e-13, 100), one_sided(1e-9 * nudge_scale(0.01, 3)))
    few = DeltaPropagation(up, one_sided(1e-2 * nudge_scale(0.01, 3)), down)
    found = [estimate(rule, model, x, y).gradient for rule in (exact, settled, few)]
    *_, whole = compare(found[1], found[0])
    assert whole.relative_error < 1e-6
    assert min(row.cosine for row in compare(found[2], found[0])) > 0.99


def test_what_a_machine_couples_otherwise_is_refused():
    model, x, _ = deep(True)
    with pytest.raises(ValueError, match=r"got layers that are in phase, \['h1', 'h2', 'out'\]"):
        programmed(model, x[0])
