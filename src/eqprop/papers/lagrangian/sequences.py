"""Sequences read by stacked layers of oscillators, whose gradients are echoes."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Inexact, PRNGKeyArray

from eqprop._arguments import checked
from eqprop.energies.costs import CrossEntropy
from eqprop.energies.energy import Clamped, Energy
from eqprop.energies.model import Batch, Model, require_examples
from eqprop.energies.parameters import parameter_names
from eqprop.energies.units.interval import Linear
from eqprop.energies.units.unit import State, Units
from eqprop.estimators.estimator import Estimate, Estimator, Report, Rival, mean_loss
from eqprop.lagrangian import NonlinearOscillators, evolve, unroll
from eqprop.lagrangian.oscillators import Passage
from eqprop.solvers.relax import Forecast
from eqprop.training.optimisers import Optimiser

END = "end"


class Reader(Energy):
    """Layers of oscillators, each driven by the positions of the one before: ``E = |z - z(x)|^2 / 2``,
    least at the last layer's final positions and momenta ``z(x)``. ``x``: (steps, features)."""

    layers: list[NonlinearOscillators]
    input_shape: tuple[int, ...] | None = eqx.field(static=True)

    def __init__(self, layers: list[NonlinearOscillators], input_shape: tuple[int, int]):
        self.layers, self.input_shape = layers, input_shape

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {END: (2 * len(self.layers[-1].weight),)}

    @property  # type: ignore[misc]
    def units(self) -> Units:  # type: ignore[override]
        return {END: Linear()}

    def clamp(self, x: Array) -> Clamped:
        return _Ended(self.ends(x[None])[END][0])

    def ends(self, x: Inexact[Array, "batch steps features"], passage: Passage = evolve) -> State:
        """``z(x)`` of a batch, differentiated by the ``passage``."""
        layers = [dataclasses.replace(layer, passage=passage) for layer in self.layers]
        inputs = jnp.swapaxes(x, 0, 1)
        for layer in layers[:-1]:
            inputs = layer(inputs)
        end, _ = layers[-1].run(inputs)
        return {END: jnp.concatenate(end, -1)}


class _Ended(Clamped):
    end: Array
    blocks: tuple[tuple[str, ...], ...] | None = eqx.field(static=True)

    def __init__(self, end: Array):
        self.end, self.blocks = end, ((END,),)

    @property  # type: ignore[misc]
    def units(self) -> Units:  # type: ignore[override]
        return {END: Linear()}

    def coupling(self, shown: State) -> Array:
        return 0.5 * self.end @ self.end - shown[END] @ self.end

    def curvature(self, name: str) -> float:
        return 0.0


class ThroughTime(Estimator):
    """The gradient through the steps of a `Reader`: by the echo, `evolve`, or by a tape, `unroll`."""

    passage: Passage = eqx.field(default=evolve, static=True)

    @checked
    def __call__(
        self, model: Model, x: Batch, y: Batch, state: State, key: PRNGKeyArray
    ) -> Estimate:
        require_examples(x, y)

        def loss(model: Model) -> tuple[Array, State]:
            end = self._ends(model, x)
            return mean_loss(model, end, y), end

        (value, end), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(model)
        return Estimate(value, gradient, end, Report())

    def forecast(self, model: Model, x: Batch, y: Batch, key: PRNGKeyArray) -> Forecast:
        end = self._ends(model, x)
        return Forecast(jax.vmap(model.predict)(end), jax.vmap(model.loss)(end, y), {})

    def rival(self) -> Rival:
        if self.passage is unroll:
            raise RuntimeError("ThroughTime: by a tape its gradient is the exact one.")
        return Rival("back-propagation through time", ThroughTime(unroll))

    def _ends(self, model: Model, x: Batch) -> State:
        if not isinstance(model.energy, Reader):
            raise ValueError(
                f"ThroughTime: expected a Reader, whose steps are passed through, got "
                f"{type(model.energy).__name__}; take EquilibriumPropagation."
            )
        return model.energy.ends(x, self.passage)


def classifier(
    key: PRNGKeyArray,
    steps: int,
    features: int,
    widths: tuple[int, ...],
    rates: tuple[float, float],
    classes: int = 10,
) -> Model:
    """A `Reader` of layers of these ``widths``, ``rates`` of the slowest and the fastest oscillator, and a
    linear read-out."""
    *keys, last = jax.random.split(key, len(widths) + 1)
    sizes = zip(keys, (features, *widths), widths, strict=False)
    layers = [NonlinearOscillators.init(key, before, size, rates) for key, before, size in sizes]
    head = eqx.nn.Linear(2 * widths[-1], classes, key=last)
    assert head.bias is not None
    cost = CrossEntropy(weight=head.weight.T, bias=head.bias, output=END)
    return Model(Reader(layers, (steps, features)), cost)


class Paced(Optimiser):
    """Rates and stiffnesses learn ten times slower than weights, so that no oscillator outruns the time
    step."""

    def transform(self, model: Model, steps: int, epochs: int) -> optax.GradientTransformation:
        others = super().transform(model, steps, epochs)
        return optax.chain(others, optax.masked(optax.scale(0.1), _sets_the_pace))


def _sets_the_pace(parameters: Any) -> Any:
    timing = ("log_rate", "log_stiffness")
    return jax.tree.map(lambda name: name.endswith(timing), parameter_names(parameters))
