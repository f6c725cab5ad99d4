"""One page of a run or of several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eqprop.cli import options
from eqprop.cli.words import command_of
from eqprop.training.files import RunError, dumps, read_json, require_writable
from eqprop.training.report.compare import compared
from eqprop.training.report.gather import gathered
from eqprop.training.report.looks import looked_at
from eqprop.training.report.page import write_page
from eqprop.training.terminal import doing, tell
from eqprop.training.trained import load

NAME = "report.html"


def report(asked: options.Report) -> None:
    """Write the page, and say where."""
    folders = asked.runs
    if not folders:
        raise ValueError("RUN: expected a run folder or several, got none.")
    usual = folders[0] / NAME if len(folders) == 1 else Path(NAME)
    path = usual if asked.out is None else asked.out
    if path.suffix != ".html":
        raise ValueError(f"out: expected a name ending in .html, got {path}.")
    runs = [gathered(folder, _command(folder)) for folder in folders]
    require_writable(path.parent)
    content: dict[str, Any] = {"runs": runs}
    if len(runs) == 1:
        with doing("looking at the model"):
            runs[0] |= _looks(folders[0], asked.data_dir)
    else:
        content["comparison"] = compared(runs)
    tell(f"  {write_page(path, content)}")
    if asked.json:
        print(dumps({"page": path} | {k: v for k, v in content.items() if k == "comparison"}))


def _looks(folder: Path, data_dir: Path | None) -> dict[str, Any]:
    """What is seen of the model, or why nothing is."""
    try:
        return {"looks": looked_at(load(folder), data_dir)}
    except (RunError, FileNotFoundError) as error:
        tell(f"without relaxation, activity and answers: {error}")
        return {"no_looks": f"Without relaxation, activity and answers: {error}"}


def _command(folder: Path) -> str | None:
    return command_of(read_json(folder / "config.json"))
