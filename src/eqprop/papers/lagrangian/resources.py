"""What dynamical systems cost: time of Newton's method by length and size, memory of an echo by length."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from eqprop.energies.model import Model
from eqprop.estimators.contrast import symmetric
from eqprop.estimators.equilibrium import EquilibriumPropagation
from eqprop.lagrangian import Action, Newton, NonlinearOscillators, PathError, evolve, unroll
from eqprop.lagrangian.oscillators import Passage
from eqprop.papers.lagrangian import duffing as chain
from eqprop.papers.lagrangian import figures as own
from eqprop.papers.lagrangian.duffing import cheaply
from eqprop.papers.study import Asked, Study
from eqprop.solvers.relax import relax

PASSAGES: dict[str, Passage] = {"echo": evolve, "BPTT": unroll}

BETA = 1e-6
"""Small: on a path of many periods, undamped, some frequency of the path is always near resonance."""


@dataclass(frozen=True)
class CostStudy(Study):
    """Times of paths by Newton's method in float64, and memories of a layer of oscillators in float32."""

    steps: tuple[int, ...] = (100, 1000, 10_000, 100_000)
    """Lengths of the paths, of three oscillators."""
    sizes: tuple[int, ...] = (3, 6, 12, 24, 48)
    """Numbers of oscillators, on paths of 100 steps."""
    lengths: tuple[int, ...] = (1000, 3000, 10_000, 30_000, 100_000)
    """Of the sequences that a layer reads."""
    width: int = 64
    repeats: int = 3

    def results(self, asked: Asked) -> dict[str, Any]:
        steps, sizes = self.steps, self.sizes
        lengths, repeats = self.lengths, self.repeats
        if asked.quick:
            steps, sizes, lengths, repeats = steps[:2], sizes[:2], lengths[:2], 1
        compiled = cheaply if asked.quick else eqx.filter_jit
        shapes = list(dict.fromkeys([(3, n) for n in steps] + [(size, 100) for size in sizes]))
        with ThreadPoolExecutor() as pool:
            made = list(pool.map(partial(programs, compiled), shapes))
        with jax.enable_x64(True):
            found = {shape: times(one, repeats) for shape, one in zip(shapes, made, strict=True)}
        with jax.enable_x64(False):
            memory = {
                label: [memory_of(passage, self.width, n) for n in lengths]
                for label, passage in PASSAGES.items()
            }
        result = {
            "by_steps": _line("steps", steps, [found[3, count] for count in steps]),
            "by_size": _line("size", sizes, [found[size, 100] for size in sizes]),
            "memory": {"lengths": list(lengths), "width": self.width, "bytes": memory},
        }
        asked.save("cost", own.costs(**result))
        return result

    def summary(self, found: Mapping[str, Any]) -> list[str]:
        return [_spoken(label, found[label]) for label in ("by_steps", "by_size")]


Compared = tuple[Callable[[Model], Any], Callable[[Model], Any], Model]
"""A free solution from rest, the gradient with its free solution, and what both are given."""


def programs(compiled: Callable[..., Any], shape: tuple[int, int]) -> Compared:
    with jax.enable_x64(True):
        model, x, y = problem(*shape)
        newton, rest, key = Newton(), model.rest(x), jax.random.key(0)
        learner = EquilibriumPropagation(newton, symmetric(BETA))
        free = compiled(lambda model: relax(model, x, rest, newton))
        whole = compiled(lambda model: learner(model, x, y, rest, key))
        return free.lower(model).compile(), whole.lower(model).compile(), model


def times(compared: Compared, repeats: int) -> Mapping[str, float]:
    """Seconds of a free solution from rest, of one of its steps, and of the gradient after it."""
    free, whole, model = compared
    count = int(free(model)[1].steps[0])
    alone = seconds(lambda: free(model), repeats)
    both = seconds(lambda: whole(model), repeats)
    return {"free": alone, "step": alone / count, "gradient": both - alone}


def problem(size: int, steps: int) -> chain.Problem:
    """A driven chain of ``size`` oscillators, on a path of whole periods or one of ``steps`` steps."""
    dt = chain.PERIOD / min(steps, 100)
    params = {"k": jnp.ones(size), "a": 0.25 * jnp.ones(size), "c": 0.3 * jnp.ones(size - 1)}
    action = Action(chain.driven, params, size=size, steps=steps, dt=dt)
    y = jnp.zeros((1, steps, size))
    return Model(action, PathError(weight=dt)), jnp.array([[0.3, 0.15]]), y  # type: ignore[call-arg]


def memory_of(passage: Passage, width: int, length: int) -> int:
    """Bytes that the gradient of a layer's last positions works with, besides what it is given."""
    layer = NonlinearOscillators.init(jax.random.key(0), 1, width, passage=passage)
    arrays, static = eqx.partition(layer, eqx.is_inexact_array)

    def gradient(arrays: PyTree, inputs: Array) -> PyTree:
        def cost(arrays: PyTree) -> Array:
            return jnp.sum(eqx.combine(arrays, static).last(inputs) ** 2)

        return jax.grad(cost)(arrays)

    inputs = jax.ShapeDtypeStruct((length, 1, 1), jnp.float32)
    analysis = jax.jit(gradient).lower(arrays, inputs).compile().memory_analysis()
    assert analysis is not None
    return int(analysis.temp_size_in_bytes)


def seconds(call: Callable[[], PyTree], repeats: int) -> float:
    """Median wall-clock time of a call, after one that is not counted."""
    spent = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        jax.block_until_ready(call())
        spent.append(time.perf_counter() - began)
    return float(np.median(spent[1:]))


def _spoken(label: str, line: Mapping[str, Any]) -> str:
    ratios = ", ".join(f"{ratio:.1f}" for ratio in line["gradient_over_free"])
    return f"{label}: time of order {line['order']:.2f}; gradient over free solution {ratios}"


def _line(what: str, values: Sequence[int], rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Times against what was varied, and the slope of their logarithms over its upper half."""
    upper = slice(len(values) // 2 - 1, None)
    step = [row["step"] for row in rows]
    order = np.polyfit(np.log(values[upper]), np.log(step[upper]), 1)[0]
    return {
        what: list(values),
        "step_seconds": step,
        "gradient_over_free": [row["gradient"] / row["free"] for row in rows],
        "order": float(order),
    }
