"""Tables of the committed results, in Markdown, for the pages that `make tables` fills."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from eqprop.training.files import read_json

Result = Mapping[str, Any]

Section = Callable[[], list[str]]

HERE = Path(__file__).parent


def results(paper: str) -> Path:
    """The folder of a paper's results, which a checkout has and a wheel has not."""
    return HERE / paper / "results"


def of(path: Path) -> Callable[[Callable[[Result], list[str]]], Section]:
    """A section of one result, empty where there is none yet."""

    def as_section(section: Callable[[Result], list[str]]) -> Section:
        @wraps(section)
        def lines() -> list[str]:
            return section(read_json(path)) if path.exists() else []

        return lines

    return as_section


def of_each(paper: str, names: Iterable[str]) -> Iterator[tuple[str, Result]]:
    """Those results of a paper that there are, by name."""
    for name in names:
        path = results(paper) / name / "result.json"
        if path.exists():
            yield name, read_json(path)


def of_all(paper: str) -> Iterator[Result]:
    """All results of a paper, but for quick trials and other sizes."""
    names = sorted(path.parent.name for path in results(paper).glob("*/result.json"))
    for name, result in of_each(paper, names):
        if "--" not in name and not name.endswith("-quick"):
            yield result


def table(title: str, head: Sequence[object], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of a table under its title; none without rows."""
    lines = [_line(row) for row in rows]
    return ["", title, "", _line(head), "|---" * len(head) + "|", *lines] if lines else []


def _line(cells: Sequence[object]) -> str:
    return "|" + "|".join(f" {cell} " if cell != "" else " " for cell in cells) + "|"


def cells(row: Result, **formats: str) -> tuple[str, ...]:
    """So many entries of a row, each in its format."""
    return tuple(format(row[key], how) for key, how in formats.items())


def seeds(result: Result) -> str:
    """How many, in words."""
    count = len(result["seeds"])
    return f"{count} seed" + "s" * (count > 1)


def plus_minus(found: Mapping[str, float], runs: int, digits: int = 2) -> str:
    """A mean, with its deviation over several runs."""
    deviation = f" ± {found['std']:.{digits}f}" if runs > 1 else ""
    return f"{found['mean']:.{digits}f}{deviation}"


def accuracy(error: Mapping[str, float], runs: int, digits: int = 2) -> str:
    """The same of an accuracy, from the error in percent."""
    return plus_minus({**error, "mean": 100 - error["mean"]}, runs, digits)


def with_seeds(shown: str, result: Result) -> str:
    """A number, and over how many seeds it is."""
    count = len(result["seeds"])
    return f"{shown} ({count} seeds)" if count > 1 else f"{shown} (one seed)"


def by_case(title: str, result: Result) -> list[str]:
    """A row a case of a comparison: test accuracy % and seconds."""
    runs = len(result["seeds"])
    rows = [
        (case["line"], accuracy(case["test_error_percent"], runs), f"{case['seconds']:.0f}")
        for case in result["cases"]
    ]
    return table(title, ("", "test accuracy %", "seconds a run"), rows)


def demonstrated(paper: str) -> list[str]:
    """What the demonstration of a paper shows beside what the paper says."""
    group = paper.replace("_", "-")
    rows = [
        (row["claim"], f"{row['paper']} ({row['where']})", row["here"])
        for _, result in of_each(paper, [f"{group}-demonstration"])
        for row in result["claims"]
    ]
    return table(
        f"What is claimed, and a small part of it seen here (`eqprop reproduce {group} --quick`):",
        ("claim", "paper", "here"),
        rows,
    )


def trained(paper: str) -> list[str]:
    """Test error of every recipe that was trained over seeds."""
    head = (
        "experiment",
        "network",
        "test error %",
        "seeds",
        "epochs",
        "seconds a run (longest)",
        "settled",
    )
    rows = [_trained(result) for result in of_all(paper) if "runs" in result]
    return table("Every recipe trained over its seeds:", head, rows)


def _trained(result: Result) -> tuple[object, ...]:
    runs, count = result["runs"], len(result["seeds"])
    recipe = runs[0]["arguments"]
    inner = recipe.get("hidden") or recipe.get("channels")
    kind = "dense" if "hidden" in recipe else "conv"
    longest = max(run["seconds"] for run in runs)
    return (
        f"`eqprop reproduce {result['name']}`",
        f"{kind} {'-'.join(map(str, inner))}",
        plus_minus(result["test_error_percent"], count),
        count,
        recipe["epochs"],
        f"{result['seconds']['mean']:.0f} ({longest:.0f})",
        how_settled(runs),
    )


def how_settled(runs: Sequence[Result]) -> str:
    """The smallest share of examples that settled; of chains, the largest drift, where all have one."""
    relaxations = [run["relaxation"] for run in runs]
    if any("drift" in one for one in relaxations):
        drifts = [one["drift"] for one in relaxations if one.get("drift") is not None]
        known = len(drifts) == len(relaxations)
        return f"drift {max(drifts):.2f}" if known else "drift unknown"
    if runs[0]["fixed_steps"]:
        return "fixed steps"
    shares = [
        one.get(f"{phase}_converged", 1.0) for one in relaxations for phase in ("free", "nudged")
    ]
    return f"{min(shares):.1%}"


def swept(paper: str) -> list[str]:
    """Test accuracy along every sweep."""
    return [line for result in of_all(paper) if "axis" in result for line in _swept(result)]


def _swept(result: Result) -> list[str]:
    runs = len(result["seeds"])
    cells = {
        (case["line"], case["value"]): accuracy(case["test_error_percent"], runs, 1)
        for case in result["cases"]
    }
    lines = dict.fromkeys(line for line, _ in cells)
    values = sorted({value for _, value in cells})
    return table(
        f"Test accuracy % by {result['axis']}, {seeds(result)} "
        f"(`eqprop reproduce {result['name']}`):",
        ("", *(f"{value:g}" for value in values)),
        [(line, *(cells.get((line, value), "–") for value in values)) for line in lines],
    )
