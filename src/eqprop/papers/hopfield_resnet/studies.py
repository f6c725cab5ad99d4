"""The studies of residual networks (Elayedam and Srinivasan, arXiv 2509.26003), at an eighth of their width
or less."""

from __future__ import annotations

import dataclasses
from typing import Any

from eqprop.energies.architectures import GAINS
from eqprop.papers.comparison import Comparison
from eqprop.papers.study import Study
from eqprop.training.recipes import RECIPES

NARROW = RECIPES["cifar-10-hopfield-resnet-narrow"]

VGG5 = {"architecture": "vgg", "gain": (1.0,)}

BACKPROP = {"estimator": "backprop", "nudged_steps": 0, "differences": False}

USUAL = {
    "feedback": 1.0,
    "gain": GAINS,
    "std": (0.1, 0.1, 0.1),
    "solver": "momentum",
    "max_steps": 12,
    "nudged_steps": 8,
}

PUBLISHED_TRAINING: dict[str, Any] = {
    "beta": 0.1,
    "optimiser": "momentum",
    "learning_rate": 0.1,
    "weight_decay": 2.5e-4,
    "clip_norm": 1.0,
    "randaugment": (1, 9),
}
"""Of what the paper combines; the rate is ours."""

HALF = {"max_steps": NARROW.max_steps // 2, "nudged_steps": NARROW.nudged_steps // 2}

TWICE = {"max_steps": NARROW.max_steps * 2, "nudged_steps": NARROW.nudged_steps * 2}

ABLATION: dict[str, dict[str, Any]] = {
    "as it is": {},
    "the usual energy, of full feedback": USUAL,
    "no skips": {"no_skips": True},
    "clip 0–1": {"unit": "clip"},
    "no RandAugment": {"randaugment": (0, 9)},
    "momentum without Nesterov": {"optimiser": "heavy-ball"},
    "no gradient clipping": {"clip_norm": 0.0},
    "half the steps": HALF,
    "twice the steps": TWICE,
    "coloured sweeps": {"solver": "blockwise"},
    "odd and even layers, as published": {"solver": "alternating"},
}

RESIDUAL: tuple[Study, ...] = (
    Comparison(
        "hopfield-resnet-cifar-10",
        "CIFAR-10: narrow Hopfield-ResNet13, and back-propagation of the same layers",
        NARROW,
        {"ResNet13": {}, "ResNet13, back-propagation": BACKPROP},
        (0,),
    ),
    Comparison(
        "hopfield-resnet-vgg5",
        "the same with VGG5",
        NARROW,
        {"VGG5": VGG5, "VGG5, back-propagation": VGG5 | BACKPROP},
        (0,),
    ),
    Comparison(
        "hopfield-resnet-ablation",
        "what each part of the training of residual networks is worth, in two epochs of 20,000 images",
        dataclasses.replace(NARROW, **PUBLISHED_TRAINING, epochs=2, examples=20_000),
        ABLATION,
    ),
)
