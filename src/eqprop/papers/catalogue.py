"""The experiments by name: what `eqprop reproduce` knows."""

from __future__ import annotations

import dataclasses

from eqprop.papers.finite_nudge.studies import THERMAL
from eqprop.papers.hopfield_resnet.studies import RESIDUAL
from eqprop.papers.lagrangian.classify import ResponseLearning
from eqprop.papers.lagrangian.gradients import GradientTable
from eqprop.papers.lagrangian.learning import TASKS, PathLearning
from eqprop.papers.lagrangian.resources import CostStudy
from eqprop.papers.lagrangian.semiclassical import Semiclassics
from eqprop.papers.lagrangian.sequential_mnist import READINGS, SequenceLearning
from eqprop.papers.oim.studies import OSCILLATORS
from eqprop.papers.stochep.studies import SPIKING
from eqprop.papers.study import Experiment, Study
from eqprop.training.recipes import RECIPES, changed

ALL: tuple[Study, ...] = (
    Experiment("digits", "embedded digits, one hidden layer", RECIPES["digits"]),
    Experiment("mnist-dense", "MNIST, one hidden layer", RECIPES["mnist-dense"]),
    Experiment(
        "mnist-dense-shift",
        "the same with random shifts",
        changed("mnist-dense", shift=1, epochs=30, learning_rate=6e-4),
    ),
    Experiment(
        "fashion-mnist-dense", "Fashion-MNIST, one hidden layer", RECIPES["fashion-mnist-dense"]
    ),
    Experiment("mnist-conv", "MNIST, two convolutions", RECIPES["mnist-conv"], (0,)),
    Experiment(
        "mnist-conv-feedback",
        "the same with weak feedback, for which few sweeps are enough",
        changed(
            "mnist-conv",
            feedback=0.03,
            beta=0.01,
            solver="ordered",
            tolerance=0.0,
            max_steps=3,
            nudged_steps=1,
        ),
        (0,),
    ),
    *THERMAL,
    *OSCILLATORS,
    GradientTable(
        "lagrangian-gradient", "gradients of coupled Duffing oscillators against adjoint and BPTT"
    ),
    PathLearning(
        "lagrangian-learning",
        "oscillators learn a response, and a landscape from trajectories: EP and the adjoint",
        TASKS,
    ),
    ResponseLearning(
        "lagrangian-response",
        "a driven network classifies digits by its periodic response: EP and the adjoint",
    ),
    CostStudy("lagrangian-cost", "time of Newton's method, and memory of an echo against BPTT"),
    Semiclassics(
        "lagrangian-semiclassics",
        "energy levels of an anharmonic oscillator, their slopes and what a nudge tells, by orbits",
    ),
    SequenceLearning(
        "lagrangian-mnist",
        "MNIST as sequences, row by row and pixel by pixel: oscillators by the echo and by BPTT",
        READINGS,
    ),
    *RESIDUAL,
    *SPIKING,
)

EXPERIMENTS: dict[str, Study] = {experiment.name: experiment for experiment in ALL}

GROUPS: dict[str, tuple[str, ...]] = {
    group: tuple(name for name in EXPERIMENTS if name.startswith(f"{group}-"))
    for group in ("oim", "finite-nudge", "lagrangian", "stochep", "hopfield-resnet")
}
"""All the experiments of one paper."""


def resized(study: Study, **given: int) -> Study:
    """The study under a name of its own, its recipe with the ``given`` numbers that are not 0."""
    changes = {name: value for name, value in given.items() if value}
    if not changes:
        return study
    recipe = getattr(study, "recipe", None)
    if lacking := [name for name in changes if not hasattr(recipe, name)]:
        raise ValueError(
            f"{study.name}: expected an experiment whose recipe has {', '.join(lacking)}, such as "
            "hopfield-resnet-cifar-10; leave these options out."
        )
    name = study.name + "".join(f"--{name}-{value}" for name, value in changes.items())
    assert dataclasses.is_dataclass(study) and not isinstance(study, type)
    return dataclasses.replace(study, name=name, recipe=dataclasses.replace(recipe, **changes))
