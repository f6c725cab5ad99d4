"""Neurons that fire at random learn as those without noise do, and keep no record of their steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eqprop.estimators.audit import compare, estimate
from eqprop.estimators.equilibrium import EquilibriumPropagation
from eqprop.papers.call import Call
from eqprop.papers.demonstration import Claim, Demonstration, told, train
from eqprop.papers.slides import INK, QUIET, STRONG, learning, plain, slide
from eqprop.papers.stochep.gradients import repeated
from eqprop.papers.stochep.memory import megabytes
from eqprop.papers.stochep.recipes import mnist_spiking
from eqprop.papers.stochep.spikes import Spikes
from eqprop.papers.study import Asked
from eqprop.solvers import Blockwise, Momentum
from eqprop.spiking import SpikingPropagation, record
from eqprop.training.fit import AUDITED
from eqprop.training.rivals import ep, surrogate
from eqprop.training.training import Training, batch_of, prepare

SPIKING, SMOOTH = "random spikes", "no spikes"

SHOWN = 30
"""Hidden neurons of the raster."""


def few_images(
    examples: int = 10_000,
    epochs: int = 5,
    spikes: Spikes = Spikes(),  # noqa: B008
    seed: int = 0,
) -> Training:
    """784-512-10 neurons that spike, on the first so many images of MNIST, tested once."""
    training = mnist_spiking(spikes=spikes, epochs=epochs, test_seeds=1, seed=seed)
    return dataclasses.replace(training, examples=examples)


@dataclass(frozen=True)
class Firing(Demonstration):
    """Trainings with spikes and without; the gradient from spikes against that of deterministic EP, by the
    number of estimates averaged; and memory by steps, of EP and of surrogate BPTT."""

    call: Call = field(default_factory=lambda: Call(few_images))
    repeats: int = 64
    steps: tuple[int, int] = (15, 60)
    """Of the free phases whose memory is taken."""

    def results(self, asked: Asked) -> dict[str, Any]:
        smooth = self.call.but(partial(ep, solver=Blockwise(None, 12)))
        trained = train({SPIKING: self.call, SMOOTH: smooth}, asked)
        run, tested = trained.runs[SPIKING], trained.tested
        training = self.call.training()
        data = prepare(training, asked.data_dir)
        cosines = self._cosines(training, *batch_of(data.validation, training.model, AUDITED))
        memory = self._memory()
        learner = training.estimator
        assert isinstance(learner, SpikingPropagation)
        x, y = batch_of(data.test, run.model, 1)
        seen = record(learner, run.model, x, y, jax.random.key(0))["free"]
        fired = {name: np.asarray(spikes)[:, 0] for name, spikes in seen.items()}
        asked.save("demonstration", drawn(fired, int(data.test.y[0]), trained.curves))
        first, last = self.steps
        one, mean = cosines.values()
        (few, more), (short, long) = memory.values()
        return {
            **self.call.told(),
            **trained.found(),
            "cosines": cosines,
            "megabytes": memory,
            "claims": told(
                Claim(
                    "what fires at random learns nearly as well as what does not",
                    "narrows the gap to networks without spikes",
                    "abstract, without a number for MNIST",
                    f"MNIST, {run.result['epochs']} epochs of {len(data.train.y)} images: test accuracy "
                    f"{tested[SPIKING]:.1f} % with spikes, {tested[SMOOTH]:.1f} % without",
                ),
                Claim(
                    "its dynamics approximate those of deterministic EP",
                    "guaranteed under mean-field theory",
                    "abstract",
                    f"cosine with its gradient {one:.3f} of one estimate, {mean:.3f} of the mean of "
                    f"{self.repeats}",
                ),
                Claim(
                    "learning is local: no step is remembered",
                    "locality is preserved",
                    "abstract",
                    f"{few:.1f} MB for {first} steps and {more:.1f} MB for {last}; surrogate BPTT "
                    f"{short:.1f} and {long:.1f} MB",
                ),
            ),
        }

    def _cosines(self, training: Training, x: Array, y: Array) -> dict[int, float]:
        """Of the mean of one, and of all, estimates at initialisation with deterministic EP."""
        model, learner = training.model, training.estimator
        assert isinstance(learner, SpikingPropagation)
        settled = EquilibriumPropagation(Momentum(1e-6, 500), learner.contrast)
        reference = estimate(model, x, y, settled, jax.random.key(0)).gradient
        keys = jax.random.split(jax.random.key(5), self.repeats)
        found = repeated(model, x, y, learner, keys)
        return {count: _agreement(found, reference, count) for count in (1, self.repeats)}

    def _memory(self) -> dict[str, list[float]]:
        """Megabytes of a gradient by the steps of its free phase."""
        ways = {"spiking EP": self.call, "surrogate BPTT": self.call.but(surrogate)}
        spikes = self.call.arguments["spikes"]
        longer = [dataclasses.replace(spikes, free_steps=count) for count in self.steps]
        return {
            way: [megabytes(call.but(spikes=each).training()) for each in longer]
            for way, call in ways.items()
        }


def _agreement(found: PyTree, reference: PyTree, count: int) -> float:
    mean = jax.tree.map(lambda g: jnp.mean(g[:count], 0), found)
    return compare(mean, reference)[-1].cosine


def drawn(fired: Mapping[str, np.ndarray], label: int, curves: Mapping[str, list[float]]) -> Figure:
    """Spikes of a free phase, each layer's (steps, neurons), and validation accuracies by epoch."""
    figure, (left, right) = slide(
        "Neurons that fire at random learn as smooth ones do",
        "Lin, Jiang and Sengupta, arXiv 2511.11320 · eqprop reproduce stochep --quick",
        2,
    )
    _raster(left, fired, label)
    right.set_ylim(min(min(values) for values in curves.values()) - 5, 100)
    learning(right, curves, "Learning MNIST")
    return figure


def _raster(axes: Axes, fired: Mapping[str, np.ndarray], label: int) -> None:
    """The outputs on top, in order from 0, that of the label strong; some hidden neurons below."""
    *hidden, outputs = (spikes for spikes in fired.values())
    below = np.concatenate(hidden, 1)[:, :SHOWN]
    places = [np.flatnonzero(line) for line in below.T]
    axes.eventplot(places, colors=QUIET, lineoffsets=range(-len(places) - 2, -2), linelengths=0.7)
    for output, line in enumerate(outputs.T):
        right_one = output == label
        axes.eventplot(
            np.flatnonzero(line),
            colors=STRONG if right_one else INK,
            lineoffsets=output,
            linelengths=0.8,
            linewidths=4 if right_one else 2,
        )
    ticks = {-2 - len(places) / 2: "hidden", label: f"output “{label}”"}
    axes.set_yticks(list(ticks), list(ticks.values()))
    plain(axes, "step", "", f"Spikes at an image of a {label}")
