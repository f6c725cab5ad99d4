"""Experiments on dynamical systems."""

from eqprop.dynamics.gradient import GradientTable
from eqprop.dynamics.learning import TASKS, PathLearning, Task

__all__ = ["TASKS", "GradientTable", "PathLearning", "Task"]
