"""Contrasts: which nudges to apply, and how to combine the phases.

    d<C>/d theta  ~  Re sum_k c_k <dF_{beta_k}/d theta>_{beta_k}

A contrast is exact when ``<dF_beta/d theta>_beta`` is a polynomial in ``beta`` of
degree ``order`` or less.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from math import prod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact, PRNGKeyArray

from eqprop._arguments import Checked, checked, concrete

PerPhase = Inexact[Array, " phases"]

LOUD = 0.1


class Contrast(Checked):
    """A source of ``(betas, coefficients)``, both of shape (phases,).

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> class RandomSize(eq.Contrast):
        ...     def draw(self, key):
        ...         beta = jax.random.uniform(key, (), minval=0.1, maxval=0.5)
        ...         return jnp.stack([-beta, beta]), jnp.stack([-0.5 / beta, 0.5 / beta])
        >>> betas, weights = RandomSize().draw(jax.random.key(0))
        >>> round(float(weights.sum()), 3), round(float(weights @ betas), 3)  # a derivative's weights
        (0.0, 1.0)
    """

    @abstractmethod
    def draw(self, key: PRNGKeyArray) -> tuple[PerPhase, PerPhase]:
        """The nudges and the weights of one gradient."""

    @property
    def opposed(self) -> bool:
        """Whether the outermost nudges are opposite, so that displacements should be, too."""
        return False

    @property
    def from_free(self) -> bool:
        """Whether the first phase is the free one: its nudge is 0."""
        return False


class Fixed(Contrast):
    """The same nudges every time: data, so that another beta needs no compilation, and may be traced."""

    betas: np.ndarray | Array
    coefficients: np.ndarray | Array
    order: int = eqx.field(static=True)
    pair: bool = eqx.field(default=False, static=True)
    free: bool = eqx.field(default=False, static=True)

    @property
    def opposed(self) -> bool:
        return self.pair

    @property
    def from_free(self) -> bool:
        return self.free

    def draw(self, key: PRNGKeyArray) -> tuple[PerPhase, PerPhase]:
        return jnp.asarray(self.betas), jnp.asarray(self.coefficients)


class RandomSign(Contrast):
    """One-sided with a sign drawn for each batch: unbiased to first order, two phases.

    Examples:
        >>> import jax
        >>> import eqprop as eq
        >>> betas, weights = eq.RandomSign(0.5).draw(jax.random.key(0))
        >>> abs(betas).tolist(), abs(weights).tolist(), float(weights @ betas)
        ([0.0, 0.5], [2.0, 2.0], 1.0)
    """

    beta: float | Array
    order: int = eqx.field(default=1, static=True)

    def __check_init__(self) -> None:
        _nonzero(self.beta)

    def draw(self, key: PRNGKeyArray) -> tuple[PerPhase, PerPhase]:
        beta = jax.random.rademacher(key, (), jnp.result_type(float)) * self.beta
        return jnp.stack([jnp.zeros_like(beta), beta]), jnp.stack([-1 / beta, 1 / beta])

    @property
    def from_free(self) -> bool:
        return True


class Rescaled(Contrast):
    """Another contrast with all nudges ``factor`` times as large."""

    contrast: Contrast
    factor: float | Array

    def draw(self, key: PRNGKeyArray) -> tuple[PerPhase, PerPhase]:
        betas, coefficients = self.contrast.draw(key)
        return betas * self.factor, coefficients / self.factor

    @property
    def opposed(self) -> bool:
        return self.contrast.opposed

    @property
    def from_free(self) -> bool:
        return self.contrast.from_free


@checked
def finite_difference(betas: Sequence[float] | np.ndarray | Array) -> Fixed:
    """The derivative at 0 of the polynomial through the given nudges, which must differ.

    The weights are those of Lagrange's form in rational arithmetic, rounded once. They multiply the
    rounding of the phases; ``ValueError`` where that outweighs a tenth of the derivative.

    Examples:
        >>> import eqprop as eq
        >>> contrast = eq.finite_difference([-0.25, 0.0, 0.25])
        >>> contrast.coefficients.tolist(), contrast.order
        ([-2.0, 0.0, 2.0], 2)
    """
    if not concrete(betas):
        raise ValueError(
            "finite_difference: expected nudges with values, got traced ones; use one_sided, symmetric, "
            "n_point or holomorphic, whose beta may be traced."
        )
    nodes = np.asarray(betas, np.float64)
    if nodes.ndim != 1 or len(nodes) < 2 or len(np.unique(nodes)) < len(nodes):
        raise ValueError(
            f"finite_difference: expected as betas 2 or more distinct nudges, got {betas}."
        )
    _nonzero(float(np.max(np.abs(nodes))))
    scale = np.max(np.abs(nodes))
    symmetric = np.allclose(np.sort(nodes / scale), np.sort(-nodes / scale)) and len(nodes) % 2 == 0
    order = len(nodes) if symmetric else len(nodes) - 1
    slopes = _audible(nodes, _slopes([Fraction(node) for node in nodes]))
    return Fixed(nodes, slopes, order, bool(nodes[0] == -nodes[-1]), bool(nodes[0] == 0))


@checked
def one_sided(beta: float | Array) -> Fixed:
    """Nudges ``(0, beta)``: error O(beta) (Scellier and Bengio 2017).

    Examples:
        >>> import jax
        >>> import eqprop as eq
        >>> betas, weights = eq.one_sided(0.5).draw(jax.random.key(0))
        >>> betas.tolist(), weights.tolist()
        ([0.0, 0.5], [-2.0, 2.0])
    """
    return _stretched((0, 1), beta, 1)


@checked
def symmetric(beta: float | Array) -> Fixed:
    """Nudges ``(-beta, beta)``: error O(beta^2) (Laborieux et al. 2021).

    Examples:
        >>> import jax
        >>> import eqprop as eq
        >>> betas, weights = eq.symmetric(0.5).draw(jax.random.key(0))
        >>> betas.tolist(), weights.tolist()
        ([-0.5, 0.5], [-1.0, 1.0])
    """
    return _stretched((-1, 1), beta, 2)


@checked
def n_point(points: int, beta: float | Array) -> Fixed:
    """An even number of nudges spread symmetrically up to ``beta``: error O(beta^points).

    Examples:
        >>> import eqprop as eq
        >>> eq.n_point(4, 0.5).betas.tolist()
        [-0.5, -0.25, 0.25, 0.5]
    """
    if points < 2 or points % 2:
        raise ValueError(f"n_point: expected an even number of points >= 2, got {points}.")
    half = points // 2
    steps = [k for k in range(-half, half + 1) if k]
    return _stretched(steps, beta / half, points)


@checked
def holomorphic(points: int, radius: float | Array) -> Fixed:
    """``points`` complex nudges on a circle: error O(radius^points) (Laborieux and Zenke 2022).

    The nudges lie at angles ``pi (2 k + 1) / points``. Conjugate nudges give conjugate states, so only
    those in the upper half-plane are relaxed: ``points / 2`` phases. Needs smooth units.

    Examples:
        >>> import eqprop as eq
        >>> contrast = eq.holomorphic(4, 0.1)
        >>> contrast.betas.shape, contrast.order
        ((2,), 4)
    """
    if points < 2 or points % 2:
        raise ValueError(f"holomorphic: expected an even number of points >= 2, got {points}.")
    _nonzero(radius, "radius")
    angles = np.pi * (2 * np.arange(points // 2) + 1) / points
    betas = _typed(complex, radius) * np.exp(1j * angles)
    return Fixed(betas, 2 / (points * betas), points, True)


def _stretched(steps: Sequence[int], size: float | Array, order: int) -> Fixed:
    """Nudges at whole multiples of a size."""
    _nonzero(size)
    size = _typed(float, size)
    weights = _audible(np.asarray(steps), _slopes([Fraction(step) for step in steps]))
    nodes = np.asarray(steps, np.float64) * size + 0.0
    return Fixed(nodes, weights / size, order, steps[0] == -steps[-1], steps[0] == 0)


def _slopes(nodes: Sequence[Fraction]) -> list[Fraction]:
    """``L_j'(0)`` of Lagrange's polynomials ``L_j(b) = prod_m (b - b_m) / (b_j - b_m)``, exactly."""
    others = [node for node in nodes if node]
    whole = prod((-node for node in others), start=Fraction(1))
    inverse = sum((-1 / node for node in others), start=Fraction(0))

    def above(node: Fraction) -> Fraction:
        if len(others) < len(nodes):  # of a node at 0 the factor b alone need be differentiated
            return -whole / node if node else whole * inverse
        return -whole / node * (inverse + 1 / node)

    return [
        above(node) / prod(node - other for m, other in enumerate(nodes) if m != j)
        for j, node in enumerate(nodes)
    ]


def _audible(nodes: np.ndarray, weights: Sequence[Fraction]) -> np.ndarray:
    """The weights as floats. The derivative over the largest nudge is measured against the rounding of
    phases, of size 1, times the sum of their weights."""
    noise = float(sum(map(abs, weights)) * Fraction(np.max(np.abs(nodes)).item()))
    precision = float(jnp.finfo(jnp.result_type(float)).eps)
    if noise * precision > LOUD:
        raise ValueError(
            f"Contrast: expected nudges whose weights leave a derivative above the rounding of phases, got "
            f"{len(nodes)} nudges with sum |c| max |beta| = {noise:.1e} at a precision of {precision:.1e}; "
            "use fewer, spread to both sides as n_point does, or holomorphic."
        )
    return np.array([float(weight) for weight in weights])


def _typed(kind: type, value: float | Array) -> float | Array:
    return value.astype(jnp.result_type(kind)) if isinstance(value, jax.Array) else value


def _nonzero(beta: float | Array, name: str = "beta") -> None:
    if concrete(beta) and (not np.isfinite(beta) or beta == 0):
        raise ValueError(
            f"Contrast: expected a finite nudge {name} other than 0, got {beta}; two phases that do not "
            "differ carry no gradient. 0.1 to 1 is usual for a squared error."
        )
