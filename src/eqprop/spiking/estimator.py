"""Equilibrium propagation with spikes.

`EquilibriumPropagation` keeps one state, which is both what the rule reads and where the next phase
starts. Here they differ: the rule reads rates or probabilities, and a phase starts from membranes, spikes
and a key.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, PRNGKeyArray

from eqprop._arguments import checked
from eqprop.energies.derivatives import stopped, with_own_gradient
from eqprop.energies.energy import Clamped
from eqprop.energies.model import Batch, Model, require_examples
from eqprop.energies.ops import freeze
from eqprop.energies.slopes import require_slopes
from eqprop.energies.units.noise import typed
from eqprop.energies.units.unit import State, read
from eqprop.estimators.contrast import Contrast
from eqprop.estimators.equilibrium import contrast_gradient, contrast_surrogate
from eqprop.estimators.estimator import Estimate, Estimator, mean_loss
from eqprop.solvers import Info
from eqprop.solvers.relax import Forecast
from eqprop.spiking.activity import SpikingReport, activity
from eqprop.spiking.coding import Analog, BernoulliCoded, Coding
from eqprop.spiking.dynamics import Hook, Spiking, SpikingCarry, check_pooling, no_hook

FEW = 8


class Phase(NamedTuple):
    """Where a spiking phase ended, what was read there, the report, and what a hook kept of each step."""

    carry: SpikingCarry
    state: State
    info: Info
    records: Any


class SpikingPropagation(Estimator):
    """The contrast of nudged spiking phases, all from the membranes, spikes and key in which the free one
    ended (in the style of Lin, Jiang and Sengupta, arXiv 2511.11320).

    The gradient is that of the network's energy in what ``solver.reading`` reads; the value is the mean
    cost there. Nudged phases share their random numbers unless ``common_noise`` is false.

    Raises ``ValueError`` for a firing rule that no energy describes, such as a hard reset, for phases of
    other neurons than the free one's, and where the solver does.
    """

    drawn: ClassVar[bool] = True
    solver: Spiking
    contrast: Contrast
    nudged_solver: Spiking | None = None
    coding: Coding = Analog()
    common_noise: bool = eqx.field(default=True, static=True)

    def __check_init__(self):
        nudged = self.nudged_solver or self.solver
        for solver in (self.solver, nudged):
            solver.require_energy()
        for field in ("leak", "firing", "graded"):
            free, other = getattr(self.solver, field), getattr(nudged, field)
            if free != other:
                raise ValueError(
                    f"SpikingPropagation: expected the same {field} in both phases, of the same neurons, "
                    f"got {free} and {other}."
                )

    @checked
    def __call__(
        self, model: Model, x: Batch, y: Batch, state: State, key: PRNGKeyArray
    ) -> Estimate:
        require_examples(x, y)
        require_slopes(model, x, y, state)
        given = model, x, y, state
        model, x, y, state = stopped(given)
        draw, noise = jax.random.split(typed(key))
        free = self.free(model, x, state, noise)
        betas, coefficients = (a.astype(x.dtype) for a in self._contrast(draw))
        nudged = self.nudged(model, x, y, betas, free.carry)
        gradient = contrast_gradient(model, x, y, betas, coefficients, nudged.state)
        value = mean_loss(model, free.state, y)
        report = SpikingReport(free.info, nudged.info, activity(free.carry))
        surrogate = Partial(contrast_surrogate, betas, coefficients, nudged.state)
        return with_own_gradient(given, Estimate(value, gradient, free.state, report), surrogate)

    def free(
        self, model: Model, x: Batch, state: State, key: PRNGKeyArray, hook: Hook = no_hook
    ) -> Phase:
        """The free phase of a batch, from membranes at ``state``; nothing is differentiated."""
        return free_phase(self.solver, self.coding, freeze(model), x, state, key, hook)

    def nudged(
        self,
        model: Model,
        x: Batch,
        y: Batch,
        betas: Array,
        start: SpikingCarry,
        hook: Hook = no_hook,
    ) -> Phase:
        """The phases at ``betas``, all from where the free one ended; arrays of (phases, batch, ...)."""
        frozen, solver = freeze(model), self.nudged_solver or self.solver

        def settle(beta: Array, index: Array, x: Array, y: Array, carry: SpikingCarry) -> Phase:
            def clamp(x: Array) -> Clamped:
                return frozen.nudged(x, y, beta)

            if not self.common_noise:
                carry = carry._replace(key=jax.random.fold_in(carry.key, index))
            carry, records = solver.run(self.coding.phases(clamp, x), carry, hook)
            return Phase(carry, *solver.conclude(clamp(x), carry), records)

        examples = jax.vmap(settle, (None, None, 0, 0, 0))
        phases = jax.vmap(examples, (0, 0, None, None, None))
        return phases(betas, jnp.arange(len(betas)), x, y, start)

    def forecast(self, model: Model, x: Batch, y: Batch, key: PRNGKeyArray) -> Forecast:
        return spiking_forecast(self.solver, self.coding, model, x, y, key)

    def examine(self, model: Model, x: Batch, y: Batch) -> dict[str, Any]:
        """Rates and costs of an estimate, on a few examples."""
        return spikes_of(self, model, x, y)

    def _contrast(self, key: PRNGKeyArray) -> tuple[Array, Array]:
        betas, coefficients = self.contrast.draw(key)
        if jnp.iscomplexobj(betas):
            raise ValueError(
                "SpikingPropagation: expected real nudges, got complex ones, at which no probability is "
                "defined; use symmetric or n_point."
            )
        return betas, coefficients


def free_phase(
    solver: Spiking,
    coding: Coding,
    model: Model,
    x: Batch,
    state: State,
    key: PRNGKeyArray,
    hook: Hook = no_hook,
) -> Phase:
    """The free phase of a batch, from membranes at ``state``."""
    if isinstance(coding, BernoulliCoded):
        check_pooling(model.energy)

    def settle(x: Array, state: State, key: PRNGKeyArray) -> Phase:
        phase = model.free(x)
        carry = solver.start(phase, state, key)
        carry, records = solver.run(coding.phases(model.free, x), carry, hook)
        return Phase(carry, *solver.conclude(phase, carry), records)

    return jax.vmap(settle)(x, state, jax.random.split(typed(key), x.shape[0]))


def spiking_forecast(
    solver: Spiking, coding: Coding, model: Model, x: Batch, y: Batch, key: PRNGKeyArray
) -> Forecast:
    """What a network of spikes shows of a batch in its free phase, from rest."""
    _, state, info, _ = free_phase(solver, coding, freeze(model), x, model.rest(x), key)
    costs = jax.vmap(model.loss)(state, y)
    return Forecast(jax.vmap(model.predict)(state), costs, {"residual": info.residual})


class SurrogateBackpropagation(Estimator):
    """The gradient of the mean cost in what the free phase's ``reading`` reads, through all its steps, with
    the slope of the firing probability in the place of a spike's (straight-through; Bengio et al. 2013).

    Memory grows with ``solver.steps``. Any firing rule will do, a hard reset too.
    """

    solver: Spiking
    coding: Coding = Analog()

    @checked
    def __call__(
        self, model: Model, x: Batch, y: Batch, state: State, key: PRNGKeyArray
    ) -> Estimate:
        require_examples(x, y)
        require_slopes(model, x, y, state)

        def unrolled(model: Model):
            phase = free_phase(self.solver, self.coding, model, x, state, key)
            shown = read(model.energy.units, self.solver.read_out(phase.carry))
            return jnp.mean(jax.vmap(model.cost)(shown, y)), phase

        (value, phase), gradient = eqx.filter_value_and_grad(unrolled, has_aux=True)(model)
        report = SpikingReport(phase.info, None, activity(phase.carry))
        return Estimate(value, gradient, phase.state, report)

    def forecast(self, model: Model, x: Batch, y: Batch, key: PRNGKeyArray) -> Forecast:
        return spiking_forecast(self.solver, self.coding, model, x, y, key)

    def examine(self, model: Model, x: Batch, y: Batch) -> dict[str, Any]:
        """Rates and costs of an estimate, on a few examples."""
        return spikes_of(self, model, x, y)


def spikes_of(
    estimator: SpikingPropagation | SurrogateBackpropagation, model: Model, x: Batch, y: Batch
) -> dict[str, Any]:
    """Rates and costs of an estimate, on the first few examples."""
    from eqprop.spiking.count import summary
    from eqprop.spiking.record import record

    phases = record(estimator, model, x[:FEW], y[:FEW], jax.random.key(0))
    return {"spikes": summary(model, estimator.solver, phases)}
