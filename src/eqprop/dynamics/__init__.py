"""Experiments on dynamical systems."""

from eqprop.dynamics.gradient import GradientTable

__all__ = ["GradientTable"]
