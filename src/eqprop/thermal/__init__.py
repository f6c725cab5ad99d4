"""Phases at a temperature: Markov kernels, one file a family; their chains; and what is learnt of them."""

from eqprop.thermal import free_energy
from eqprop.thermal.adjusted import Adjusted, Hmc, Mala, Nuts
from eqprop.thermal.as_spins import GibbsContrast, as_spins
from eqprop.thermal.chains import Chains
from eqprop.thermal.ensemble import Phases
from eqprop.thermal.estimator import Thermal, ThermalReport
from eqprop.thermal.exact import Enumeration, Gaussian
from eqprop.thermal.gibbs import Gibbs
from eqprop.thermal.langevin import UnadjustedLangevin, Underdamped
from eqprop.thermal.readings import ConditionalMeans, Draws
from eqprop.thermal.rules import (
    Reweighting,
    finite_nudge,
    free_covariance,
    path_integral,
    symmetric_nudge,
)
from eqprop.thermal.sample import sample
from eqprop.thermal.sampler import Sampler, check_temperature, log_density, stand_in

__all__ = [
    "Adjusted",
    "Chains",
    "ConditionalMeans",
    "Draws",
    "Enumeration",
    "Gaussian",
    "Gibbs",
    "GibbsContrast",
    "Hmc",
    "Mala",
    "Nuts",
    "Phases",
    "Reweighting",
    "Sampler",
    "Thermal",
    "ThermalReport",
    "UnadjustedLangevin",
    "Underdamped",
    "as_spins",
    "check_temperature",
    "finite_nudge",
    "free_covariance",
    "free_energy",
    "log_density",
    "path_integral",
    "sample",
    "stand_in",
    "symmetric_nudge",
]
