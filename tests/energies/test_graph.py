"""Couplings on the edges of a graph, and machines of them, against matrices and enumeration."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import eqprop as eq
from eqprop.energies import grid, on_graph
from eqprop.energies.ops import Dense, Sparse, freeze, is_linear
from eqprop.thermal import Chains, Enumeration, Gibbs, Phases

KEY = jax.random.key(0)
RING = np.array([(0, 4), (4, 1), (1, 2), (2, 3), (3, 0), (5, 1)])
"""A ring of five, which takes three colours, and a tail."""
PAIRS = [(0, 3), (2, 0), (2, 3), (2, 1), (1, 2)]


def operator():
    return Sparse.init(KEY, PAIRS, (3, 5))


def test_products_and_adjoints_are_those_of_the_matrix():
    op, v = operator(), jax.random.normal(KEY, (5,))
    u = jax.random.normal(jax.random.key(1), (3,))
    wanted = np.zeros((3, 5))
    wanted[tuple(np.transpose(PAIRS))] = op.weight
    np.testing.assert_array_equal(op.matrix(), wanted)
    for form in (op, freeze(op)):
        assert is_linear(form)
        product, adjoint = jax.vjp(form, u)
        np.testing.assert_allclose(product, u @ wanted, atol=1e-15)
        np.testing.assert_allclose(adjoint(v)[0], wanted @ v, atol=1e-15)
        again = jax.grad(lambda v, back=adjoint: u @ back(v)[0])(v)
        np.testing.assert_allclose(again, u @ wanted, atol=1e-15)


def ring(unit):
    edges, biases = jax.random.split(jax.random.key(2))
    weights = jax.random.normal(edges, (len(RING),))
    return weights, biases, on_graph(RING, weights, 0.3 * jax.random.normal(biases, (6,)), unit)


def test_the_energy_and_its_gradient_are_those_of_the_graph():
    weights, biases, graph = ring(eq.Spin())
    spins = jnp.array([1.0, -1.0, -1.0, -1.0, 1.0, 1.0])
    state = graph.state(spins)
    assert sorted(z.shape for z in state.values()) == [(1,), (2,), (3,)]
    np.testing.assert_array_equal(graph.values(state), spins)

    def energy(network):
        return network.clamp(jnp.zeros(1))(state)

    products = spins[RING[:, 0]] * spins[RING[:, 1]]
    wanted = -weights @ products - 0.3 * jax.random.normal(biases, (6,)) @ spins
    np.testing.assert_allclose(energy(graph.network), wanted, atol=1e-14)
    gradient = eqx.filter_grad(energy)(graph.network)
    learnt = [g for edge in gradient.edges.values() for g in jax.tree.leaves(edge)]
    assert sorted(jnp.concatenate([g.ravel() for g in learnt])) == sorted(-products)


def test_a_graph_of_oscillators_is_placed_neuron_by_neuron():
    _, _, graph = ring(eq.Oscillator())
    phases = jnp.linspace(0.0, 5.0, 6)
    values = jnp.stack([jnp.cos(phases), jnp.sin(phases)])
    state = graph.state(values)
    assert {name: z.shape for name, z in state.items()} == graph.network.shapes
    np.testing.assert_array_equal(graph.values(state), values)
    with pytest.raises(ValueError, match=r"values of 6 neurons in the last axis, got \(2, 5\)"):
        graph.state(values[:, :5])


def test_chains_tend_to_the_law_of_the_graph():
    graph = ring(eq.Spin())[2]
    model = eq.Model(graph.network, eq.SquaredError("colour0"))
    x, y = jnp.zeros((1, 1)), jnp.zeros((1, 2))

    def seconds(states, weights):
        spins = graph.values(states)
        return jnp.einsum("kbc,kbci,kbcj->kbij", weights, spins, spins)

    @jax.jit
    def means(model):
        sources = Chains(1.0, Gibbs(), 4000, 60, 1, 1), Enumeration(1.0)
        free = Phases(model, x, y, jnp.zeros(1))
        return [s.average(free, model.rest(x), KEY, seconds).mean for s in sources]

    drawn, exact = means(model)
    np.testing.assert_allclose(drawn, exact, atol=0.07)


def test_layers_that_are_joined_completely_are_joined_by_a_matrix():
    pairs = np.stack(np.meshgrid(np.arange(3), 3 + np.arange(2)), -1).reshape(-1, 2)
    graph = on_graph(pairs, jnp.arange(6.0), jnp.zeros(5), eq.Spin())
    (edge,) = graph.network.edges.values()
    assert isinstance(edge.op, Dense)
    np.testing.assert_array_equal(edge.op.weight, jnp.arange(6.0).reshape(2, 3).T)


def test_a_grid_has_two_colours_and_open_ends():
    edges = grid(4, 5)
    assert len(edges) == 4 * 4 + 3 * 5
    np.testing.assert_array_equal(
        np.bincount(edges.ravel()).reshape(4, 5)[:2, :2], [[2, 3], [3, 4]]
    )
    graph = on_graph(edges, jnp.ones(len(edges)), jnp.zeros(20), eq.Spin())
    assert graph.network.shapes == {"colour0": (10,), "colour1": (10,)}


@pytest.mark.parametrize(
    ("edges", "weights", "message"),
    [
        ([(0, 3)], jnp.ones(1), "expected neurons from 0 to 2"),
        ([(-1, 1)], jnp.ones(1), "got -1 to 1"),
        ([(1, 1)], jnp.ones(1), "got one from 1 to itself"),
        ([(0, 1), (1, 0)], jnp.ones(2), "each edge once, got some twice"),
        ([(0, 1), (1, 2)], jnp.ones(3), r"one weight for each of 2 edges, got \(3,\)"),
        ([(0, 1, 2)], jnp.ones(1), r"edges as pairs, of shape \(edges, 2\)"),
        ([(0.5, 1)], jnp.ones(1), "whole numbers"),
    ],
)
def test_what_is_no_graph_is_refused(edges, weights, message):
    with pytest.raises(ValueError, match=message):
        on_graph(edges, weights, jnp.zeros(3), eq.Spin())


def test_neurons_have_one_bias_each():
    with pytest.raises(ValueError, match=r"one bias a neuron, of shape \(n,\), got \(3, 1\)"):
        on_graph([(0, 1)], jnp.ones(1), jnp.zeros((3, 1)), eq.Spin())


def test_edges_out_of_layers_are_refused():
    with pytest.raises(ValueError, match="from 0 to 2 below and 4 above, got 0 to 0 and 5 to 5"):
        Sparse.of([(0, 5)], (3, 5), jnp.ones(1))
    with pytest.raises(ValueError, match="one weight for each of 1 edges"):
        Sparse.of([(0, 1)], (3, 5), jnp.ones(2))
