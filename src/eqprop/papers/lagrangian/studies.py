"""The studies of dynamical systems (Massar, arXiv 2505.07363), and of the echo."""

from __future__ import annotations

from eqprop.papers.lagrangian.classify import ResponseLearning
from eqprop.papers.lagrangian.demonstration import Boundaries
from eqprop.papers.lagrangian.gradients import GradientTable
from eqprop.papers.lagrangian.learning import TASKS, PathLearning
from eqprop.papers.lagrangian.resources import CostStudy
from eqprop.papers.lagrangian.semiclassical import Semiclassics
from eqprop.papers.lagrangian.sequential_mnist import READINGS, SequenceLearning
from eqprop.papers.study import Study

LAGRANGIAN: tuple[Study, ...] = (
    Boundaries(
        "lagrangian-demonstration", "nudged paths tell the gradient where both ends are held"
    ),
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
)
