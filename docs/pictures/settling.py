"""A network settles, is nudged, and the two states are compared: ``python -m docs.pictures.settling``."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import eqprop as eq
from docs.pictures.landscape import path_of
from eqprop.training import DIGITS, Optimiser
from eqprop.training.figures import animations

PATH = Path(__file__).with_suffix(".gif")

BETA, STEP, FREE, NUDGED, HELD = 0.5, 0.3, 22, 22, 14

SAID = {
    "settle": "1  settle:  the energy E falls until nothing moves",
    "nudge": "2  nudge:  the cost pulls the output, E + βC settles anew",
    "compare": "3  compare:  what moved up and what moved down is the gradient",
}


def half_trained() -> eq.Model:
    """A network that has seen the digits once, and is still wrong of many."""
    model = eq.layered((64, 36, 10), jax.random.key(0))
    learner = eq.EquilibriumPropagation(eq.Blockwise(1e-3), eq.symmetric(0.2))
    training = eq.Training(model, learner, DIGITS, Optimiser(3e-3), epochs=2, validation=200)
    return eq.fit(training).model


def frames() -> tuple[np.ndarray, int, list[tuple[str, dict[str, np.ndarray]]]]:
    """The image, its label, and what the two layers show in each frame."""
    model = half_trained()
    data = DIGITS.load()
    x = jnp.asarray(data.test.x[3].reshape(-1) / DIGITS.scale, jnp.float32)
    label = int(data.test.y[3])
    rest = model.energy.rest(x.dtype)
    solver = eq.GradientDescent(None, 1, STEP)
    free = path_of(solver, model.free(x), rest, FREE)
    start = {name: z[-1] for name, z in free.items()}
    nudged = path_of(solver, model.nudged(x, jnp.eye(10)[label], BETA), start, NUDGED)
    moved = {name: np.asarray(nudged[name][-1] - free[name][-1]) for name in rest}
    shown = [
        (said, {name: np.asarray(z[step]) for name, z in path.items()})
        for said, path in (("settle", free), ("nudge", nudged))
        for step in range(len(path["out"]))
    ]
    return np.asarray(x).reshape(8, 8), label, shown + [("compare", moved)] * HELD


def animation() -> FuncAnimation:
    image, label, shown = frames()
    figure = Figure(figsize=(6.4, 2.7))
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.4))
    left.imshow(image, cmap="gray_r")
    left.set_title("input", fontsize=9)
    middle.set_title("hidden layer", fontsize=9)
    right.set_title(f"output; the target is {label}", fontsize=9)
    for axes in (left, middle):
        axes.set(xticks=[], yticks=[])
    side = round(len(shown[0][1]["h1"]) ** 0.5)
    states = middle.imshow(np.zeros((side, side)), cmap="viridis", vmin=0, vmax=1)
    bars = right.bar(range(10), np.zeros(10), color="#0072B2")
    right.set(xticks=range(10), ylim=(-0.3, 1.05))
    right.axhline(0, color="0.6", lw=0.6)
    right.spines[["top", "right"]].set_visible(False)
    right.tick_params(labelsize=7)
    bars[label].set_edgecolor("#D55E00")
    bars[label].set_linewidth(2)
    caption = figure.text(0.5, 0.03, "", ha="center", fontsize=10)
    figure.subplots_adjust(left=0.02, right=0.98, top=0.88, bottom=0.2, wspace=0.22)

    def draw(frame: tuple[str, dict[str, np.ndarray]]) -> list:
        phase, layers = frame
        compared = phase == "compare"
        caption.set_text(SAID[phase])
        hidden = layers["h1"].reshape(side, side)
        most = np.abs(hidden).max() if compared else 1.0
        states.set(data=hidden, cmap="RdBu" if compared else "viridis")
        states.set_clim(-most if compared else 0, most)
        for bar, height in zip(bars, layers["out"], strict=True):
            bar.set_height(height)
            bar.set_facecolor("#009E73" if compared else "#0072B2")
        return []

    return FuncAnimation(figure, draw, shown, cache_frame_data=False)


if __name__ == "__main__":
    print(animations.save(animation(), PATH, rate=9))
