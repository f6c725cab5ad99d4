"""An estimator on a device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, PRNGKeyArray, PyTree

from eqprop._arguments import checked
from eqprop.energies.model import Batch, Model
from eqprop.energies.units.unit import State
from eqprop.estimators.estimator import Estimate, Estimator, Rival
from eqprop.hardware.program import Program, one_way
from eqprop.solvers.relax import Forecast


class Programmed(Estimator):
    """An estimator on the device: states and gradient come from ``program(model)``, and the gradient is
    handed to the parameters that were given."""

    estimator: Estimator
    program: Program

    @checked
    def __call__(
        self, model: Model, x: Batch, y: Batch, state: State, key: PRNGKeyArray
    ) -> Estimate:
        given, rest = eqx.partition(model, eqx.is_inexact_array)

        def values(given: PyTree) -> PyTree:
            return eqx.filter(self.program(eqx.combine(given, rest)), eqx.is_inexact_array)

        _, pull_back = jax.vjp(values, given)
        device = self.program(model)
        if one_way(device) and not self.estimator.one_way:
            raise ValueError(
                "Programmed: expected EquilibriumPropagation on a device of asymmetric couplings, got "
                f"{type(self.estimator).__name__}, which differentiates an energy that is not there."
            )
        estimate = self.estimator(device, x, y, state, key)
        gradient = eqx.filter(estimate.gradient, eqx.is_inexact_array)
        return estimate._replace(gradient=pull_back(gradient)[0])

    def start(self, model: Model, x: Batch, last: State | None = None) -> State | None:
        return self.estimator.start(model, x, last)

    def scores(self, model: Model, state: State) -> Array:
        return self.estimator.scores(model, state)

    def forecast(self, model: Model, x: Batch, y: Batch, key: PRNGKeyArray) -> Forecast:
        return self.estimator.forecast(self.program(model), x, y, key)

    def check(self, model: Model, x: Batch, y: Batch) -> None:
        self.estimator.check(self.program(model), x, y)

    def by(self, other: Callable[[Estimator], Estimator]) -> Programmed:
        return Programmed(self.estimator.by(other), self.program)

    def inside(self, model: Model) -> tuple[Estimator, Model]:
        return self.estimator.inside(self.program(model))

    def reduced(self, precision: str) -> Programmed:
        return Programmed(self.estimator.reduced(precision), self.program)

    def rival(self) -> Rival:
        name, exact = self.estimator.rival()
        return Rival(name, None if exact is None else Programmed(exact, self.program))

    def examine(self, model: Model, x: Batch, y: Batch) -> dict[str, Any]:
        return self.estimator.examine(self.program(model), x, y)
