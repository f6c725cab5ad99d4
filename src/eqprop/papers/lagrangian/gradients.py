"""How exact the gradients of dynamical systems are: every rule on three coupled Duffing oscillators, and on
pendulums."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from eqprop.estimators.audit import compare
from eqprop.estimators.contrast import Contrast, holomorphic, one_sided, symmetric
from eqprop.estimators.equilibrium import EquilibriumPropagation
from eqprop.estimators.estimator import Estimator
from eqprop.lagrangian import Adjoint, Hamiltonian, Newton, ReversedNudge, evolve, unroll
from eqprop.lagrangian.hamiltonian import PhasePoint
from eqprop.papers.lagrangian import duffing as chain
from eqprop.papers.lagrangian import figures as own
from eqprop.papers.lagrangian import pendulum
from eqprop.papers.lagrangian.duffing import cheaply
from eqprop.papers.study import Asked, Study

DT, LENGTH = 0.05, 200

ADJOINT, BPTT = "adjoint", "BPTT"


@dataclass(frozen=True)
class GradientTable(Study):
    """Relative gradient errors in float64, each against the adjoint or back-propagation through time."""

    betas: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
    """The nudges of the figure."""

    def results(self, asked: Asked) -> dict[str, Any]:
        betas = self.betas[:3:2] if asked.quick else self.betas
        parts = (_periodic, _echo) if asked.quick else PARTS
        with jax.enable_x64(True):
            rows, lines = list[dict[str, Any]](), dict[str, dict[str, Any]]()
            for part in parts:
                more, drawn = part(betas)
                rows += more
                lines |= drawn
        asked.save("errors", own.errors(lines))
        return {"rows": rows, "lines": lines}

    def summary(self, found: Mapping[str, Any]) -> list[str]:
        return [_spoken(row) for row in found["rows"]]


def _spoken(row: Mapping[str, Any]) -> str:
    reported = f" (reported {row['reported']:.1e})" if row["reported"] else ""
    return f"{row['check']}: {row['error']:.1e}{reported}"


Found = tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]


def _row(
    check: str, reported: float | None, gradient: PyTree, reference: PyTree, against: str
) -> dict[str, Any]:
    found = compare(gradient, reference)[-1]
    error, cosine = found.relative_error, found.cosine
    return {
        "check": check,
        "reported": reported,
        "error": error,
        "cosine": cosine,
        "against": against,
    }


def _line(betas: Sequence[float], gradients: Iterable[PyTree], exact: PyTree) -> dict[str, Any]:
    """Errors at each nudge, and the order: the slope of their logarithms."""
    errors = [compare(gradient, exact)[-1].relative_error for gradient in gradients]
    order = float(np.polyfit(np.log(betas), np.log(errors), 1)[0])
    return {"beta": list(betas), "error": errors, "order": order}


@cheaply
def gradient_of(problem: chain.Problem, estimator: Estimator) -> PyTree:
    model, x, y = problem
    return estimator(model, x, y, model.rest(x), jax.random.key(0)).gradient


class _Filled(Contrast):
    """Another contrast, filled up to four phases of no weight: one compilation for all."""

    betas: Array
    coefficients: Array

    def __init__(self, contrast: Contrast):
        parts = contrast.draw(jax.random.key(0))
        self.betas, self.coefficients = (jnp.pad(part, (0, 4 - len(part))) for part in parts)

    def draw(self, key: PRNGKeyArray) -> tuple[Array, Array]:
        return self.betas, self.coefficients


def by_contrast(problem: chain.Problem, contrast: Contrast) -> PyTree:
    return gradient_of(problem, EquilibriumPropagation(Newton(), _Filled(contrast)))


def _contrasts(
    where: str,
    problem: chain.Problem,
    exact: PyTree,
    cases: Iterable[tuple[str, Contrast, float | None]],
) -> list[dict[str, Any]]:
    return [
        _row(f"{where}, {label}", reported, by_contrast(problem, contrast), exact, ADJOINT)
        for label, contrast, reported in cases
    ]


def _periodic(betas: Sequence[float]) -> Found:
    problem = chain.periodic()
    exact = gradient_of(problem, Adjoint(Newton()))
    sizes = (1e-3, 1e-2, 1e-1)
    one = zip(sizes, (1.8e-3, 1.8e-2, 2.0e-1), strict=True)
    two = zip(sizes, (2.4e-6, 2.4e-4, 2.4e-2), strict=True)
    points = ((2, 2.4e-2), (4, 7e-4), (8, 1e-6))
    cases = [(f"one-sided, β = {beta:g}", one_sided(beta), wanted) for beta, wanted in one]
    cases += [(f"symmetric, β = {beta:g}", symmetric(beta), wanted) for beta, wanted in two]
    cases += [(f"holomorphic, r = 0.1, M = {m}", holomorphic(m, 0.1), e) for m, e in points]
    lines = {
        f"periodic, {label}": _line(betas, [by_contrast(problem, c(beta)) for beta in betas], exact)
        for label, c in (("one-sided", one_sided), ("symmetric", symmetric))
    }
    return _contrasts("periodic", problem, exact, cases), lines


def _fixed(betas: Sequence[float]) -> Found:
    problem = chain.fixed_ends()
    exact = gradient_of(problem, Adjoint(Newton()))
    cases = (
        ("symmetric, β = 0.001", symmetric(1e-3), 1.8e-6),
        ("holomorphic, r = 0.1, M = 8", holomorphic(8, 0.1), 1.7e-8),
    )
    line = _line(betas, [by_contrast(problem, symmetric(beta)) for beta in betas], exact)
    return _contrasts("fixed ends", problem, exact, cases), {"fixed ends, symmetric": line}


Motion = tuple[Callable[[PyTree], Hamiltonian], PyTree, PhasePoint, Array]
"""A system of some parameters, these, a start, and inputs that end with the target."""


def duffing() -> Motion:
    start = tuple(map(jnp.array, chain.START))
    return chain.DuffingChain, chain.parameters(), start, chain.inputs(LENGTH, DT)  # type: ignore[return-value]


def _pendulums() -> Motion:
    start = jnp.array([0.8, -0.5]), jnp.array([0.1, 0.4])
    return pendulum.Pendulums, pendulum.springs(), start, pendulum.inputs(LENGTH, DT)


def through_time(passage: Callable[..., Any], motion: Motion) -> PyTree:
    """The gradient of ``dt / 2 sum_n |q_n - y_n|^2``."""
    build, params, start, inputs = motion

    def cost(params: PyTree, inputs: Array) -> Array:
        positions = passage(build(params), start, inputs, DT)[1]
        error = positions - inputs[:, -positions.shape[1] :]
        return 0.5 * DT * jnp.sum(error * error)

    return cheaply(jax.grad(cost))(params, inputs)


def _echo(betas: Sequence[float]) -> Found:
    """Without damping, and with a gain in its place on the way back."""
    rows: list[dict[str, Any]] = []
    lines = {}
    reports = {0.0: ("echo", 3.4e-5, 3.5e-9), chain.DAMPING: ("gain flip", 7.3e-3, 7.4e-7)}
    for damping, (label, coarse, fine) in reports.items():
        exact = through_time(partial(unroll, damping=damping), duffing())
        where = f"{label}, γ = {damping:g}"

        found = {
            nudge: through_time(partial(evolve, damping=damping, nudge=nudge), duffing())
            for nudge in (1e-2, 1e-3, 1e-4)
        }
        for nudge, reported in ((1e-2, coarse), (1e-4, fine)):
            rows.append(_row(f"{where}, ε = {nudge:g}", reported, found[nudge], exact, BPTT))
        lines[where] = _line(list(found), list(found.values()), exact)
    return rows, lines


def _swinging(betas: Sequence[float]) -> Found:
    """The same rules on pendulums."""
    rows: list[dict[str, Any]] = []
    cases = (
        ("symmetric, β = 0.001", symmetric(1e-3), None),
        ("holomorphic, r = 0.1, M = 8", holomorphic(8, 0.1), None),
    )
    for where, problem in (
        ("periodic", pendulum.periodic()),
        ("fixed ends", pendulum.fixed_ends()),
    ):
        exact = gradient_of(problem, Adjoint(Newton()))
        rows += _contrasts(f"double pendulum, {where}", problem, exact, cases)
    for damping, label in ((0.0, "echo"), (chain.DAMPING, "gain flip")):
        exact = through_time(partial(unroll, damping=damping), _pendulums())
        found = through_time(partial(evolve, damping=damping, nudge=1e-4), _pendulums())
        where = f"pendulums, {label}, γ = {damping:g}, ε = 0.0001"
        rows.append(_row(where, None, found, exact, BPTT))
    return rows, {}


def _launched(betas: Sequence[float]) -> Found:
    """From a given start, with friction that grows with the displacement or with the speed."""
    rows = []
    systems = {"": chain.launched(), "double pendulum, ": pendulum.launched()}
    for where, problem in systems.items():
        exact = gradient_of(problem, Adjoint(Newton()))
        label = f"{where}given start, doubled variables, nonlinear friction, β = 1"
        rows.append(_row(label, None, by_contrast(problem, one_sided(1.0)), exact, ADJOINT))
    return rows, {}


@eqx.filter_jit
def nudged_motion(inputs: Array, damping: float, echo: bool, nudge: float | Array = 1e-4) -> PyTree:
    """``-(1 / 2 beta) sum_n dt (dV/dtheta(q_n, beta) - dV/dtheta(q_n, -beta))``: of motions nudged from the
    given start on, which miss the term at the final time; or as an ``echo`` that is nudged from the
    flipped end on, damped as on the way there.

    Right only for an undamped echo, to first order in ``dt``.
    """
    _, params, start, _ = duffing()
    if echo:
        (q, p), _ = unroll(chain.DuffingChain(params), start, inputs, DT, damping)
        start, inputs = (q, -p), inputs[::-1]

    def pull(beta: float | Array) -> PyTree:
        system = chain.DuffingChain(params, beta)
        _, positions = unroll(system, start, inputs, DT, damping)
        return jax.grad(lambda params: DT * chain.potential(positions, params))(params)

    return jax.tree.map(lambda a, b: -(a - b) / (2 * nudge), pull(nudge), pull(-nudge))


def _initial(betas: Sequence[float]) -> Found:
    """The rules that are wrong."""
    inputs = chain.inputs(LENGTH, DT)
    damped, free = (
        through_time(partial(unroll, damping=damping), duffing())
        for damping in (chain.DAMPING, 0.0)
    )
    plain = nudged_motion(inputs, chain.DAMPING, True)
    naive = nudged_motion(inputs, 0.0, False)
    return [
        _row("plain echo, γ = 0.3 (wrong)", 1.87, plain, damped, BPTT),
        _row("initial value, naive contrast (wrong)", 4.1, naive, free, BPTT),
    ], {}


def _damped(betas: Sequence[float]) -> Found:
    nonlinear, linear = (chain.doubled_periodic(hardened) for hardened in (True, False))
    exact, exact_linear = (
        gradient_of(problem, Adjoint(Newton())) for problem in (nonlinear, linear)
    )
    doubled = by_contrast(nonlinear, one_sided(1e-2))
    back = gradient_of(linear, ReversedNudge(Newton(), 50.0))
    label = "doubled variables, nonlinear friction, β = 0.01"
    return [
        _row(label, 1.8e-10, doubled, exact, ADJOINT),
        _row("reversed nudge, linear friction, β = 50", 2e-9, back, exact_linear, ADJOINT),
    ], {}


PARTS = (_periodic, _fixed, _echo, _damped, _launched, _swinging, _initial)
