"""A driven network that classifies by its periodic response: oscillators pushed by the pixels of an image,
with one output oscillator a class, whose amplitude at the frequency of the drive is its score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
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
from eqprop.papers.call import Call
from eqprop.papers.study import Asked, Study, folder_of, over_seeds, spoken
from eqprop.training.data.named import DIGITS
from eqprop.training.fit import fit
from eqprop.training.optimisers import Adam, Constant, Optimiser
from eqprop.training.terminal import tell
from eqprop.training.trained import Run
from eqprop.training.training import Training, batch_of, prepare

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


def digits_driven(
    hidden: int = 24,
    harmonics: int = 1,
    beta: float = 1e-2,
    epochs: int = 6,
    batch_size: int = 50,
    learning_rate: float = 1e-2,
    validation: int = 200,
    examples: int = 0,
    seed: int = 0,
) -> Training:
    """Digits by the response of a driven network, with Adam; in float64, as Newton's method asks for.

    Args:
        hidden: oscillators that the pixels drive.
        harmonics: of the frequency of the drive.
        beta: nudge, either way.
        epochs: passes over the training images.
        batch_size: images a step.
        learning_rate: of all parameters.
        validation: training images held out.
        examples: so many training images; 0 is all.
        seed: of weights and shuffling.
    """
    model = network(jax.random.key(seed), DIGITS.features, hidden, DIGITS.classes, harmonics)
    return Training(
        model=model,
        estimator=EquilibriumPropagation(NEWTON, symmetric(beta)),
        data=DIGITS,
        optimiser=Optimiser(learning_rate, Adam(), Constant()),
        epochs=epochs,
        batch_size=batch_size,
        validation=validation,
        examples=examples,
        seed=seed,
    )


def adjoint(estimator: Estimator) -> Estimator:
    """The adjoint at the same paths."""
    return Adjoint(NEWTON)


WAYS: dict[str, Callable[[Estimator], Estimator] | None] = {"EP": None, "adjoint": adjoint}


@dataclass(frozen=True)
class ResponseLearning(Study):
    """Digits by a driven network, learnt by equilibrium propagation and by the adjoint from the same start,
    in float64."""

    call: Call = field(default_factory=lambda: Call(digits_driven))
    audited: int = 16
    """So many validation images show the error of the trained network's gradient."""
    seeds: tuple[int, ...] = (0,)

    def results(self, asked: Asked) -> dict[str, Any]:
        """Train every way and seed, resuming whatever was begun. A quick trial is of a small network, on as
        many images as are held out, by equilibrium propagation alone."""
        call, ways, seeds = self.call, tuple(WAYS), self.seeds
        if asked.quick:
            count = call.arguments["validation"]
            call = call.but(hidden=8, epochs=1, examples=count)
            ways, seeds = ways[:1], seeds[:1]
        cases = []
        with jax.enable_x64(True):
            for way in ways:
                one = call.but(by=WAYS[way])
                cases.append(_case(way, [self._run(way, one, seed, asked) for seed in seeds]))
        asked.save("accuracies", figures.accuracies(cases))
        setup = {name: value for name, value in call.arguments.items() if name != "seed"}
        audited = 0 if asked.quick else self.audited
        about = {"tested": 0, "audited": audited, "data_set": DIGITS.name}
        return {**setup, **about, "seeds": list(seeds), "ways": list(ways), "cases": cases}

    def summary(self, found: Mapping[str, Any]) -> list[str]:
        return [
            f"{case['line']}: test error {spoken(case['test_error_percent'], found['seeds'])}"
            for case in found["cases"]
        ]

    def _run(self, way: str, call: Call, seed: int, asked: Asked) -> dict[str, Any]:
        label, one = f"{asked.name}/{way}", call.but(seed=seed)
        folder, training = folder_of(label, seed), one.training()
        tell(f"{label} seed {seed} in {folder}")
        about = {"name": label, **one.told()}
        run = fit(training, folder, resume=True, data_dir=asked.data_dir, about=about)
        kept = ("test_error_percent", "best_epoch", "seconds", "seed")
        found = {name: run.result[name] for name in kept}
        found |= {"validation_accuracy": list(run.history["validation_accuracy"])}
        if not asked.quick:
            found |= {"gradient_error": self._error(run, training, asked)}
        return found

    def _error(self, run: Run, training: Training, asked: Asked) -> float:
        """Of the gradient by equilibrium propagation against the adjoint, relative."""
        x, y = batch_of(prepare(training, asked.data_dir).validation, run.model, self.audited)
        key = jax.random.key(training.seed)
        nudging = self.call.training().estimator
        return audit(run.model, x, y, nudging, Adjoint(NEWTON), key)[-1].relative_error


def _case(line: str, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found = over_seeds(runs)
    return {
        "line": line,
        "validation_accuracy": [run["validation_accuracy"] for run in runs],
        "test_error_percent": found["test_error_percent"],
        "seconds": found["seconds"]["mean"],
        "runs": list(runs),
    }
