"""The layer graph, coloured: which layers may be relaxed at once."""

from __future__ import annotations

from collections.abc import Iterable


def colour(names: Iterable[str], couples: Iterable[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """Groups of mutually uncoupled layers, greedily, in the order the layers are given.

    A chain becomes its odd and even layers; a skip between two layers of one parity makes a third
    group. A coupling of a layer with itself does not count: it is bounded within the block.
    """
    names = tuple(names)
    neighbours: dict[str, set[str]] = {name: set() for name in names}
    for source, target in couples:
        if source != target and source in neighbours and target in neighbours:
            neighbours[source].add(target)
            neighbours[target].add(source)
    colours: dict[str, int] = {}
    for name in names:
        taken = {colours[other] for other in neighbours[name] if other in colours}
        colours[name] = min(set(range(len(names))) - taken)
    groups = range(max(colours.values(), default=-1) + 1)
    return tuple(tuple(n for n in names if colours[n] == group) for group in groups)


def one_by_one(names: Iterable[str]) -> tuple[tuple[str], ...]:
    """Each layer for itself, in the order given: from the input up, a first sweep is a forward pass; from
    the output down, a nudge goes all the way back in one."""
    return tuple((name,) for name in names)


def alternate(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The odd and the even layers, whatever couples them: `colour` of a chain, and the schedule with which
    residual networks are published. Where skips join layers of one group it is not block descent."""
    names = tuple(names)
    return names[::2], names[1::2]
