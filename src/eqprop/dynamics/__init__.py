"""Experiments on dynamical systems."""

from eqprop.dynamics.gradient import GradientTable
from eqprop.dynamics.learning import TASKS, PathLearning, Task
from eqprop.dynamics.mnist import READINGS, Reading, SequenceLearning

__all__ = [
    "READINGS",
    "TASKS",
    "GradientTable",
    "PathLearning",
    "Reading",
    "SequenceLearning",
    "Task",
]
