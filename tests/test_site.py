"""The site, without building it: every public name is in the reference, every page in the navigation."""

import inspect
import re
import types
from importlib import import_module
from pathlib import PurePosixPath

import pytest
import yaml
from docs.making import repository
from docs.pages import ROOT

import eqprop

DOCS = ROOT / "docs"

PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)

EXAMPLE = re.compile(r"^ *(?:>>>|\.\.\.) (.*)$", re.MULTILINE)

REFERENCE = "".join(page.read_text("utf-8") for page in (DOCS / "reference").glob("*.md"))

SHOWN = set(re.findall(r"^::: (\S+)$", REFERENCE, re.MULTILINE))

NAMES = [name for name in eqprop.__all__ if name != "__version__"]

ROOMS = [room for name in NAMES if isinstance(room := getattr(eqprop, name), types.ModuleType)]


def public():
    """Every public name, by where its users find it; what is at the top stands there alone."""
    top = [getattr(eqprop, name) for name in NAMES]
    in_rooms = [(room, name) for room in ROOMS for name in getattr(room, "__all__", ())]
    kept = [
        (room, name)
        for room, name in in_rooms
        if not any(getattr(room, name) is one for one in top)
    ]
    homes = [(eqprop, name) for name in NAMES] + kept
    return [
        f"{home.__name__}.{name}"
        for home, name in homes
        if not isinstance(getattr(home, name), types.ModuleType)
    ]


def test_notebooks_are_offered_and_where_the_site_is_published_opened_in_colab():
    page = PurePosixPath("tutorials/oim.md")
    alone, online = repository.offered(page, ""), repository.offered(page, "us/eqprop/blob/pages")
    assert "(oim.ipynb)" in alone and "colab" not in alone
    assert "(oim.ipynb)" in online
    assert "/github/us/eqprop/blob/pages/tutorials/oim.ipynb)" in online


@pytest.mark.parametrize("name", public())
def test_public_name_is_in_the_reference(name):
    assert name in SHOWN, f"add `::: {name}` to a page of docs/reference"


EXECUTED = " ".join(
    [code for page in DOCS.rglob("*.md") for code in re.findall(PYTHON, page.read_text("utf-8"))]
    + [
        line
        for file in (ROOT / "src").rglob("*.py")
        for line in re.findall(EXAMPLE, file.read_text("utf-8"))
    ]
)
"""What `test_doctests`, `test_pages` and the building of the site run."""


EXTRA = {"eqprop.spiking.to_nir", "eqprop.training.TensorBoard", "eqprop.training.Wandb"}
"""What needs a package that not all have; a test of each skips where it is missing."""


@pytest.mark.parametrize("name", sorted(SHOWN - EXTRA))
def test_what_is_in_the_reference_has_an_example_that_runs(name):
    last = name.rpartition(".")[2]
    if not inspect.ismodule(getattr(import_module(name.rpartition(".")[0]), last)):
        assert re.search(rf"\b{last}\b", EXECUTED), f"show {last} in the docstring or on a page"


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_what_is_in_the_reference_exists_and_says_what_it_is(name):
    home, _, last = name.rpartition(".")
    found = getattr(import_module(home), last)
    if inspect.isclass(found) or inspect.isfunction(found) or inspect.ismodule(found):
        inherited = inspect.isclass(found) and found.__doc__ == found.__mro__[1].__doc__
        assert found.__doc__ and not inherited


def listed(nav):
    """The pages of a navigation."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [page for part in parts for page in listed(part)]


def test_every_page_is_in_the_navigation_once():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8").replace("!ENV", ""))
    written = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert sorted(listed(config["nav"])) == sorted(written | set(repository.PAGES.values()))


def test_every_committed_figure_is_shown_on_its_page():
    pages = "".join(repository.page(source) for source in repository.PAGES)
    for source, name in repository.figures().items():
        assert name.split("/", 2)[2] in pages, f"no page shows {source}"


def test_links_of_a_page_lead_to_the_same_on_the_site():
    page = repository.page("src/eqprop/papers/oim/README.md")
    assert "](results/oim-parameter-bits/sweep.png)" in page
    home = repository.page("README.md")
    assert "](papers/oim/index.md)" in home and "](start.md)" in home
    assert "](CONTRIBUTING.md)" not in home and "CONTRIBUTING.md" in home
