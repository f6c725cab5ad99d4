"""The studies of residual networks (Elayedam and Srinivasan, arXiv 2509.26003), at an eighth of their width
or less."""

from __future__ import annotations

import dataclasses

from eqprop.energies.architectures import GAINS
from eqprop.papers.call import Call
from eqprop.papers.comparison import Comparison
from eqprop.papers.hopfield_resnet.demonstration import Depth
from eqprop.papers.hopfield_resnet.parts import (
    Accelerated,
    Alternating,
    Architecture,
    Augmentation,
    Coloured,
    Ordered,
)
from eqprop.papers.hopfield_resnet.recipes import cifar_10_hopfield_resnet_narrow
from eqprop.papers.study import Study
from eqprop.training.optimisers import Cosine, Optimiser, SgdMomentum
from eqprop.training.rivals import backprop, symmetric

NARROW = Call(cifar_10_hopfield_resnet_narrow)

RESNET = NARROW.arguments["architecture"]

VGG5 = NARROW.but(architecture=Architecture(8, vgg=True, gain=(1.0,), bias_gain=0.0))

WIDER = NARROW.but(architecture=dataclasses.replace(RESNET, width=16), batch_size=50, epochs=24)

WIDEST = WIDER.but(
    architecture=dataclasses.replace(RESNET, width=32),
    optimiser=dataclasses.replace(WIDER.arguments["optimiser"], learning_rate=1e-3),
    epochs=30,
)

TRAINED = Optimiser(
    0.1,
    SgdMomentum(),
    Cosine(2e-6),
    warmup=0.2,
    weight_decay=2.5e-4,
    coupled=True,
    clip_norm=1.0,
)

PUBLISHED = NARROW.but(
    by=symmetric,
    beta=0.1,
    feedback=0.03,
    sweeps=Ordered(4, 2),
    optimiser=TRAINED,
    augmentation=Augmentation(operations=1),
    epochs=2,
    examples=20_000,
)
"""Of what the paper combines; the rate is ours."""

ABLATION: dict[str, Call] = {
    "as it is": PUBLISHED,
    "the usual energy, of full feedback": PUBLISHED.but(
        feedback=1.0,
        architecture=dataclasses.replace(RESNET, gain=GAINS),
        std=(0.1, 0.1, 0.1),
        sweeps=Accelerated(),
    ),
    "no skips": PUBLISHED.but(architecture=dataclasses.replace(RESNET, skips=False)),
    "clip 0–1": PUBLISHED.but(architecture=dataclasses.replace(RESNET, clipped=True)),
    "no RandAugment": PUBLISHED.but(augmentation=Augmentation(operations=0)),
    "momentum without Nesterov": PUBLISHED.but(
        optimiser=dataclasses.replace(TRAINED, rule=SgdMomentum(nesterov=False))
    ),
    "no gradient clipping": PUBLISHED.but(optimiser=dataclasses.replace(TRAINED, clip_norm=0.0)),
    "half the steps": PUBLISHED.but(sweeps=Ordered(2, 1)),
    "twice the steps": PUBLISHED.but(sweeps=Ordered(8, 4)),
    "coloured sweeps": PUBLISHED.but(sweeps=Coloured()),
    "odd and even layers, as published": PUBLISHED.but(sweeps=Alternating()),
}

RESIDUAL: tuple[Study, ...] = (
    Depth("hopfield-resnet-demonstration", "thirteen layers relax, and learn digits"),
    Comparison(
        "hopfield-resnet-cifar-10",
        "CIFAR-10: narrow Hopfield-ResNet13, and back-propagation of the same layers",
        {"ResNet13": NARROW, "ResNet13, back-propagation": NARROW.but(by=backprop)},
        (0,),
    ),
    Comparison(
        "hopfield-resnet-cifar-10-wider",
        "the same of twice the width, for longer",
        {"ResNet13": WIDER, "ResNet13, back-propagation": WIDER.but(by=backprop)},
        (0,),
    ),
    Comparison(
        "hopfield-resnet-cifar-10-widest",
        "of four times the width, for longer still",
        {"ResNet13": WIDEST, "ResNet13, back-propagation": WIDEST.but(by=backprop)},
        (0,),
    ),
    Comparison(
        "hopfield-resnet-vgg5",
        "the same with VGG5",
        {"VGG5": VGG5, "VGG5, back-propagation": VGG5.but(by=backprop)},
        (0,),
    ),
    Comparison(
        "hopfield-resnet-ablation",
        "what each part of the training of residual networks is worth, in two epochs of 20,000 images",
        ABLATION,
    ),
)
