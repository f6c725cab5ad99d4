"""Options that take several numbers: which of a command line's do, and a line for each choice of one."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, get_args, get_type_hints

NUMBERS = int, float


class Line(NamedTuple):
    """A command line of single numbers: its words, and the number of each option that had several."""

    words: list[str]
    values: dict[str, float]


def lines(recipe: Callable[..., Any], words: list[str]) -> list[Line]:
    """The product over all options of ``recipe`` that are a number and were given several, in their order:
    ``--beta 0.1 0.2`` makes two lines.

    Raises ``ValueError`` where no option has several numbers, where one has a number twice, and for the
    seed, which ``--seeds`` counts.
    """
    parts = _parts(recipe, words)
    axes = {option: values for option, values in parts if len(values) > 1}
    if not axes:
        raise ValueError(
            "sweep: expected an option with several numbers, such as --beta 0.1 0.2 0.5, got none; for a "
            "single run say train."
        )
    if "seed" in axes:
        raise ValueError("sweep: expected --seeds N for the seeds 0 to N - 1, not several --seed.")
    for option, values in axes.items():
        if len(set(map(float, values))) < len(values):
            raise ValueError(
                f"sweep: expected different numbers for --{option}, got {' '.join(values)}."
            )
    found = []
    for choice in itertools.product(*axes.values()):
        chosen = dict(zip(axes, choice, strict=True))
        line = [
            word
            for option, given in parts
            for word in ([f"--{option}", chosen[option]] if option in chosen else given)
        ]
        found.append(Line(line, {option: float(value) for option, value in chosen.items()}))
    return found


def _parts(recipe: Callable[..., Any], words: list[str]) -> list[tuple[str, list[str]]]:
    """Options with several numbers as (name, numbers), all other words as ("", [word])."""
    parts: list[tuple[str, list[str]]] = []
    at = 0
    while at < len(words):
        option = words[at].removeprefix("--").replace("_", "-")
        numbers = list(itertools.takewhile(_is_number, words[at + 1 :]))
        if words[at].startswith("--") and len(numbers) > 1 and is_number(recipe, option):
            parts.append((option, numbers))
            at += 1 + len(numbers)
        else:
            parts.append(("", [words[at]]))
            at += 1
    return parts


def is_number(recipe: Callable[..., Any], option: str) -> bool:
    """Whether an option, ``solver.max-steps`` or the like, holds one number, of whatever alternative."""
    name, *path = option.replace("-", "_").split(".")
    hints = get_type_hints(recipe)
    if name not in inspect.signature(recipe).parameters:
        return False
    kinds = list(_alternatives(hints[name]))
    for part in path:
        kinds = [
            kind
            for whole in kinds
            if dataclasses.is_dataclass(whole)
            and part in {f.name for f in dataclasses.fields(whole)}
            for kind in _alternatives(get_type_hints(whole)[part])
        ]
    return any(kind in NUMBERS for kind in kinds)


def _alternatives(kind: Any) -> Iterator[Any]:
    """The types of a union, and the type that is annotated."""
    if hasattr(kind, "__metadata__"):
        yield from _alternatives(kind.__origin__)
    elif get_args(kind) and getattr(kind, "__origin__", None) is None:
        for part in get_args(kind):
            yield from _alternatives(part)
    else:
        yield kind


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
