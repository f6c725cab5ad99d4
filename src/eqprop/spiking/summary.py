"""One estimate's spikes in numbers: how often layers fire, and what it costs."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from eqprop.model import Model
from eqprop.spiking.count import cost
from eqprop.spiking.dynamics import Spiking
from eqprop.units import State


def summary(model: Model, solver: Spiking, phases: dict[str, State]) -> dict[str, Any]:
    """Of recorded phases: mean rates by phase and layer; and of an example, synaptic operations, random
    draws, and energy in microjoules, of spikes and of the same steps with real numbers."""
    found = cost(model, solver, phases)
    rates: dict[str, dict[str, float]] = {
        phase: {name: _mean(fired) for name, fired in spikes.items()}
        for phase, spikes in phases.items()
    }
    return {
        "rates": rates,
        "synaptic_operations": found.synaptic_operations,
        "draws": found.draws,
        "dense_operations": found.dense_operations,
        "microjoules": 1e-6 * found.picojoules,
        "dense_microjoules": 1e-6 * found.dense_picojoules,
    }


def _mean(fired: Array) -> float:
    return float(jnp.mean(fired, dtype=jnp.float32))
