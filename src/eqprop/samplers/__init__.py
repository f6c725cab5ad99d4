"""How a landscape is sampled at a temperature: Markov kernels, one file a family."""

from eqprop.samplers._sampler import Sampler, check_temperature, concrete, log_density, stand_in
from eqprop.samplers.adjusted import Adjusted, Hmc, Mala, Nuts
from eqprop.samplers.gibbs import Gibbs
from eqprop.samplers.langevin import UnadjustedLangevin, Underdamped

__all__ = [
    "Adjusted",
    "Gibbs",
    "Hmc",
    "Mala",
    "Nuts",
    "Sampler",
    "UnadjustedLangevin",
    "Underdamped",
    "check_temperature",
    "concrete",
    "log_density",
    "stand_in",
]
