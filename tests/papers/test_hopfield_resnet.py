"""Residual Hopfield networks: what the recipes build, and the studies in other sizes."""

import equinox as eqx
import jax
import pytest

from eqprop.energies.network import Network
from eqprop.papers.call import Call
from eqprop.papers.catalogue import EXPERIMENTS, GROUPS, resized
from eqprop.papers.hopfield_resnet import recipes
from eqprop.papers.hopfield_resnet.parts import Alternating, Architecture
from eqprop.papers.study import command
from eqprop.training.data.augment import Compose, Flip, RandomCrop
from eqprop.training.data.named import CIFAR_10, FASHION_MNIST
from eqprop.training.data.randaugment import RandAugment


def built(architecture, data=CIFAR_10, read_out=False) -> Network:
    """Its shapes alone."""
    return eqx.filter_eval_shape(lambda: architecture.build(data, 0, read_out).energy)


def count(network):
    leaves = jax.tree.leaves(network)
    return sum(leaf.size for leaf in leaves), sum(leaf.ndim > 1 for leaf in leaves)


def test_published_recipe():
    asked = Call(recipes.cifar_10_hopfield_resnet).arguments
    assert count(built(asked["architecture"])) == (9_742_858, 13)
    optimiser = asked["optimiser"]
    assert (optimiser.learning_rate, optimiser.weight_decay) == (0.03, 2.5e-4)
    assert (asked["beta"], asked["epochs"], optimiser.schedule.end) == (0.1, 300, 2e-6)
    assert asked["augmentation"].build() == Compose((Flip(), RandAugment(3, 9), RandomCrop(4)))


def test_vgg5():
    network = built(Architecture(vgg=True, gain=(0.4, 0.7, 0.6, 0.3, 0.6)))
    kernels = 9 * (3 * 128 + 128 * 256 + 256 * 512 + 512 * 512)
    biases = 128 + 256 + 512 + 512 + 10
    assert count(network) == (kernels + 4 * 512 * 10 + biases, 5)
    assert network.order == ("c1", "c2", "c3", "c4", "out")


def test_images_of_28_pixels_are_framed():
    network = built(Architecture(), FASHION_MNIST)
    assert network.input_shape == (32, 32, 1) and count(network)[1] == 13


def test_alternating_sweeps_are_of_the_odd_and_the_even_layers():
    solvers = Alternating().solvers(built(Architecture()).order)
    blocks = (("z1", "z3", "z5", "z7", "out"), ("z2", "z4", "z6", "z8"))
    assert [solver.blocks for solver in solvers] == [blocks, blocks]


def test_a_narrow_recipe_has_its_solver_nudge_and_frame():
    narrow = Architecture(1, 2, gain=(1.0, 1.0, 1.0), bias_gain=0.0)
    training = recipes.cifar_10_hopfield_resnet_narrow(narrow, beta=1e-3, feedback=0.1)
    betas = training.estimator.contrast.betas
    assert max(betas) == pytest.approx(1e-3 * 0.1 ** (len(training.model.energy.order) - 1))
    assert training.preprocessing.multiple == 4
    assert training.estimator.solver.tolerance is None


def test_experiments_come_in_other_sizes():
    wide = ("cifar-10", "cifar-10-wider", "cifar-10-widest")
    names = ("demonstration", *wide, "vgg5", "ablation")
    assert GROUPS["hopfield-resnet"] == tuple(f"hopfield-resnet-{name}" for name in names)
    study = EXPERIMENTS["hopfield-resnet-ablation"]
    other = resized(study, width=4, epochs=0)
    widths = {call.arguments["architecture"].width for call in other.ways.values()}
    assert widths == {4} and other.ways.keys() == study.ways.keys()
    wanted = "eqprop reproduce hopfield-resnet-ablation --width 4 --quick"
    assert command(other.name, True) == wanted
    assert resized(study, width=0, epochs=0) is study
    with pytest.raises(ValueError, match="digits: expected a recipe that has width"):
        resized(EXPERIMENTS["digits"], width=8)


@pytest.mark.parametrize("name", GROUPS["hopfield-resnet"][1:])
def test_every_way_is_a_recipe_of_its_own(name):
    told = []
    for call in EXPERIMENTS[name].ways.values():
        assert call.told() not in told
        told.append(call.told())
        given = call.arguments
        assert count(built(given["architecture"]))[1] in (5, 9, 13)
        assert given["optimiser"].warmup < given["epochs"]
