"""Deep convolutional networks as recipes, trained as image classifiers are: residual, or pooled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import jax
from jaxtyping import PRNGKeyArray

from eqprop.energies.architectures import (
    GAINS,
    channels_of,
    convolutional,
    hopfield_resnet,
    with_biases,
)
from eqprop.energies.model import Model
from eqprop.energies.ops import MaxPool
from eqprop.training.choices import OptimiserName, ScheduleName, SolverName, UnitName
from eqprop.training.data.datasets import Dataset, frame
from eqprop.training.recipe import Channels, Recipe

ArchitectureName = Literal["resnet", "vgg"]

KERNEL = 3


@dataclass(frozen=True)
class VisionRecipe(Recipe):
    """Residual blocks or pooled convolutions, then a dense layer; augmented images."""

    architecture: ArchitectureName = "resnet"
    """resnet: two 3x3 convolutions a block, the second of stride 2 beside a 1x1 skip; vgg: one 3x3
    convolution a block, and maximum pooling."""
    width: int = 128
    """Channels of the first block; the second has twice, the others four times as many."""
    blocks: int = 4
    """Number of blocks, each of which halves the image; 4 are ResNet13 and VGG5."""
    no_skips: bool = False
    """Leave the skips out."""
    unit: UnitName = "relu6"
    """Unit of the hidden layers; relu6 is the interval [0, 6], clip is [0, 1]."""
    gain: tuple[float, ...] = GAINS
    """Initial weights are uniform in +-gain / sqrt(fan_in): one for all; of resnet one each for
    convolutions, skips and the dense layer; of vgg one each."""
    bias_gain: float = 0.5
    """The same for biases; 0 starts them at zero."""
    beta: float = 0.1
    """Nudge."""
    solver: SolverName = "momentum"
    """How the network relaxes; alternating sweeps odd and even layers, coupled or not; ordered sweeps one
    layer after another, from the input up when free and from the output down when nudged."""
    warm_start: Literal["rest", "free", "nudged"] = "rest"
    """Where a free phase begins: at rest, or where the last batch's free or last nudged phase ended."""

    optimiser: OptimiserName = "momentum"
    """Optimiser (momentum is Nesterov's, heavy-ball is without; both 0.9)."""
    learning_rate: float = 0.03
    """Peak learning rate."""
    schedule: ScheduleName = "cosine"
    """What the learning rate does after its warm-up; cosine takes it to final_rate at the last step."""
    final_rate: float = 2e-6
    """Learning rate at the end of the cosine."""
    clip_norm: float = 1.0
    """Largest norm of the whole gradient, to which a longer one is shortened; 0 leaves it as it is."""
    weight_decay: float = 2.5e-4
    """Coefficient of |theta|^2 / 2, whose gradient is added to the clipped one, and so gains momentum."""
    decoupled_decay: bool = False
    """Apply the weight decay beside the optimiser instead."""
    epochs: int = 300
    """Passes over the training data."""
    batch_size: int = 128
    """Examples a step."""

    no_flip: bool = False
    """Do not mirror images left to right, with probability one half, as augmentation."""
    randaugment: tuple[int, int] = (0, 9)
    """Augmentation: so many random operations an image, of this magnitude (0 to 30)."""
    crop: int = 0
    """Augmentation: shifts of up to this many pixels that repeat the edge."""
    mean: tuple[float, ...] = ()
    """Mean of each channel of pixels in [0, 1], which is subtracted; () subtracts nothing."""
    std: tuple[float, ...] = ()
    """What each channel is divided by then; () divides by nothing."""

    def check(self) -> None:
        super().check()
        for name in ("width", "blocks"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a number >= 1, got {getattr(self, name)}.")
        for name in ("bias_gain", "final_rate", "clip_norm", "crop"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: expected a number >= 0, got {getattr(self, name)}.")
        operations, magnitude = self.randaugment
        if operations < 0 or not 0 <= magnitude <= 30:
            raise ValueError(
                "randaugment: expected a number of operations >= 0 and a magnitude of 0 to 30, got "
                f"{self.randaugment}."
            )
        if not all(deviation > 0 for deviation in self.std):
            raise ValueError(f"std: expected numbers > 0, one a channel, got {self.std}.")
        if self.no_skips and self.architecture != "resnet":
            raise ValueError(
                f"no_skips: expected the architecture resnet, which has some, got {self.architecture}."
            )
        if self.warm_start != "rest" and self.estimator != "ep":
            raise ValueError(
                f"warm_start: expected the estimator ep, whose phases begin anew, got {self.estimator}."
            )

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each block."""
        return channels_of(self.width, self.blocks)

    @property
    def hidden_layers(self) -> tuple[str, ...]:
        letter, count = (
            ("z", 2 * self.blocks) if self.architecture == "resnet" else ("c", self.blocks)
        )
        return tuple(f"{letter}{i + 1}" for i in range(count))

    @property
    def normalisation(self) -> tuple[Channels, Channels]:
        return self.mean or (0.0,), self.std or (1.0,)

    @property
    def smaller(self) -> dict[str, Any]:
        return {"width": min(self.width, TRIED)}

    def framed(self, data: Dataset) -> Dataset:
        """The images in a black frame, so that every block halves them to whole pixels."""
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (0, data.image_shape[-1]):
                raise ValueError(
                    f"{name}: expected {data.image_shape[-1]} numbers, one a channel of {data.name}, got "
                    f"{getattr(self, name)}."
                )
        return frame(data, 2**self.blocks)

    def network(self, data: Dataset, key: PRNGKeyArray) -> Model:
        weights, biases = jax.random.split(key)
        model = ARCHITECTURES[self.architecture](self, data, weights)
        return with_biases(model, biases, self.bias_gain) if self.bias_gain else model


def _resnet(recipe: VisionRecipe, data: Dataset, key: PRNGKeyArray) -> Model:
    return hopfield_resnet(
        data.image_shape,
        data.classes,
        key,
        recipe.channels,
        recipe.make_unit(recipe.unit),
        recipe.make_unit(recipe.output),
        recipe.gain,
        not recipe.no_skips,
    )


def _vgg(recipe: VisionRecipe, data: Dataset, key: PRNGKeyArray) -> Model:
    return convolutional(
        data.image_shape,
        recipe.channels,
        data.classes,
        key,
        recipe.make_unit(recipe.unit),
        recipe.make_unit(recipe.output),
        KERNEL,
        MaxPool,
        recipe.gain,
    )


ARCHITECTURES: dict[ArchitectureName, Callable[[VisionRecipe, Dataset, PRNGKeyArray], Model]] = {
    "resnet": _resnet,
    "vgg": _vgg,
}

PUBLISHED = VisionRecipe(
    data="cifar-10",
    tolerance=1e-3,
    max_steps=120,
    nudged_steps=50,
    randaugment=(3, 9),
    crop=4,
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.6069, 0.5982, 0.603),
)
"""The published settings of CIFAR-10; the deviations are three times those of the data."""

OTHERS: dict[str, Any] = {"beta": 0.15, "weight_decay": 3.5e-4}

NARROW: dict[str, Any] = {
    "width": 8,
    "cost": "cross-entropy",
    "gain": (1.0, 1.0, 1.0),
    "bias_gain": 0.0,
    "std": (0.2023, 0.1994, 0.201),
    "beta": 1e-3,
    "feedback": 0.03,
    "solver": "ordered",
    "tolerance": 0.0,
    "max_steps": 4,
    "nudged_steps": 2,
    "differences": True,
    "optimiser": "adam",
    "learning_rate": 2e-3,
    "warmup": 0.2,
    "weight_decay": 0.0,
    "clip_norm": 0.0,
    "epochs": 10,
    "batch_size": 25,
    "randaugment": (0, 9),
}
"""Our own at a sixteenth of the published width and a thirtieth of the epochs, chosen on validation."""

TRIED = 2

VISION: dict[str, Recipe] = {
    "cifar-10-hopfield-resnet": PUBLISHED,
    "cifar-10-hopfield-resnet-narrow": replace(PUBLISHED, **NARROW),
    "cifar-100-hopfield-resnet": replace(
        PUBLISHED,
        data="cifar-100",
        randaugment=(4, 9),
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2675, 0.2565, 0.2761),
        **OTHERS,
    ),
    "fashion-mnist-hopfield-resnet": replace(
        PUBLISHED,
        data="fashion-mnist",
        randaugment=(0, 9),
        mean=(0.286,),
        std=(0.353,),
        **OTHERS,
    ),
}
