"""The tables of the pages, from the committed results: ``make tables``."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

from benchmarks import tables as benchmarks
from benchmarks.gpu import predicted

from eqprop.papers.catalogue import PAPERS
from eqprop.papers.tables import Section, demonstrated, table

ROOT = Path(__file__).resolve().parents[1]

FILLED = re.compile(r"^<!-- make tables: (\S+) -->$.*?^<!-- end -->$", re.DOTALL | re.MULTILINE)


def _page(paper: str) -> str:
    return f"src/eqprop/papers/{paper}/README.md"


def _tables(paper: str) -> ModuleType:
    return import_module(f"eqprop.papers.{paper}.tables")


def papers() -> list[str]:
    """What each paper reports and we find, in a row, with its page."""
    rows = []
    for paper in PAPERS:
        about = import_module(f"eqprop.papers.{paper}").__doc__ or paper
        if found := _tables(paper).headline():
            rows.append((f"[{about.strip().rstrip('.')}]({_page(paper)})", *found))
    return table("", ("paper", "for example", "reported", "ours"), rows)


PAGES: dict[str, Mapping[str, Section]] = {
    "README.md": {"papers": papers, "speed": benchmarks.speed},
    "docs/results.md": benchmarks.TABLES,
    "benchmarks/gpu/README.md": predicted.TABLES,
    **{
        _page(paper): {"demonstration": partial(demonstrated, paper), **_tables(paper).TABLES}
        for paper in PAPERS
    },
}
"""The tables of each page, by the name in its marks."""


def with_tables(text: str, sections: Mapping[str, Section]) -> str:
    """A page's text, its tables made anew."""

    def filled(mark: re.Match[str]) -> str:
        name = mark[1]
        made = "\n".join(sections[name]()).strip()
        return f"<!-- make tables: {name} -->\n\n{made}\n\n<!-- end -->"

    return FILLED.sub(filled, text)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make tables", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="only say whether the pages are current"
    )
    check = parser.parse_args().check
    for name, sections in PAGES.items():
        page = ROOT / name
        text = page.read_text("utf-8")
        made = with_tables(text, sections)
        if check and made != text:
            sys.exit(f"{name}: its tables are not those of the committed results; run make tables.")
        if not check:
            page.write_text(made, "utf-8")


if __name__ == "__main__":
    main()
