"""What is trained: the residual network of weak feedback, by one-sided differences in three sweeps."""

from __future__ import annotations

import dataclasses

from benchmarks.gpu.scaling import learning_rate
from eqprop.energies.feedback import with_weak_feedback
from eqprop.papers.call import Call
from eqprop.papers.hopfield_resnet.parts import Architecture, Augmentation
from eqprop.papers.hopfield_resnet.recipes import cifar_10_hopfield_resnet_narrow
from eqprop.papers.stochep.recipes import cifar_10_spiking_conv
from eqprop.training.data.named import CIFAR_100
from eqprop.training.optimisers import Cosine, Optimiser
from eqprop.training.training import Training

NARROW = Call(cifar_10_hopfield_resnet_narrow).arguments
FEEDBACK, SWEEPS = NARROW["feedback"], NARROW["sweeps"]

WEIGHT_DECAY = 0.05
"""Decoupled; not measured."""

RUNS = ("cifar-10", "cifar-10-spiking-conv", "cifar-100")


def training(run: str, width: int, batch: int, epochs: int) -> Training:
    """One of `RUNS`, of that width, in batches of so many images; of spikes in no more than its own."""
    if run == "cifar-10-spiking-conv":
        widths = tuple(width * factor for factor in (1, 2, 4, 4))
        made = cifar_10_spiking_conv(channels=widths, epochs=epochs, test_seeds=1)
        return dataclasses.replace(made, batch_size=min(batch, made.batch_size))
    made = residual(width, batch, epochs)
    return made if run == "cifar-10" else _of_a_hundred(made, width)


def residual(width: int, batch: int, epochs: int) -> Training:
    """The recipe at that width, with flips, crops and RandAugment."""
    call = Call(
        cifar_10_hopfield_resnet_narrow,
        {
            "architecture": _architecture(width),
            "optimiser": Optimiser(
                learning_rate(width, batch),
                schedule=Cosine(2e-6),
                warmup=min(1.0, epochs / 5),
                weight_decay=WEIGHT_DECAY,
            ),
            "augmentation": Augmentation(),
            "epochs": epochs,
            "batch_size": batch,
        },
    )
    return call.training()


def _architecture(width: int) -> Architecture:
    return Architecture(width, gain=(1.0, 1.0, 1.0), bias_gain=0.0)


def _of_a_hundred(like: Training, width: int) -> Training:
    model = _architecture(width).build(CIFAR_100, like.seed, read_out=True)
    return dataclasses.replace(like, model=with_weak_feedback(model, FEEDBACK), data=CIFAR_100)
