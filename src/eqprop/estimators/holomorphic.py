"""What complex nudges ask of a model: units, an energy and a cost that are holomorphic."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from eqprop.energies.energy import norm
from eqprop.energies.model import Model
from eqprop.energies.units.unit import State


def require_smooth(model: Model) -> None:
    """Raise ``ValueError`` where a layer is clipped."""
    rough = [name for name, unit in model.energy.units.items() if not unit.smooth]
    if rough:
        raise ValueError(
            f"EquilibriumPropagation: complex nudges need smooth units, but layers {rough} are clipped; "
            "use Logistic, Tanh or Linear units, or a real contrast such as n_point."
        )


def require_holomorphic(model: Model, x: Array, y: Array, state: State) -> State:
    """The state of one example, in complex numbers; raises at run time where the energy or the cost is not
    a holomorphic function of it, by ``f'(z) (i dz) = i f'(z) dz`` near by."""
    wrong = not_holomorphic(model.free(x), state) | not_holomorphic(
        lambda z: model.loss(z, y), state
    )
    smooth: State = eqx.error_if(state, wrong, ROUGH)
    return smooth


def not_holomorphic(function: Callable[[State], Array], state: State) -> Array:
    """Whether the pull-backs of 1 and ``i`` differ by more than the factor ``i`` and rounding."""

    def near(z: Array) -> Array:
        keys = jax.random.split(jax.random.key(0))
        real, imaginary = (jax.random.normal(key, z.shape, z.real.dtype) for key in keys)
        return z + 0.1 * jax.lax.complex(real, imaginary)

    one = jnp.ones((), jax.tree.leaves(state)[0].dtype)
    value, pull = jax.vjp(lambda z: function(z).astype(one.dtype), jax.tree.map(near, state))
    (first,), (turned,) = pull(one), pull(1j * one)
    apart = norm(jax.tree.map(lambda a, b: b - 1j * a, first, turned))
    slack = jnp.finfo(one.dtype).eps ** 0.75
    return jnp.isfinite(value) & (apart > slack * (norm(first) + norm(turned)))


ROUGH = (
    "EquilibriumPropagation: expected an energy and a cost that are holomorphic for complex nudges, got "
    "one that takes conjugates, absolute values, real parts or maxima of the state: write z @ z for "
    "jnp.vdot(z, z) and jnp.abs(z) ** 2, or use a real contrast such as n_point."
)
