"""A driven network that classifies by its periodic response: oscillators pushed by the pixels of an image,
with one output oscillator a class, whose amplitude at the frequency of the drive is its score."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Inexact, PRNGKeyArray

from eqprop.energies.model import Model
from eqprop.energies.units.unit import State
from eqprop.estimators.audit import audit
from eqprop.estimators.contrast import symmetric
from eqprop.estimators.equilibrium import EquilibriumPropagation
from eqprop.estimators.estimator import Estimator
from eqprop.lagrangian import Adjoint, HarmonicAction, Newton
from eqprop.lagrangian.costs import PathCost
from eqprop.lagrangian.stationary import PATH
from eqprop.papers import figures
from eqprop.papers.study import RUNS, command, mean_and_std, over_seeds
from eqprop.training.data import datasets as data_sets
from eqprop.training.data.datasets import Dataset
from eqprop.training.epoch import Examples, evaluate, keep_best, require_finite, start, train_epoch
from eqprop.training.figures import plots
from eqprop.training.files import AnyPath, read_json, write_json
from eqprop.training.runs import Folder, require_same
from eqprop.training.surroundings import surroundings
from eqprop.training.terminal import tell

OMEGA = 2.0

NEWTON = Newton()


class DrivenNetwork(eqx.Module):
    """``L = v^2 / 2 - sum_h k_h log cosh q_h - sum_o k_o q_o^2 / 2 + q_h' W q_o + cos(omega t) q_h' D x``.

    Hidden oscillators (``h``) soften, so that a strong drive takes them away from resonance and not into
    it; outputs (``o``) are linear. All are slower than the drive.
    """

    stiffness: Inexact[Array, " hidden"]
    output_stiffness: Inexact[Array, " classes"]
    coupling: Inexact[Array, "hidden classes"]
    drives: Inexact[Array, "hidden pixels"]

    @classmethod
    def init(cls, key: PRNGKeyArray, pixels: int, hidden: int, classes: int) -> DrivenNetwork:
        keys = jax.random.split(key)
        coupling = 0.3 * jax.random.normal(keys[0], (hidden, classes)) / hidden**0.5
        drives = -3.0 * jax.random.normal(keys[1], (hidden, pixels)) / pixels**0.5
        return cls(2.5 * jnp.ones(hidden), jnp.ones(classes), coupling, drives)

    def __call__(self, q: Array, v: Array, t: Array, x: Array) -> Array:
        hidden, outputs = q[: len(self.stiffness)], q[len(self.stiffness) :]
        wells = self.stiffness @ jnp.log(jnp.cosh(hidden))
        wells = wells + 0.5 * self.output_stiffness @ (outputs * outputs)
        bonds = hidden @ (self.coupling @ outputs)
        return (
            0.5 * (v @ v)
            - wells
            + bonds
            + jnp.cos(OMEGA * t) * (hidden @ (self.drives @ x.ravel()))
        )


class ResponseError(PathCost):
    """``|c - y|^2 / 2`` of chosen ``coefficients`` ``c`` of a `HarmonicAction`; ``y``: (coefficients,)."""

    coefficients: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, shown: State, y: Array) -> Inexact[Array, ""]:
        error = self.predict(shown) - y
        return 0.5 * jnp.sum(error * error)

    def predict(self, shown: State) -> Array:
        return shown[PATH][0, np.asarray(self.coefficients)]

    def blocks(self, path: Array, y: Array) -> Array:
        chosen = np.zeros(path.shape[1])
        chosen[list(self.coefficients)] = 1.0
        return jnp.diag(jnp.asarray(chosen, path.dtype))[None]

    def curvature(self, beta: Array) -> Array:
        return beta


def network(key: PRNGKeyArray, pixels: int, hidden: int, classes: int, harmonics: int) -> Model:
    """The network as an action, and its error in the amplitudes ``cos omega t`` of the outputs."""
    size = hidden + classes
    net = DrivenNetwork.init(key, pixels, hidden, classes)
    action = HarmonicAction(net, size=size, harmonics=harmonics, period=2 * np.pi / OMEGA)
    outputs = tuple(range(size + hidden, 2 * size))
    return Model(action, ResponseError(coefficients=outputs))  # type: ignore[call-arg]


def _ways(beta: float) -> dict[str, Estimator]:
    return {"EP": EquilibriumPropagation(NEWTON, symmetric(beta)), "adjoint": Adjoint(NEWTON)}


@dataclass(frozen=True)
class ResponseLearning:
    """Digits by a driven network, learnt by equilibrium propagation and by the adjoint from the same start,
    with Adam, in float64."""

    name: str
    about: str
    hidden: int = 24
    harmonics: int = 1
    beta: float = 1e-2
    epochs: int = 6
    batch_size: int = 50
    learning_rate: float = 1e-2
    validation: int = 200
    examples: int = 0
    """So many training images; 0 for all."""
    tested: int = 0
    """So many test images; 0 for all."""
    audited: int = 16
    """So many validation images show the error of the trained network's gradient; 0 for no audit."""
    seeds: tuple[int, ...] = (0,)
    ways: tuple[str, ...] = ("EP", "adjoint")
    data_set: str = field(default="digits")

    def reproduce(
        self, out: AnyPath, data_dir: AnyPath | None = None, quick: bool = False
    ) -> dict[str, Any]:
        """Train both ways, resuming whatever was begun; write ``<out>/<name>/result.json`` and
        ``accuracies.png`` beside it."""
        if quick:
            count = self.validation
            short = dataclasses.replace(
                self,
                name=f"{self.name}-quick",
                hidden=8,
                epochs=1,
                examples=count,
                tested=count,
                audited=0,
                ways=("EP",),
            )
            return short._reproduce(out, data_dir, command(self.name, quick))
        return self._reproduce(out, data_dir, command(self.name, quick))

    def _reproduce(self, out: AnyPath, data_dir: AnyPath | None, asked: str) -> dict[str, Any]:
        about, cases = surroundings(), []
        source = data_sets.load_dataset(self.data_set, data_dir)
        with jax.enable_x64(True):
            for way in self.ways:
                runs = [self._run(way, seed, source) for seed in self.seeds]
                cases.append(_case(way, runs))
                error = cases[-1]["test_error_percent"]
                tell(f"{way}: test error {over_seeds(error, len(self.seeds))}")
        folder = Path(out) / self.name
        tell(f"  {plots.save(figures.accuracies(cases), folder / 'accuracies.png')}")
        kept = {key: value for key, value in dataclasses.asdict(self).items() if key != "about"}
        summary = {**kept, "command": asked, "cases": cases, **about}
        tell(f"{self.name}: {write_json(folder / 'result.json', summary)}")
        return summary

    def _run(self, way: str, seed: int, source: Dataset) -> dict[str, Any]:
        folder = RUNS / self.name / way / f"seed-{seed}"
        config = dataclasses.asdict(self) | {"way": way, "seed": seed}
        if (folder / "result.json").exists():
            require_same(folder, config)
            return read_json(folder / "result.json")
        run = Folder(folder, config, resume=(folder / "config.json").exists())
        train, held_out = data_sets.split_validation(source.train, self.validation, seed=0)
        images, validation, test = (
            Examples(
                jnp.asarray(part.x[:end]), jnp.asarray(part.y[:end]), source.scale, source.classes
            )
            for part, end in (
                (train, self.examples or None),
                (held_out, None),
                (source.test, self.tested or None),
            )
        )
        pixels = int(np.prod(train.x.shape[1:]))
        key = jax.random.key(seed)
        model = network(key, pixels, self.hidden, source.classes, self.harmonics)
        optimiser, estimator = optax.adam(self.learning_rate), _ways(self.beta)[way]
        state = run.restore(start(model, optimiser))
        run.keep_rows(int(state.epoch))
        rows = run.rows()
        began = time.perf_counter() - (rows[-1]["seconds"] if rows else 0.0)
        while int(state.epoch) < self.epochs:
            losses = []
            epoch = train_epoch(state, images, estimator, optimiser, self.batch_size, key)
            for updated, progress in epoch:
                state = updated
                losses.append(progress.metrics["loss"])
                require_finite({"loss": losses[-1]}, f"in epoch {progress.epoch + 1}")
            right = evaluate(state.model, validation, NEWTON).accuracy
            state = keep_best(state, right)
            row = {
                "epoch": int(state.epoch),
                "seconds": time.perf_counter() - began,
                "loss": float(np.mean(losses)),
                "validation_accuracy": right,
            }
            run.log(row)
            run.save(int(state.epoch), state)
            tell(
                f"{way} epoch {row['epoch']:3.0f}/{self.epochs}  loss {row['loss']:.4f}  "
                f"validation {right:.2%}  {row['seconds']:.0f} s"
            )
        rows, best = run.rows(), state.best_model
        result = {
            "test_error_percent": 100 * (1 - evaluate(best, test, NEWTON).accuracy),
            "best_epoch": int(state.best_epoch) + 1,
            "seconds": rows[-1]["seconds"],
            "validation_accuracy": [row["validation_accuracy"] for row in rows],
            "seed": seed,
        }
        if self.audited:
            result["gradient_error"] = self._error(best, validation, key)
        return read_json(write_json(folder / "result.json", result))

    def _error(self, model: Model, images: Examples, key: PRNGKeyArray) -> float:
        """Of the gradient by equilibrium propagation against the adjoint, relative."""
        x, y = images.batch(images.x[: self.audited], images.y[: self.audited], None)
        ways = _ways(self.beta)
        return audit(model, x, y, ways["EP"], ways["adjoint"], key)[-1].relative_error


def _case(line: str, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "line": line,
        "validation_accuracy": [run["validation_accuracy"] for run in runs],
        "test_error_percent": mean_and_std([run["test_error_percent"] for run in runs]),
        "seconds": float(np.mean([run["seconds"] for run in runs])),
        "runs": list(runs),
    }
