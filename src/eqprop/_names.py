"""Names that are not known, and those that may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def meant(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'digits'?`` of the names that begin so, or else of the nearest; empty of none."""
    known = list(known)
    begun = [one for one in known if one.startswith(f"{name}-")]
    close = begun or difflib.get_close_matches(name.lower(), known, n=1)
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
