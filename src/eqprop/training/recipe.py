"""What a training run is, as frozen data: what every recipe has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax
from jaxtyping import PRNGKeyArray

from eqprop.energies.architectures import OUTPUT, with_injections, with_read_out
from eqprop.energies.costs import SquaredError
from eqprop.energies.feedback import nudge_scale, with_stiff_layers, with_weak_feedback
from eqprop.energies.model import Model
from eqprop.energies.units.oscillator import Oscillator
from eqprop.energies.units.unit import Unit
from eqprop.hardware import Ranges
from eqprop.training.choices import (
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
from eqprop.training.data.datasets import Dataset
from eqprop.training.recipe_checks import check_recipe

Channels = tuple[float, ...]


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
    quadrature: float = 0.0
    """Field on the sine of each oscillator, which keeps it from locking too."""
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
    towards 0 equilibrium propagation becomes back-propagation, and weights may grow. Below 1, without
    spikes, it needs a tolerance of 0, a number of sweeps, and, but for oscillators, differences."""
    tolerance: float = 1e-3
    """Relative residual at which an example counts as settled; 0 takes exactly max_steps steps."""
    max_steps: int = 60
    """Steps after which a relaxation gives up (and is counted); bptt unrolls this many."""
    nudged_steps: int = 0
    """The same for the nudged phases, where the estimator has such; 0 is max_steps."""
    step_size: float = 0.5
    """Step of the solvers gradient and langevin."""
    noise: float = 0.0
    """Phase noise xi of the solver langevin: step_size * xi * N(0, 1) a step."""
    precision: PrecisionName = "full"
    """Float type in which states relax, or tf32 products on GPUs that have them; gradients are full."""
    differences: bool = False
    """Carry nudged phases, where the estimator has such, as differences from the free one, which keeps the
    digits of small nudges, and refine free phases of a smaller float type to the tolerance."""
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
    layer_ranges: tuple[float, ...] = ()
    """Range of each layer's couplings and fields, in order from the input, as multiples of parameter_range;
    () is all 1."""
    without_master: bool = False
    """Round every update to the device's levels, instead of keeping floating-point parameters beside it."""
    stochastic_rounding: bool = False
    """Without a master copy, round up or down at random, so that small updates count on average."""
    state_bits: int = 0
    """Bits with which settled states are read while training; 0 is floating point."""

    def check(self) -> None:
        """Raise ``ValueError`` where a value makes no sense."""
        check_recipe(self)

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
    def ranges(self) -> Ranges:
        """The ranges of quantised parameters."""
        factors = dict(zip(self.order, self.layer_ranges, strict=False))
        return Ranges(self.parameter_range, tuple(factors.items()))

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
        """The unit of that name, an oscillator with the recipe's injection and quadrature."""
        if name == "oscillator":
            return Oscillator(self.injection, self.quadrature)
        return UNITS[name]()

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
        return self.weakened(model) if self.feedback < 1 else model

    def weakened(self, model: Model) -> Model:
        """The model with the recipe's feedback."""
        weaken = (
            with_stiff_layers if "oscillator" in (self.unit, self.output) else with_weak_feedback
        )
        return weaken(model, self.feedback)
