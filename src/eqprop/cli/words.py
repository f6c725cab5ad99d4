"""The command that makes a run again, from its config."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from importlib import import_module
from types import UnionType
from typing import Any, Union, get_origin, get_type_hints

from eqprop.cli import listing
from eqprop.cli.names import hyphened
from eqprop.papers.call import Call
from eqprop.training.rivals import NAMES, RIVALS
from eqprop.training.structure import KIND, tell


def command_of(config: Mapping[str, Any]) -> str | None:
    """``eqprop train NAME ...`` with the arguments that differ from the recipe's own; None for a run of
    Python's."""
    name = config.get("recipe")
    if name not in listing.recipes() or "arguments" not in config:
        return None
    module = import_module(f"eqprop.papers.{listing.recipes()[name].paper}.recipes")
    recipe = getattr(module, name.replace("-", "_"))
    usual, hints = Call(recipe).told()["arguments"], get_type_hints(recipe)
    words, parts = ["eqprop", "train", str(name)], list[str]()
    for argument, value in config["arguments"].items():
        chosen = get_origin(hints.get(argument)) in (Union, UnionType)
        flat, part = _words(argument, value, usual.get(argument), chosen)
        words += flat
        parts += part
    words += _estimator(config.get("by"))
    if config.get("precision"):
        words += ["--precision", config["precision"]]
    return shlex.join(words + parts)


def _words(name: str, value: Any, usual: Any, chosen: bool = False) -> tuple[list[str], list[str]]:
    """Words of an argument: options first, then those of an object that is ``chosen`` from several classes,
    which come last."""
    if value == usual:
        return [], []
    flag = "--" + name.replace("_", "-")
    if isinstance(value, Mapping):
        other = not isinstance(usual, Mapping) or value[KIND] != usual[KIND]
        kind = hyphened(value[KIND].rpartition(":")[2])
        head = [f"{name}:{kind}"] if other or chosen else []
        before = usual if isinstance(usual, Mapping) and not other else {}
        inner = [_words(f"{name}.{k}", v, before.get(k)) for k, v in value.items() if k != KIND]
        flat, parts = ([w for pair in inner for w in pair[at]] for at in (0, 1))
        return ([], head + flat + parts) if head else (flat, parts)
    if isinstance(value, bool):
        return [flag if value else flag.replace("--", "--no-", 1)], []
    values = value if isinstance(value, list) else [value]
    return [flag, *map(str, values)], []


def _estimator(by: Any) -> list[str]:
    known = (
        [name for name, rival in zip(NAMES, RIVALS, strict=True) if tell(rival) == by] if by else []
    )
    return ["--estimator", known[0]] if known else []
