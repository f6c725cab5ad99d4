"""What there is to train and to reproduce, read from the papers' files as text: no library is loaded to
list it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

PAPERS = Path(__file__).parents[1] / "papers"

ORDER = (
    *("foundation", "finite_nudge", "oim", "lagrangian", "hopfield_resnet", "stochep"),
    *("predictive_coding", "resistive"),
)
"""The papers, as they are listed."""


class Entry(NamedTuple):
    """A recipe or a study: the folder of its paper, and what it is in a line."""

    paper: str
    about: str


@cache
def recipes() -> dict[str, Entry]:
    """The recipes by name: the public functions of the papers' `recipes.py`."""
    return {
        node.name.replace("_", "-"): Entry(paper, (ast.get_docstring(node) or "").split("\n")[0])
        for paper in ORDER
        for node in _body(paper, "recipes.py")
        if isinstance(node, ast.FunctionDef)
        and not node.name.startswith("_")
        and isinstance(node.returns, ast.Name)
        and node.returns.id == "Training"
    }


@cache
def studies() -> dict[str, Entry]:
    """The studies by name: what the last tuple of the papers' `studies.py` holds."""
    found = {}
    for paper in ORDER:
        *_, shelf = (node for node in _body(paper, "studies.py") if isinstance(node, ast.AnnAssign))
        assert isinstance(shelf.value, ast.Tuple)
        for made in shelf.value.elts:
            assert isinstance(made, ast.Call)
            name, about = (ast.literal_eval(part) for part in made.args[:2])
            found[name] = Entry(paper, about)
    return found


def papers() -> tuple[str, ...]:
    """The papers, as `eqprop reproduce` knows them."""
    return tuple(paper.replace("_", "-") for paper in ORDER)


def lines() -> list[str]:
    """Recipes and experiments, one a line."""
    told = ["recipes  (eqprop train NAME, eqprop audit NAME)"]
    told += [f"  {name:31} {entry.about}" for name, entry in recipes().items()]
    told += ["experiments  (eqprop reproduce NAME)"]
    for paper, group in zip(ORDER, papers(), strict=True):
        names = [name for name, entry in studies().items() if entry.paper == paper]
        told.append(f"  {group:31} a paper: all {len(names)} from {names[0]} to {names[-1]}")
    return told + [f"  {name:31} {entry.about}" for name, entry in studies().items()]


def _body(paper: str, file: str) -> list[ast.stmt]:
    path = PAPERS / paper / file
    return ast.parse(path.read_text("utf-8")).body if path.exists() else []
