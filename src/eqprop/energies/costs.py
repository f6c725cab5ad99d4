"""Costs: what the output should have shown, for one example."""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact, PRNGKeyArray

from eqprop._arguments import Checked, Count, checked
from eqprop.energies.ops import uniform_weights
from eqprop.energies.units.unit import State


class Cost(Checked):
    """``C(shown, y) -> scalar``: a function of what the layer ``output`` shows and of the target.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> class Squares(eq.Cost):
        ...     output = "out"
        ...     def __call__(self, shown, y):
        ...         return jnp.sum((shown["out"] - y) ** 2)
        ...     def predict(self, shown):
        ...         return shown["out"]
        ...     def curvature(self, beta):  # of beta times the above
        ...         return 2 * beta
        >>> float(Squares()({"out": jnp.array([1.0, 3.0])}, jnp.zeros(2)))
        10.0
    """

    output: eqx.AbstractVar[str]

    @abstractmethod
    def __call__(self, shown: State, y: Array) -> Inexact[Array, ""]:
        """The cost of one example."""

    @abstractmethod
    def predict(self, shown: State) -> Array:
        """Scores in the shape of ``y``; their argmax is the predicted class."""

    @abstractmethod
    def curvature(self, beta: Array) -> Array:
        """A diagonal bounding the Hessian of ``beta C`` in the output; exact where ``C`` is quadratic."""


def _check_target(cost: str, y: Array, shape: tuple[int, ...]) -> None:
    if y.shape != shape:
        raise ValueError(
            f"{cost}: expected one target of shape {shape}, the output's, got {y.shape}; class labels go "
            "in one-hot (jax.nn.one_hot), and batches carry one leading axis."
        )


class SquaredError(Cost):
    """``|u - t|^2 / 2``, summed over outputs, with ``t = low + (high - low) y`` (Scellier and Bengio 2017).

    A one-hot ``y`` asks the right class for ``high`` and the others for ``low``. A small ``high`` keeps
    the output's feedback weak: the same scores need smaller weights to a linear output.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> cost = eq.SquaredError("out")
        >>> float(cost({"out": jnp.array([0.5, 0.0])}, jnp.array([1.0, 0.0])))
        0.125
    """

    output: str = eqx.field(default="out", static=True)
    low: float = eqx.field(default=0.0, static=True)
    high: float = eqx.field(default=1.0, static=True)

    def target(self, y: Array) -> Array:
        """What the output is asked for."""
        return self.low + (self.high - self.low) * y

    def __call__(self, shown: State, y: Array) -> Inexact[Array, ""]:
        _check_target("SquaredError", y, shown[self.output].shape)
        error = shown[self.output] - self.target(y.astype(shown[self.output].dtype))
        return 0.5 * jnp.sum(error * error)

    def predict(self, shown: State) -> Array:
        return shown[self.output]

    def curvature(self, beta: Array) -> Array:
        return beta


class CrossEntropy(Cost):
    """``-<y, log softmax(u W + b)>`` with a read-out that is trained (Laborieux et al. 2021).

    ``weight`` has shape (features, classes). The read-out is not part of the relaxing system: it sees
    the layer ``output``, and its gradient is the derivative of the nudged energy like any other.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> blank = eq.CrossEntropy(weight=jnp.zeros((8, 2)), bias=jnp.zeros(2), output="h")
        >>> round(float(blank({"h": jnp.ones(8)}, jnp.array([1.0, 0.0]))), 3)  # log 2
        0.693
        >>> eq.CrossEntropy.init(jax.random.key(0), features=8, classes=2, output="h").weight.shape
        (8, 2)
    """

    weight: Array
    bias: Array
    output: str = eqx.field(static=True)

    @classmethod
    @checked
    def init(
        cls, key: PRNGKeyArray, features: Count, classes: Count, output: str, gain: float = 1.0
    ) -> "CrossEntropy":
        weight = uniform_weights(key, (features, classes), features, gain)
        return cls(weight=weight, bias=jnp.zeros(classes), output=output)

    def predict(self, shown: State) -> Array:
        return shown[self.output].reshape(-1) @ self.weight + self.bias

    def __call__(self, shown: State, y: Array) -> Inexact[Array, ""]:
        scores = self.predict(shown)
        _check_target("CrossEntropy", y, scores.shape)
        shift = jax.lax.stop_gradient(jnp.max(jnp.real(scores))).astype(scores.dtype)
        log_sum = shift + jnp.log(jnp.sum(jnp.exp(scores - shift)))
        y = y.astype(scores.dtype)
        return jnp.sum(y) * log_sum - jnp.sum(y * scores)

    def curvature(self, beta: Array) -> Array:
        """``|beta| / 2 |W| |W|' 1``: the softmax's Hessian is at most 1/2 (Gershgorin)."""
        size = jnp.abs(self.weight)
        return 0.5 * jnp.abs(beta) * (size @ jnp.sum(size, axis=0))


class FunctionCost(Cost):
    """``function(u, y) -> scalar`` of what the layer ``output`` shows: any function that has a slope.

    ``bound`` is a number that no eigenvalue of its Hessian in ``u`` exceeds. Solvers that minimise block by
    block need it (1 of half a squared error); others, as `GradientDescent`, do not ask.

    Examples:
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> cost = eq.FunctionCost(lambda u, y: jnp.sum(jnp.logaddexp(0.0, -y * u)), bound=0.25)
        >>> round(float(cost({"out": jnp.zeros(1)}, jnp.ones(1))), 3)  # log 2
        0.693
        >>> float(cost.curvature(jnp.array(2.0)))  # what block solvers ask for
        0.5
    """

    function: Callable[[Array, Array], Array] = eqx.field(static=True)  # type: ignore[misc]
    output: str = eqx.field(default="out", static=True)
    bound: float | None = eqx.field(default=None, static=True)

    def __call__(self, shown: State, y: Array) -> Inexact[Array, ""]:
        return self.function(shown[self.output], y)

    def predict(self, shown: State) -> Array:
        return shown[self.output]

    def curvature(self, beta: Array) -> Array:
        if self.bound is None:
            raise ValueError(
                "FunctionCost: expected a bound of its curvature for a solver that minimises block by "
                "block, got none; give one as bound=, or relax by GradientDescent."
            )
        return jnp.abs(beta) * self.bound
