"""A machine of oscillators settles into its answer, and learns from where a nudge takes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import numpy as np
from jax import lax
from jaxtyping import Array
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eqprop.energies.architectures import OUTPUT
from eqprop.energies.model import Model
from eqprop.estimators.contrast import symmetric
from eqprop.estimators.updates import follow_updates
from eqprop.papers.call import Call
from eqprop.papers.demonstration import Claim, Demonstration, told, train
from eqprop.papers.oim.machine import FREE, NUDGED, STEP, Machine
from eqprop.papers.oim.recipes import mnist_oscillators
from eqprop.papers.slides import AXIS, INK, STRONG, learning, plain, slide
from eqprop.papers.study import Asked
from eqprop.solvers import GradientDescent
from eqprop.training.fit import AUDITED
from eqprop.training.training import Training, batch_of, prepare

BITS = 4

PLAIN, FEW_BITS = "phases in floating point", f"phases read in {BITS} bits"

SETTLED, BETA = GradientDescent(None, 2000, STEP), 0.1
"""For the comparison with back-propagation through time."""

REPORTED = 97.2
"""Test accuracy of MNIST in percent, of floating point, after 50 epochs of all images."""


def few_images(
    examples: int = 10_000,
    epochs: int = 5,
    beta: float = 0.5,
    machine: Machine = Machine(),  # noqa: B008
    seed: int = 0,
) -> Training:
    """784-500-10 oscillators on the first so many images of MNIST."""
    training = mnist_oscillators(beta=beta, epochs=epochs, machine=machine, seed=seed)
    return dataclasses.replace(training, examples=examples)


@dataclass(frozen=True)
class Settling(Demonstration):
    """How the outputs of a trained machine settle on one test image; trainings with phases in floating
    point and in few bits; and the gradient beside that of back-propagation through the free phase."""

    call: Call = field(default_factory=lambda: Call(few_images))

    def results(self, asked: Asked) -> dict[str, Any]:
        read = self.call.but(machine=Machine(state_bits=BITS))
        trained = train({PLAIN: self.call, FEW_BITS: read}, asked)
        run, tested = trained.runs[PLAIN], trained.tested
        training, best = self.call.training(), run.model
        data = prepare(training, asked.data_dir)
        x, y = batch_of(data.validation, training.model, AUDITED)
        (seen,) = follow_updates(training.model, x, y, SETTLED, _after, symmetric(BETA), (NUDGED,))
        cosine = seen.agreement.cosine
        x, _ = batch_of(data.test, best, 1)
        paths = np.asarray(answers(best, x))
        label = int(data.test.y[0])
        asked.save("demonstration", drawn(np.asarray(data.test.x[0]), paths, label, trained.curves))
        count = len(data.train.y)
        return {
            **self.call.told(),
            **trained.found(),
            "cosine_with_bptt": cosine,
            "answer": {"label": label, "cosines": paths[-1].tolist()},
            "claims": told(
                Claim(
                    "oscillators that only fall in energy learn MNIST by two nudges",
                    f"test accuracy {REPORTED} ± 0.1 %, 784-500-10",
                    "abstract",
                    f"{tested[PLAIN]:.1f} % after {run.result['epochs']} epochs of {count} images",
                ),
                Claim(
                    "no gradient is computed, and yet it is that of back-propagation",
                    "trained by BPTT 96.8 ± 0.1 %",
                    "results on MNIST",
                    f"cosine {cosine:.3f} with BPTT through the last {NUDGED} steps, at initialisation",
                ),
                Claim(
                    "it bears the limits of hardware",
                    f"phases of {BITS} bits 89.8 ± 1.5 % where floating point has 90.6 ± 1.7 %",
                    "results on MNIST/100",
                    f"{tested[FEW_BITS]:.1f} % with phases of {BITS} bits, the same images",
                ),
            ),
        }


def _after(steps: int) -> GradientDescent:
    return GradientDescent(None, steps, STEP)


@eqx.filter_jit
def answers(model: Model, x: Array) -> Array:
    """``cos phi`` of the outputs before every step of the free phase, of the first example:
    (FREE + 1, outputs)."""
    solver = _after(FREE)
    phase, state = model.free(x[0]), {name: z[0] for name, z in model.rest(x).items()}

    def step(carry: Any, _: None) -> tuple[Any, Array]:
        return solver.step(phase, carry), carry.state[OUTPUT][0]

    _, seen = lax.scan(step, solver.init(phase, state), length=FREE + 1)
    return seen


def drawn(
    image: np.ndarray, seen: np.ndarray, label: int, curves: Mapping[str, list[float]]
) -> Figure:
    """The outputs as they settle on the image, and validation accuracies by epoch."""
    figure, (left, right) = slide(
        "Oscillators settle into an answer, and learn by a nudge",
        "Gower, arXiv 2510.12934 · eqprop reproduce oim --quick",
        2,
    )
    times = STEP * np.arange(len(seen))
    for output, line in enumerate(seen.T):
        right_one = output == label
        left.plot(times, line, **_pen(right_one))
    left.annotate(
        f"“{label}”",
        (times[-1], seen[-1, label]),
        (-6, -14),
        textcoords="offset points",
        color=STRONG,
        fontsize=AXIS + 4,
        weight="bold",
        ha="right",
        va="top",
    )
    left.set_ylim(-1.1, 1.1)
    _inset(left, image)
    plain(left, "time", "cos φ of the ten outputs", "One image")
    right.axhline(REPORTED, color=INK, lw=1.5, ls=":", label="paper, 50 epochs of all images")
    least = min(min(values) for values in curves.values())
    right.set_ylim(least - 0.4 * (REPORTED - least), 100)
    learning(right, curves, "Learning MNIST")
    return figure


def _pen(right_one: bool) -> dict[str, Any]:
    strong = {"lw": 5, "zorder": 3, "color": STRONG}
    return {"ls": "-", **(strong if right_one else {"lw": 2, "color": "0.7"})}


def _inset(axes: Axes, image: np.ndarray) -> None:
    inside = axes.inset_axes((0.68, 0.4, 0.3, 0.3))
    inside.imshow(np.squeeze(image), cmap="gray_r")
    inside.set(xticks=[], yticks=[])
    inside.spines[:].set_color("0.7")
