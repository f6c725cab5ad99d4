"""The tables of the pages, from the committed results: ``make tables``."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

from benchmarks import tables as benchmarks
from benchmarks.gpu import predicted

from eqprop.papers.catalogue import PAPERS
from eqprop.papers.tables import Result, Section, demonstrated, of_all, of_each, table

ROOT = Path(__file__).resolve().parents[1]

FILLED = re.compile(r"^<!-- make tables: (\S+) -->$.*?^<!-- end -->$", re.DOTALL | re.MULTILINE)

HEADLINES = {
    "foundation": ("mnist-dense", None),
    "finite_nudge": ("finite-nudge-accuracy", "β = 1, independent noise"),
    "oim": ("oim-mnist-local", None),
    "lagrangian": ("lagrangian-mnist", "row-wise, echo"),
    "hopfield_resnet": ("hopfield-resnet-cifar-10-widest", "ResNet13"),
    "stochep": ("stochep-mnist-conv", None),
    "predictive_coding": ("predictive-coding-deep", "64 layers"),
    "resistive": ("resistive-mnist", None),
}
"""The study of each paper's headline, and its case where it has several."""


def _page(paper: str) -> str:
    return f"src/eqprop/papers/{paper}/README.md"


def _tables(paper: str) -> ModuleType:
    return import_module(f"eqprop.papers.{paper}.tables")


def _title(paper: str) -> str:
    about = import_module(f"eqprop.papers.{paper}").__doc__ or paper
    return about.strip().rstrip(".")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _times(result: Result, line: str | None) -> str:
    """How long one run took, and how many seeds the command trains."""
    seeds = len(result["seeds"])
    each = _duration(_seconds(result, line))
    return each if seeds == 1 else f"{seeds} × {each}"


def _seconds(result: Result, line: str | None = None) -> float:
    """Of a run, or of one of the case of that name."""
    if line is None:
        return result["seconds"]["mean"]
    return next(case["seconds"] for case in result["cases"] if case["line"] == line)


def papers(place: Callable[[str], str]) -> list[str]:
    """What each paper reports and we find, in a row: how long a run took, the command, the folder.

    ``place`` says where the page of a paper is, as seen from the table.
    """
    rows = []
    for paper in PAPERS:
        name, line = HEADLINES[paper]
        for _, result in of_each(paper, [name]):
            setting, reported, ours = _tables(paper).headline()
            rows.append(
                (
                    f"[{_title(paper)}]({place(paper)})",
                    setting,
                    reported,
                    ours,
                    _times(result, line),
                    f"`eqprop reproduce {name}`",
                    f"`papers/{paper}`",
                )
            )
    head = ("paper", "for example", "reported", "ours", "time", "command", "folder")
    return table("", head, rows)


def _total(result: Result) -> str:
    """How long everything behind a result took, where it says so."""
    if "runs" in result:
        return _duration(sum(run["seconds"] for run in result["runs"]))
    if cases := result.get("cases"):
        return _duration(sum(case["seconds"] for case in cases) * len(result["seeds"]))
    seconds = result.get("seconds")
    return _duration(seconds) if isinstance(seconds, float) else "–"


def provenance() -> list[str]:
    """Every committed result: how to make it again, how long it took, and on what."""
    rows = [
        (
            f"`{result['command']}`",
            len(result.get("seeds", ())) or "–",
            _total(result),
            f"{result['hardware']['cores']} cores, {result['hardware']['cpu']}",
            result["versions"]["jaxlib"],
        )
        for paper in PAPERS
        for result in of_all(paper)
    ]
    return table("", ("command", "seeds", "time, all runs", "machine", "jaxlib"), rows)


PAGES: dict[str, Mapping[str, Section]] = {
    "README.md": {"papers": partial(papers, _page)},
    "docs/results/index.md": {
        "papers": partial(papers, "../papers/{}/index.md".format),
        "provenance": provenance,
    },
    "docs/results/benchmarks.md": benchmarks.TABLES,
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
