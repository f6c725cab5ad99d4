"""Hardware: grids, programs, read-outs, faults, writes, and a machine in the loop."""

import dataclasses
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.integrate import solve_ivp

from eqprop import (
    Backpropagation,
    Blockwise,
    EquilibriumPropagation,
    GradientDescent,
    ImplicitDifferentiation,
    Layer,
    Linear,
    Model,
    Network,
    Oscillator,
    SquaredError,
    Tanh,
    Training,
    convolutional,
    fit,
    hardware,
    layered,
    load,
    relax,
    relu,
    symmetric,
)
from eqprop.energies.architectures import with_injections
from eqprop.energies.units.oscillator import phases
from eqprop.papers.oim.machine import Machine
from eqprop.training import Dataset, Optimiser, Split, rivals
from eqprop.training.alarms import warn_if_locked, warn_if_rising
from eqprop.training.figures import animations as animate
from eqprop.training.figures import run as figures
from helpers import systems
from helpers.later import later

KEY = jax.random.key(0)
SOLVER = GradientDescent(1e-10, 2000, 0.3)
EP = EquilibriumPropagation(SOLVER, symmetric(0.05))

estimate = systems.quickly(lambda estimator, *arguments: estimator(*arguments))
settle = systems.quickly(relax)
programmed = systems.quickly(lambda program, model: program(model))


@cache
def two_layers():
    """Of oscillators, with a coupling inside the first: a small `systems.oscillators`."""
    layers = {
        "h1": Layer(5, Oscillator(systems.normal(1, (5,), 0.3) - 0.7)),
        "out": Layer(3, Oscillator(-0.35)),
    }
    edges = [
        ("x", "h1", systems.dense_op(2, 4, 5)),
        ("h1", "h1", systems.lateral_op(3, 5, 0.7)),
        ("h1", "out", systems.dense_op(4, 5, 3, 0.7)),
    ]
    return systems.with_data("two_layers", Model(Network(4, layers, edges), systems.SIGNS), 5)


def apply(estimator, system, key=KEY):
    _, model, x, y = system
    return estimate(estimator, model, x, y, model.rest(x), key)


def values(tree):
    return np.concatenate([np.ravel(a) for a in jax.tree.leaves(eqx.filter(tree, eqx.is_array))])


def cosine(a, b):
    a, b = values(a), values(b)
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


@given(bits=st.integers(1, 8), limit=st.floats(0.1, 5), seed=st.integers(0, 99))
def test_a_grid_has_its_levels_inside_its_range(bits, limit, seed):
    value = np.asarray(systems.normal(seed, (2000,), 2 * limit))
    made = np.asarray(hardware.to_grid(jnp.asarray(value), bits, -limit, limit))
    assert len(np.unique(made)) <= 2**bits
    assert np.all(np.abs(made) <= limit * (1 + 1e-12))
    step = 2 * limit / (2**bits - 1)
    error = np.abs(made - value)[np.abs(value) <= limit]
    assert np.all(error <= step / 2 * (1 + 1e-9))


@given(bits=st.integers(1, 6))
def test_a_circle_has_its_angles_once(bits):
    phi = jnp.linspace(-np.pi, np.pi, 5001)
    made = hardware.to_circle(phi, bits)
    points = np.round(np.stack([np.cos(made), np.sin(made)], 1), 9) + 0.0
    assert len(np.unique(points, axis=0)) == 2**bits
    assert np.max(np.abs(made - phi)) <= np.pi / 2**bits * (1 + 1e-9)


def test_stochastic_rounding_keeps_the_mean():
    value = jnp.full(100_000, 0.3)
    made = hardware.to_grid(value, 2, -1.0, 1.0, KEY)
    assert len(np.unique(made)) == 2
    np.testing.assert_allclose(np.mean(made), 0.3, atol=5 * np.std(made) / 300)


def test_identity_at_zero_strength():
    """All programs one after another, and many bits; of a pooled convolution and a dense output."""
    network = convolutional((4, 4, 1), (2,), 3, KEY, Tanh(), gain=0.8)
    system = systems.with_data("pooled", network, 60)
    model, plain = system.model, apply(EP, system)
    program = hardware.Programs().then(hardware.Limit(1e3))
    for drawn in (
        hardware.Mismatch.draw(model, 0.0, KEY),
        hardware.Asymmetry.draw(model, 0.0, KEY),
        hardware.stuck(model, 0.0, KEY),
    ):
        program = program.then(drawn)
    made = apply(hardware.Programmed(EP, program), system)
    np.testing.assert_allclose(values(made.gradient), values(plain.gradient), atol=1e-12)
    np.testing.assert_allclose(made.value, plain.value, atol=1e-12)
    fine = apply(EP, system._replace(model=programmed(hardware.Quantise(24, 4.0), model)))
    np.testing.assert_allclose(values(fine.gradient), values(plain.gradient), atol=1e-4)
    np.testing.assert_allclose(fine.value, plain.value, atol=1e-5)
    assert np.any(values(fine.gradient) != values(plain.gradient))


@pytest.mark.long
def test_oscillators_without_detuning_are_as_they_were():
    system = two_layers()
    plain = apply(EP, system)
    program = hardware.detuned(system.model, 0.0, KEY).then(hardware.stuck(system.model, 0.0, KEY))
    made = apply(hardware.Programmed(EP, program), system)
    np.testing.assert_allclose(values(made.gradient), values(plain.gradient), atol=1e-9)


def test_a_program_changes_the_states_and_the_gradient_reaches_the_master():
    system = systems.tanh()
    program = hardware.Quantise(3, 0.5, hardware.couplings)
    made = apply(hardware.Programmed(EP, program), system)
    on_device = system._replace(model=programmed(program, system.model))
    np.testing.assert_allclose(
        values(made.gradient), values(apply(EP, on_device).gradient), atol=1e-12
    )
    coupled = on_device.model.energy
    for edge in coupled.edges.values():
        assert len(np.unique(edge.op.weight)) <= 8
        assert np.max(np.abs(edge.op.weight)) <= 0.5
    for name, layer in coupled.layers.items():
        np.testing.assert_array_equal(layer.bias, system.model.energy.layers[name].bias)


def test_layers_have_ranges_of_their_own():
    """Couplings by the layer where they end; of written updates as of parameters."""
    model = systems.excited(layered((5, 4, 3), KEY, gain=9.0), 1, 9.0)
    limits = hardware.Ranges(0.2, (("out", 3.0),))
    made = hardware.Quantise(2, limits)(model)
    params = eqx.filter(model, eqx.is_inexact_array)
    write = hardware.on_grid(2, limits)
    updates, _ = write.update(jax.tree.map(jnp.zeros_like, params), write.init(params), params)
    for quantised in (made, eqx.apply_updates(model, updates)):
        network = quantised.energy
        for name, edge, limit in (("h1", "x-h1", 0.2), ("out", "h1-out", 0.6)):
            for held in (network.edges[edge].op.weight, network.layers[name].bias):
                np.testing.assert_allclose(np.max(np.abs(held)), limit)
                levels = (np.unique(held) + limit) * 3 / (2 * limit)
                np.testing.assert_allclose(levels, np.round(levels), atol=1e-9)


def test_limits_are_the_layers_own():
    model = systems.excited(layered((5, 4, 3), KEY, gain=9.0), 1, 9.0)
    limits = hardware.Ranges(0.2, (("out", 3.0),))
    small = jax.tree.map(lambda p: 0.01 * p, model)
    large = jax.tree.map(lambda p: jnp.where(p < 0, -9.0, 9.0), small)
    found = [hardware.Limit(limits)(model)]
    for write in (hardware.clipped(limits), hardware.pulsed(0.1, limits, KEY)):
        updates, _ = write.update(large, write.init(small), small)
        found.append(eqx.apply_updates(small, updates))
    for made in found:
        for name, edge, limit in (("h1", "x-h1", 0.2), ("out", "h1-out", 0.6)):
            for held in (made.energy.edges[edge].op.weight, made.energy.layers[name].bias):
                np.testing.assert_allclose(np.max(np.abs(held)), limit)


def test_pulses_shrink_towards_the_layers_own_limit():
    model = systems.excited(layered((5, 4, 3), KEY, gain=0.3), 1, 0.05)
    write = hardware.pulsed(0.01, hardware.Ranges(0.2, (("out", 3.0),)), KEY)
    one = jax.tree.map(lambda p: jnp.full_like(p, 0.01), model)
    changed, _ = write.update(one, write.init(model), model)
    for edge, limit in (("x-h1", 0.2), ("h1-out", 0.6)):
        room = 1 - model.energy.edges[edge].op.weight / limit
        np.testing.assert_allclose(changed.energy.edges[edge].op.weight, 0.01 * room, rtol=1e-6)


def test_a_range_of_no_layer_is_refused():
    model, limits = layered((5, 4, 3), KEY), hardware.Ranges(0.2, (("h2", 3.0),))
    params = eqx.filter(model, eqx.is_inexact_array)
    pulsed = hardware.pulsed(0.1, limits, KEY)
    for used in (
        lambda: hardware.Quantise(2, limits)(model),
        lambda: hardware.Limit(limits)(model),
        lambda: hardware.on_grid(2, limits).update(params, optax.EmptyState(), params),
        lambda: hardware.clipped(limits).update(params, optax.EmptyState(), params),
        lambda: pulsed.update(params, pulsed.init(params), params),
    ):
        with pytest.raises(ValueError, match=r"layers among \['h1', 'out'\], got \['h2'\]"):
            used()


def test_couplings_inside_a_layer_are_rounded_as_pairs():
    model = hardware.Quantise(3, 0.5)(systems.lateral().model)
    matrices = [e.op.matrix for e in model.energy.edges.values() if e.source == e.target]
    assert matrices
    for matrix in matrices:
        pairs = np.unique(matrix[np.triu_indices(len(matrix), 1)])
        assert len(pairs) <= 8
        np.testing.assert_allclose((pairs + 0.5) * 7, np.round((pairs + 0.5) * 7), atol=1e-9)


def test_a_program_leaves_the_faults_as_they_are():
    model = systems.oscillators().model
    broken = hardware.detuned(model, 0.1, KEY).then(hardware.stuck(model, 0.5, KEY))(model)
    for program in (hardware.Quantise(2, 0.3), hardware.Limit(1e-3)):
        for name, layer in program(broken).energy.layers.items():
            unit, before = layer.unit, broken.energy.layers[name].unit
            while isinstance(unit, hardware.Stuck | hardware.Detuned):
                for field in ("at", "detuning"):
                    if hasattr(unit, field):
                        np.testing.assert_array_equal(getattr(unit, field), getattr(before, field))
                unit, before = unit.unit, before.unit
    with pytest.raises(ValueError, match="faults and asymmetry come after"):
        hardware.Mismatch.draw(model, 0.1, KEY)(broken)


def test_mismatch_has_its_spread_and_is_one_device():
    model = layered((300, 200, 10), KEY)
    factor = hardware.Mismatch.draw(model, 0.2, KEY)
    weight = factor(model).energy.edges["x-h1"].op.weight / model.energy.edges["x-h1"].op.weight
    np.testing.assert_allclose([np.mean(weight), np.std(weight)], [1.0, 0.2], atol=3e-3)
    again = hardware.Mismatch.draw(model, 0.2, KEY)
    np.testing.assert_array_equal(values(factor(model)), values(again(model)))


def test_asymmetry_sends_back_by_other_weights():
    """A linear pair ``a = W u``, back by ``W'``: the equilibrium of the unsymmetric equations."""
    from eqprop.energies.ops import Dense

    layers = {"h": Layer(3, Linear(), jnp.asarray([0.3, -0.1, 0.5])), "out": Layer(2, Linear())}
    weight = systems.normal(1, (3, 2), 0.3)
    model = Model(Network(1, layers, [("h", "out", Dense(weight))]), SquaredError())
    program = hardware.Asymmetry.draw(model, 0.5, KEY)
    back = weight * program.factors["h-out"].op.weight
    x = jnp.zeros((1, 1))
    state, _ = settle(program(model), x, model.rest(x), GradientDescent(1e-12, 3000))
    h = np.linalg.solve(np.eye(3) - back @ weight.T, np.asarray(layers["h"].bias))
    np.testing.assert_allclose(state["h"][0], h, atol=1e-9)
    np.testing.assert_allclose(state["out"][0], h @ weight, atol=1e-9)


def test_only_ep_runs_where_couplings_are_asymmetric():
    """EP's update is near the symmetric gradient where the asymmetry is small, and off where it is not."""
    system = systems.tanh()
    plain = apply(EP, system)
    agreement = []
    for sigma in (0.01, 0.8):
        program = hardware.Asymmetry.draw(system.model, sigma, KEY)
        made = apply(hardware.Programmed(EP, program), system)
        agreement.append(cosine(made.gradient, plain.gradient))
    assert agreement[0] > 0.999 > agreement[1]
    for estimator in (ImplicitDifferentiation(SOLVER), Backpropagation(SOLVER, 5)):
        with pytest.raises(ValueError, match="expected EquilibriumPropagation on a device"):
            apply(hardware.Programmed(estimator, program), system)


def test_stuck_neurons_stay_and_get_no_gradient():
    system = two_layers()
    model = system.model
    program = hardware.detuned(model, 0.0, KEY).then(hardware.stuck(model, 0.5, KEY))
    dead = program(model).energy.layers["h1"].unit.dead
    assert 0 < np.sum(dead) < 5
    made = apply(hardware.Programmed(EP, program), system)
    shown = made.state["h1"][:, :, dead]
    np.testing.assert_array_equal(shown, np.broadcast_to([[0.0], [1.0]], shown.shape))
    np.testing.assert_array_equal(made.gradient.energy.layers["h1"].bias[dead], 0.0)
    assert np.all(made.gradient.energy.layers["h1"].bias[~dead] != 0)


@pytest.mark.parametrize("solver", [SOLVER, Blockwise(1e-12, 3000)], ids=["gradient", "blockwise"])
def test_detuned_oscillators_balance_their_frequency(solver):
    """``0 = detuning - dV/dphi`` at the fixed point."""
    _, model, x, _ = two_layers()
    program = hardware.detuned(model, 0.1, KEY)
    state, info = settle(program(model), x, model.rest(x), solver)
    assert info.converged == 1
    phi = jax.tree.map(lambda z: phases(z[0]), state)

    def energy(phi):
        turned = {name: jnp.stack([jnp.cos(p), jnp.sin(p)]) for name, p in phi.items()}
        return model.energy(turned, x[0])

    slopes = systems.quickly(jax.grad(energy))(phi)
    for name, layer in program(model).energy.layers.items():
        np.testing.assert_allclose(slopes[name], layer.unit.detuning, atol=1e-8)


def test_read_bits_and_noise():
    model = two_layers().model
    one = jax.tree.map(lambda z: z[0], apply(EP, two_layers()).state)
    read = hardware.ReadBits(3)(model.energy.units, one, KEY)
    for name, z in read.items():
        turns = np.asarray(phases(z)) / (2 * np.pi / 8)
        np.testing.assert_allclose(turns, np.round(turns), atol=1e-9)
        assert np.max(np.abs(phases(z) - phases(one[name]))) <= np.pi / 8 + 1e-9
    many = {"h1": jnp.broadcast_to(one["h1"][:, :1], (2, 50_000))}
    noisy = hardware.ReadNoise(0.1)({"h1": Oscillator()}, many, KEY)
    error = np.asarray(phases(noisy["h1"]) - phases(many["h1"]))
    np.testing.assert_allclose([np.mean(error), np.std(error)], [0, 0.1], atol=2e-3)
    same = hardware.ReadNoise(0.0)(model.energy.units, one, KEY)
    for name, z in same.items():
        np.testing.assert_allclose(z, one[name], atol=1e-12)


def test_read_noise_is_another_in_every_phase():
    """At zero nudge the phases end at one state; what a noisy read-out makes of them differs."""
    model = layered((3, 5, 2), KEY)
    x, y = jnp.ones((4, 3)), jnp.ones((4, 2))
    learner = EquilibriumPropagation(SOLVER, symmetric(1e-9), read_out=hardware.ReadNoise(0.1))
    made = estimate(learner, model, x, y, model.rest(x), KEY)
    assert np.linalg.norm(values(made.gradient)) > 1e3


def test_layers_and_stages_are_read_with_errors_of_their_own():
    noisy, zero = hardware.ReadNoise(0.1), jnp.zeros(20_000)
    read = noisy.then(noisy)({"a": Linear(), "b": Linear()}, {"a": zero, "b": zero}, KEY)
    a, b = (np.asarray(z) / 0.1 for z in read.values())
    np.testing.assert_allclose([np.var(a), np.var(b), np.mean(a * b)], [2, 2, 0], atol=0.08)


def test_devices_of_alike_layers_are_not_alike():
    model = layered((6, 6, 6, 6, 6), KEY, Oscillator(), Oscillator())
    factors = jax.tree.leaves(hardware.Mismatch.draw(model, 0.1, KEY).factors)
    broken = hardware.detuned(model, 0.1, KEY)(model).energy.layers.values()
    dead = hardware.stuck(model, 0.5, KEY)(model).energy.layers
    masks = {tuple(layer.unit.dead.tolist()) for name, layer in dead.items() if name != "out"}
    for drawn in (factors, [layer.unit.detuning for layer in broken]):
        numbers = np.concatenate([np.ravel(a) for a in drawn])
        assert len(np.unique(numbers)) == numbers.size > 20
    assert len(masks) == 3


def test_the_spread_of_pulses_has_nothing_to_do_with_their_rounding():
    params = {"w": jnp.zeros(40_000)}
    transform = hardware.pulsed(0.01, 1.0, KEY, spread=0.5)
    half = {"w": jnp.full(40_000, 0.005)}
    changes, _ = transform.update(half, transform.init(params), params)
    np.testing.assert_allclose(np.mean(changes["w"]), 0.005, rtol=0.03)


def test_stuck_neurons_are_read_with_an_error_too():
    unit = hardware.stuck(systems.oscillators().model, 0.9, KEY)(systems.oscillators().model)
    units, rest = unit.energy.units, unit.energy.rest(jnp.float64)
    noisy = hardware.ReadNoise(0.1)(units, rest, KEY)
    assert np.all(phases(noisy["h1"]) != phases(rest["h1"]))


def test_only_a_range_with_two_ends_has_levels():
    with pytest.raises(ValueError, match="two ends"):
        hardware.ReadBits(3)({"h": relu()}, {"h": jnp.ones(3)}, KEY)


def test_a_read_out_acts_on_every_phase_of_ep():
    """In gradients that move by the phases' rounding over the nudge."""
    system, bits = two_layers(), 12
    read = EquilibriumPropagation(SOLVER, EP.contrast, read_out=hardware.ReadBits(bits))
    made, plain = apply(read, system), apply(EP, system)
    turns = np.asarray(jax.vmap(phases)(made.state["h1"])) / (2 * np.pi / 2**bits)
    np.testing.assert_allclose(turns, np.round(turns), atol=1e-8)
    moved = np.max(np.abs(values(made.gradient) - values(plain.gradient)))
    assert 1e-4 < moved < np.pi / 2**bits / 0.05


def test_writes_on_a_grid_lose_small_updates_and_stochastic_ones_do_not():
    params, small = {"w": jnp.zeros(20_000)}, {"w": jnp.full(20_000, 0.01)}
    params = jax.tree.map(lambda p: p + 0.1, params)
    for transform, mean in (
        (hardware.on_grid(3, 0.7), 0.1),
        (hardware.on_grid(3, 0.7, KEY), 0.11),
    ):
        updates, _ = transform.update(small, transform.init(params), params)
        written = np.asarray(optax.apply_updates(params, updates)["w"])
        steps = (written + 0.7) / (1.4 / 7)
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-9)
        np.testing.assert_allclose(np.mean(written), mean, atol=3e-3)
        assert len(np.unique(written.round(9))) == (1 if mean == 0.1 else 2)


def test_pulses_saturate_and_count_on_average():
    params = {"w": jnp.asarray([0.0, 0.5, 1.0, -1.0]).repeat(20_000)}
    updates = jax.tree.map(lambda p: jnp.full_like(p, 0.005), params)
    transform = hardware.pulsed(0.01, 1.0, KEY)
    state = transform.init(params)
    changes, after = transform.update(updates, state, params)
    change = np.mean(np.asarray(changes["w"]).reshape(4, -1), axis=1)
    np.testing.assert_allclose(change, [0.005, 0.0025, 0.0, 0.01], atol=2e-4)
    assert len(np.unique(np.asarray(changes["w"][:20_000]).round(9))) == 2
    back, _ = transform.update(jax.tree.map(jnp.negative, updates), state, params)
    change = np.mean(np.asarray(back["w"]).reshape(4, -1), axis=1)
    np.testing.assert_allclose(change, [-0.005, -0.0075, -0.01, 0.0], atol=2e-4)
    more, _ = transform.update(updates, after, params)
    assert np.any(np.asarray(more["w"]) != np.asarray(changes["w"]))


def test_clipped_writes_stay_inside():
    params, updates = {"w": jnp.asarray([0.9, -0.9])}, {"w": jnp.asarray([0.5, 0.05])}
    moved, _ = (t := hardware.clipped(1.0)).update(updates, t.init(params), params)
    np.testing.assert_allclose(moved["w"], [0.1, 0.05], atol=1e-12)


def machine(instance, start, time=200.0):
    """An independent simulation: ``dphi/dt = -dV/dphi``, trigonometric, by SciPy."""
    matrix, h, s = instance.matrix, instance.fields, instance.injections

    def slope(t, phi):
        differences = np.sin(phi[:, None] - phi)
        return -np.sum(matrix * differences, 1) - h * np.sin(phi) - s * np.sin(2 * phi)

    return solve_ivp(slope, (0, time), start, "DOP853", rtol=1e-10, atol=1e-12).y[:, -1]


def test_a_machine_in_the_loop(tmp_path):
    """Out through files, phases of another simulator in: the gradient is EP's."""
    system = two_layers()
    _, model, x, y = system
    contrast = EP.contrast
    free, read = [], []
    for i in range(len(x)):
        path = hardware.programmed(model, x[i]).save(tmp_path / f"{i}.npz")
        free.append(machine(hardware.Instance.load(path), np.full(8, np.pi / 2)))
    for beta in contrast.betas:
        nudged = [hardware.programmed(model, x[i], y[i], beta) for i in range(len(x))]
        read.append([machine(n, f) for n, f in zip(nudged, free, strict=True)])
    state = hardware.read_back(model, np.stack(free))
    plain = apply(EP, system)
    for name, z in plain.state.items():
        np.testing.assert_allclose(state[name], z, atol=1e-7)
    found = hardware.gradient_from_phases(
        model, x, y, contrast.betas, contrast.coefficients, np.asarray(read)
    )
    np.testing.assert_allclose(values(found), values(plain.gradient), atol=1e-5)


def test_an_instance_has_the_energy_of_the_model(tmp_path):
    """Through files, to the last bit, and by paths that are strings."""
    _, model, x, y = systems.oscillators()
    phi = np.random.default_rng(0).uniform(-3, 3, (4, 12))
    states = hardware.read_back(model, phi)

    @systems.quickly
    def energies_of_the_model(beta):
        return jax.vmap(model.nudged(x[0], y[0], beta))(states)

    for beta in (0.0, 0.2, -1.5):
        instance = hardware.programmed(model, x[0], y[0], beta)
        nudged = energies_of_the_model(jnp.asarray(beta))
        back = hardware.Instance.load(str(instance.save(str(tmp_path / "one.npz"))))
        text = instance.write_text(str(tmp_path / "one.txt"))
        read = hardware.Instance.read_text(str(text))
        for found in (instance, back, read):
            energies = [found.energy(one) for one in phi]
            np.testing.assert_allclose(energies, nudged, rtol=0, atol=1e-12)
            for name, value in vars(instance).items():
                np.testing.assert_array_equal(getattr(found, name), value)
    lines = text.read_text().splitlines()
    assert lines[0] == f"# oscillators 12 couplings {len(instance.couplings)}"
    assert len(lines) == 2 + len(instance.couplings) + 12 + 12


READERS = hardware.Instance.load, hardware.Instance.read_text
TRIANGLE = {
    "rows": np.array([0, 0, 1]),
    "columns": np.array([1, 2, 2]),
    "couplings": np.array([0.1, -0.2, 1 / 3]),
    "fields": np.array([0.5, 0.0, -1.0]),
    "injections": np.array([0.0, 0.1, 0.2]),
    "offset": 0.7,
}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"rows": np.array([0, 0, 3])}, r"pairs 0 <= row < column < 3, got \[3, 2\] as number 2"),
        ({"columns": np.array([1, 2, 3])}, r"got \[1, 3\] as number 2"),
        ({"rows": np.array([0, -1, 1])}, r"got \[-1, 2\] as number 1"),
        ({"columns": np.array([1, 1, 2])}, r"every pair once, got \[0, 1\] 2 times"),
        (
            {"rows": np.array([0.0, 0.0, 1.0])},
            "rows to be whole numbers along one axis, got float64",
        ),
        ({"couplings": np.array([0.1, np.nan, 0.2])}, "finite numbers in couplings, got nan at 1"),
        ({"fields": np.array([0.1, 0.2, np.inf])}, "finite numbers in fields, got inf at 2"),
        ({"injections": np.array([0.1, 0.2])}, "fields and injections of one length"),
        ({"couplings": np.array([0.1])}, "rows, columns and couplings of one length"),
        ({"fields": np.array(["a", "b", "c"])}, "fields to be numbers"),
        ({"fields": np.zeros((3, 1))}, r"along one axis, got float64 of shape \(3, 1\)"),
        ({"offset": float("nan")}, "a finite offset"),
    ],
)
def test_an_instance_that_makes_no_sense_is_refused(change, match, tmp_path):
    held = TRIANGLE | change
    with pytest.raises(ValueError, match=f"Instance: expected .*{match}"):
        hardware.Instance(**held)
    np.savez(tmp_path / "bad.npz", **held)
    with pytest.raises(ValueError, match=f"bad.npz: Instance: expected .*{match}"):
        hardware.Instance.load(tmp_path / "bad.npz")


def test_files_of_another_kind_are_named(tmp_path):
    triangle, load, read = hardware.Instance(**TRIANGLE), *READERS
    triangle.save(tmp_path / "b.npz")
    text = triangle.write_text(tmp_path / "t.txt")
    np.save(tmp_path / "one.npy", np.zeros(3))
    np.savez(tmp_path / "old.npz", **{k: v for k, v in TRIANGLE.items() if k != "offset"})
    np.savez(tmp_path / "pair.npz", **(TRIANGLE | {"offset": np.zeros(2)}))
    np.savez(tmp_path / "fewer.npz", rows=np.zeros(3, int))
    (tmp_path / "empty").write_bytes(b"")
    assert load(tmp_path / "old.npz").offset == 0
    for reader, name, match in [
        (load, "t.txt", "for text use Instance.read_text"),
        (load, "one.npy", "cut or of another kind; write it again"),
        (load, "empty", "cut or of another kind; write it again"),
        (load, "pair.npz", r"an offset of shape \(2,\)"),
        (load, "fewer.npz", r"the arrays rows, .*got \['rows'\]"),
        (read, "b.npz", "for .npz use Instance.load"),
        (read, "empty", "of one length, 1 or more"),
    ]:
        with pytest.raises(ValueError, match=f"{name}: .*{match}"):
            reader(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none")
    lines = text.read_text().splitlines()
    for at, line, match in [
        (2, "J 0 1", r"line 3: expected E value, J i j value, .*got 'J 0 1'"),
        (2, "K 0 1 2.0", "line 3: expected E value"),
        (2, "J 0 1.5 2.0", "line 3: expected E value"),
        (2, "J 0 1 x", "line 3: expected E value"),
        (2, "J 0 2 0.5", "line 4: expected J 0 2 once"),
        (2, "J 2 1 0.5", "pairs 0 <= row < column < 3"),
        (2, "", "3 oscillators and 3 couplings of its first line, got 3 and 2"),
        (5, "h 7 0.5", "an h and an S for every oscillator"),
        (9, "S 1 nan", "finite numbers in injections"),
        (9, "S 1 \ufffd\ud83d", "line 10: expected E value"),
    ]:
        broken = "\n".join([*lines[:at], line, *lines[at + 1 :]])
        text.write_bytes(broken.encode("utf-8", "surrogatepass"))
        with pytest.raises(ValueError, match=f"t.txt.*{match}"):
            read(text)


def test_energies_are_of_one_set_of_phases():
    with pytest.raises(ValueError, match=r"phases phi of shape \(3,\), got \(3, 1\)"):
        hardware.Instance(**TRIANGLE).energy(np.zeros((3, 1)))


def test_what_a_machine_cannot_take_is_refused(tmp_path):
    _, model, x, y = systems.oscillators()
    with pytest.raises(ValueError, match=r"shape \(batch, 12\).*got \(3, 11\)"):
        hardware.read_back(model, np.zeros((3, 11)))
    with pytest.raises(ValueError, match="finite phases"):
        hardware.read_back(model, np.full((3, 12), np.nan))
    with pytest.raises(ValueError, match="each of 2 nudges, got 1 and 2"):
        hardware.gradient_from_phases(model, x, y, np.zeros(2), np.zeros(2), np.zeros((1, 3, 12)))
    with pytest.raises(ValueError, match="a target y with the nudge"):
        hardware.programmed(model, x[0], beta=0.1)
    with pytest.raises(ValueError, match="one target y of"):
        hardware.programmed(model, x[0], y, 0.1)
    canted = layered((5, 4, 2), KEY, Oscillator(0.0, 0.5), Oscillator())
    with pytest.raises(ValueError, match=r"with a quadrature of 0.*others in \['h1'\]"):
        hardware.programmed(canted, jnp.ones(5))
    chain = layered((5, 4, 2), KEY, Oscillator(), Oscillator())
    for program in (hardware.stuck(chain, 0.5, KEY), hardware.Asymmetry.draw(chain, 0.1, KEY)):
        with pytest.raises(ValueError, match="without faults and asymmetry"):
            hardware.programmed(program(chain), jnp.ones(5))
    with pytest.raises(ValueError, match="finite numbers in J"):
        hardware.Instance.from_matrix(np.full((2, 2), np.nan), np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match="batch: expected one leading axis"):
        hardware.gradient_from_phases(model, x, y, np.zeros(1), np.zeros(1), np.zeros((1, 5, 12)))
    skewed = np.asarray([[0.0, 1.0], [0.5, 0.0]])
    with pytest.raises(ValueError, match="symmetric J"):
        hardware.Instance.from_matrix(skewed, np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match="other units in"):
        hardware.programmed(systems.mixed().model, systems.mixed().x[0])
    whole = hardware.programmed(model, x[0]).save(tmp_path / "whole.npz").read_bytes()
    (tmp_path / "bad.npz").write_bytes(whole[:60])
    with pytest.raises(ValueError, match="cut or of another kind"):
        hardware.Instance.load(tmp_path / "bad.npz")


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda: hardware.Quantise(0, 1.0), "1 to 24 bits"),
        (lambda: hardware.Quantise(4, 0.0), "limit > 0"),
        (
            lambda: hardware.Quantise(4, hardware.Ranges(1.0, (("h1", -1.0),))),
            "limit > 0, got -1.0",
        ),
        (lambda: hardware.ReadBits(0), "1 to 24 bits"),
        (lambda: hardware.on_grid(0, 1.0), "1 to 24 bits"),
        (lambda: hardware.on_grid(4, -1.0), "limit > 0"),
        (lambda: hardware.clipped(0.0), "limit > 0"),
        (lambda: hardware.pulsed(0.0, 1.0, KEY), "pulse > 0"),
        (lambda: hardware.ReadNoise(-0.1), "sigma >= 0"),
        (lambda: hardware.stuck(systems.tanh().model, 1.0, KEY), r"fraction in \[0, 1\)"),
        (lambda: hardware.detuned(systems.tanh().model, 0.1, KEY), "with oscillators"),
        (lambda: hardware.Asymmetry.draw(systems.lateral().model, 0.1, KEY), "Lateral"),
    ],
)
def test_nonsense_is_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()


# --- training on a device ---------------------------------------------------------------------

LAYERS = ("h1", "out")
BITS = {"parameter_bits": 4, "parameter_range": 0.3}


def stripes(count, seed):
    """Images of 4x4 with a bright row, whose number is the label, in noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=count).astype(np.int32)
    x = 100 * rng.uniform(size=(count, 4, 4, 1))
    x[np.arange(count), y] += 150
    return Split(x.astype(np.uint8), y)


STRIPES = Dataset("stripes", stripes(300, 0), stripes(40, 1), 3, 255.0)


def oscillators(gain=1.0):
    unit = Oscillator(-0.25)
    network = layered((16, 8, 3), KEY, unit, unit, gain).energy
    return Model(network, SquaredError("out", -1.0, 1.0))


MODEL = with_injections(oscillators(), -0.25)


def on(machine, **change):
    optimiser = Optimiser(0.02, writing=machine.writing(LAYERS, 0))
    given = {"epochs": 2, "batch_size": 10, "validation": 60} | change
    learner = machine.learner(0.1, LAYERS)
    return Training(MODEL, learner, STRIPES, optimiser, **given)


def stepped(training):
    """The parameters after one step of learning."""
    model, optimiser = training.model, training.transform(1)
    x = jnp.asarray(STRIPES.train.x[:4] / 255.0).reshape(4, 16)
    y = jnp.eye(3)[STRIPES.train.y[:4]]

    @systems.quickly
    def update(model, gradient):
        parameters = eqx.filter(model, eqx.is_inexact_array)
        updates, _ = optimiser.update(gradient, optimiser.init(parameters), parameters)
        return eqx.apply_updates(model, updates)

    found = estimate(training.estimator, model, x, y, model.rest(x), KEY).gradient
    with jax.numpy_dtype_promotion("standard"):
        return values(update(model, found))


@pytest.fixture(scope="module")
def perfect():
    return stepped(on(Machine()))


@pytest.mark.parametrize(
    "machine",
    [
        Machine(**BITS),
        later(Machine(state_bits=4)),
        later(Machine(noise=0.2)),
    ],
    ids=["parameter_bits", "state_bits", "noise"],
)
def test_each_limit_of_a_machine_changes_what_is_learnt(machine, perfect):
    assert np.max(np.abs(stepped(on(machine)) - perfect)) > 1e-6


def test_a_layer_has_its_range_of_the_device():
    network = oscillators(gain=9.0)
    for ranges, limit in (((), 0.3), ((1.0, 2.0), 0.6)):
        program = on(Machine(**BITS, layer_ranges=ranges)).estimator.program
        edges = programmed(program, network).energy.edges
        for edge, largest in (("x-h1", 0.3), ("h1-out", limit)):
            np.testing.assert_allclose(np.max(np.abs(edges[edge].op.weight)), largest)


def on_levels(parameters):
    place = (parameters + 0.3) / (0.6 / 15)
    return np.max(np.abs(place - np.round(place))) < 1e-3


def test_only_machines_without_a_master_copy_write_on_their_levels(perfect):
    rounded, drawn = (
        stepped(on(Machine(**BITS, without_master=True, stochastic_rounding=stochastic)))
        for stochastic in (False, True)
    )
    assert on_levels(rounded) and on_levels(drawn) and not on_levels(perfect)
    assert np.max(np.abs(rounded - drawn)) > 0.01
    assert not on_levels(stepped(on(Machine(**BITS))))


def test_injections_learn_at_a_rate_of_their_own():
    slow, fast = (
        dataclasses.replace(on(Machine()), optimiser=Optimiser(0.02, injection_rate=rate))
        for rate in (0.5, 1.0)
    )
    moved = [np.abs(stepped(one) - values(MODEL)) for one in (slow, fast)]
    injections = np.isclose(moved[1], 2 * moved[0])
    assert np.sum(injections & (moved[0] > 1e-6)) == 11
    np.testing.assert_array_equal(moved[0][~injections], moved[1][~injections])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """By a machine with every limit, and a rule that fits it."""
    machine = Machine(6, 1.5, (1.0, 1.0), True, True, state_bits=8)
    training = on(machine)
    folder = tmp_path_factory.mktemp("machine") / "run"
    with jax.numpy_dtype_promotion("standard"):
        return fit(training, folder, progress=False)


@pytest.mark.long
def test_oscillators_learn_on_a_machine(trained):
    assert trained.result["validation_accuracy"] > 0.7
    place = (values(load(trained.folder).model) + 1.5) / (3.0 / 63)
    np.testing.assert_allclose(place, np.round(place), atol=1e-3)


@pytest.mark.long
def test_phases_are_animated(trained, monkeypatch):
    monkeypatch.setattr(figures, "FOLLOWED", 6)
    monkeypatch.setattr(figures, "settling", lambda *_: {})  # drawn of other runs
    with jax.numpy_dtype_promotion("standard"):
        paths = figures.draw_run(trained.folder, STRIPES)
    assert paths[-1].name == "phases.gif"
    image = Image.open(paths[-1])
    assert image.n_frames == 6 + 3
    image.close()


def test_an_animation_needs_the_same_layers():
    angles = np.zeros((3, 2))
    with pytest.raises(ValueError, match="with the same layers"):
        animate.phases({"free": {"h": angles}, "nudged": {"out": angles}})


def test_a_step_too_large_is_said():
    x = jnp.asarray(STRIPES.train.x[:20] / 255.0).reshape(20, 16)
    with pytest.warns(UserWarning, match="The energy rises in .*Use a smaller step_size"):
        warn_if_rising(GradientDescent(None, 10, 8.0), oscillators(gain=5.0), x)


def test_locked_oscillators_are_said():
    with pytest.warns(UserWarning, match=r"Epoch 3: 99.95% of all neurons are saturated"):
        warn_if_locked(0.9995, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"parameter_bits": -1}, "expected parameter_bits >= 0"),
        ({"state_bits": -2}, "expected state_bits >= 0"),
        ({"without_master": True}, "without_master: expected parameter_bits"),
        ({"stochastic_rounding": True, **BITS}, "stochastic_rounding: expected without_master"),
        ({"layer_ranges": (1.0, 2.0, 3.0), **BITS}, "layer_ranges: expected 2 numbers"),
    ],
    ids=str,
)
def test_a_machine_that_makes_no_sense_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        Machine(**change).learner(0.1, LAYERS)


@pytest.mark.parametrize("rival", [rivals.bptt, rivals.implicit, rivals.differences])
def test_no_rival_leaves_a_machines_limits_out_unsaid(rival):
    for machine, words in (
        (Machine(state_bits=3), "state_bits of 0"),
        (Machine(noise=0.1), "noise"),
    ):
        with pytest.raises(ValueError, match=f"estimator: .*{words}"):
            machine.learner(0.1, LAYERS).by(rival)


def test_the_nudge_of_oscillators_has_no_lower_end():
    x, y = jnp.ones((2, 16)), jnp.ones((2, 3))
    strong = EquilibriumPropagation(SOLVER, symmetric(2.0))
    strong.check(oscillators(), x, y)
    with pytest.raises(ValueError, match="nudges above -1"):
        strong.check(layered((16, 8, 3), KEY, Oscillator(), Linear()), x, y)
