"""The studies of finite-nudge thermal equilibrium propagation (Litman, arXiv 2511.22024)."""

from __future__ import annotations

import dataclasses
from typing import Any

from eqprop.estimators.backpropagation import Backpropagation
from eqprop.estimators.estimator import Estimator
from eqprop.papers.call import Call
from eqprop.papers.comparison import Comparison
from eqprop.papers.finite_nudge.demonstration import Nudged
from eqprop.papers.finite_nudge.nudges import Nudges
from eqprop.papers.finite_nudge.recipes import FASHION, fashion_mnist_thermal
from eqprop.papers.study import Experiment, Study
from eqprop.solvers import Blockwise
from eqprop.thermal.readings import ConditionalMeans, Draws

INDEPENDENT = dataclasses.replace(FASHION, common_noise=False)

NODES = 3


def one_sweep(estimator: Estimator) -> Estimator:
    """Back-propagation through one sweep from rest, which is a feed-forward pass of a chain of layers."""
    return Backpropagation(Blockwise(1e-3, 1), 1)


def _way(**arguments: Any) -> Call:
    return Call(fashion_mnist_thermal, arguments)


WAYS: dict[str, Call] = {
    "back-propagation": Call(fashion_mnist_thermal, by=one_sweep),
    "β = 0.01, independent noise": _way(beta=0.01, source=INDEPENDENT, reading=Draws()),
    "β = 0.01, common noise": _way(beta=0.01, reading=Draws()),
    "β = 0.01, common noise, means": _way(beta=0.01),
    "covariance, means": _way(beta=0.01, nodes=0),
    "β = 1, independent noise": _way(source=INDEPENDENT, reading=Draws()),
    "β = 1, common noise": _way(reading=Draws()),
    "path integral, independent noise": _way(nodes=NODES, source=INDEPENDENT, reading=Draws()),
    "path integral, common noise, means": _way(nodes=NODES),
}

READ: dict[str, Call] = {
    "independent noise": _way(source=INDEPENDENT, reading=Draws()),
    "common noise": _way(reading=Draws()),
    "independent noise, means": _way(source=INDEPENDENT, reading=ConditionalMeans()),
    "common noise, means": _way(),
    "path integral, draws": _way(nodes=NODES, reading=Draws()),
    "path integral, means": _way(nodes=NODES),
}

THERMAL: tuple[Study, ...] = (
    Nudged(
        "finite-nudge-demonstration",
        "at a temperature any nudge is exact, and a large one is heard",
    ),
    Nudges(
        "finite-nudge-gradient",
        "the sampled gradient against the nudge: agreement with both targets, and noise",
        READ,
    ),
    Comparison(
        "finite-nudge-accuracy",
        "Fashion-MNIST at a temperature: small and finite nudges, path integral, back-propagation",
        WAYS,
    ),
    Experiment(
        "finite-nudge-long",
        "Fashion-MNIST at a temperature by β = 0.1, longer",
        _way(beta=0.1, epochs=20),
    ),
)
