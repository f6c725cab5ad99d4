"""Colouring: no two coupled layers in one group."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from eqprop.energies.network import colour

NAMES = tuple(f"z{i}" for i in range(1, 10))
CHAIN = tuple(itertools.pairwise(NAMES))


def test_no_layers():
    assert colour((), ()) == ()


def test_chain_is_odd_and_even():
    assert colour(NAMES, CHAIN) == (NAMES[::2], NAMES[1::2])


def test_resnet13_needs_three_groups():
    skips = [("z2", "z4"), ("z4", "z6"), ("z6", "z8")]
    assert colour(NAMES, [*CHAIN, *skips]) == (NAMES[::2], ("z2", "z6"), ("z4", "z8"))


def test_lateral_and_foreign_edges_do_not_count():
    extra = [("z2", "z2"), ("x", "z1"), ("z3", "elsewhere")]
    assert colour(NAMES, [*CHAIN, *extra]) == colour(NAMES, CHAIN)


def test_direction_does_not_matter():
    assert colour(NAMES, [(b, a) for a, b in CHAIN]) == colour(NAMES, CHAIN)


@st.composite
def graphs(draw):
    names = tuple(f"n{i}" for i in range(draw(st.integers(1, 8))))
    ends = st.sampled_from(names)
    return names, draw(st.lists(st.tuples(ends, ends), max_size=24))


@given(graphs())
def test_every_layer_once_and_no_edge_inside(graph):
    names, couples = graph
    groups = colour(names, couples)
    assert sorted(name for group in groups for name in group) == sorted(names)
    assert all(groups)
    home = {name: i for i, group in enumerate(groups) for name in group}
    assert all(home[a] != home[b] for a, b in couples if a != b)
    degree = max(sum(name in c and c[0] != c[1] for c in set(couples)) for name in names)
    assert len(groups) <= degree + 1
