"""A recipe is a function of the public API; each gives the training of the record that it replaces."""

import dataclasses

import jax
import numpy as np
import pytest

from eqprop.papers.finite_nudge import recipes as finite_nudge
from eqprop.papers.foundation import recipes as foundation
from eqprop.papers.hopfield_resnet import recipes as hopfield_resnet
from eqprop.papers.oim import recipes as oim
from eqprop.papers.stochep import recipes as stochep
from eqprop.training.assemble import make_augment, make_estimator, make_optimiser
from eqprop.training.data.datasets import Dataset
from eqprop.training.data.sources import Split
from eqprop.training.recipes import RECIPES, changed
from eqprop.training.structure import tell

SMALL = hopfield_resnet.Architecture(2, gain=(1.0, 1.0, 1.0), bias_gain=0.0)
NARROW = hopfield_resnet.Architecture(2)
PAIRS = {
    "digits": (foundation.digits(), RECIPES["digits"]),
    "mnist-dense": (foundation.mnist_dense((64,)), changed("mnist-dense", hidden=(64,))),
    "fashion-mnist-dense": (
        foundation.fashion_mnist_dense((64, 32), shift=2, seed=3),
        changed("fashion-mnist-dense", hidden=(64, 32), shift=2, seed=3),
    ),
    "mnist-conv": (foundation.mnist_conv((2, 3)), changed("mnist-conv", channels=(2, 3))),
    "mnist-conv-feedback": (
        foundation.mnist_conv_feedback((2, 3)),
        changed(
            "mnist-conv",
            channels=(2, 3),
            feedback=0.03,
            beta=0.01,
            solver="ordered",
            tolerance=0.0,
            max_steps=3,
            nudged_steps=1,
        ),
    ),
    "mnist-oscillators": (oim.mnist_oscillators(), RECIPES["mnist-oscillators"]),
    "fashion-mnist-oscillators": (
        oim.fashion_mnist_oscillators(),
        RECIPES["fashion-mnist-oscillators"],
    ),
    "mnist-100-oscillators": (oim.mnist_100_oscillators(), RECIPES["mnist-100-oscillators"]),
    "mnist-conv-oscillators": (
        oim.mnist_conv_oscillators((2, 3), (4,)),
        changed("mnist-conv-oscillators", channels=(2, 3), dense=(4,)),
    ),
    "fashion-mnist-conv-oscillators": (
        oim.fashion_mnist_conv_oscillators((2, 3), (4,)),
        changed("fashion-mnist-conv-oscillators", channels=(2, 3), dense=(4,)),
    ),
    "digits-thermal": (finite_nudge.digits_thermal(), RECIPES["digits-thermal"]),
    "fashion-mnist-thermal": (
        finite_nudge.fashion_mnist_thermal(),
        RECIPES["fashion-mnist-thermal"],
    ),
    "mnist-spiking": (stochep.mnist_spiking(), RECIPES["mnist-spiking"]),
    "mnist-spiking-conv": (
        stochep.mnist_spiking_conv((2, 3), (4,)),
        changed("mnist-spiking-conv", channels=(2, 3), dense=(4,)),
    ),
    "fashion-mnist-spiking-conv": (
        stochep.fashion_mnist_spiking_conv((2, 3), (4,)),
        changed("fashion-mnist-spiking-conv", channels=(2, 3), dense=(4,)),
    ),
    "cifar-10-spiking-conv-narrow": (
        stochep.cifar_10_spiking_conv_narrow((2, 3, 4, 4)),
        changed("cifar-10-spiking-conv-narrow", channels=(2, 3, 4, 4)),
    ),
    "cifar-10-hopfield-resnet": (
        hopfield_resnet.cifar_10_hopfield_resnet(NARROW),
        changed("cifar-10-hopfield-resnet", width=2),
    ),
    "cifar-100-hopfield-resnet": (
        hopfield_resnet.cifar_100_hopfield_resnet(NARROW),
        changed("cifar-100-hopfield-resnet", width=2),
    ),
    "fashion-mnist-hopfield-resnet": (
        hopfield_resnet.fashion_mnist_hopfield_resnet(NARROW),
        changed("fashion-mnist-hopfield-resnet", width=2),
    ),
    "cifar-10-hopfield-resnet-narrow": (
        hopfield_resnet.cifar_10_hopfield_resnet_narrow(SMALL),
        changed("cifar-10-hopfield-resnet-narrow", width=2),
    ),
}


def blank(named):
    """As many pixels as the data set has, and none of its images."""
    split = Split(np.zeros((1, *named.image_shape), np.uint8), np.zeros(1, np.int32))
    return Dataset(named.name, split, split, named.classes, named.scale)


@pytest.mark.parametrize("name", PAIRS)
def test_a_function_gives_what_the_record_gave(name):
    training, recipe = PAIRS[name]
    assert training.data.name == recipe.data
    data = recipe.framed(blank(training.data))
    model = recipe.build(data)
    assert tell(training.model, values=False) == tell(model, values=False)
    for mine, theirs in zip(jax.tree.leaves(training.model), jax.tree.leaves(model), strict=True):
        assert np.array_equal(mine, theirs)
    assert tell(training.estimator) == tell(make_estimator(recipe))
    assert tell(training.augment) == tell(make_augment(recipe))
    assert training.transform(1000) is make_optimiser(recipe, model, 1000)
    mean, std = recipe.normalisation
    framing = training.preprocessing
    assert (framing.mean, framing.std) == (mean, std)
    assert framing.framed(blank(training.data)).image_shape == data.image_shape
    tests = getattr(recipe, "test_seeds", 1)
    for field in ("epochs", "batch_size", "validation", "examples", "test_last", "seed"):
        assert getattr(training, field) == getattr(recipe, field)
    assert training.test_seeds == tests


def test_the_config_of_a_training_is_of_its_arguments():
    one, other = foundation.digits(), foundation.digits(beta=0.2)
    assert one.config() == foundation.digits().config() != other.config()
    assert dataclasses.replace(one, seed=1).config() != one.config()
