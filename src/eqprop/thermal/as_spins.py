"""The exact alternative: the same logistic network as spins, sampled by block Gibbs.

A neuron of no memory fires with ``1 / (1 + exp(-4 (g - 1/2)))``, a `Bernoulli` spin in the field ``g -
1/2`` at ``T = 1/4``. All at once, from one another's last spikes, such neurons have a stationary law that
no energy describes; block by block they sample ``exp(-E / T)``, and every rule of
`eqprop.thermal.estimator` is exact.
"""

from __future__ import annotations

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

from eqprop._arguments import Count, Whole, checked
from eqprop.energies.costs import SquaredError
from eqprop.energies.model import Batch, Model
from eqprop.energies.network import Layer, Network
from eqprop.energies.units.sigmoid import Logistic
from eqprop.energies.units.spin import Bernoulli
from eqprop.energies.units.unit import State
from eqprop.estimators.estimator import Estimate, Estimator
from eqprop.solvers.relax import Forecast
from eqprop.thermal.chains import Chains
from eqprop.thermal.estimator import Thermal
from eqprop.thermal.gibbs import Gibbs
from eqprop.thermal.rules import Rule

TEMPERATURE, CENTRE = 0.25, 0.5


@checked
def as_spins(model: Model) -> Model:
    """The network whose spins fire, at `TEMPERATURE`, as the logistic neurons of ``model`` do.

    Raises ``ValueError`` for other units, and for a cost that is not quadratic in spins.

    Examples:
        >>> import eqprop as eq
        >>> network = eq.Network(1, {"out": eq.Layer(2, eq.Logistic())}, [])
        >>> layer = eq.thermal.as_spins(eq.Model(network, eq.SquaredError())).energy.layers["out"]
        >>> type(layer.unit).__name__, layer.bias.tolist()  # in the field g - 1/2
        ('Bernoulli', [-0.5, -0.5])
    """
    network, cost = model.energy, model.cost
    if not isinstance(network, Network):
        raise ValueError(f"as_spins: expected a Network, got {type(network).__name__}.")
    others = [
        name for name, layer in network.layers.items() if not isinstance(layer.unit, Logistic)
    ]
    if others:
        raise ValueError(
            f"as_spins: expected Logistic layers, whose spikes have a Gibbs law, got other units in "
            f"{others}; use Logistic, or the mean field (Spiking)."
        )
    if not isinstance(cost, SquaredError):
        raise ValueError(
            f"as_spins: expected a SquaredError, under which spins stay independent given the others, got "
            f"{type(cost).__name__}."
        )
    layers = {
        name: Layer(layer.shape, Bernoulli(), layer.bias - CENTRE / layer.scale, layer.scale)
        for name, layer in network.layers.items()
    }
    edges = [(edge.source, edge.target, edge.op) for edge in network.edges.values()]
    order = {name: layers[name] for name in network.order}
    return Model(Network(network.input_shape, order, edges), cost)


class GibbsContrast(Estimator):
    """The contrast of a rule (`thermal.finite_nudge`) for a logistic network's spikes at equilibrium, as a
    gradient of that network; from ``chains`` Gibbs chains an example, or from another source.

    Examples:
        >>> import eqprop as eq
        >>> learner = eq.thermal.GibbsContrast.init(eq.thermal.finite_nudge(1.0), chains=8, samples=5)
        >>> learner.thermal.source.temperature, learner.thermal.source.steps  # 20 + 5 * 2
        (0.25, 30)
    """

    thermal: Thermal

    @classmethod
    @checked
    def init(
        cls, rule: Rule, chains: Count = 16, burn: Whole = 20, samples: Count = 5
    ) -> GibbsContrast:
        """Block Gibbs chains with common noise."""
        return cls(Thermal(Chains(TEMPERATURE, Gibbs(), chains, burn, samples, 2), rule))

    def __check_init__(self):
        if self.thermal.source.temperature != TEMPERATURE:
            raise ValueError(
                f"GibbsContrast: expected a source at T = {TEMPERATURE}, the slope of the logistic, got "
                f"{self.thermal.source.temperature}."
            )

    @checked
    def __call__(
        self, model: Model, x: Batch, y: Batch, state: State, key: PRNGKeyArray
    ) -> Estimate:
        spins = as_spins(model)
        found = self.thermal(spins, x, y, self.thermal.start(spins, x), key)
        own = jax.tree.structure(eqx.filter(model, eqx.is_inexact_array))
        gradient = jax.tree.unflatten(own, jax.tree.leaves(found.gradient))
        return found._replace(gradient=gradient)

    def scores(self, model: Model, state: State) -> jax.Array:
        return self.thermal.scores(as_spins(model), state)

    def forecast(self, model: Model, x: Batch, y: Batch, key: PRNGKeyArray) -> Forecast:
        return self.thermal.forecast(as_spins(model), x, y, key)
