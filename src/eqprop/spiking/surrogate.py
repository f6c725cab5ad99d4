"""Surrogate gradients: back-propagation through time and through spikes, the usual way to train spiking
networks, on the same dynamics."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from eqprop.arguments import checked
from eqprop.estimators import Batch, Estimate, Estimator
from eqprop.model import Model, require_examples
from eqprop.slopes import require_slopes
from eqprop.spiking.activity import SpikingReport, activity
from eqprop.spiking.coding import Analog, Coding
from eqprop.spiking.dynamics import Spiking
from eqprop.spiking.estimator import free_phase
from eqprop.units import State, read


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
