"""The studies of predictive coding."""

from __future__ import annotations

from eqprop.papers.call import Call
from eqprop.papers.comparison import Comparison
from eqprop.papers.predictive_coding.demonstration import Errors
from eqprop.papers.predictive_coding.depth import Reach
from eqprop.papers.predictive_coding.recipes import (
    fashion_mnist_predictive,
    mnist_predictive,
    mnist_predictive_deep,
)
from eqprop.papers.study import Study
from eqprop.training.rivals import backprop

MNIST, FASHION = Call(mnist_predictive), Call(fashion_mnist_predictive)

DEEP = Call(mnist_predictive_deep)


def beside(call: Call) -> dict[str, Call]:
    """By nudges and by back-propagation."""
    return {"nudges of both signs": call, "back-propagation": call.but(backprop)}


PREDICTIVE: tuple[Study, ...] = (
    Errors(
        "predictive-coding-demonstration",
        "a nudge reaches many layers at once in errors, and digits are learnt",
    ),
    Reach("predictive-coding-depth", "exact gradients of 4, 16 and 64 layers"),
    Comparison(
        "predictive-coding-mnist",
        "MNIST by nudges and by back-propagation",
        beside(MNIST),
    ),
    Comparison("predictive-coding-fashion-mnist", "the same on Fashion-MNIST", beside(FASHION)),
    Comparison(
        "predictive-coding-deep",
        "MNIST by 8 and by 64 layers with skips",
        {
            f"{depth} layers{way}": call.but(depth=depth)
            for depth in (8, 64)
            for way, call in {"": DEEP, ", back-propagation": DEEP.but(backprop)}.items()
        },
    ),
)
