"""Thirteen layers of a Hopfield network relax, and learn as back-propagation of the same layers does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array
from matplotlib.figure import Figure

from eqprop.energies.feedback import nudge_scale, with_weak_feedback
from eqprop.energies.model import Model
from eqprop.energies.network import alternate
from eqprop.estimators.contrast import symmetric
from eqprop.estimators.differences import DeltaPropagation
from eqprop.papers.call import Call
from eqprop.papers.demonstration import Claim, Demonstration, told, train
from eqprop.papers.hopfield_resnet.parts import Architecture, Ordered
from eqprop.papers.slides import INK, learning, legend, plain, slide
from eqprop.papers.study import Asked
from eqprop.solvers import Blockwise, Iterative, Momentum
from eqprop.training.data.named import DIGITS
from eqprop.training.optimisers import Cosine, Optimiser
from eqprop.training.rivals import backprop
from eqprop.training.training import Preprocessing, Training, batch_of, prepare

EP, BACKPROP = "equilibrium propagation", "back-propagation"

PUBLISHED, COLOURED, MOMENTUM = "odd, then even layers", "by colour", "by colour, with momentum"

STEPS = 120
"""Of the published free phase."""

FEEDBACK, SETTLED = 0.03, 1e-5


def digits_resnet(width: int = 8, epochs: int = 6, blocks: int = 4, seed: int = 0) -> Training:
    """Embedded digits by a Hopfield-ResNet of weak feedback; 4 blocks, which need 16 x 16, are ResNet13."""
    architecture = Architecture(width, blocks, gain=(1.0, 1.0, 1.0), bias_gain=0.0)
    model = architecture.build(DIGITS, seed, read_out=True)
    order = tuple(model.energy.shapes)
    free, nudged = Ordered(4, 2).solvers(order)
    contrast = symmetric(1e-3 * nudge_scale(FEEDBACK, len(order)))
    return Training(
        with_weak_feedback(model, FEEDBACK),
        DeltaPropagation(free, contrast, nudged),
        DIGITS,
        Optimiser(2e-3, schedule=Cosine(2e-6), warmup=0.2, coupled=True),
        epochs,
        25,
        preprocessing=Preprocessing(multiple=2**blocks),
        validation=200,
        seed=seed,
    )


@dataclass(frozen=True)
class Depth(Demonstration):
    """A deep network with skips trained on digits by equilibrium propagation and by back-propagation; and
    how three schedules relax one of full feedback, at the published initialisation."""

    call: Call = field(default_factory=lambda: Call(digits_resnet))
    images: int = 4
    """Of which the relaxation is followed."""

    def results(self, asked: Asked) -> dict[str, Any]:
        trained = train({EP: self.call, BACKPROP: self.call.but(backprop)}, asked)
        tested = trained.tested
        training = self.call.training()
        residuals = self._residuals(training, asked)
        asked.save("demonstration", drawn(residuals, trained.curves))
        kernels = layers(training.model)
        arguments = self.call.arguments
        return {
            **self.call.told(),
            "layers": kernels,
            **trained.found(),
            "residuals": residuals,
            "claims": told(
                Claim(
                    "skips and clipped ReLUs let deep networks learn by equilibrium propagation",
                    "nearly twice the layers of earlier ones; 93.92 % of CIFAR-10 at width 128, 300 epochs",
                    "abstract and results",
                    f"{kernels} layers of weights at width {arguments['width']}: "
                    f"{tested[EP]:.1f} % of 8×8 digits after {arguments['epochs']} epochs",
                ),
                Claim(
                    "they come nearer to back-propagation",
                    "a significant gap of earlier ones",
                    "abstract",
                    f"the same layers by back-propagation: {tested[BACKPROP]:.1f} %",
                ),
                Claim(
                    "deep networks need long phases",
                    f"{STEPS} free and 50 nudged sweeps over odd, then even layers",
                    "training details",
                    f"a relative residual of {SETTLED:.0e} after {until(residuals[PUBLISHED])} sweeps as "
                    f"published, after {until(residuals[MOMENTUM])} with momentum",
                ),
            ),
        }

    def _residuals(self, training: Training, asked: Asked) -> dict[str, list[float]]:
        """Mean relative residuals over images, before every sweep."""
        arguments = self.call.arguments
        architecture = Architecture(arguments["width"], arguments["blocks"])
        model = architecture.build(DIGITS, training.seed, read_out=False)
        x, _ = batch_of(prepare(training, asked.data_dir).validation, model, self.images)
        order = tuple(model.energy.shapes)
        schedules: dict[str, Iterative[Any]] = {
            PUBLISHED: Blockwise(None, STEPS, alternate(order)),
            COLOURED: Blockwise(None, STEPS),
            MOMENTUM: Momentum(None, STEPS),
        }
        return {
            label: np.asarray(followed(model, x, solver)).tolist()
            for label, solver in schedules.items()
        }


@eqx.filter_jit
def followed(model: Model, x: Array, solver: Iterative[Any]) -> Array:
    """Mean relative residual of the free phase from rest before every sweep: (STEPS + 1,)."""

    def one(x: Array, state: Any) -> Array:
        return solver.trace(model.free(x), state, STEPS + 1)[2]

    return jax.vmap(one)(x, model.rest(x)).mean(0)


def layers(model: Model) -> int:
    """Tensors of weights."""
    return sum(leaf.ndim > 1 for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_array)))


def until(residuals: Sequence[float]) -> str:
    """The first sweep after which an example has settled, in words."""
    met = [sweep for sweep, residual in enumerate(residuals) if residual < SETTLED]
    return str(met[0]) if met else f"more than {len(residuals) - 1}"


def drawn(residuals: Mapping[str, list[float]], curves: Mapping[str, list[float]]) -> Figure:
    """Validation accuracies by epoch, and residuals by sweep."""
    figure, (left, right) = slide(
        "Thirteen layers learn by settling",
        "Elayedam and Srinivasan, arXiv 2509.26003 · eqprop reproduce hopfield-resnet --quick",
        2,
    )
    learning(left, curves, "Learning 8×8 digits")
    right.set(yscale="log")
    for name, values in residuals.items():
        right.plot(values, lw=4, label=name)
    right.axvline(STEPS, color=INK, lw=1.5, ls=":")
    legend(right, "best")
    plain(right, "sweeps", "relative residual", "Relaxing, full feedback")
    return figure
