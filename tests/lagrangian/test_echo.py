"""The Hamiltonian echo against back-propagation through the same steps."""

from functools import cache, partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from eqprop.lagrangian import Hamiltonian, LinearOscillators, NonlinearOscillators, evolve, unroll
from eqprop.lagrangian.echo import _total
from helpers import systems
from helpers.systems import normal

KEY = jax.random.key(0)
STEPS, DT = 200, 0.05


class Duffing(Hamiltonian):
    """Three coupled Duffing oscillators, eight parameters, driven by an input at both ends."""

    springs: Array
    hardening: Array
    coupling: Array

    def potential(self, q, u):
        wells = 0.5 * self.springs * q**2 + 0.25 * self.hardening * q**4
        gaps = 0.5 * self.coupling * (q[..., 1:] - q[..., :-1]) ** 2
        return jnp.sum(wells) + jnp.sum(gaps) - jnp.sum(q[..., ::2] * u)


class Weighted(Duffing):
    """The same with masses that learn, so that the drifts depend on parameters too."""

    masses: Array

    def inverse_mass(self):
        return 1.0 / self.masses


def duffing(kind=Duffing, *more):
    return kind(
        jnp.array([1.0, 1.2, 0.8]), jnp.array([0.3, 0.2, 0.25]), jnp.array([0.4, 0.3]), *more
    )


def weighted(*masses):
    return duffing(Weighted, jnp.array(masses)), START, drive()


def drive(steps=STEPS):
    t = DT * np.arange(steps)
    return jnp.asarray(np.stack([0.6 * np.cos(0.7 * t), 0.3 * np.sin(0.7 * t)], -1))


START = (jnp.array([0.5, -0.3, 0.2]), jnp.array([0.1, 0.4, -0.2]))


def loss(passage, system):
    """A cost on all positions, and on the last position and momentum."""
    hamiltonian, start, inputs = system
    (q, p), positions = passage(hamiltonian, start, inputs, DT)
    target = jnp.cos(DT * jnp.arange(float(len(inputs))))[:, None]
    along = 0.5 * DT * jnp.sum((positions - target) ** 2)
    return along + jnp.sum(q * p) + 0.3 * jnp.sum(p**2)


@systems.quickly
def gradients(system, passages):
    def gradient(passage):
        value, slope = eqx.filter_value_and_grad(lambda system: loss(passage, system))(system)
        return value, [ravel_pytree(part)[0] for part in slope]

    return [gradient(passage) for passage in passages]


NUDGES = (None, 1e-2, 1e-4)


@cache
def passages(damping):
    """One object for each, so that its program is compiled once."""
    nudged = [partial(evolve, damping=damping, nudge=nudge) for nudge in NUDGES]
    return [partial(unroll, damping=damping), *nudged]


def errors(system, damping):
    """Of the echoes of no nudge, a large one and a small one, relative to back-propagation, by
    parameters, start and inputs."""
    (value, theirs), *echoes = gradients(system, passages(damping))
    assert all(same == value for same, _ in echoes)
    assert all(np.linalg.norm(part) > 0.1 for part in theirs)

    def error(mine):
        pairs = zip(mine, theirs, strict=True)
        return [np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs]

    return [error(mine) for _, mine in echoes]


@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_table(damping):
    """The fact sheet's rows: undamped, and damped with the gain flip and weights."""
    most = {0.0: (3.4e-5, 3.5e-9), 0.3: (7.3e-3, 7.4e-7)}[damping]
    _, *nudged = errors(weighted(1.0, 1.0, 1.0), damping)
    for found, bound in zip(nudged, most, strict=True):
        assert max(found) <= bound


@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_the_limit_is_back_propagation(damping):
    """Without a nudge, the linear response of the echo: exact to rounding."""
    limit, *_ = errors(weighted(1.0, 1.5, 0.7), damping)
    assert max(limit) < 1e-12


@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_error_is_of_second_order_in_the_nudge(damping):
    _, coarse, fine = errors(weighted(1.0, 1.5, 0.7), damping)
    np.testing.assert_allclose(np.log10(np.divide(coarse, fine)) / 2, 2, atol=0.1)


def test_the_nudge_is_what_its_pushes_add_up_to():
    """The last position is nudged first, and every push grows under the gain on the way back."""
    along, growth = jnp.array([[0.5, 1.0], [0.0, -2.0], [0.25, 0.0]]), 0.3
    total = _total((jnp.array([3.0]), None), along, growth)
    np.testing.assert_allclose(total, 3 + 0.25 + 2 * np.exp(growth) + np.exp(2 * growth))


def test_an_echo_without_the_gain_is_wrong():
    """Damped on its way back as on its way there, a system does not retrace its path."""
    hamiltonian, inputs, damping = duffing(), drive(), 0.3

    @systems.quickly
    def there_and_back(damping, undamped):
        (q, p), _ = unroll(hamiltonian, START, inputs, DT, damping)
        (back, _), _ = unroll(hamiltonian, (q, -p), inputs[::-1], DT, undamped)
        return START[0] - back

    for undamped in (damping, 0.0):
        assert np.linalg.norm(there_and_back(damping, undamped)) > 0.3
    np.testing.assert_allclose(there_and_back(0.0, 0.0), 0, atol=1e-12)


class Nudged(Duffing):
    """With ``beta`` times a squared error, whose target is the last input."""

    beta: Array

    def potential(self, q, u):
        error = q - u[2]
        return super().potential(q, u[:2]) - 0.5 * self.beta * jnp.sum(error * error)


def test_the_naive_rule_is_wrong_for_initial_values():
    """Nudged from the same start, ``d/d beta int dL/dtheta`` misses the term at the final time."""
    target = jnp.cos(DT * jnp.arange(float(STEPS)))[:, None]
    inputs = jnp.concatenate([drive(), target], 1)
    free = duffing(Nudged, jnp.asarray(0.0))
    flat, unravel = ravel_pytree(free)

    def run(values):
        (q, p), positions = unroll(unravel(values), START, inputs, DT)
        pull = jax.grad(
            lambda values: -DT * jnp.sum(jax.vmap(unravel(values).potential)(positions, inputs))
        )(values)
        return q, p, pull, 0.5 * DT * jnp.sum((positions - target) ** 2)

    way = jnp.zeros_like(flat).at[-1].set(1e-4)
    ends = (systems.quickly(run)(flat + sign * way) for sign in (1.0, -1.0))
    by_beta = [(a - b) / 2e-4 for a, b in zip(*ends, strict=True)]
    by_theta = systems.quickly(jax.jacrev(run))(flat)
    naive, truth = by_beta[2][:8], by_theta[3][:8]
    term = by_beta[1] @ by_theta[0][:, :8] - by_beta[0] @ by_theta[1][:, :8]
    assert np.linalg.norm(naive - truth) > 0.5 * np.linalg.norm(truth)
    assert np.linalg.norm(naive + term - truth) < 0.02 * np.linalg.norm(truth)


def layer(kind, key, features, size, **options):
    made = kind.init(key, features, size, **options)
    if kind is LinearOscillators:
        return made
    return eqx.tree_at(lambda layer: layer.bias, made, normal(3, (size,), 0.3))


class Stack(eqx.Module):
    """Two layers and a read-out of the last positions."""

    layers: list
    head: eqx.nn.Linear

    def __init__(self, kinds, passage, damping=0.0, width=5):
        keys = jax.random.split(KEY, 3)
        self.layers = [
            layer(kind, key, size, width, passage=passage, damping=damping)
            for kind, key, size in zip(kinds, keys, (2, width), strict=False)
        ]
        self.head = eqx.nn.Linear(width, 3, key=keys[2])

    def __call__(self, inputs):
        hidden = self.layers[0](inputs)
        return jax.vmap(self.head)(self.layers[1].last(hidden))


def stacked(passage, damping=0.0, dtype=jnp.float64):
    """Gradients of a cross-entropy in the parameters and in the inputs."""
    stack = Stack((LinearOscillators, NonlinearOscillators), passage, damping)
    stack = jax.tree.map(lambda a: a.astype(dtype) if eqx.is_inexact_array(a) else a, stack)
    inputs = normal(5, (60, 4, 2)).astype(dtype)

    @systems.quickly
    @eqx.filter_grad
    def gradient(pair):
        stack, inputs = pair
        return -jnp.mean(jax.nn.log_softmax(stack(inputs))[:, 0])

    return gradient((stack, inputs))


@pytest.mark.parametrize(
    "damping, dtype, bound", [(0.05, jnp.float64, 1e-10), (0.0, jnp.float32, 2e-5)]
)
def test_stacked_layers_equal_back_propagation(damping, dtype, bound):
    mine, theirs = (stacked(passage, damping, dtype) for passage in (evolve, unroll))
    pairs = zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True)
    for a, b in pairs:
        assert a.dtype == dtype and np.linalg.norm(b) > 1e-4
        assert np.linalg.norm(a - b) < bound * np.linalg.norm(b)


@pytest.mark.parametrize("kind", [LinearOscillators, NonlinearOscillators])
def test_examples_of_a_batch_are_independent(kind):
    """A batch axis after time is as good as one example after another."""
    one, inputs = layer(kind, KEY, 2, 4), normal(6, (30, 3, 2))

    def slope(run):
        def value(one):
            found = run(one)
            return jnp.sum(jnp.sin(found)), found

        return systems.quickly(eqx.filter_grad(value, has_aux=True))(one)

    batched, together = slope(lambda one: one(inputs))
    mapped, apart = slope(lambda one: jax.vmap(one, 1, 1)(inputs))
    assert together.shape == (30, 3, 4)
    np.testing.assert_allclose(together, apart, atol=1e-13)
    np.testing.assert_allclose(ravel_pytree(batched)[0], ravel_pytree(mapped)[0], atol=1e-11)
    last = systems.quickly(lambda one: one.last(inputs))(one)
    np.testing.assert_allclose(together[-1], last, rtol=1e-14)


def test_a_linear_layer_is_a_driven_oscillator():
    """From rest under a constant input, ``q = (B u / A)(1 - cos(r sqrt(A) t))``."""
    one = layer(LinearOscillators, KEY, 1, 3, rates=(0.01, 0.03))
    one = eqx.tree_at(lambda layer: layer.log_stiffness, one, jnp.array([0.0, 0.5, -0.5]))
    path = systems.quickly(one)(jnp.ones((300, 1)))
    stiffness, rate = np.exp(one.log_stiffness), np.exp(one.log_rate)
    angle = np.arange(1, 301)[:, None] * rate * np.sqrt(stiffness)
    np.testing.assert_allclose(path, one.weight[:, 0] / stiffness * (1 - np.cos(angle)), atol=3e-3)


def test_memory_of_an_echo_does_not_grow_with_the_sequence():
    """By what the compiled gradient allocates; back-propagation through a tape is there to compare."""

    def scratch(passage, steps):
        kinds = LinearOscillators, NonlinearOscillators
        both = [layer(kind, KEY, 2, 8, passage=passage) for kind in kinds]

        @eqx.filter_grad
        def gradient(both, inputs):
            return sum(jnp.sum(one.last(inputs) ** 2) for one in both)

        inputs = jnp.zeros((steps, 2))
        compiled = systems.quickly(gradient).lower(both, inputs).compile()
        return compiled.compiled.memory_analysis().temp_size_in_bytes

    tape = [scratch(unroll, steps) for steps in (1000, 100_000)]
    assert tape[1] > 90 * tape[0] > 1000 * 8 * 8
    for passage in (evolve, partial(evolve, nudge=1e-3)):
        echo = [scratch(passage, steps) for steps in (1000, 100_000)]
        assert echo[1] == echo[0] < 100_000


def test_layers_learn_with_optax():
    """Which of two rates an input has, from its last positions."""
    t = jnp.arange(80.0)
    rates = jnp.asarray(np.random.default_rng(0).uniform(0.05, 0.3, 32))
    inputs = jnp.sin(rates * t[:, None])[..., None]
    labels = jax.nn.one_hot((rates > 0.17).astype(int), 3)
    model = Stack((LinearOscillators, NonlinearOscillators), evolve, width=8)
    model = eqx.tree_at(lambda m: m.layers[0], model, layer(LinearOscillators, KEY, 1, 8))
    optimiser = optax.adam(1e-2)

    @systems.quickly
    def train(model, state):
        def loss(model):
            return -jnp.mean(jnp.sum(labels * jax.nn.log_softmax(model(inputs)), -1))

        value, slope = eqx.filter_value_and_grad(loss)(model)
        updates, state = optimiser.update(slope, state)
        return value, eqx.apply_updates(model, updates), state

    state = optimiser.init(eqx.filter(model, eqx.is_inexact_array))
    with jax.numpy_dtype_promotion("standard"):
        values = []
        for _ in range(60):
            value, model, state = train(model, state)
            values.append(float(value))
    assert values[-1] < 0.5 * values[0]


class DoubleWell(Hamiltonian):
    """Driven, and chaotic."""

    depth: Array

    def potential(self, q, u):
        return jnp.sum(0.25 * q**4 - 0.5 * self.depth * q * q - u[..., 0] * q)


def test_an_echo_that_goes_astray_is_refused():
    """Where the system amplifies rounding until the echo does not come back."""
    start = jnp.array([1.0]), jnp.array([0.2])

    def gradient(passage, steps):
        inputs = 0.4 * jnp.cos(1.2 * 0.05 * jnp.arange(float(steps)))[:, None]

        def size(k):
            return jnp.sum(passage(DoubleWell(k), start, inputs, 0.05)[0][0] ** 2)

        return systems.quickly(jax.grad(size))

    depth = jnp.asarray(1.0)
    short = [gradient(passage, 1000)(depth) for passage in (evolve, unroll)]
    np.testing.assert_allclose(*short, rtol=1e-8)
    with pytest.warns(UserWarning, match="may be wrong by some percent"):
        gradient(evolve, 3500)(depth).block_until_ready()
    with pytest.raises(RuntimeError, match="got one that went astray"):
        gradient(evolve, 5000)(depth).block_until_ready()
    step = jax.jit(lambda: evolve(DoubleWell(depth), start, jnp.zeros((3, 1)), np.float64(0.05)))
    assert np.isfinite(step()[0][0]).all()


def test_bad_input_is_refused():
    hamiltonian, inputs = duffing(), drive(20)
    run = partial(evolve, hamiltonian, START, inputs)
    moved = systems.quickly(partial(evolve, hamiltonian, START))
    with pytest.raises(ValueError, match=r"damping: expected one Python number >= 0.*doubled"):
        run(DT, damping=jnp.array([0.1, 0.2, 0.3]))
    low = tuple(part.astype(jnp.float32) for part in START)
    wanted = pytest.raises(ValueError, match="precision of the parameters and inputs, float64")
    with jax.numpy_dtype_promotion("standard"), wanted:
        evolve(hamiltonian, low, inputs, DT)
    with pytest.raises(ValueError, match="amplifies"):
        run(DT, damping=30.0)
    with pytest.raises(ValueError, match=r"a nudge above .*, what the echo makes of rounding"):
        run(DT, nudge=1e-17)
    with pytest.raises(ValueError, match="dt: expected a time step > 0"):
        run(-DT)
    with pytest.raises(ValueError, match="expected a nudge > 0"):
        run(DT, nudge=0.0)
    with pytest.raises(ValueError, match="of one shape"):
        evolve(hamiltonian, (START[0], START[1][:2]), inputs, DT)
    with pytest.raises(ValueError, match=r"expected inputs of shape \(steps, ..., 2\)"):
        layer(LinearOscillators, KEY, 2, 4)(jnp.ones((10, 3)))
    with pytest.raises(ValueError, match="0 < slow <= fast < 2"):
        LinearOscillators.init(KEY, 2, 4, rates=(0.1, 2.5))
    fast = LinearOscillators.init(KEY, 2, 4, rates=(0.1, 1.5))
    fast = eqx.tree_at(lambda layer: layer.log_rate, fast, fast.log_rate + 0.5)
    with pytest.raises(RuntimeError, match="smaller learning rate"):
        eqx.filter_jit(fast)(jnp.ones((10, 2))).block_until_ready()
    with pytest.raises(RuntimeError, match="within the limit of stability"):
        moved(inputs[:2], 2.2)[0][0].block_until_ready()
    with pytest.raises(RuntimeError, match="smaller time step"):
        moved(jnp.ones((2000, 2)), 3.0)[0][0].block_until_ready()
