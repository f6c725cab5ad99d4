"""Recipes: all that a training run is, as frozen data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
from jaxtyping import PRNGKeyArray

from eqprop.build import convolutional, layered, with_injections, with_read_out
from eqprop.costs import SquaredError
from eqprop.data import Dataset
from eqprop.model import Model
from eqprop.ops import AveragePool, MaxPool
from eqprop.oscillator import Oscillator
from eqprop.ramp import Ramp
from eqprop.spiking_recipes import SPIKING, Spikes
from eqprop.spins import Bernoulli, Spin
from eqprop.units import Box, Linear, Logistic, Tanh, Unit, hard_tanh, relu, relu6

PoolName = Literal["average", "max"]
DataName = Literal["digits", "mnist", "mnist-100", "mnist-1000", "fashion-mnist", "cifar-10"]
UnitName = Literal[
    "clip",
    "half-clip",
    "relu",
    "relu6",
    "hard-tanh",
    "linear",
    "logistic",
    "tanh",
    "oscillator",
    "spin",
    "bernoulli",
]
SolverName = Literal["blockwise", "momentum", "spectral", "gradient", "flow", "langevin"]
ContrastName = Literal["symmetric", "one-sided", "random-sign", "n-point", "holomorphic"]
ScheduleName = Literal["cosine", "constant"]
EstimatorName = Literal["ep", "implicit", "bptt", "thermal", "spiking", "surrogate"]
SamplerName = Literal["gibbs", "langevin", "underdamped", "mala", "hmc", "nuts"]
ReadingName = Literal["draws", "means"]
RuleName = Literal["contrast", "symmetric", "path-integral", "covariance", "reweighting"]

UNITS: dict[UnitName, Callable[[], Unit]] = {
    "clip": Box,
    "half-clip": Ramp,
    "relu": relu,
    "relu6": relu6,
    "hard-tanh": hard_tanh,
    "linear": Linear,
    "logistic": Logistic,
    "tanh": Tanh,
    "oscillator": Oscillator,
    "spin": Spin,
    "bernoulli": Bernoulli,
}
NOT_NEGATIVE = ("tolerance", "examples", "nudged_steps", "noise", "parameter_bits", "state_bits")
EP_ONLY = ("state_bits", "nudged_steps")
POOLS: dict[PoolName, type[AveragePool] | type[MaxPool]] = {"average": AveragePool, "max": MaxPool}


@dataclass(frozen=True)
class Recipe:
    """What to train, on what, and how. Energies and times are dimensionless."""

    data: DataName = "digits"
    """Data set."""
    unit: UnitName = "clip"
    """Unit of the hidden layers; clip is the interval [0, 1]."""
    output: UnitName = "linear"
    """Unit of the output layer."""
    injection: float = 0.0
    """Second-harmonic injection of oscillators; a negative one keeps them from locking at 0 and pi."""
    train_injection: bool = False
    """Whether each oscillator's injection learns."""
    cost: Literal["squared-error", "cross-entropy"] = "squared-error"
    """Cost; cross-entropy replaces the output layer by a trained softmax read-out."""
    target: tuple[float, float] = (0.0, 1.0)
    """What a squared error asks of the wrong classes and of the right one."""
    gain: tuple[float, ...] = (1.0,)
    """Initial weights are uniform in +-gain / sqrt(fan_in): one for all edges, or one each."""

    estimator: EstimatorName = "ep"
    """Gradient: equilibrium propagation, implicit differentiation, back-propagation through time; thermal
    in recipes with a temperature, spiking and surrogate in those of spiking networks."""
    contrast: ContrastName = "symmetric"
    """Which nudges EP compares."""
    beta: float = 0.5
    """Nudge (largest nudge, or radius)."""
    points: int = 4
    """Number of nudges of n-point and holomorphic contrasts."""

    solver: SolverName = "blockwise"
    """How the network relaxes."""
    tolerance: float = 1e-3
    """Relative residual at which an example counts as settled; 0 takes exactly max_steps steps."""
    max_steps: int = 60
    """Steps after which a relaxation gives up (and is counted); bptt unrolls this many."""
    nudged_steps: int = 0
    """The same for the nudged phases; 0 is max_steps."""
    step_size: float = 0.5
    """Step of the solvers gradient and langevin."""
    noise: float = 0.0
    """Phase noise xi of the solver langevin: step_size * xi * N(0, 1) a step."""
    independent_noise: bool = False
    """Give each nudged phase noise of its own, as a machine does, in place of a common one that cancels."""

    optimiser: Literal["adam", "momentum", "sgd"] = "adam"
    """Optimiser (momentum is Nesterov's, 0.9)."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    schedule: ScheduleName = "cosine"
    """What the learning rate does after its warm-up; cosine takes it to zero at the last step."""
    warmup: float = 0.0
    """Epochs over which the learning rate rises from zero."""
    layer_rates: tuple[float, ...] = ()
    """Learning rate of each edge, in order from the input, as multiples of the rate; () is all 1."""
    bias_rate: float = 1.0
    """Learning rate of biases, as a multiple of that of their layer's first edge."""
    injection_rate: float = 1.0
    """The same for injections."""
    weight_decay: float = 0.0
    """Decoupled weight decay."""
    epochs: int = 30
    """Passes over the training data."""
    batch_size: int = 64
    """Examples a step."""
    shift: int = 0
    """Augmentation: random shifts of up to this many pixels."""
    examples: int = 0
    """Train on the first so many examples only; 0 is all that are not held out."""
    validation: int = 5000
    """Training examples held out for choosing the best epoch."""
    patience: int = 0
    """Stop after this many epochs without a better validation accuracy; 0 never does."""
    seed: int = 0
    """Seed of weights, shuffling, augmentation and noise."""

    parameter_bits: int = 0
    """Bits of every parameter on the device; 0 is floating point."""
    parameter_range: float = 1.0
    """Quantised parameters lie in +- this."""
    without_master: bool = False
    """Round every update to the device's levels, instead of keeping floating-point parameters beside it."""
    stochastic_rounding: bool = False
    """Without a master copy, round up or down at random, so that small updates count on average."""
    state_bits: int = 0
    """Bits with which settled states are read while training; 0 is floating point."""

    def check(self) -> None:
        """Raise ``ValueError`` where a value makes no sense."""
        if not all(gain > 0 for gain in self.gain):
            raise ValueError(f"gain: expected numbers > 0, got {self.gain}.")
        positive = ("step_size", "max_steps", "learning_rate", "epochs", "batch_size")
        for name in (*positive, "validation"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected a number > 0, got {getattr(self, name)}.")
        for name in ("weight_decay", "warmup", "shift", "patience", *NOT_NEGATIVE):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: expected a number >= 0, got {getattr(self, name)}.")
        if self.tolerance == 0 and (self.solver == "flow" or self.estimator == "implicit"):
            raise ValueError(
                "tolerance: expected a number > 0 with the solver flow or the estimator implicit, got 0 "
                f"with {self.solver} and {self.estimator}."
            )
        for name in EP_ONLY:
            phased = self.estimator == "spiking" and name == "nudged_steps"
            if getattr(self, name) and self.estimator != "ep" and not phased:
                raise ValueError(
                    f"{name}: expected the estimator ep, whose phases it acts on, got {self.estimator}."
                )
        if self.estimator == "thermal" and not isinstance(self, ThermalRecipe):
            raise ValueError(
                "estimator: expected a recipe with a temperature for thermal, as fashion-mnist-thermal."
            )
        if self.estimator in SPIKING and not isinstance(self, Spikes):
            raise ValueError(
                f"estimator: expected a recipe of a spiking network for {self.estimator}, as mnist-spiking."
            )
        if self.solver == "langevin" and self.estimator != "ep":
            raise ValueError(
                f"solver: expected the estimator ep with the noise of langevin, got {self.estimator}."
            )
        if self.without_master and not self.parameter_bits:
            raise ValueError("without_master: expected parameter_bits of 1 or more, got 0.")
        if self.stochastic_rounding and not self.without_master:
            raise ValueError(
                "stochastic_rounding: expected without_master, whose updates it rounds."
            )
        oscillators = "oscillator" in (self.unit, self.output)
        if (self.injection or self.train_injection) and not oscillators:
            raise ValueError(
                f"injection: expected oscillators, got the units {self.unit} and {self.output}."
            )
        if self.noise and self.solver != "langevin":
            raise ValueError(
                f"noise: expected the solver langevin with noise {self.noise}, got {self.solver}."
            )
        if self.warmup >= self.epochs:
            raise ValueError(
                f"warmup: expected fewer than the {self.epochs} epochs, got {self.warmup}."
            )
        if not math.isfinite(self.beta) or self.beta == 0:
            raise ValueError(
                f"beta: expected a finite nudge other than 0, got {self.beta}; 0.1 to 0.5 is usual."
            )
        lowest = self.beta if self.contrast == "one-sided" else -abs(self.beta)
        bounded = self.output == "oscillator" or self.cost != "squared-error"
        if self.estimator == "ep" and not bounded and lowest <= -1:
            raise ValueError(
                f"beta: expected nudges above -1 with a squared error, got {lowest} ({self.contrast}); "
                "from -1 on, E + beta C is not convex in the output and may have no minimum. Use a "
                "smaller beta, or one-sided with a positive one."
            )

    @property
    def fixed_steps(self) -> bool:
        """Whether relaxations take a number of steps, and are not asked to settle."""
        return self.tolerance == 0 or self.solver == "langevin"

    def network(self, data: Dataset, key: PRNGKeyArray) -> Model:
        """The model with a squared error, before the choice of a cost."""
        raise TypeError("Recipe is abstract: use DenseRecipe or ConvRecipe.")

    def make_unit(self, name: UnitName) -> Unit:
        """The unit of that name, an oscillator with the recipe's injection."""
        return Oscillator(self.injection) if name == "oscillator" else UNITS[name]()

    def build(self, data: Dataset) -> Model:
        """The model at initialisation."""
        weights, read_out = jax.random.split(jax.random.key(self.seed))
        model = self.network(data, weights)
        if self.train_injection:
            model = with_injections(model, self.injection)
        if self.cost == "cross-entropy":
            return with_read_out(model, data.classes, read_out, self.gain[-1])
        low, high = self.target
        return Model(model.energy, SquaredError(model.cost.output, low, high))


@dataclass(frozen=True)
class DenseRecipe(Recipe):
    """A chain of dense layers."""

    hidden: tuple[int, ...] = (256,)
    """Sizes of the hidden layers."""

    def network(self, data: Dataset, key: PRNGKeyArray) -> Model:
        sizes = (data.features, *self.hidden, data.classes)
        return layered(
            sizes, key, self.make_unit(self.unit), self.make_unit(self.output), self.gain
        )


@dataclass(frozen=True)
class ThermalRecipe(DenseRecipe):
    """A chain of dense layers whose phases are Gibbs laws at a temperature."""

    estimator: EstimatorName = "thermal"
    """Gradient: thermal samples the phases; the others take them at zero temperature."""
    rule: RuleName = "contrast"
    """How phases make a gradient: the finite nudge against the free phase; symmetric nudges; the path
    integral of loss-energy covariances; its free end, the covariance; reweighted free samples."""
    nodes: int = 3
    """Nudges of the path integral."""
    reading: ReadingName = "means"
    """What enters the gradient: draws, or conditional means of the hidden layers that the output does not
    couple inside, which have less variance."""
    temperature: float = 0.1
    """Temperature T, in units of the energy."""
    sampler: SamplerName = "gibbs"
    """Markov kernel; gibbs draws whole layers exactly, the others make steps of step_size."""
    chains: int = 4
    """Chains for each example and nudge."""
    burn: int = 20
    """Steps before the first sample."""
    samples: int = 2
    """Samples of each chain."""
    thinning: int = 5
    """Steps from one sample to the next."""
    hot: float = 1.0
    """Temperature at the start of the burn-in, as a multiple of T, to which it falls geometrically."""
    persistent: bool = False
    """Let chains go on from where those of the last batch ended; else each batch begins at rest."""
    exchange: bool = False
    """Swap the states of neighbouring nudges (replica exchange); needs independent_noise."""

    def check(self) -> None:
        super().check()
        if self.estimator == "thermal" and not 0 < self.temperature < math.inf:
            raise ValueError(
                f"temperature: expected a finite number > 0, got {self.temperature}; at T = 0 use "
                "--estimator ep."
            )
        if self.exchange and not self.independent_noise:
            raise ValueError(
                "exchange: expected independent_noise, without which replicas are no such."
            )
        for name in ("chains", "samples", "thinning", "nodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a number >= 1, got {getattr(self, name)}.")
        curved = {"logistic", "tanh", "oscillator"} & {self.unit}
        if self.estimator == "thermal" and self.reading == "means" and curved:
            raise ValueError(
                f"reading: expected draws with the unit {self.unit}, whose mean is not known, got "
                "means; use --reading draws."
            )
        if self.estimator != "thermal" and {"spin", "bernoulli"} & {self.unit, self.output}:
            raise ValueError(
                f"unit: expected the estimator thermal with spins, which have no gradient, got "
                f"{self.estimator}."
            )


@dataclass(frozen=True)
class ConvRecipe(Recipe):
    """Convolutions, each pooled 2x2, then a dense layer."""

    channels: tuple[int, ...] = (16, 32)
    """Channels of each convolution."""
    kernel: tuple[int, ...] = (5, 3)
    """Size of each convolution's kernel."""
    pool: PoolName = "average"
    """Pooling after each convolution."""

    def check(self) -> None:
        super().check()
        if self.pool == "max" and self.unit == "oscillator":
            raise ValueError(
                "pool: expected average with oscillators, whose two components have no common largest, "
                "got max."
            )

    def network(self, data: Dataset, key: PRNGKeyArray) -> Model:
        return convolutional(
            data.image_shape,
            self.channels,
            data.classes,
            key,
            self.make_unit(self.unit),
            self.make_unit(self.output),
            self.kernel,
            POOLS[self.pool],
            self.gain,
        )


@dataclass(frozen=True)
class SpikingRecipe(Spikes, DenseRecipe):
    """A chain of dense layers of neurons that spike."""


@dataclass(frozen=True)
class SpikingConvRecipe(Spikes, ConvRecipe):
    """Convolutions of neurons that spike, each pooled 2x2, then dense layers."""

    dense: tuple[int, ...] = (128,)
    """Sizes of the dense layers before the output."""

    def in_short(self) -> dict[str, Any]:
        return {**super().in_short(), "channels": tuple(n // 4 for n in self.channels)}

    def network(self, data: Dataset, key: PRNGKeyArray) -> Model:
        return convolutional(
            data.image_shape,
            self.channels,
            data.classes,
            key,
            self.make_unit(self.unit),
            self.make_unit(self.output),
            self.kernel,
            POOLS[self.pool],
            self.gain,
            self.dense,
        )


KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (DenseRecipe, ThermalRecipe, ConvRecipe, SpikingRecipe, SpikingConvRecipe)
}


def to_config(name: str, recipe: Recipe) -> dict[str, Any]:
    """What a run folder keeps of a recipe."""
    return {"name": name, "kind": type(recipe).__name__, **dataclasses.asdict(recipe)}


def from_config(config: Mapping[str, Any]) -> Recipe:
    """The recipe of a run folder; ``ValueError`` where another version wrote it."""
    name, kind = config.get("name"), str(config.get("kind"))
    fields = {k: v for k, v in config.items() if k not in ("name", "kind")}
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    known = {field.name for field in dataclasses.fields(KINDS[kind])} if kind in KINDS else set()
    if set(values) != known:
        raise ValueError(
            f"config of {name!r}: expected one of {sorted(KINDS)} with its own fields, got {kind!r} with "
            f"{sorted(set(values) ^ known)} unknown or missing; another version of eqprop wrote it."
        )
    return KINDS[kind](**values)


def _images(name: DataName) -> DenseRecipe:
    return DenseRecipe(
        data=name,
        hidden=(2048,),
        beta=0.3,
        learning_rate=4e-4,
        weight_decay=0.1,
        epochs=25,
        batch_size=100,
    )


def _oscillators(name: DataName, learning_rate: float, weight_decay: float) -> DenseRecipe:
    return DenseRecipe(
        data=name,
        hidden=(500,),
        unit="oscillator",
        output="oscillator",
        target=(-1.0, 1.0),
        gain=(0.5, 0.25),
        beta=0.1,
        solver="gradient",
        tolerance=0.0,
        step_size=0.5,
        max_steps=40,
        nudged_steps=8,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        epochs=30,
        batch_size=50,
    )


def _spiking_images(name: DataName) -> SpikingConvRecipe:
    """Two convolutions and two dense layers, as in Lin, Bal and Sengupta (arXiv 2405.02546)."""
    return SpikingConvRecipe(
        data=name,
        output="clip",
        channels=(32, 64),
        kernel=(5,),
        gain=(4.0, 2.0, 1.0, 1.0),
        beta=1.0,
        max_steps=40,
        nudged_steps=20,
        averaged=10,
        learning_rate=1e-3,
        epochs=8,
        batch_size=100,
    )


RECIPES: dict[str, Recipe] = {
    "digits": DenseRecipe(
        hidden=(256,), beta=0.1, epochs=60, batch_size=32, validation=200, learning_rate=2e-3
    ),
    "mnist-dense": _images("mnist"),
    "fashion-mnist-dense": _images("fashion-mnist"),
    "mnist-conv": ConvRecipe(
        data="mnist",
        unit="relu",
        pool="max",
        cost="cross-entropy",
        epochs=9,
        batch_size=100,
        beta=0.1,
        gain=(9.6, 0.6, 1.0),
        layer_rates=(4.0, 0.25, 1.0),
        learning_rate=2e-3,
        tolerance=5e-6,
        shift=1,
    ),
    "mnist-oscillators": _oscillators("mnist", 3e-4, 1.0),
    "mnist-100-oscillators": dataclasses.replace(
        _oscillators("mnist-100", 1e-3, 2.0),
        hidden=(120,),
        validation=100,
        batch_size=20,
        shift=2,
        epochs=100,
    ),
    "digits-thermal": ThermalRecipe(
        hidden=(64,),
        unit="hard-tanh",
        beta=1.0,
        temperature=0.02,
        burn=8,
        thinning=2,
        learning_rate=4e-3,
        epochs=20,
        batch_size=32,
        validation=200,
    ),
    "fashion-mnist-thermal": ThermalRecipe(
        data="fashion-mnist",
        hidden=(256,),
        beta=1.0,
        temperature=0.005,
        burn=4,
        thinning=1,
        learning_rate=1e-3,
        epochs=10,
        batch_size=100,
    ),
    "fashion-mnist-oscillators": _oscillators("fashion-mnist", 1e-4, 1.0),
    "mnist-spiking": SpikingRecipe(
        data="mnist",
        hidden=(512,),
        unit="logistic",
        output="logistic",
        beta=0.5,
        learning_rate=1.5e-3,
        epochs=20,
        batch_size=64,
    ),
    "mnist-spiking-conv": _spiking_images("mnist"),
    "fashion-mnist-spiking-conv": _spiking_images("fashion-mnist"),
}
