"""An equilibrium as a layer: what settles has a derivative, or says why not; it is never a constant."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from eqprop import (
    Backpropagation,
    Blockwise,
    Box,
    DeltaPropagation,
    Diffusion,
    EquilibriumPropagation,
    FunctionEnergy,
    GradientDescent,
    ImplicitDifferentiation,
    Langevin,
    Logistic,
    Model,
    SquaredError,
    holomorphic,
    layered,
    relax,
    symmetric,
)
from eqprop import thermal as samplers
from eqprop.energies.ops import cast
from eqprop.estimators.backpropagation import FeedForward
from eqprop.estimators.estimator import mean_loss
from eqprop.estimators.warm_start import WarmStart
from eqprop.hardware import Asymmetry, Programmed, Quantise, ReadBits, to_circle, to_grid
from eqprop.lagrangian import (
    Action,
    Continuation,
    FixedEnds,
    InitialValue,
    Newton,
    PathError,
    Shooting,
    doubled,
)
from eqprop.spiking import Spiking, SpikingPropagation, SurrogateBackpropagation
from eqprop.thermal import (
    Chains,
    Enumeration,
    Gaussian,
    Phases,
    Thermal,
    finite_nudge,
    path_integral,
)
from eqprop.thermal.as_spins import GibbsContrast
from eqprop.thermal.free_energy import acceptance_ratio
from helpers import paths, systems
from helpers.later import later
from helpers.systems import normal

KEY, OLD = jax.random.key(0), jax.random.PRNGKey(0)
TIGHT, DESCENT = Blockwise(None, 200), GradientDescent(None, 200)


def flat(tree):
    return np.asarray(ravel_pytree(eqx.filter(tree, eqx.is_inexact_array))[0])


def near(found, wanted, tolerance):
    assert np.linalg.norm(wanted) > 1e-6
    assert np.linalg.norm(found - wanted) <= tolerance * np.linalg.norm(wanted)


# --- an encoder in front ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "builder",
    [systems.quadratic_network, later(systems.strided)],
    ids=lambda builder: builder.__name__,
)
def test_an_encoder_in_front_learns(builder):
    """In all its parts: as implicit differentiation has it, and central differences."""
    _, model, _, y = builder()
    shape = model.energy.input_shape
    encoder = eqx.nn.MLP(2, int(np.prod(shape)), 3, 1, jnp.tanh, key=KEY)
    given, static = eqx.partition((encoder, model, normal(0, (3, 2))), eqx.is_inexact_array)

    def through(given):
        encoder, model, seen = eqx.combine(given, static)
        return model, jax.vmap(encoder)(seen).reshape(-1, *shape)

    def layer(given):
        model, x = through(given)
        return mean_loss(model, relax(model, x, model.rest(x), TIGHT)[0], y)

    def estimate(given):
        model, x = through(given)
        return ImplicitDifferentiation(TIGHT, 1e-13)(model, x, y, model.rest(x), KEY).value

    def way(k):
        return tuple(
            jax.tree.map(lambda a, i=i: normal(i, a.shape, float(i == k)), part)
            for i, part in enumerate(given)
        )

    ways = [way(k) for k in range(3)]

    @systems.quickly
    def slopes(step):
        moves = jax.tree.map(lambda *parts: jnp.stack(parts), *ways)
        grid = step * jnp.array([-2.0, -1.0, 1.0, 2.0])

        def moved(move, step):
            return layer(jax.tree.map(lambda a, d: a + step * d, given, move))

        losses = jax.vmap(jax.vmap(moved, (None, 0)), (0, None))(moves, grid)
        return losses @ jnp.array([1.0, -8.0, 8.0, -1.0]) / (12 * step)

    gradient, exact = (systems.quickly(jax.grad(f))(given) for f in (layer, estimate))
    near(flat(gradient), flat(exact), 1e-10)
    np.testing.assert_allclose([flat(gradient) @ flat(w) for w in ways], slopes(5e-4), rtol=1e-8)


def test_known_answers():
    """``asinh(theta x)``, and ``A^-1 (B x + b)``."""
    _, model, x, _ = systems.scalar()

    @systems.quickly
    @eqx.filter_grad
    def total(given):
        model, x = given
        return jnp.sum(relax(model, x, model.rest(x), DESCENT)[0]["out"])

    theta = model.energy.params
    slope = 1 / np.sqrt(1 + (theta * x) ** 2)
    by_model, by_input = total((model, x))
    np.testing.assert_allclose(by_model.energy.params, np.sum(slope * x), rtol=1e-11)
    np.testing.assert_allclose(by_input, slope * theta, rtol=1e-11)

    _, model, x, _ = systems.quadratic()
    by_model, by_input = total((model, x))
    params = model.energy.params
    adjoint = np.linalg.solve(params["A"], np.ones(4))
    np.testing.assert_allclose(by_input, np.tile(adjoint @ params["B"], (3, 1)), rtol=1e-10)
    np.testing.assert_allclose(by_model.energy.params["b"], 3 * adjoint, rtol=1e-10)


def test_a_path_is_a_layer():
    """A driven oscillator's path grows as the drive ``a x``, and falls as the mass and the spring."""

    def spring(q, v, params, t, x):
        m, k, a = params
        return 0.5 * m * (v @ v) - 0.5 * k * (q @ q) + a * x * jnp.cos(t) * q[0]

    params = jnp.array([1.0, 3.0, 0.7])
    action = Action(spring, params, size=1, steps=5, dt=0.3, boundary=FixedEnds([0.0], [0.0]))
    model, x = Model(action, PathError()), jnp.array([0.5])

    @paths.quickly
    @eqx.filter_value_and_grad
    def total(given):
        model, x = given
        return jnp.sum(relax(model, x, model.rest(x), Newton())[0]["path"])

    value, (by_model, by_input) = total((model, x))
    m, k, a = params * by_model.energy.params
    assert abs(value) > 0.01
    np.testing.assert_allclose([m + k, a, x[0] * by_input[0]], [-value, value, value], rtol=1e-9)


# --- an estimator's value ----------------------------------------------------------------------------

BOX = layered((4, 3), KEY, Box(-1.0, 1.0), Box(-1.0, 1.0))
SIGMOID = layered((4, 3), KEY, Logistic(), Logistic(), 2.0)
SHORT = Blockwise(None, 30)
SPIKING = Spiking(steps=20)
GIBBS = Chains(1.0, samplers.Gibbs(), chains=3, burn=2, samples=2, thinning=1)
CASES = {
    "equilibrium": (EquilibriumPropagation(SHORT, symmetric(0.2)), BOX),
    "holomorphic": (EquilibriumPropagation(SHORT, holomorphic(4, 0.2)), SIGMOID),
    "noisy": (EquilibriumPropagation(Langevin(0.01, 0.1, 9), symmetric(0.2)), BOX),
    "read out": (EquilibriumPropagation(SHORT, symmetric(0.2), read_out=ReadBits(6)), BOX),
    "differences": (DeltaPropagation(SHORT, symmetric(0.2)), BOX),
    "implicit": (ImplicitDifferentiation(SHORT, 1e-13), BOX),
    "unrolled": (Backpropagation(SHORT, 9), BOX),
    "feed-forward": (FeedForward(), BOX),
    "warm": (WarmStart(EquilibriumPropagation(SHORT, symmetric(0.2))), BOX),
    "device": (
        Programmed(EquilibriumPropagation(SHORT, symmetric(0.2)), Quantise(6, 1.0)),
        BOX,
    ),
    "chains": (Thermal(GIBBS, finite_nudge(1.0)), BOX),
    "spins": (Thermal(GIBBS, path_integral(1.0, 2)), systems.spins(sizes=(4, 3))[0]),
    "spikes": (SpikingPropagation(SPIKING, symmetric(0.2)), SIGMOID),
    "surrogate": (SurrogateBackpropagation(SPIKING), SIGMOID),
    "Gibbs": (GibbsContrast.init(finite_nudge(1.0), 3, 2, 2), SIGMOID),
}
TAPED = "unrolled", "feed-forward", "surrogate"
RANDOM = "noisy", "device", "chains", "spins", "spikes", "surrogate", "Gibbs"
"""Whose numbers may depend on the key; that the others take old keys, `derivatives` shows."""
each = pytest.mark.parametrize("name", CASES)
X, Y = normal(0, (3, 4)), 0.5 * jnp.eye(3) + 0.2


@cache
def derivatives(name):
    """The estimate by an old key, and the derivatives of its value in the model, x, y and the start."""
    estimator, model = CASES[name]

    @systems.quickly
    def both(model, x, y, key):
        start = estimator.start(model, x)

        def value(given):
            found = estimator(*given, key)
            return 2.0 * found.value, found

        return eqx.filter_value_and_grad(value, has_aux=True)((model, x, y, start))

    (_, found), slopes = both(model, X, Y, OLD)
    return found, slopes


@each
def test_the_derivative_of_a_value_is_the_estimators_gradient(name):
    found, (by_model, by_input, by_target, by_start) = derivatives(name)
    np.testing.assert_allclose(flat(by_model), 2.0 * flat(found.gradient), rtol=1e-12)
    network = CASES[name][1].energy
    weight, bias = (
        network.edges["x-out"].op.weight,
        by_model.energy.layers["out"].bias,
    )
    near(np.sum(by_input, 0), np.asarray(weight @ bias), 1e-10 if name != "device" else 0.1)
    assert np.linalg.norm(by_target) > 1e-3
    assert name in TAPED or not np.any(flat(by_start))


@pytest.mark.parametrize("name", RANDOM)
def test_old_keys_give_the_same(name):
    estimator, model = CASES[name]
    found = systems.quickly(estimator)(model, X, Y, estimator.start(model, X), KEY)
    np.testing.assert_allclose(flat(found.gradient), flat(derivatives(name)[0].gradient), rtol=1e-9)


def total(name, which):
    estimator, _ = CASES[name]

    def function(model, x):
        found = estimator(model, x, Y, estimator.start(model, x), KEY)
        return jnp.sum(ravel_pytree(eqx.filter(which(found), eqx.is_inexact_array))[0])

    return function


def refused(function, model, message):
    with pytest.raises(ValueError, match=message):
        eqx.filter_eval_shape(eqx.filter_grad(lambda given: function(*given)), (model, X))


ALONE = r"derivative of its value, .* eqprop\.relax"


@pytest.mark.parametrize("name", ["differences", "implicit", "chains", "spikes"])
def test_states_of_an_estimate_have_no_derivative(name):
    refused(total(name, lambda found: found.state), CASES[name][1], ALONE)


def test_gradients_and_reports_have_no_derivative():
    refused(total("equilibrium", lambda found: found.state), BOX, ALONE)
    refused(total("equilibrium", lambda found: found.gradient), BOX, ALONE)
    refused(total("equilibrium", lambda found: found.report), BOX, ALONE)


def test_thermal_values_are_free_energies():
    """In x and y, as the exact free energies of all states have it."""
    for source, (model, x, y) in (
        (Enumeration(1.0), systems.spins(sizes=(3, 3, 2))),
        (Gaussian(1.0), systems.gaussian()),
    ):

        @systems.quickly
        def slopes(source, model, x, y):
            def value(at):
                return Thermal(source, finite_nudge(1.0))(model, *at, model.rest(x), KEY).value

            def exact(at):
                free, nudged = source.free_energy(Phases(model, *at, jnp.array([0.0, 1.0])))
                return jnp.mean(nudged - free)

            return jax.grad(value)((x, y)), jax.grad(exact)((x, y))

        for found, wanted in zip(*slopes(source, model, x, y), strict=True):
            near(np.ravel(found), np.ravel(wanted), 1e-10)


# --- what has no derivative --------------------------------------------------------------------------


def shown(solver, key=None):
    return lambda m, x: jnp.sum(relax(m, x, m.rest(x), solver, key)[0]["out"])


def test_what_has_no_derivative_says_so():
    spins, x, y = systems.spins(sizes=(4, 3))
    one_way = Asymmetry.draw(layered((4, 3, 3), KEY), 0.1, KEY)

    def complex_states(m, x):
        start = jax.tree.map(lambda z: z.astype(complex), m.rest(x))
        found = relax(cast(m, np.dtype(complex)), x.astype(complex), start, SHORT)[0]["out"]
        return jnp.sum(jnp.real(found))

    def free_energy(m, x):
        costs = jnp.broadcast_to(x, (1, 2, *x.shape))
        return jnp.sum(acceptance_ratio(costs, 0.25 + 0 * costs[0], jnp.arange(2.0), 1.0))

    def second(m, x):
        return jnp.sum(jax.grad(lambda x: jnp.sum(shown(SHORT)(m, x) ** 2))(x) ** 2)

    def of_value(m, x):
        value = total("equilibrium", lambda found: found.value)
        return jnp.sum(jax.grad(lambda x: value(m, x))(x) ** 2)

    def settled(m, x):
        return jnp.sum(SHORT.settle(m.free(x[0]), m.energy.rest(x.dtype))[0]["out"])

    cases = [
        (shown(Langevin(0.1, 0.1, 3), KEY), BOX, r"a draw of Langevin; take the value of Equil"),
        (shown(Diffusion(0.1, 0.1), KEY), SIGMOID, "a draw of Diffusion"),
        (shown(SPIKING, KEY), SIGMOID, "a draw of Spiking"),
        (shown(SHORT), spins, r"\['out'\] are spins, .* use eqprop.thermal.Thermal"),
        (shown(SHORT), one_way(layered((4, 3, 3), KEY)), r"\['h1-out'\] act one way"),
        (complex_states, SIGMOID, "expected real states"),
        (lambda m, x: relax(m, x, m.rest(x), SHORT)[1].residual[0], BOX, "one of the report"),
        (settled, BOX, r"differentiate the states that eqprop\.relax returns"),
        (settled, spins, r"differentiate the states that eqprop\.relax returns"),
        (lambda m, x: jnp.sum(to_grid(x, 4, -1.0, 1.0)), BOX, "hardware.Quantise passes it"),
        (lambda m, x: jnp.sum(to_circle(x, 4)), BOX, "hardware.Quantise passes it"),
        (free_energy, BOX, "settles by steps or by chance"),
        (second, BOX, "got a second one"),
        (of_value, BOX, "got a second one"),
    ]
    for function, model, message in cases:
        refused(function, model, message)
    with pytest.raises(ValueError, match=r"have a derivative in their fields, but .* are spins"):
        eqx.filter_eval_shape(Backpropagation(SHORT, 3), spins, x, y, spins.rest(x), KEY)
    with pytest.raises(ValueError, match=r"expected a solver without noise .* got Diffusion"):
        DeltaPropagation(Diffusion(0.1), symmetric(0.1))(BOX, X, Y, BOX.rest(X), KEY)


@pytest.mark.parametrize(
    "solver", [Newton(), later(Shooting()), later(Continuation())], ids=lambda s: type(s).__name__
)
@pytest.mark.parametrize(
    "boundary",
    [FixedEnds([0.0], [0.0]), InitialValue([0.0], [1.0])],
    ids=lambda b: type(b).__name__,
)
def test_a_path_has_no_derivative_but_as_a_layer(solver, boundary):
    def spring(q, v, p, t, x):
        return 0.5 * (v @ v - p * (q @ q)) + x[0] * jnp.cos(t) * q[0]

    lagrangian, size = (doubled(spring), 2) if isinstance(boundary, InitialValue) else (spring, 1)
    action = Action(lagrangian, jnp.ones(()), size=size, steps=5, dt=0.3, boundary=boundary)
    model = Model(action, PathError(coordinates=(0,)))

    def settled(model, x):
        return jnp.sum(solver.settle(model.free(x), model.energy.rest(x.dtype))[0]["path"])

    def of_layer(model, x):
        return jnp.sum(relax(model, x[None], model.rest(x[None]), solver)[0]["path"])

    def slope(function):
        return eqx.filter_eval_shape(eqx.filter_grad(lambda at: function(*at)), (model, X[0]))

    with pytest.raises(ValueError, match=r"differentiate the states that eqprop\.relax returns"):
        slope(settled)
    slope(of_layer)


def test_an_equilibrium_without_a_derivative_is_an_error():
    """A double well at the top of its barrier, where the curvature is 0."""
    energy = FunctionEnergy(
        lambda p, s, x: jnp.sum(s["out"] ** 4 - p * s["out"] * x), 0.0, {"out": 1}
    )
    model, x = Model(energy, SquaredError()), jnp.zeros((1, 1))
    with pytest.raises(Exception, match="whose adjoint equation has no solution"):
        eqx.filter_grad(lambda x: shown(GradientDescent(None, 3))(model, x))(x)
