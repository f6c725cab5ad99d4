"""Experiments on dynamical systems."""

from eqprop.dynamics.classify import ResponseLearning
from eqprop.dynamics.cost import CostStudy
from eqprop.dynamics.gradient import GradientTable
from eqprop.dynamics.learning import TASKS, PathLearning, Task
from eqprop.dynamics.mnist import READINGS, Reading, SequenceLearning
from eqprop.dynamics.semiclassical import Semiclassics

__all__ = [
    "READINGS",
    "TASKS",
    "CostStudy",
    "GradientTable",
    "PathLearning",
    "Reading",
    "ResponseLearning",
    "Semiclassics",
    "SequenceLearning",
    "Task",
]
