"""What mkdocs calls while it builds the site."""

from __future__ import annotations

import io
import tempfile
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

import nbformat
from matplotlib import rc_context
from mkdocs.structure.files import File, Files

from docs.making import notebooks, repository
from docs.making.equations import as_mathml
from docs.pictures import DRAWN


def on_files(files: Files, config: Any) -> Files:
    """Add what is made: pictures, and the pages and figures that live elsewhere in the repository."""
    for source, name in repository.PAGES.items():
        files.append(File.generated(config, name, content=repository.page(source)))
    for source, name in repository.figures().items():
        path = str(Path(repository.ROOT, source))
        files.append(File.generated(config, name, abs_src_path=path))
    for name in DRAWN:
        files.append(File.generated(config, f"pictures/{name}.svg", content=_picture(name)))
    return files


def _picture(name: str) -> str:
    figure = import_module(f"docs.pictures.{name}").draw()
    drawn = io.StringIO()
    with rc_context({"svg.fonttype": "path", "svg.hashsalt": name}):
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Execute a page that is a notebook, unless EQPROP_DOCS_EXECUTE is false."""
    if "jupyter" not in page.meta:
        return markdown
    notebook = notebooks.read(markdown, page.meta)
    if config.extra["execute"]:
        with tempfile.TemporaryDirectory() as folder:
            notebooks.execute(notebook, folder)
    here = PurePosixPath(page.file.src_uri)
    text, pictures = notebooks.as_page(notebook, here.stem)
    made = {here.with_suffix(".ipynb").name: nbformat.writes(notebook), **pictures}
    for name, content in made.items():
        files.append(File.generated(config, str(here.with_name(name)), content=content))
    return text + repository.offered(here, config.extra["published"])


def on_page_content(html: str, **_: Any) -> str:
    return as_mathml(html)
