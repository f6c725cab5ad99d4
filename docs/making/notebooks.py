"""Pages that are notebooks: executed while the site is built, and shown with what they print and draw.

A notebook is Markdown in Jupytext's format, with a header that names its kernel; what stands in its Python
cells runs in order, in one session.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jupytext
import nbclient
import nbformat
from nbconvert.exporters import MarkdownExporter

SECONDS = 300

PICTURES = "%config InlineBackend.figure_formats = ['svg']\n%matplotlib inline"

Pictures = Mapping[str, bytes]


def read(text: str, meta: Mapping[str, Any]) -> nbformat.NotebookNode:
    """The notebook of a page's text and header."""
    notebook = jupytext.reads(text, "md")
    notebook.metadata.update(meta["jupyter"])
    return notebook


def execute(notebook: nbformat.NotebookNode, folder: str) -> None:
    """Run every cell in a folder; raises where one fails.

    Progress, which goes to the error stream, is left out.
    """
    notebook.cells.insert(0, nbformat.v4.new_code_cell(PICTURES))
    where = {"metadata": {"path": folder}}
    nbclient.NotebookClient(
        notebook, timeout=SECONDS, kernel_name="python3", resources=where
    ).execute()
    del notebook.cells[0]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]


def as_page(notebook: nbformat.NotebookNode, name: str) -> tuple[str, Pictures]:
    """Its Markdown, and the pictures that it names, which begin with ``name``."""
    resources = {"unique_key": name}
    text, made = MarkdownExporter().from_notebook_node(notebook, resources)
    title = re.search(r"^# (.*)$", text, re.MULTILINE)
    described = f"![{title[1] if title else name}: what the code above draws]("
    return re.sub(r"!\[(png|svg)\]\(", described, text), made["outputs"]
