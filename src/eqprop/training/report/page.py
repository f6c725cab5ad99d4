"""A page of runs: one HTML file with its style, its script and its data."""

from __future__ import annotations

import html
from importlib import resources
from pathlib import Path
from typing import Any

from eqprop._version import __version__
from eqprop.training.files import AnyPath, dumps, write_text

SCRIPTS = ("dom.js", "chart.js", "film.js", "sections.js", "page.js")


def write_page(path: AnyPath, content: dict[str, Any]) -> Path:
    """Write the page of ``content``: ``runs``, each as `eqprop.training.report.gather.gathered` tells it,
    of one with ``looks`` or the reason why there are none, and the ``comparison`` of several."""
    names = dict.fromkeys(run["name"] for run in content["runs"])
    title = f"{', '.join(names)}: " + (
        content["runs"][0]["folder"]
        if len(content["runs"]) == 1
        else f"{len(content['runs'])} runs"
    )
    parts = {
        "title": _escaped(title),
        "style": _asset("page.css"),
        "script": "\n".join(map(_asset, SCRIPTS)),
        "data": dumps({**content, "title": title, "version": __version__}).replace("<", "\\u003c"),
    }
    page = _asset("page.html")
    for name, part in parts.items():
        before, _, after = page.partition(f"{{{{{name}}}}}")
        page = before + part + after
    return write_text(path, page)


def _asset(name: str) -> str:
    folder = resources.files("eqprop.training.report") / "assets"
    return (folder / name).read_text("utf-8")


def _escaped(text: str) -> str:
    return html.escape(text)
