"""What a training run is, as frozen data: what every recipe has."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

import jax
from jaxtyping import PRNGKeyArray

from eqprop.build import OUTPUT, with_injections, with_read_out
from eqprop.choices import (
    SPIKING,
    UNITS,
    ContrastName,
    DataName,
    EstimatorName,
    OptimiserName,
    PrecisionName,
    ScheduleName,
    SolverName,
    UnitName,
)
from eqprop.costs import SquaredError
from eqprop.data import Dataset
from eqprop.feedback import nudge_scale, with_weak_feedback
from eqprop.model import Model
from eqprop.oscillator import Oscillator
from eqprop.units import Unit

NOT_NEGATIVE = ("tolerance", "examples", "nudged_steps", "noise", "parameter_bits", "state_bits")
EP_ONLY = ("state_bits", "nudged_steps", "differences")
LEAST_NUDGE = 1e-30
Channels = tuple[float, ...]


def _require_kinds(recipe: Recipe) -> None:
    for name, kind in get_type_hints(type(recipe)).items():
        value = getattr(recipe, name)
        choices = get_args(kind) if get_origin(kind) is Literal else (value,)
        if value not in choices:
            close = difflib.get_close_matches(str(value), choices, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}.{hint}")
        if get_origin(kind) is tuple and not isinstance(value, tuple):
            raise ValueError(f"{name}: expected a tuple, such as ({value!r},), got {value!r}.")


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
    """Gradient: equilibrium propagation, implicit differentiation, back-propagation through time; backprop
    of a feed-forward pass of the same layers; thermal in recipes with a temperature, spiking and surrogate
    in those of spiking networks."""
    contrast: ContrastName = "symmetric"
    """Which nudges EP compares."""
    beta: float = 0.5
    """Nudge (largest nudge, or radius)."""
    points: int = 4
    """Number of nudges of n-point and holomorphic contrasts."""

    solver: SolverName = "blockwise"
    """How the network relaxes; alternating sweeps odd and even layers, coupled or not; ordered sweeps one
    layer after another, from the input up when free and from the output down when nudged."""
    feedback: float = 1.0
    """How loud a layer is heard from the one below, of how loud it hears that one; 1 is the usual energy;
    towards 0 equilibrium propagation becomes back-propagation, and weights may grow. Below 1 it needs a
    tolerance of 0, a number of sweeps, and differences."""
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
    precision: PrecisionName = "full"
    """Float type in which states relax, or tf32 products on GPUs that have them; gradients are full."""
    differences: bool = False
    """Carry nudged phases as differences from the free one, which keeps the digits of small nudges, and
    refine free phases of a smaller float type to the tolerance."""
    independent_noise: bool = False
    """Give each nudged phase noise of its own, as a machine does, in place of a common one that cancels."""

    optimiser: OptimiserName = "adam"
    """Optimiser (momentum is Nesterov's, heavy-ball is without; both 0.9)."""
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
    """Train on the first so many examples only; 0, or more than there are, is all that are not held out."""
    validation: int = 5000
    """Training examples held out for choosing the best epoch."""
    test_last: bool = False
    """Test the last epoch, not the best on the examples held out; where these are few, luck chooses."""
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
        _require_kinds(self)
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
        if self.estimator == "thermal" and not hasattr(self, "temperature"):
            raise ValueError(
                "estimator: expected a recipe with a temperature for thermal, as fashion-mnist-thermal."
            )
        if self.estimator in SPIKING and not hasattr(self, "leak"):
            raise ValueError(
                f"estimator: expected a recipe of a spiking network for {self.estimator}, as mnist-spiking."
            )
        if self.estimator == "backprop" and "oscillator" in (self.unit, self.output):
            raise ValueError(
                "estimator: expected units that are numbers for backprop, got oscillator."
            )
        if not 0 < self.feedback <= 1:
            raise ValueError(f"feedback: expected a number in (0, 1], got {self.feedback}.")
        if self.feedback < 1:
            self._check_weak_feedback()
        if self.solver == "langevin" and self.estimator != "ep":
            raise ValueError(
                f"solver: expected the estimator ep with the noise of langevin, got {self.estimator}."
            )
        if self.test_last and self.patience:
            raise ValueError(
                f"test_last: expected patience of 0, since no epoch is better than the last, got "
                f"{self.patience}."
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

    def _check_weak_feedback(self) -> None:
        """Layers that are kept small, and answers that fade, hardly count in a residual or a float."""
        if self.estimator in ("thermal", *SPIKING):
            raise ValueError(
                f"feedback: expected 1 with the estimator {self.estimator}, whose noise would drown the "
                f"answers of the first layers, got {self.feedback}."
            )
        if self.estimator == "backprop":
            return
        if self.tolerance:
            raise ValueError(
                "feedback: expected a tolerance of 0 below 1, since layers that are kept small hardly "
                f"count in a residual, got {self.tolerance}; take max_steps sweeps, such as 4 with ordered."
            )
        few = self.precision not in ("full", "tf32")
        if self.estimator == "ep" and (few or not self.differences):
            raise ValueError(
                "feedback: expected differences (--differences), in the precision full or tf32, below 1, "
                "since the answers of the first layers are lost in the rounding of their states, got "
                f"{self.precision if few else 'no differences'}."
            )
        if abs(self.beta) * self.nudge_scale < LEAST_NUDGE:
            least = (LEAST_NUDGE / abs(self.beta)) ** (1 / (len(self.order) - 1))
            raise ValueError(
                f"feedback: expected at least {least:.1g} with {len(self.order)} layers and a beta of "
                f"{self.beta:g}, whose answers floats still hold, got {self.feedback}."
            )

    @property
    def fixed_steps(self) -> bool:
        """Whether relaxations take a number of steps, and are not asked to settle."""
        return self.tolerance == 0 or self.solver == "langevin"

    @property
    def nudge_scale(self) -> float:
        """What beta is multiplied by, in a model that keeps its output small."""
        return nudge_scale(self.feedback, len(self.order))

    @property
    def hidden_layers(self) -> tuple[str, ...]:
        """The names of the layers from the input to the last before the output."""
        raise TypeError("Recipe is abstract: use DenseRecipe or ConvRecipe.")

    @property
    def order(self) -> tuple[str, ...]:
        """The names of the layers from the input; a read-out is none."""
        return (*self.hidden_layers, OUTPUT) if self.cost == "squared-error" else self.hidden_layers

    @property
    def normalisation(self) -> tuple[Channels, Channels]:
        """Mean and deviation of pixels in [0, 1]: numbers for each channel, or one for all."""
        return (0.0,), (1.0,)

    @property
    def smaller(self) -> dict[str, Any]:
        """What a quick trial changes besides the number of epochs and examples."""
        return {}

    def framed(self, data: Dataset) -> Dataset:
        """The data in the shape that the network takes."""
        return data

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
            model = with_read_out(model, data.classes, read_out, self.gain[-1])
        else:
            model = Model(model.energy, SquaredError(model.cost.output, *self.target))
        return with_weak_feedback(model, self.feedback) if self.feedback < 1 else model
