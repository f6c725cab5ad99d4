"""The studies of the first networks: digits, MNIST and Fashion-MNIST by symmetric nudges."""

from __future__ import annotations

from eqprop.papers.call import Call
from eqprop.papers.foundation.demonstration import Gradients
from eqprop.papers.foundation.recipes import (
    digits,
    fashion_mnist_dense,
    mnist_conv,
    mnist_conv_feedback,
    mnist_dense,
)
from eqprop.papers.study import Experiment, Study

SHIFTED = Call(mnist_dense, {"shift": 1, "epochs": 30, "learning_rate": 6e-4})

FOUNDATION: tuple[Study, ...] = (
    Gradients(
        "foundation-demonstration",
        "small nudges give the gradient, and digits are learnt by it",
    ),
    Experiment("digits", "embedded digits, one hidden layer", Call(digits)),
    Experiment("mnist-dense", "MNIST, one hidden layer", Call(mnist_dense)),
    Experiment("mnist-dense-shift", "the same with random shifts", SHIFTED),
    Experiment("fashion-mnist-dense", "Fashion-MNIST, one hidden layer", Call(fashion_mnist_dense)),
    Experiment("mnist-conv", "MNIST, two convolutions", Call(mnist_conv), (0,)),
    Experiment(
        "mnist-conv-feedback",
        "the same with weak feedback, for which few sweeps are enough",
        Call(mnist_conv_feedback),
    ),
)
