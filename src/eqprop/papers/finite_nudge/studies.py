"""The studies of finite-nudge thermal equilibrium propagation (Litman, arXiv 2511.22024)."""

from __future__ import annotations

from typing import Any

from eqprop.papers.comparison import Comparison
from eqprop.papers.finite_nudge.nudges import Nudges
from eqprop.papers.study import Experiment, Study
from eqprop.training.chain_recipes import ThermalRecipe
from eqprop.training.recipes import RECIPES, changed

RECIPE = RECIPES["fashion-mnist-thermal"]

assert isinstance(RECIPE, ThermalRecipe)

FEED_FORWARD = {"estimator": "bptt", "max_steps": 1}
"""One sweep from rest through a chain of layers is a feed-forward pass."""

INDEPENDENT = {"independent_noise": True, "reading": "draws"}

COMMON = {"independent_noise": False, "reading": "draws"}

MEANS = {"independent_noise": False, "reading": "means"}

SMALL, FINITE = {"beta": 0.01}, {"beta": 1.0}

PATH_RULE = {"rule": "path-integral"}

PATH = FINITE | PATH_RULE

WAYS: dict[str, dict[str, Any]] = {
    "back-propagation": FEED_FORWARD,
    "β = 0.01, independent noise": SMALL | INDEPENDENT,
    "β = 0.01, common noise": SMALL | COMMON,
    "β = 0.01, common noise, means": SMALL | MEANS,
    "covariance, means": SMALL | MEANS | {"rule": "covariance"},
    "β = 1, independent noise": FINITE | INDEPENDENT,
    "β = 1, common noise": FINITE | COMMON,
    "path integral, independent noise": PATH | INDEPENDENT,
    "path integral, common noise, means": PATH | MEANS,
}

THERMAL: tuple[Study, ...] = (
    Nudges(
        "finite-nudge-gradient",
        "the sampled gradient against the nudge: agreement with both targets, and noise",
        RECIPE,
        {
            "independent noise": INDEPENDENT,
            "common noise": COMMON,
            "independent noise, means": INDEPENDENT | {"reading": "means"},
            "common noise, means": MEANS,
            "path integral, draws": PATH_RULE | COMMON,
            "path integral, means": PATH_RULE | MEANS,
        },
    ),
    Comparison(
        "finite-nudge-accuracy",
        "Fashion-MNIST at a temperature: small and finite nudges, path integral, back-propagation",
        RECIPE,
        WAYS,
    ),
    Experiment(
        "finite-nudge-long",
        "Fashion-MNIST at a temperature by β = 0.1, longer",
        changed("fashion-mnist-thermal", beta=0.1, epochs=20),
    ),
)
