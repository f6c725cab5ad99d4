"""Bad inputs: constructors and functions say which argument, what was expected, and what came."""

import dataclasses
import inspect
import re
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import eqprop as eq
from eqprop import hardware, lagrangian, spiking, training
from eqprop import thermal as samplers
from eqprop._arguments import Count, fits, require_types
from eqprop.energies import ops
from eqprop.energies.parameters import parameter_names
from eqprop.estimators.audit import ALL, compare
from eqprop.estimators.backpropagation import FeedForward
from eqprop.estimators.spread import spread
from eqprop.estimators.warm_start import WarmStart
from eqprop.spiking.record import _named
from eqprop.thermal import exact
from eqprop.thermal.chains import scatter
from eqprop.thermal.mixing import mixing
from eqprop.training.data import augment, randaugment
from eqprop.training.epoch import _apart

SOURCE = Path(eq.__file__).parent
KEY, NAN, INF = jax.random.key(0), float("nan"), float("inf")
MODEL = eq.layered((4, 3, 2), KEY, eq.Tanh(), eq.Linear())
X, Y = jnp.ones((2, 4)), jnp.ones((2, 2))
STATE = MODEL.rest(X)
GIVEN = {"model": MODEL, "x": X, "y": Y, "state": STATE, "key": KEY}
SOLVER, CONTRAST = eq.Blockwise(), eq.symmetric(0.1)
EP = eq.EquilibriumPropagation(SOLVER, CONTRAST)
SPIKING = spiking.Spiking()
CHAINS = eq.thermal.Chains(1.0, samplers.Gibbs(), 2, 1, 1, 1)
WEIGHT = jnp.ones((3, 2))
CIRCUIT = eq.resistive((4, 2), KEY).energy.network
COUNTS = (1.5, "2", None, 0, -1, True, [1])
SIZES = (NAN, "a", None, 0.0, -1.0, [0.1], INF)
NUMBERS = (NAN, "a", None, [0.1], True)
FLAGS = ("yes", None, 2)
OBJECTS = (None, 3, "x", lambda x: x)
ARRAYS = ([1.0, 2.0], None, "x", 1.0, np.array(["a"]))


def FREE(q, v, params, t):
    return 0.5 * v @ v


def bad(make, *good, **arguments):
    """``make`` with every one of the bad values of each argument, the others good."""
    return [(make, good, name, value) for name, values in arguments.items() for value in values]


ESTIMATORS = [
    EP,
    eq.ImplicitDifferentiation(SOLVER),
    eq.Backpropagation(SOLVER, 2),
    eq.DeltaPropagation(SOLVER, CONTRAST),
    eq.thermal.Thermal(CHAINS, eq.thermal.finite_nudge(1.0)),
    spiking.SpikingPropagation(SPIKING, CONTRAST),
    spiking.SurrogateBackpropagation(SPIKING),
    lagrangian.Adjoint(lagrangian.Newton()),
    lagrangian.ReversedNudge(),
    hardware.Programmed(EP, hardware.Programs()),
    FeedForward(),
    WarmStart(EP),
]


TRAINING = eq.Training(MODEL, EP, training.DIGITS)
SPLIT = training.Split(np.zeros((2, 4)), np.arange(2))
OWN = training.Dataset("own", SPLIT, SPLIT, 2)
BAD = [
    # training
    *bad(eq.fit, training=(None, MODEL)),
    *bad(eq.fit, TRAINING, folder=(3, [1]), resume=FLAGS, callbacks=(None, 3), progress=FLAGS),
    *bad(eq.fit, TRAINING, data_dir=(3, [1]), devices=(2, None), audit=FLAGS, about=(3, "x")),
    *bad(eq.fit, TRAINING, checkpoint_every=(0, 1.5)),
    *bad(eq.load, folder=(None, 3)),
    *bad(eq.pretrained, name=(None, 3, "nosuch")),
    *bad(partial(eq.Training, estimator=EP, data=training.DIGITS), model=(None, EP)),
    *bad(partial(eq.Training, data=training.DIGITS), MODEL, estimator=(None, SOLVER)),
    *bad(eq.Training, MODEL, EP, data=(None, "mnist")),
    *bad(
        eq.Training,
        MODEL,
        EP,
        training.DIGITS,
        optimiser=(None, 1e-3),
        epochs=COUNTS,
        batch_size=COUNTS,
        augment=(3, "flip"),
        preprocessing=(None, 255.0),
        validation=COUNTS,
        examples=(-1, 1.5, None),
        test_last=FLAGS,
        test_seeds=COUNTS,
        seed=(-1, 1.5, 2**32, None),
    ),
    *bad(training.Optimiser, learning_rate=SIZES, rule=(None, "adam"), schedule=(None, "cosine")),
    *bad(training.Optimiser, warmup=(-1.0, NAN, "a"), weight_decay=(-1.0, NAN), clip_norm=(-1.0,)),
    *bad(training.Optimiser, layer_rates=([1.0], 1.0, ("a",)), coupled=FLAGS, writing=(3, "x")),
    *bad(training.Optimiser, bias_rate=("a", None), injection_rate=("a", None)),
    *bad(training.Cosine, end=(-1.0, NAN, "a", None)),
    *bad(training.SgdMomentum, decay=(-0.1, 1.0, NAN, None), nesterov=FLAGS),
    *bad(training.AtLeast, least=("a", None, -1.0)),
    *bad(partial(training.Writing, ranges=hardware.Ranges(1.0)), bits=COUNTS),
    *bad(training.Writing, 4, ranges=(1.0, None)),
    *bad(training.Writing, 4, hardware.Ranges(1.0), stochastic=FLAGS, seed=(-1, 1.5, 2**32)),
    *bad(partial(training.save_dataset, path="data.npz"), data=(None, X)),
    *bad(partial(training.save_dataset, OWN), path=(1, "data.csv")),
    *bad(training.read_dataset, path=(1, None)),
    *bad(training.Preprocessing, mean=(0.5, ("a",)), std=(0.5, (0.0,)), multiple=COUNTS),
    # solvers
    *bad(
        eq.Blockwise,
        tolerance=("1e-3", NAN, [1.0], True),
        max_steps=COUNTS,
        blocks=([["h"]], "h"),
        damping=(-0.1, 1.0, NAN, None),
    ),
    *bad(eq.Momentum, tolerance=("1e-3",), max_steps=COUNTS),
    *bad(eq.Spectral, max_steps=(1.5, 0), longest=(NAN, "a", 0.5, None)),
    *bad(eq.GradientDescent, max_steps=(2.5, None), step_size=SIZES),
    *bad(eq.solvers.ErrorDescent, tolerance=("a",), max_steps=COUNTS, step_size=SIZES),
    *bad(eq.Flow, tolerance=(None, "a"), max_time=(0.0, NAN, None), max_steps=(1.5, 0)),
    *bad(eq.Langevin, temperature=(-1.0, NAN, None, INF)),
    *bad(eq.Langevin, 0.1, step_size=SIZES, steps=COUNTS),
    *bad(eq.Langevin.phase_noise, xi=("a", None)),
    *bad(eq.Diffusion, temperature=(-1.0, None)),
    *bad(eq.Diffusion, 0.1, time=(NAN, "a"), step_size=SIZES),
    *bad(eq.Reduced, solver=(eq.Flow(), CONTRAST, None)),
    *bad(eq.Reduced, SOLVER, dtype=("bfloat17", "int8", None)),
    *bad(eq.solvers.MatmulPrecision, SOLVER, precision=("tf64", None)),
    *bad(eq.Refined, solver=(CONTRAST, None)),
    *bad(eq.Refined, SOLVER, rounds=(0, 1.5), tolerance=(None, "a"), dtype=("f32x",)),
    # contrasts and rules
    *bad(eq.symmetric, beta=(None, "0.1", NAN, 0.0, INF, [0.1])),
    *bad(eq.one_sided, beta=(None, "0.1", NAN, 0, 1j)),
    *bad(eq.RandomSign, beta=(None, "0.1", NAN, 0.0, SOLVER)),
    *bad(partial(eq.n_point, beta=0.1), points=(3, 0, -2, 2.5, "4", None)),
    *bad(eq.n_point, 4, beta=(None, NAN, 0.0)),
    *bad(partial(eq.holomorphic, radius=0.1), points=(3, 4.0, None)),
    *bad(eq.holomorphic, 4, radius=(None, 0.0, "a")),
    *bad(eq.finite_difference, betas=(0.1, None, "ab", (0.1, None), (0.1, "a"), (0.1, 0.1))),
    *bad(eq.thermal.finite_nudge, beta=(None, 0.0, NAN)),
    *bad(eq.thermal.symmetric_nudge, beta=(None, 0.0, "a")),
    *bad(eq.thermal.path_integral, 1.0, nodes=(0, 1.5, None)),
    *bad(eq.thermal.free_covariance, beta=(None, 0.0)),
    *bad(eq.thermal.Reweighting, beta=("a", None)),
    # estimators
    *bad(eq.EquilibriumPropagation, solver=(CONTRAST, None, "blockwise", eq.Blockwise)),
    *bad(eq.EquilibriumPropagation, SOLVER, contrast=(SOLVER, None, 0.1, eq.symmetric)),
    *bad(eq.EquilibriumPropagation, SOLVER, CONTRAST, from_rest=FLAGS),
    *bad(
        eq.EquilibriumPropagation,
        SOLVER,
        CONTRAST,
        nudged_solver=("x",),
        read_out=(3,),
        common_noise=FLAGS,
    ),
    *bad(eq.DeltaPropagation, SOLVER, contrast=(SOLVER, None)),
    *bad(eq.DeltaPropagation, SOLVER, CONTRAST, dtype=("int8", "f9")),
    *bad(eq.ImplicitDifferentiation, solver=OBJECTS),
    *bad(eq.ImplicitDifferentiation, SOLVER, tolerance=(None, "a"), max_steps=COUNTS),
    *bad(eq.Backpropagation, solver=(eq.Flow(), None)),
    *bad(eq.Backpropagation, SOLVER, steps=COUNTS),
    *bad(eq.thermal.Thermal, source=(eq.thermal.finite_nudge(1.0), SOLVER, None)),
    *bad(eq.thermal.Thermal, CHAINS, rule=(CHAINS, CONTRAST, None)),
    *bad(eq.thermal.Thermal, CHAINS, eq.thermal.finite_nudge(1.0), reading=(CHAINS, "means")),
    *[
        row
        for estimator in ESTIMATORS
        for row in bad(partial(estimator, **GIVEN), x=([[1.0] * 4] * 2, None), y=([[1.0]], None))
    ],
    *bad(partial(EP, **GIVEN), state=([1.0], {"h1": [1.0]}), key=(0, None), model=(EP, None)),
    *bad(eq.relax, MODEL, x=([[1.0]], None)),
    *bad(eq.relax, MODEL, X, STATE, solver=(EP, None, CONTRAST)),
    *bad(eq.audit, MODEL, X, Y, EP, reference=(SOLVER, None, MODEL)),
    *bad(eq.audit, MODEL, X, Y, estimator=(SOLVER, CONTRAST)),
    *bad(eq.audit, MODEL, X, Y, EP, EP, key=(0, None)),
    *bad(eq.audit, model=(EP, MODEL.energy, None)),
    *bad(eq.exact_gradient, MODEL, x=([1.0], None)),
    *bad(eq.exact_gradient, MODEL, X, Y, solver=(EP,)),
    *bad(eq.sweep_beta, MODEL, X, Y, solver=(CONTRAST,)),
    *bad(eq.sweep_beta, MODEL, X, Y, SOLVER, contrast=(CONTRAST, None)),
    *bad(spread, MODEL, X, Y, EP, {}, KEY, repeats=(1, 2.5)),
    *bad(mixing, samplers.Phases(MODEL, X, Y, jnp.zeros(1)), source=(SOLVER,)),
    # sources and samplers
    *bad(partial(eq.thermal.Chains, sampler=samplers.Gibbs()), temperature=(0.0, NAN, None)),
    *bad(eq.thermal.Chains, temperature=(samplers.Gibbs(),)),
    *bad(eq.thermal.Chains, 1.0, sampler=(SOLVER, None, samplers.Gibbs)),
    *bad(eq.thermal.Chains, 1.0, samplers.Gibbs(), chains=COUNTS, burn=(-1, 1.5), samples=(0, 1.5)),
    *bad(
        eq.thermal.Chains, 1.0, samplers.Gibbs(), thinning=(0, None), hot=(0.5, NAN), exchange=FLAGS
    ),
    *bad(eq.thermal.Chains, 1.0, samplers.Gibbs(), common_noise=FLAGS, persistent=FLAGS),
    *bad(partial(samplers.sample, temperature=1.0, key=KEY), energy=(MODEL, None, SOLVER)),
    *bad(partial(samplers.sample, key=KEY), MODEL.energy, temperature=(0.0, NAN, None, "a")),
    *bad(samplers.sample, MODEL.energy, 1.0, key=(0, None)),
    *bad(samplers.sample, MODEL.energy, 1.0, KEY, x=([1.0], "x")),
    *bad(partial(samplers.sample, MODEL.energy, 1.0, KEY), sampler=(SOLVER, None), chains=COUNTS),
    *bad(
        partial(samplers.sample, MODEL.energy, 1.0, KEY),
        burn=(-1, 1.5),
        samples=(0,),
        thinning=(0,),
    ),
    *bad(partial(scatter, key=KEY), MODEL, X, chains=(0, 1.5)),
    *bad(eq.thermal.Enumeration, temperature=(0.0, "a", None)),
    *bad(exact.Gaussian, temperature=(-1.0, None)),
    *bad(samplers.UnadjustedLangevin, step_size=SIZES),
    *bad(samplers.Underdamped, step_size=(0.0,), friction=SIZES),
    *bad(samplers.Mala, step_size=(0.0, None)),
    *bad(samplers.Hmc, step_size=(0.0,), steps=COUNTS),
    *bad(samplers.Nuts, step_size=(0.0,), max_doublings=(0, 1.5)),
    # units and costs
    *bad(eq.Box, low=NUMBERS, high=NUMBERS),
    *bad(eq.Ramp, slope=SIZES),
    *bad(eq.Oscillator, injection=("a", None, [1.0]), quadrature=(-1.0, NAN, None)),
    *bad(eq.Oscillator, in_phase=FLAGS),
    *bad(eq.Stiff, unit=(3, None, eq.Box)),
    *bad(eq.Stiff, eq.Box(), stiffness=SIZES),
    *bad(eq.SquaredError, output=(3, None), low=NUMBERS, high=NUMBERS),
    *bad(eq.FunctionCost, function=(None, 3)),
    *bad(eq.FunctionCost, lambda u, y: 0.0, output=(3, None), bound=("a", NAN, [1.0])),
    *bad(eq.CrossEntropy, weight=ARRAYS),
    *bad(eq.CrossEntropy, WEIGHT, jnp.ones(2), output=(3, None)),
    *bad(eq.CrossEntropy.init, KEY, features=COUNTS),
    *bad(eq.CrossEntropy.init, KEY, 2, classes=(0, 1.5)),
    # networks
    *bad(eq.Model, energy=(eq.SquaredError(), None, STATE)),
    *bad(eq.Model, MODEL.energy, cost=(MODEL.energy, None, "out")),
    *bad(MODEL.nudged, X[0], Y[0], beta=(None, "a", [0.1])),
    *bad(MODEL.rest, x=([1.0], None)),
    *bad(eq.Layer, shape=(1.5, "2", None, 0, (2, 0), (2.0,))),
    *bad(eq.Layer, 2, unit=(None, eq.Box, 3)),
    *bad(eq.Layer, 2, eq.Box(), bias=([0.0, 0.0], 1.0), scale=NUMBERS),
    *bad(eq.Edge, op=(None, WEIGHT)),
    *bad(eq.Network, input_shape=(1.5, None, 0)),
    *bad(eq.Network, 4, layers=([], None, {"h": 3})),
    *bad(eq.Network, 4, {"h": eq.Layer(2, eq.Box())}, edges=(None, [("x", "h")], {"x": "h"})),
    *bad(eq.FunctionEnergy, function=(None, 3)),
    *bad(eq.FunctionEnergy, lambda p, s, x: 0.0, {}, shapes=(None, ["out"], {"out": 1.5})),
    *bad(eq.FunctionEnergy, lambda p, s, x: 0.0, {}, {"out": 1}, units=({"out": 3}, eq.Box())),
    *bad(eq.FunctionEnergy, lambda p, s, x: 0.0, {}, {"out": 1}, blocks=((("out",),), ((),), 3)),
    *bad(eq.FunctionEnergy, lambda p, s, x: 0.0, {}, {"out": 1}, bounds=(3, lambda p, x: {})),
    *bad(eq.PredictiveCoding, network=(MODEL, None)),
    *bad(eq.PredictiveCoding, MODEL.energy, precision=(0.0, -1.0, "a", None, {"h9": 1.0})),
    *bad(eq.PredictiveCoding, MODEL.energy, precision=({"out": -1.0}, {"out": "a"})),
    *bad(eq.predictive, model=(MODEL.energy, None)),
    *bad(eq.predictive, MODEL, precision=(0.0, "a")),
    *bad(eq.ResistiveNetwork, network=(MODEL, None)),
    *bad(eq.ResistiveNetwork, CIRCUIT, gain=SIZES, mirrored=FLAGS),
    *bad(partial(eq.resistive, key=KEY), sizes=(4, (4,), (4, 0), (4, 3, 2), (4, 2.5), None)),
    *bad(eq.resistive, (4, 2), key=(0, None)),
    *bad(partial(hardware.netlist, x=X[0]), model=(MODEL, MODEL.energy, None)),
    *bad(hardware.netlist, eq.resistive((4, 2), KEY), x=ARRAYS),
    *bad(hardware.netlist, eq.resistive((4, 2), KEY), X[0], Y[0], beta=("a", None, -1.0)),
    *bad(eq.resistive, (4, 2), KEY, gain=SIZES, conductance=SIZES),
    *bad(partial(eq.predictive_residual, width=2, depth=2, classes=2, key=KEY), features=COUNTS),
    *bad(partial(eq.predictive_residual, 4, depth=2, classes=2, key=KEY), width=COUNTS),
    *bad(partial(eq.predictive_residual, 4, 2, classes=2, key=KEY), depth=(1, *COUNTS)),
    *bad(eq.predictive_residual, 4, 2, 2, 2, key=(0, None)),
    *bad(eq.predictive_residual, 4, 2, 2, 2, KEY, unit=("tanh", eq.Tanh)),
    *bad(partial(eq.layered, key=KEY), sizes=(4, (4,), (4, 0), (4, 2.5), (4, "2"), None)),
    *bad(eq.layered, (4, 2), key=(0, None)),
    *bad(eq.layered, (4, 2), KEY, unit=("tanh", eq.Tanh), gain=("a", None, (1.0, "a"))),
    *bad(eq.convolutional, image=((8, 8), 8, (8, 8.0, 1))),
    *bad(partial(eq.convolutional, classes=2, key=KEY), (8, 8, 1), channels=((), 4, (0,), (2.5,))),
    *bad(eq.convolutional, (8, 8, 1), (2,), classes=COUNTS),
    *bad(eq.convolutional, (8, 8, 1), (2,), 2, KEY, kernel=(2.5, None), pool=("max", None)),
    *bad(eq.hopfield_resnet, (8, 8, 1), classes=(2.5, None)),
    *bad(eq.with_biases, MODEL, KEY, gain=(None, "a")),
    *bad(eq.with_weights, MODEL, KEY, law=(None, 1.0)),
    *bad(eq.with_read_out, MODEL, classes=(0, 2.5, None)),
    *bad(eq.with_weak_feedback, MODEL, feedback=(None, 0.0, 2.0, "a")),
    *bad(eq.with_stiff_layers, MODEL, feedback=(None, 0.0)),
    *bad(ops.Dense, weight=ARRAYS),
    *bad(ops.Dense.init, KEY, inputs=(0, 1.5, None)),
    *bad(ops.Lateral, weight=ARRAYS),
    *bad(ops.Conv, kernel=ARRAYS),
    *bad(ops.Conv, jnp.ones((3, 3, 1, 1)), stride=COUNTS, padding=(-1, 1.5, None)),
    *bad(ops.Conv.init, KEY, 1, outputs=(0, 1.5)),
    *bad(ops.AveragePool, size=COUNTS),
    *bad(ops.MaxPool, size=COUNTS),
    *bad(ops.Chain, ops=([], (3,), None)),
    *bad(ops.Residual, op=(None, 3)),
    *bad(ops.Activation, unit=(None, eq.Box, "relu")),
    *bad(ops.Scaled, ops.AveragePool(), factor=NUMBERS),
    *bad(augment.RandomCrop, pixels=(-1, 1.5, None)),
    *bad(randaugment.RandAugment, count=COUNTS),
    *bad(randaugment.RandAugment, 1, magnitude=(-1, 31, 1.5, None)),
    # hardware
    *bad(partial(hardware.Quantise, limit=1.0), bits=(0, 25, 2.5, None, "4")),
    *bad(hardware.Quantise, 4, limit=SIZES),
    *bad(hardware.Quantise, 4, 1.0, where=(None, "weight")),
    *bad(hardware.Limit, limit=SIZES),
    *bad(hardware.ReadBits, bits=(0, 2.5, None)),
    *bad(hardware.ReadNoise, sigma=(-0.1, NAN, None)),
    *bad(WarmStart, learner=(SOLVER, FeedForward(), None)),
    *bad(WarmStart, EP, nudged=FLAGS),
    *bad(hardware.Programmed, estimator=(hardware.Programs(), None)),
    *bad(hardware.Programmed, EP, program=(EP, None, lambda model: model)),
    *bad(partial(hardware.Mismatch.draw, key=KEY), MODEL, sigma=(-1.0, NAN, None)),
    *bad(partial(hardware.Asymmetry.draw, key=KEY), MODEL, sigma=(-1.0, None)),
    *bad(partial(hardware.stuck, key=KEY), MODEL, fraction=(1.0, None, "a")),
    *bad(partial(hardware.detuned, key=KEY), MODEL, sigma=(-1.0, None)),
    *bad(hardware.clipped, limit=SIZES),
    *bad(partial(hardware.on_grid, limit=1.0), bits=(0, 2.5, None)),
    *bad(partial(hardware.pulsed, limit=1.0, key=KEY), pulse=SIZES),
    *bad(hardware.Programs, programs=(None, (3,), [hardware.Programs()])),
    *bad(hardware.programmed, model=(EP, None)),
    *bad(hardware.programmed, MODEL, X[0], Y[0], beta=("a", None, NAN)),
    *bad(hardware.read_back, model=(EP, None)),
    *bad(hardware.gradient_from_phases, MODEL, x=([1.0], None)),
    *bad(hardware.pulsed, 0.1, 1.0, KEY, spread=(-1.0, NAN, None)),
    # spiking
    *bad(spiking.Spiking, leak=(0.0, 2.0, None, "a"), steps=COUNTS, reading=(3, None)),
    *bad(spiking.Spiking, firing=(3, None, {"h1": 3}), graded=("out", ["out"])),
    *bad(spiking.SpikingPropagation, solver=(SOLVER, CONTRAST, None)),
    *bad(spiking.SpikingPropagation, SPIKING, contrast=(SPIKING, None)),
    *bad(spiking.SpikingPropagation, SPIKING, CONTRAST, coding=("analog", None)),
    *bad(spiking.SurrogateBackpropagation, solver=(SOLVER, None)),
    *bad(spiking.Drawn, population=COUNTS),
    *bad(spiking.Staggered, population=(*COUNTS, 70000)),
    *bad(spiking.Threshold, threshold=SIZES),
    *bad(spiking.Rates, steps=COUNTS),
    *bad(spiking.Probabilities, steps=COUNTS),
    *bad(eq.thermal.GibbsContrast, thermal=(CHAINS, None)),
    *bad(eq.thermal.GibbsContrast.init, eq.thermal.finite_nudge(1.0), chains=(0, 1.5)),
    *bad(spiking.SelfInhibition, strength=("a", None)),
    *bad(spiking.with_soft_reset, MODEL, SPIKING, theta=(0.0, None)),
    *bad(spiking.to_nir, MODEL, solver=(SOLVER,)),
    *bad(eq.thermal.as_spins, model=(EP, None)),
    *bad(spiking.fan_out, model=(EP, None)),
    *bad(spiking.price, MODEL, solver=(SOLVER, None)),
    *bad(spiking.record, estimator=(EP, SOLVER)),
    # lagrangian
    *bad(lagrangian.Newton, max_steps=COUNTS, tolerance=(None, "a")),
    *bad(lagrangian.Shooting, max_steps=(0, 1.5)),
    *bad(lagrangian.Continuation, newton=(SOLVER, None), stages=COUNTS),
    *bad(lagrangian.Adjoint, solver=(CONTRAST, None)),
    *bad(lagrangian.ReversedNudge, solver=(CONTRAST,), beta=(0.0, None, NAN)),
    *bad(lagrangian.PathError, weight=NUMBERS, at=(1.5, "a")),
    *bad(lagrangian.PathDensity, density=(None, 3)),
    *bad(lagrangian.FourierError, harmonics=(1, None, (1.5,))),
    *bad(lagrangian.Periodic, pin=(3, (0.5, 0.0), (0,), "pin")),
    *bad(lagrangian.FixedEnds, start=("a", None, ["a"])),
    *bad(lagrangian.FreeEnd, start=("a", None)),
    *bad(lagrangian.InitialValue, (0.0,), momentum=("a", None)),
    *bad(partial(lagrangian.Action, steps=4, dt=0.1), FREE, size=(1.5, None, "a", 0)),
    *bad(partial(lagrangian.Action, size=1, dt=0.1), FREE, steps=(4.5, None, 2)),
    *bad(
        partial(lagrangian.Action, size=1, steps=4), FREE, dt=("a", None, 0.0, NAN), boundary=(3,)
    ),
    *bad(partial(lagrangian.Action, size=1, steps=4, dt=0.1), lagrangian=(None, 3)),
    *bad(partial(lagrangian.HarmonicAction, size=1, period=1.0), FREE, harmonics=(0, 1.5, None)),
    *bad(partial(lagrangian.HarmonicAction, size=1, harmonics=2), FREE, period=("a", None, 0.0)),
    *bad(lagrangian.freidlin_wentzell, drift=(None, 3)),
    *bad(lagrangian.evolve, hamiltonian=(None, MODEL)),
    *bad(lagrangian.unroll, hamiltonian=(None, MODEL)),
    *bad(lagrangian.examine, phase=(None, MODEL)),
    *bad(lagrangian.monodromy, phase=(None, MODEL)),
    *bad(lagrangian.NonlinearOscillators.init, KEY, 2, size=(0, 1.5), alpha=("a", None)),
    *bad(lagrangian.doubled, lagrangian=(None, 3)),
    *bad(lagrangian.onsager_machlup, lambda q, p, t: q, temperature=(0.0, None, "a")),
    *bad(lagrangian.LinearOscillators.init, KEY, features=(0, 1.5)),
    *bad(
        lagrangian.LinearOscillators.init, KEY, 2, 2, rates=((0.5, 0.1), 1.0), damping=(-1.0, None)
    ),
]


def named(row):
    make, _, name, value = row
    made = getattr(make, "func", make)
    made = getattr(made, "__qualname__", type(made).__name__)
    shown = re.sub(r" at 0x[0-9a-f]+", "", repr(value))
    return f"{made}-{name}-{shown}"[:80]


@pytest.mark.parametrize(("make", "good", "name", "value"), BAD, ids=map(named, BAD))
def test_a_bad_input_is_said(make, good, name, value):
    with pytest.raises(ValueError, match=r"expected .* got ") as caught:
        make(*good, **{name: value})
    assert type(caught.value) is ValueError
    assert SOURCE in Path(caught.traceback[-1].path).parents
    said = str(caught.value)
    assert name in said or name.rstrip("s") in said, said


RESULTS = """Activity Bounds ClampedAction ClampedHarmonics Estimate Info Nudged PathInfo Phases Price
    Report Sharpness SpikingCarry SpikingReport ThermalReport"""
NUMBERS_ALONE = """Detuned Instance Ranges Stuck activity check_temperature check_tolerance
    concrete couplings displacement fields injections log_density lost_unless membranes midpoint
    rates residual spikes stand_in straight_through to_circle to_grid verlet"""


def test_all_that_is_public_is_in_the_table():
    """But for what our own functions return, and what takes arrays alone."""
    makes = [getattr(make, "func", make) for make, *_ in BAD]
    held = {getattr(make, "__qualname__", type(make).__qualname__).split(".")[0] for make in makes}
    held |= {*RESULTS.split(), *NUMBERS_ALONE.split()}
    for module in (eq, eq.solvers, samplers, spiking, lagrangian, hardware):
        for name in set(module.__all__) - held:
            found = getattr(module, name)
            if callable(found) and not inspect.isabstract(found):
                assert not list(inspect.signature(found).parameters), name


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_an_empty_batch_is_said(estimator):
    empty = {name: z[:0] for name, z in STATE.items()}
    with pytest.raises(ValueError, match=r"of one example or more, got x \(0, 4\), y \(0, 2\)"):
        estimator(MODEL, X[:0], Y[:0], empty, KEY)
    with pytest.raises(ValueError, match="of one example or more"):
        eq.relax(MODEL, X[:0], empty, SOLVER)


def test_the_fields_of_a_dataclass():
    @dataclasses.dataclass
    class Pair:
        first: Count
        second: tuple[float, ...] = ()

        __post_init__ = require_types

    Pair(1, (0.5, 2))
    with pytest.raises(
        ValueError, match=r"Pair: expected second to be a tuple, each a number, got 3"
    ):
        Pair(1, 3)
    with pytest.raises(ValueError, match=r"Pair: expected first >= 1, a whole number, got 1.5"):
        Pair(1.5)


def test_swapped_arguments_are_said():
    with pytest.raises(
        ValueError, match="a Solver, got a Fixed; it would do as contrast: are the two"
    ):
        eq.EquilibriumPropagation(CONTRAST, SOLVER)
    with pytest.raises(ValueError, match="a Source, got a ContrastRule; it would do as rule"):
        eq.thermal.Thermal(eq.thermal.finite_nudge(1.0), CHAINS)
    with pytest.raises(ValueError, match="an Energy, got a SquaredError; it would do as cost"):
        eq.Model(MODEL.cost, MODEL.energy)
    with pytest.raises(ValueError, match="an Estimator, got a Programs; it would do as program"):
        hardware.Programmed(hardware.Programs(), EP)


@pytest.mark.parametrize(
    ("hint", "good", "poor"),
    [
        (float, (1, 0.5, np.float32(0.5), np.int64(3), jnp.asarray(0.5), INF), NUMBERS),
        (int, (1, np.int64(3), np.uint8(3)), (1.0, True, np.float64(1), jnp.asarray(1.0))),
        (bool, (True, np.bool_(False)), (0, 1, None)),
        (jax.Array, (X, np.ones(2), KEY, jax.ShapeDtypeStruct((2,), jnp.float32)), ARRAYS),
    ],
    ids=["float", "int", "bool", "array"],
)
def test_what_counts_as_which_kind(hint, good, poor):
    assert all(fits(hint, value) for value in good)
    assert not any(fits(hint, value) for value in poor)


def test_annotations_of_others_are_theirs():
    class Cost(eq.Cost):
        output: str = "out"
        scale: float = None

        def __call__(self, shown, y):
            return jnp.zeros(())

        predict = curvature = __call__

    assert Cost(scale="large").scale == "large"


def dense(inputs, outputs):
    return ops.Dense(jnp.zeros((inputs, outputs)))


@pytest.mark.parametrize("name", ["x", "cost", "a-b", "a.b", "a/b", "a\\b", "", " "])
def test_layers_have_names_that_nothing_else_has(name):
    with pytest.raises(ValueError, match=r"Network: expected .*name.* got"):
        eq.Network(2, {name: eq.Layer(2, eq.Box())}, [("x", name, dense(2, 2))])


def test_names_of_parameters_keep_the_names_of_layers():
    """Also where a layer is called as an attribute of our own modules is."""
    layers = {name: eq.Layer(2, eq.Box()) for name in ("op", "unit", "layers", "edges")}
    edges = [("x", "op", dense(2, 2)), ("op", "unit", dense(2, 2))]
    model = eq.Model(eq.Network(2, layers, edges), eq.SquaredError("unit"))
    names = {f"{name}.bias" for name in layers} | {"x-op.weight", "op-unit.weight"}
    assert set(jax.tree.leaves(parameter_names(model))) == names


def test_two_parameters_of_one_name_are_refused():
    params = {"a.b": jnp.ones(1), "a": {"b": jnp.ones(1)}}
    model = eq.Model(eq.FunctionEnergy(lambda p, s, x: 0.0, params, {"out": 1}), eq.SquaredError())
    with pytest.raises(ValueError, match=r"a name for each parameter, got \['a.b'\] for several"):
        parameter_names(model)
    gradient = {ALL: jnp.ones(1)}
    with pytest.raises(ValueError, match="other names of parameters than 'all parameters'"):
        compare(gradient, gradient)


@pytest.mark.parametrize("name", ["loss", "epoch", "seconds", "validation_loss"])
def test_a_report_does_not_overwrite_what_training_logs(name):
    assert _apart({"loss": X}, {"mine": X}) == {"mine": X}
    with pytest.raises(ValueError, match=rf"metrics: expected other names .*got \['{name}'\]"):
        _apart({"loss": X}, {name: X})


def test_nudges_that_agree_to_three_digits_are_recorded_apart():
    assert _named(jnp.array([-0.1, 0.1])) == ["beta = -0.1", "beta = 0.1"]
    assert len(set(_named(jnp.array([0.1, 0.10001])))) == 2


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: eq.layered((4, 2), 3),
            r"to be an array, got 3; make one by jax.random.key\(3\)\.",
        ),
        (lambda: eq.Layer(2, eq.Box), r"unit to be a Unit, got .*; make one: Box\(\.\.\.\)\."),
    ],
    ids=["key", "class"],
)
def test_what_was_meant_is_said(make, says):
    with pytest.raises(ValueError, match=says):
        make()
