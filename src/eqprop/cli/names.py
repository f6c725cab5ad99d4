"""Names and options that there are not, and those that may have been meant."""

from __future__ import annotations

import difflib
import re
import textwrap
from collections.abc import Collection, Iterable
from typing import NoReturn

from eqprop._names import meant

SHORT = 10
"""So many names are told in the sentence itself; more stand above it."""


class UnknownName(ValueError):
    """A name that there is not; ``shown`` are the lines to print before."""

    def __init__(self, message: str, shown: str = ""):
        super().__init__(message)
        self.shown = shown


def require_known(what: str, name: str, known: Collection[str]) -> None:
    """Raise `UnknownName` for a name that is not among those ``known``, with the nearest, or with all."""
    if name not in known:
        _refuse(what, name, known)


def _refuse(what: str, name: str, known: Collection[str]) -> NoReturn:
    got = repr(name) if name else "none"
    if close := meant(name, known):
        raise UnknownName(f"expected a {what}, got {got}.{close}")
    if len(known) <= SHORT:
        raise UnknownName(f"expected a {what}, one of {', '.join(known)}; got {got}.")
    names = textwrap.fill(
        "  ".join(known), 78, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )
    raise UnknownName(
        f"expected a {what}, one of those above; got {got}. What each is, `eqprop list` tells.",
        names,
    )


def nearest(option: str, known: Iterable[str]) -> str | None:
    """The option that one like ``--lr`` may have meant: by its initials, its beginning, or its letters."""
    asked = _plain(option)
    plain = {_plain(each): each for each in known}
    for name, each in plain.items():
        parts = name.replace(".", "-").split("-")
        if len(parts) > 1 and "".join(part[:1] for part in parts) == asked:
            return each
    begun = [each for name, each in plain.items() if name.startswith(asked)]
    if len(asked) > 1 and begun:
        return begun[0]
    close = difflib.get_close_matches(asked, plain, n=1)
    return plain[close[0]] if close else None


def hyphened(kind: str) -> str:
    """As the parser calls a class: ``sgd-momentum``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", kind).lower()


def _plain(option: str) -> str:
    return option.lstrip("-").partition("=")[0].replace("_", "-").lower()
