"""What a training step compiles to: one batch for both nudges, the input outside the loops, no history."""

import re

import jax
import jax.numpy as jnp

from eqprop import (
    Backpropagation,
    Blockwise,
    Box,
    DeltaPropagation,
    EquilibriumPropagation,
    Layer,
    Linear,
    Model,
    Network,
    SquaredError,
    layered,
    one_sided,
    symmetric,
)
from eqprop.energies.ops import Conv, Dense
from eqprop.energies.parameters import in_memory

KEY = jax.random.key(0)


def compiled(estimator, batch=8, sizes=(37, 24, 11, 5)):
    """A training step's gradient of a dense network."""
    model = layered(sizes, KEY)
    x, y = jnp.ones((batch, sizes[0])), jnp.eye(5)[jnp.arange(batch) % 5]
    step = jax.jit(lambda x, y: estimator(model, x, y, model.rest(x), KEY).gradient)
    return step.lower(x, y).compile()


def test_both_nudges_are_one_batch_and_the_input_enters_once():
    text = compiled(EquilibriumPropagation(Blockwise(1e-5, 20), symmetric(0.1))).as_text()
    found = re.findall(r"= f64\[(\d+),(\d+)\]\S* dot\(.*?op_name=\"([^\"]*)\"", text)
    swept = [(int(rows), name) for rows, _, name in found if name.count("while/body") == 2]
    free = [rows for rows, name in swept if "vmap(vmap" not in name]
    nudged = [rows for rows, name in swept if "vmap(vmap" in name]
    assert free == [8] * 4  # two edges, both ways
    assert nudged == [16] * 4
    outside = [shape for *shape, name in found if "while" not in name and "transpose" not in name]
    assert outside.count(["8", "24"]) == 1  # what the input drives, for all sweeps of all phases


def test_the_gradient_of_a_narrow_matrix_is_formed_transposed():
    learner = EquilibriumPropagation(Blockwise(1e-5, 20), symmetric(0.1))
    text = compiled(learner, sizes=(37, 60, 5)).as_text()
    shapes = re.findall(r"= f64\[(\d+),(\d+)\]\S* dot\(.*?op_name=\"[^\"]*transpose\(", text)
    assert ("5", "60") in shapes and ("60", "5") not in shapes
    assert ("37", "60") in shapes


def test_memory_does_not_grow_with_the_steps():
    def bytes_of(estimator):
        return compiled(estimator).memory_analysis().temp_size_in_bytes

    few, many = (
        bytes_of(EquilibriumPropagation(Blockwise(1e-5, n), symmetric(0.1))) for n in (10, 1000)
    )
    unrolled = [bytes_of(Backpropagation(Blockwise(None, n), n)) for n in (10, 1000)]
    assert few == many
    assert unrolled[1] > 20 * unrolled[0]


def test_no_state_is_made_anew_for_the_gradient_of_a_kernel():
    """What a convolution's gradient reads across images is only read there, not clipped again."""
    layers = {f"c{i}": Layer((8, 8, 4), Box()) for i in (1, 2)} | {"out": Layer(5, Linear())}
    first, second = (Conv.init(KEY, inputs, 4) for inputs in (3, 4))
    ops = [("x", "c1", first), ("c1", "c2", second), ("c2", "out", Dense.init(KEY, 8 * 8 * 4, 5))]
    model = Model(Network((8, 8, 3), layers, ops), SquaredError())
    learner = DeltaPropagation(Blockwise(None, 2), one_sided(1e-3), Blockwise(None, 1))
    x, y = jnp.ones((6, 8, 8, 3)), jnp.eye(5)[jnp.arange(6) % 5]
    step = jax.jit(lambda x, y: learner(model, x, y, None, KEY).gradient)
    text = step.lower(x, y).compile().as_text()
    turned = [part for part in text.split("\n\n") if "-> f64[4,8,8,6]" in part]
    assert len(turned) >= 2
    assert not any("clamp(" in part or "maximum(" in part for part in turned)


def test_what_is_written_first_is_what_it_was():
    states = {"a": jnp.arange(3.0), "b": jnp.ones((2, 2))}
    same = jax.jit(in_memory)(states)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, same, states))
    assert jnp.isnan(jax.jit(in_memory)({"a": jnp.array([jnp.inf, 1.0])})["a"]).all()
