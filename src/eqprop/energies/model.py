"""A model is an energy and a cost; nudging it by ``beta`` gives an energy again."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped

from eqprop._arguments import Checked, checked
from eqprop.energies.costs import Cost
from eqprop.energies.energy import Clamped, Energy
from eqprop.energies.units.unit import State, Units, embed, read

Batch = Shaped[Array, "batch ..."]


class Model(Checked):
    """What learns: the array leaves of the energy and of the cost are the parameters.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> model = eq.layered((4, 8, 2), jax.random.key(0))
        >>> state = model.rest(jnp.ones((3, 4)))
        >>> {name: z.shape for name, z in state.items()}
        {'h1': (3, 8), 'out': (3, 2)}
    """

    energy: Energy
    cost: Cost

    def __check_init__(self) -> None:
        if self.cost.output not in self.energy.shapes:
            raise ValueError(
                f"Model: the cost reads layer {self.cost.output!r}, but the energy has "
                f"{sorted(self.energy.shapes)}; name one of these as the cost's `output`."
            )

    def free(self, x: Array) -> Clamped:
        """The free landscape of one example."""
        return self.energy.clamp(x)

    @checked
    def nudged(self, x: Array, y: Array, beta: Array | complex) -> "Nudged":
        """``F_beta = E + beta C`` of one example."""
        beta = beta if isinstance(beta, jax.Array) else jnp.asarray(beta, x.dtype)
        return Nudged(base=self.energy.clamp(x), cost=self.cost, y=y, beta=beta)  # type: ignore[call-arg]

    def loss(self, state: State, y: Array) -> Array:
        """The cost of one example in ``state``."""
        return self.cost(self._read(state), y)

    def predict(self, state: State) -> Array:
        """The scores of one example in ``state``."""
        return self.cost.predict(self._read(state))

    def require_batch(self, x: Array, state: State, y: Array | None = None) -> None:
        """Raise ``ValueError`` unless ``x``, ``y`` and ``state`` are of one batch, with every layer."""
        if sorted(state) != sorted(self.energy.shapes):
            raise ValueError(
                f"state: expected the layers {sorted(self.energy.shapes)}, got {sorted(state)}; "
                "model.rest(x) is one to start from."
            )
        require_examples(x, x if y is None else y, **{f"state[{k!r}]": z for k, z in state.items()})

    def _read(self, state: State) -> State:
        return read(self.energy.units, embed(self.energy.units, state))

    @checked
    def rest(self, x: Array) -> State:
        """The resting states of a batch ``x`` of shape (batch, ...)."""
        return jax.vmap(lambda _: self.energy.rest(x.dtype))(x)


def require_examples(x: Array, y: Array, **others: Array) -> None:
    """Raise ``ValueError`` unless all are of one batch, of one example or more."""
    parts = {"x": x, "y": y, **others}
    lengths = {jnp.shape(part)[:1] for part in parts.values()}
    if len(lengths) > 1 or () in lengths or (0,) in lengths:
        found = ", ".join(f"{name} {jnp.shape(part)}" for name, part in parts.items())
        raise ValueError(
            "batch: expected one leading axis, as long in x, y and the state, of one example or more, got "
            f"{found}."
        )


class Nudged(Clamped):
    """``E + beta C``, a landscape of its own (Scellier and Bengio 2017, eq. 4).

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> model, x, y = eq.layered((4, 8, 2), jax.random.key(0)), jnp.ones(4), jnp.ones(2)
        >>> state, free = model.energy.rest(), model.free(x)
        >>> nudged = eq.energies.Nudged(free, model.cost, y, jnp.array(0.5))  # model.nudged(x, y, 0.5)
        >>> float(nudged(state) - free(state)), float(model.loss(state, y))
        (0.5, 1.0)
    """

    base: Clamped
    cost: Cost
    y: Array
    beta: Array

    @property  # type: ignore[misc]
    def units(self) -> Units:  # type: ignore[override]
        return self.base.units

    @property  # type: ignore[misc]
    def blocks(self) -> tuple[tuple[str, ...], ...] | None:  # type: ignore[override]
        return self.base.blocks

    @property
    def silent(self) -> frozenset[str]:
        return self.base.silent

    def coupling(self, shown: State) -> Array:
        base = self.base.coupling(shown)
        if self.cost.output not in shown:
            return base
        return base + self.beta * self.cost(read(self.units, shown), self.y)

    def curvature(self, name: str) -> Array | float:
        own = self.base.curvature(name)
        if name != self.cost.output:
            return own
        nudge = self.cost.curvature(self.beta)
        return jnp.asarray(own, nudge.dtype) + nudge
