"""The studies of the first networks: digits, MNIST and Fashion-MNIST by symmetric nudges."""

from __future__ import annotations

from eqprop.papers.study import Experiment, Study
from eqprop.training.recipes import RECIPES, changed

FOUNDATION: tuple[Study, ...] = (
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
)
