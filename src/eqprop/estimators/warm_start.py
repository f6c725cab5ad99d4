"""Free phases that begin where the last batch ended."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import checked
from eqprop.energies.model import Batch, Model
from eqprop.energies.units.unit import State
from eqprop.estimators.differences import DeltaPropagation
from eqprop.estimators.equilibrium import EquilibriumPropagation
from eqprop.estimators.estimator import Estimate, Estimator, Rival
from eqprop.solvers.relax import Forecast


class WarmStart(Estimator):
    """Equilibrium propagation whose free phase begins where that of the last batch ended, or, as published
    for residual networks, where its last nudged phase did (``nudged``); the first begins at rest.

    The states belong to other images, so that only a learner with many steps gains by them, and an
    energy with several minima may settle elsewhere than from rest, where evaluation begins.
    """

    learner: EquilibriumPropagation | DeltaPropagation
    nudged: bool = eqx.field(default=False, static=True)

    @checked
    def __call__(
        self, model: Model, x: Batch, y: Batch, state: State, key: PRNGKeyArray
    ) -> Estimate:
        found = self.learner.phases(model, x, y, state, key)
        last = jax.tree.map(lambda z: z[-1], found.nudged) if self.nudged else found.free
        both = {name: jax.numpy.stack([z, last[name]]) for name, z in found.free.items()}
        return found.estimate._replace(state=both)

    def start(self, model: Model, x: Batch, last: State | None = None) -> State:
        return model.rest(x) if last is None else {name: z[1] for name, z in last.items()}

    def scores(self, model: Model, state: State) -> Array:
        return self.learner.scores(model, {name: z[0] for name, z in state.items()})

    def forecast(self, model: Model, x: Batch, y: Batch, key: PRNGKeyArray) -> Forecast:
        return self.learner.forecast(model, x, y, key)

    def check(self, model: Model, x: Batch, y: Batch) -> None:
        self.learner.check(model, x, y)

    def by(self, other: Callable[[Estimator], Estimator]) -> Estimator:
        return self.learner.by(other)

    def inside(self, model: Model) -> tuple[Estimator, Model]:
        return self.learner.inside(model)

    def reduced(self, precision: str) -> WarmStart:
        return WarmStart(self.learner.reduced(precision), self.nudged)

    def rival(self) -> Rival:
        return self.learner.rival()
