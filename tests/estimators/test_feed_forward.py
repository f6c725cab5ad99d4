"""Back-propagation through one pass, and phases that begin where others ended."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import eqprop as eq
from eqprop.estimators.backpropagation import FeedForward, forward
from eqprop.estimators.warm_start import WarmStart
from helpers.systems import dense, normal, quickly, skip

KEY = jax.random.key(0)


def test_feed_forward_is_one_sweep_of_one_hidden_layer():
    model = eq.layered((4, 5, 3), KEY)
    x, y = normal(1, (6, 4)), jax.nn.one_hot(jnp.arange(6) % 3, 3)
    sweep = eq.Backpropagation(eq.Blockwise(None, 1), 1)

    @quickly
    def both(model, x, y):
        estimates = [each(model, x, y, model.rest(x), KEY) for each in (sweep, FeedForward())]
        return *estimates, FeedForward().forecast(model, x, y, KEY)

    unrolled, passed, seen = both(model, x, y)
    assert abs(passed.value - unrolled.value) < 1e-14
    for mine, theirs in zip(
        *map(jax.tree.leaves, (passed.gradient, unrolled.gradient)), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-14)
    np.testing.assert_allclose(seen.scores, passed.state["out"], rtol=1e-14)
    np.testing.assert_allclose(jnp.mean(seen.costs), passed.value)


def test_feed_forward_adds_skips():
    model, x = skip().model, skip().x[0]
    weight = {name: np.asarray(e.op.weight) for name, e in model.energy.edges.items()}
    bias = {name: np.asarray(layer.bias) for name, layer in model.energy.layers.items()}
    h1 = np.asarray(x) @ weight["x-h1"] + bias["h1"]
    h2 = np.tanh(h1) @ weight["h1-h2"] + bias["h2"]
    h3 = np.tanh(h2) @ weight["h2-h3"] + np.tanh(h1) @ weight["h1-h3"] + bias["h3"]
    wanted = np.tanh(h3) @ weight["h3-out"] + bias["out"]
    got = quickly(forward)(model, x)["out"]
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_feed_forward_refuses_what_leads_back():
    ops = [eq.ops.Dense(jnp.ones(s)) for s in ((2, 3), (3, 3), (3, 3))]
    layers = {"h": eq.Layer(3, eq.Box()), "out": eq.Layer(3, eq.Linear())}
    edges = [("x", "h", ops[0]), ("out", "h", ops[1])]
    model = eq.Model(eq.Network(2, layers, edges), eq.SquaredError())
    with pytest.raises(ValueError, match="edge from 'out' to 'h'"):
        FeedForward()(model, jnp.ones((1, 2)), jnp.ones((1, 3)), {}, KEY)


def test_warm_starts():
    """From rest first; then from the last free state, or the last phase's, whose nudge is positive."""
    _, model, x, y = dense("box", eq.Box(), eq.Linear(), 10)
    learner = eq.EquilibriumPropagation(eq.Blockwise(None, 60), eq.symmetric(0.3))
    phases = quickly(learner.phases)(model, x, y, model.rest(x), KEY)

    class Known(eq.EquilibriumPropagation):
        def phases(self, *unused):
            return phases

    @quickly
    def missed(beta, begin):
        one = lambda x, y, z: eq.energies.residual(model.nudged(x, y, beta), z)  # noqa: E731
        return jnp.max(jax.vmap(one)(x, y, begin))

    for nudged in (False, True):
        warm = WarmStart(Known(learner.solver, learner.contrast), nudged)
        found = warm(model, x, y, warm.start(model, x), KEY)
        assert found.gradient is phases.estimate.gradient
        scores = learner.scores(model, phases.free)
        np.testing.assert_array_equal(warm.scores(model, found.state), scores)
        begin = warm.start(model, x, found.state)
        assert missed(jnp.asarray(0.3 * nudged), begin) < 1e-9
        assert (missed(jnp.asarray(0.0), begin) > 1e-3) == nudged
    rest = warm.start(model, x)
    assert all(np.all(rest[name] == z) for name, z in model.rest(x).items())


def test_a_feed_forward_pass_of_oscillators_is_refused():
    model = eq.layered((2, 3, 2), KEY, eq.Oscillator())
    with pytest.raises(ValueError, match=r"units that are numbers, got an edge .*\(Oscillator\)"):
        FeedForward()(model, jnp.ones((1, 2)), jnp.ones((1, 2)), {}, KEY)


def test_a_warm_start_is_checked_as_its_learner():
    learner = eq.EquilibriumPropagation(eq.Blockwise(), eq.symmetric(1.5))
    with pytest.raises(ValueError, match="beta: expected nudges above -1"):
        WarmStart(learner).check(eq.layered((2, 2), KEY), jnp.ones((1, 2)), jnp.ones((1, 2)))
