"""Equilibria of a batch, and their derivatives by the adjoint equation.

An equilibrium obeys ``D(z, theta) = 0`` for the displacement ``D(z) = retract(a) - z``, so that

    dC/dtheta = -lambda dD/dtheta,        D_z' lambda = dC/dz

(Almeida 1987, Pineda 1987), whatever solver found it and wherever it began.
"""

from __future__ import annotations

from functools import partial, singledispatch
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, PRNGKeyArray, PyTree

from eqprop._arguments import checked
from eqprop.energies.derivatives import stopped, with_derivative
from eqprop.energies.energy import Clamped, displacement, norm
from eqprop.energies.model import Batch, Model
from eqprop.energies.ops import freeze
from eqprop.energies.units.noise import typed
from eqprop.energies.units.unit import State
from eqprop.solvers.solver import CONVERGED, Info, Solver

STEPS = 400


class Forecast(NamedTuple):
    """By example: scores (batch, classes), costs (batch,), and what there is to say of the phase."""

    scores: Array
    costs: Array
    metrics: dict[str, Array]


def forecast(solver: Solver, model: Model, x: Batch, y: Batch, key: PRNGKeyArray) -> Forecast:
    """What a model shows of a batch without being nudged, where a solver takes it from rest."""
    state, info = relax(model, x, None, solver, key)
    metrics = {
        "steps": info.steps,
        "residual": info.residual,
        "converged": info.outcome == CONVERGED,
    }
    return Forecast(jax.vmap(model.predict)(state), jax.vmap(model.loss)(state, y), metrics)


@checked
def relax(
    model: Model, x: Batch, state: State | None, solver: Solver, key: PRNGKeyArray | None = None
) -> tuple[State, Info]:
    """The free equilibria of a batch; noise is independent between examples. A ``state`` of None is rest,
    and counted sweeps then do no product with layers that are still at rest.

    A layer of any model: reverse mode differentiates the states in the parameters and in ``x`` by the
    adjoint equation, as exactly as they have settled, at the memory of one step. Their derivative in the
    ``state`` where relaxation starts is 0, since an equilibrium forgets it. Differentiating what has no
    such derivative raises ``ValueError``: the report, draws of noisy solvers, complex states and spins;
    and at run time where the adjoint equation has no solution, as where two equilibria meet.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import eqprop as eq
        >>> model, x = eq.layered((4, 8, 2), jax.random.key(0)), jnp.ones((3, 4))
        >>> state, info = eq.relax(model, x, model.rest(x), eq.Blockwise(1e-4))
        >>> float(info.converged)
        1.0
    """
    begin = solver.settle if state is not None else solver.settle_from_rest
    state = model.rest(x) if state is None else state
    model.require_batch(x, state)
    given = model, x, state
    frozen, x, state = freeze(stopped(given))
    keys = None if key is None else jax.random.split(typed(key), x.shape[0])

    def settle(x: Array, state: State, key: PRNGKeyArray | None) -> tuple[State, Info]:
        return begin(frozen.free(x), state, key)

    found = jax.vmap(settle)(x, state, keys)
    return with_derivative(given, found, Partial(_pull, solver))


def _pull(
    solver: Solver, perturbed: PyTree, given: PyTree, found: tuple[State, Info], slopes: PyTree
) -> PyTree:
    (model, x, start), (states, _), (slope, of_report) = given, found, slopes
    _require_equilibrium(solver, states, of_report)
    frozen = freeze(model)
    slope = {n: jnp.zeros_like(z) if slope[n] is None else slope[n] for n, z in states.items()}

    def multiplier(x: Array, z: State, slope: State) -> State:
        found, defect = adjoint(frozen.free(x), z, slope)
        wrong = ~(defect <= jnp.sqrt(jnp.finfo(defect.dtype).eps))
        solved: State = eqx.error_if(found, wrong, UNSOLVED)
        return solved

    multipliers = jax.vmap(multiplier)(x, states, slope)

    def answer(given: tuple[Model, Batch]) -> Array:
        return -jnp.sum(jax.vmap(partial(work, given[0]))(given[1], states, multipliers))

    by_model, by_input = eqx.filter_grad(answer)((model, x))
    return by_model, by_input, jax.tree.map(lambda _: None, start)


def work(model: Model, x: Array, z: State, multiplier: State) -> Array:
    """``<multiplier, D(z)>`` of one example: its derivative in what ``D`` depends on is ``lambda dD``."""
    moves = displacement(model.free(x), z)
    parts = [jnp.sum(multiplier[name] * move) for name, move in moves.items()]
    return sum(parts[1:], parts[0])


@singledispatch
def adjoint(phase: Clamped, z: State, slope: State) -> tuple[State, Array]:
    """The solution of the adjoint equation at one equilibrium, by the landscape's best method, and its
    relative residual."""
    eps = float(jnp.finfo(jnp.result_type(*jax.tree.leaves(z))).eps)
    return krylov(phase, z, slope, eps**0.75, STEPS)


def krylov(
    phase: Clamped, z: State, slope: State, tolerance: float, max_steps: int
) -> tuple[State, Array]:
    """The same by GMRES. Raises ``ValueError`` for spins, which answer in jumps, and for couplings that act
    one way, whose fields are no derivatives."""
    if jumps := [name for name, unit in phase.units.items() if unit.discrete]:
        raise ValueError(
            f"Equilibrium: expected units with a derivative, but {jumps} are spins, which answer a field "
            "in jumps; use eqprop.thermal.Thermal, whose value has one."
        )
    edges = getattr(phase, "edges", {})
    if odd := [name for name, edge in edges.items() if getattr(edge.op, "one_way", False)]:
        raise ValueError(
            f"Equilibrium: expected couplings of an energy, but {odd} act one way; take the value of "
            "EquilibriumPropagation, whose derivative is what such a device learns by."
        )
    import lineax as lx

    gmres = lx.GMRES(rtol=tolerance, atol=tolerance**2, restart=50, max_steps=max_steps)
    largest = jnp.max(jnp.stack([jnp.max(jnp.abs(part)) for part in slope.values()]))
    size = jnp.where(largest > 0, largest, 1.0)
    slope = {name: part / size for name, part in slope.items()}
    _, transpose = jax.vjp(lambda z: displacement(phase, z), z)
    operator = lx.FunctionLinearOperator(lambda v: transpose(v)[0], jax.eval_shape(lambda: z))
    solution = lx.linear_solve(operator, slope, gmres, throw=False).value
    defect = jax.tree.map(jnp.subtract, operator.mv(solution), slope)
    scaled = {name: size * part for name, part in solution.items()}
    return scaled, norm(defect) / jnp.maximum(norm(slope), tolerance)


def _require_equilibrium(solver: Solver, state: State, of_report: PyTree) -> None:
    if jax.tree.leaves(of_report):
        raise ValueError(
            "relax: expected a derivative of the states, got one of the report, whose residuals and steps "
            "have none; differentiate the states."
        )
    if solver.noisy:
        raise ValueError(
            f"relax: expected an equilibrium to differentiate, got a draw of {type(solver).__name__}; take "
            "the value of EquilibriumPropagation, Thermal or SpikingPropagation, whose derivative is the "
            "estimator's own gradient, or a solver without noise."
        )
    if any(jnp.iscomplexobj(z) for z in state.values()):
        raise ValueError("relax: expected real states to differentiate, got complex ones.")


UNSOLVED = (
    "relax: expected an equilibrium with a derivative, got one whose adjoint equation has no solution to "
    "the root of the float type's precision: states that are not finite or far from settled, or where two "
    "equilibria meet. Look at the report, settle more tightly, or take Backpropagation, through the steps."
)
