"""What becomes of a gradient: clipping, momentum, weight decay, rates by layer, a schedule, and writing."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PyTree

from eqprop._arguments import Bound, Checked, Count, NotNegative, Positive, Whole
from eqprop.energies.model import Model
from eqprop.energies.parameters import parameter_names
from eqprop.hardware import Ranges, on_grid
from eqprop.training.epoch import scale_layers

WRITES = 2


class Adam(Checked):
    """Adam with Optax's usual moments (Kingma and Ba 2015).

    Examples:
        >>> import jax.numpy as jnp
        >>> from eqprop.training import Adam
        >>> rule, theta = Adam().transform(), jnp.zeros(2)
        >>> update, _ = rule.update(jnp.array([100.0, -0.01]), rule.init(theta))
        >>> [round(float(u), 3) for u in update]  # at first the sign, whatever the size
        [1.0, -1.0]
    """

    def transform(self) -> optax.GradientTransformation:
        return optax.scale_by_adam()


class SgdMomentum(Checked):
    """``m <- decay m + g``; Nesterov's looks one step ahead.

    Examples:
        >>> import jax.numpy as jnp
        >>> from eqprop.training import SgdMomentum
        >>> rule, g = SgdMomentum(decay=0.5, nesterov=False).transform(), jnp.ones(1)
        >>> first, state = rule.update(g, rule.init(g))
        >>> float(first[0]), float(rule.update(g, state)[0][0])  # then 0.5 * 1 + 1
        (1.0, 1.5)
    """

    decay: Annotated[NotNegative, Bound("<", 1)] = 0.9
    nesterov: bool = True

    def transform(self) -> optax.GradientTransformation:
        return optax.trace(self.decay, nesterov=self.nesterov)


class Sgd(Checked):
    """The gradient as it is.

    Examples:
        >>> from eqprop.training import Constant, Optimiser, Sgd
        >>> plain = Optimiser(0.1, Sgd(), Constant())  # theta <- theta - 0.1 g
        >>> plain.schedule.schedule(plain.learning_rate, 1000)(500)
        0.1
    """

    def transform(self) -> optax.GradientTransformation:
        return optax.identity()


class Cosine(Checked):
    """From the learning rate down to ``end`` at the last step.

    Examples:
        >>> from eqprop.training import Cosine
        >>> rate = Cosine(end=0.0).schedule(rate=0.5, steps=100)
        >>> [round(float(rate(step)), 3) for step in (0, 50, 100)]
        [0.5, 0.25, 0.0]
    """

    end: NotNegative = 0.0

    def schedule(self, rate: float, steps: int) -> optax.Schedule:
        if self.end > rate:
            raise ValueError(
                f"Cosine: expected an end of at most the learning rate, {rate:g}, got {self.end:g}; a rate "
                "that rises is for `warmup`."
            )
        return optax.cosine_decay_schedule(rate, steps, self.end / rate)


class Constant(Checked):
    """The learning rate as it is."""

    def schedule(self, rate: float, steps: int) -> optax.Schedule:
        return optax.constant_schedule(rate)


class Writing(Checked):
    """Updates rounded to a device's ``2^bits`` levels in place of floating-point parameters beside it;
    ``stochastic`` rounds up or down at random, by ``seed``, so that small updates count on average.

    Examples:
        >>> import jax.numpy as jnp
        >>> from eqprop.hardware import Ranges
        >>> from eqprop.training import Writing
        >>> device = Writing(bits=2, ranges=Ranges(1.5)).transform()  # levels -1.5, -0.5, 0.5, 1.5
        >>> weight, asked = {"w": jnp.array([0.5, 0.5])}, {"w": jnp.array([0.4, 0.6])}
        >>> written, _ = device.update(asked, device.init(weight), weight)
        >>> written["w"].tolist()  # less than half a step is lost
        [0.0, 1.0]
    """

    bits: Count
    ranges: Ranges
    stochastic: bool = False
    seed: Annotated[Whole, Bound("<", 2**32)] = 0

    def transform(self) -> optax.GradientTransformation:
        key = jax.random.fold_in(jax.random.key(self.seed), WRITES)
        return on_grid(self.bits, self.ranges, key if self.stochastic else None)


class AtLeast(Checked):
    """Updates that leave no weight of the energy below ``least``, as conductances cannot be: parameters
    whose last name is among ``names``. Others go where they go. Raises ``ValueError`` where there is none.

    Examples:
        >>> import jax.numpy as jnp
        >>> from eqprop.training import AtLeast
        >>> rule, held = AtLeast(0.0).transform(), {"weight": jnp.array([0.5, 0.5])}
        >>> update, _ = rule.update({"weight": jnp.array([0.25, -2.0])}, rule.init(held), held)
        >>> (held["weight"] + update["weight"]).tolist()
        [0.75, 0.0]
    """

    least: NotNegative = 0.0
    names: tuple[str, ...] = ("weight", "kernel")

    def transform(self) -> optax.GradientTransformation:
        def keep(updates: PyTree, params: PyTree) -> PyTree:
            def one(name: str, update: Array, held: Array) -> Array:
                kept = jnp.maximum(held + update, self.least) - held
                return kept if self._holds(name) else update

            named = parameter_names(params)
            if not any(map(self._holds, jax.tree.leaves(named))):
                raise ValueError(
                    f"AtLeast: expected parameters that end in {self.names}, got "
                    f"{jax.tree.leaves(named)}; give their `names`."
                )
            return jax.tree.map(one, named, updates, params)

        return optax.stateless(keep)

    def _holds(self, name: str) -> bool:
        return name.rpartition(".")[2] in self.names and not name.startswith("cost.")


class Optimiser(Checked):
    """``theta <- theta - rate(t) * factor * rule(clip(g)) - decay``, for a run of so many steps.

    Args:
        learning_rate: its peak.
        rule: momentum.
        schedule: what the learning rate does after its warm-up.
        warmup: epochs over which the learning rate rises from zero.
        layer_rates: of each edge, in order from the input, as multiples of the rate; () is all 1.
        bias_rate: of biases, as a multiple of that of their layer's first edge.
        injection_rate: the same for injections of oscillators.
        weight_decay: acts on all but injections, whose zero is no neutral value.
        coupled: add the weight decay to the gradient before ``rule`` rather than after it.
        clip_norm: largest norm of the whole gradient; 0 leaves it as it is.
        writing: how a device takes an update, or keeps weights from where they cannot be.
    """

    learning_rate: Positive = 1e-3
    rule: Adam | SgdMomentum | Sgd = Adam()
    schedule: Cosine | Constant = Cosine()
    warmup: NotNegative = 0.0
    layer_rates: tuple[float, ...] = ()
    bias_rate: float = 1.0
    injection_rate: float = 1.0
    weight_decay: NotNegative = 0.0
    coupled: bool = False
    clip_norm: NotNegative = 0.0
    writing: Writing | AtLeast | None = None

    def transform(self, model: Model, steps: int, epochs: int) -> optax.GradientTransformation:
        """For a run of ``steps`` steps in ``epochs`` epochs; asked twice, the same object. Raises
        ``ValueError`` where rates and edges differ in number."""
        if self.warmup >= epochs:
            raise ValueError(f"warmup: expected fewer than the {epochs} epochs, got {self.warmup}.")
        names, structure = jax.tree.flatten(parameter_names(model))
        return _made(self, _Named(tuple(names), structure, tuple(_edges(model))), steps, epochs)


class _Named(NamedTuple):
    """What of a model an optimiser asks for: its parameters' names, and those of its edges in order."""

    parameters: tuple[str, ...]
    structure: jax.tree_util.PyTreeDef
    edges: tuple[str, ...]

    def map(self, function: Callable[[str], Any]) -> PyTree:
        return jax.tree.unflatten(self.structure, [function(name) for name in self.parameters])


@lru_cache(maxsize=8)
def _made(asked: Optimiser, named: _Named, steps: int, epochs: int) -> optax.GradientTransformation:
    rate, warmup = asked.learning_rate, round(steps * asked.warmup / epochs)
    schedule = asked.schedule.schedule(rate, max(steps - warmup, 1))
    if warmup:
        rise = optax.linear_schedule(0.0, rate, warmup)
        schedule = optax.join_schedules([rise, schedule], [warmup])
    rule, decay = asked.rule.transform(), optax.add_decayed_weights(asked.weight_decay, _decays)
    return optax.chain(
        optax.clip_by_global_norm(asked.clip_norm) if asked.clip_norm else optax.identity(),
        *((decay, rule) if asked.coupled else (rule, decay)),
        scale_layers(_rates(asked, named)),
        optax.scale_by_learning_rate(schedule),
        asked.writing.transform() if asked.writing else optax.identity(),
    )


def _decays(parameters: PyTree) -> PyTree:
    names = parameter_names(parameters)
    return jax.tree.map(lambda name: not name.endswith(".injection"), names)


def _edges(model: Model) -> list[str]:
    """The names of what may have a rate of its own, in order from the input."""
    edges = list(getattr(model.energy, "edges", {}).values())
    order = [
        f"{e.source}-{e.target}"
        for layer in model.energy.shapes
        for e in edges
        if e.target == layer
    ]
    return [*order, "cost"] if jax.tree.leaves(eqx.filter(model.cost, eqx.is_array)) else order


def _rates(asked: Optimiser, named: _Named) -> PyTree:
    """Each parameter's factor: that of the edge it belongs to, or that ends in its layer."""
    order = list(named.edges)
    own = {"bias": asked.bias_rate, "injection": asked.injection_rate}

    def scaled(name: str, factor: float) -> float:
        return factor * own.get(name.rsplit(".", 1)[-1], 1.0)

    if not asked.layer_rates:
        return named.map(lambda name: scaled(name, 1.0))
    if len(asked.layer_rates) != len(order):
        raise ValueError(
            f"layer_rates: expected {len(order)} numbers, one each for {order}, got {asked.layer_rates}."
        )
    factors = dict(zip(order, asked.layer_rates, strict=True))
    factors |= {edge.split("-")[1]: rate for edge, rate in reversed(factors.items()) if "-" in edge}
    return named.map(lambda name: scaled(name, factors[name.split(".")[0]]))
