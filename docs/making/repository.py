"""Pages that live elsewhere in the repository, as pages of the site, their links led over."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from eqprop.papers.catalogue import PAPERS

ROOT = Path(__file__).resolve().parents[2]

FOLDER = "src/eqprop/papers"

PAGES: Mapping[str, str] = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    **{f"{FOLDER}/{paper}/README.md": f"papers/{paper}/index.md" for paper in PAPERS},
}
"""Where the site has a file of the repository."""

LINK = re.compile(r"(?P<text>!?\[[^\]]*\])\((?P<target>[^)#:\s]+)(?P<anchor>#[^)\s]*)?\)")


def figures() -> dict[str, str]:
    """The committed figures of the papers, by where the site has them."""
    found = {}
    for paper in PAPERS:
        folder = f"{FOLDER}/{paper}"
        for path in sorted((ROOT / folder / "results").glob("*/*")):
            if path.suffix in (".png", ".gif"):
                source = path.relative_to(ROOT).as_posix()
                found[source] = f"papers/{paper}/{source.removeprefix(folder + '/')}"
    return found


def on_site(source: str) -> str | None:
    """Where the site has a file or a folder of the repository, if it does."""
    if source.startswith("docs/"):
        return source.removeprefix("docs/")
    return {**PAGES, **figures()}.get(source) or PAGES.get(f"{source.rstrip('/')}/README.md")


def offered(page: PurePosixPath, published: str) -> str:
    """Where a page that is a notebook can be had; and run, where the site is ``published`` on GitHub, as
    ``owner/name/blob/branch``."""
    links = f"\n\n[Download this page as a notebook]({page.stem}.ipynb)"
    if published:
        notebook = f"{published}/{page.with_suffix('.ipynb')}"
        links += f", or [open it in Colab](https://colab.research.google.com/github/{notebook})"
    return links + "\n"


def page(source: str) -> str:
    """The text of a page of the repository as the site has it.

    What its links name and the site has not, such as code, stays as text.
    """
    here = PurePosixPath(PAGES[source]).parent

    def led(link: re.Match[str]) -> str:
        named = os.path.normpath(PurePosixPath(source).parent / link["target"])
        found = on_site(named)
        if found is None:
            return link["text"].strip("[]")
        return f"{link['text']}({os.path.relpath(found, here)}{link['anchor'] or ''})"

    return LINK.sub(led, (ROOT / source).read_text("utf-8"))
