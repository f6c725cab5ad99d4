"""The code of the pages runs, block by block, their commands parse, their tables are those of the results,
and their links lead somewhere."""

import ast
import os
import re
import shlex
import subprocess
import sys
from functools import reduce
from pathlib import Path

import equinox as eqx
import jax
import pytest
from docs.making import repository
from docs.pages import FILLED, PAGES, ROOT, with_tables
from docs.pictures import DRAWN

import eqprop
from eqprop.cli import main as cli
from eqprop.papers.catalogue import EXPERIMENTS, GROUPS
from eqprop.papers.tables import how_settled
from eqprop.training import rivals

WRITTEN = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))

TEXTS = {page: (ROOT / page).read_text("utf-8") for page in dict.fromkeys((*PAGES, *WRITTEN))}

NOTEBOOKS = {page: text for page, text in TEXTS.items() if text.startswith("---\njupyter:")}
"""Pages whose cells run in one session, when the site is built."""

SINGLE = {page: text for page, text in TEXTS.items() if page not in NOTEBOOKS}


def found(pattern, texts=TEXTS, later=()):
    """What matches on any page, with a name for it; on pages that begin by ``later``, before a release."""
    return [
        pytest.param(
            match,
            id=f"{page}-{number}",
            marks=pytest.mark.long if page.startswith(tuple(later)) else (),
        )
        for page, text in texts.items()
        for number, match in enumerate(re.findall(pattern, text, re.DOTALL | re.MULTILINE))
    ]


PYTHON = r"^```python\n(.*?)^```"

BLOCKS = found(PYTHON, SINGLE, ("src/eqprop/papers/", "docs/coming_from/", "docs/howto/"))

CELLS = found(PYTHON)

COMMANDS = found(r"^eqprop (?:\\\n|[^#\n])*")

MADE = {
    *repository.PAGES.values(),
    *repository.figures().values(),
    *(f"pictures/{name}.svg" for name in DRAWN),
    *(f"{page.removeprefix('docs/').removesuffix('.md')}.ipynb" for page in NOTEBOOKS),
}

LINKS = [
    pytest.param(page, link, id=f"{page}-{link}")
    for page, text in TEXTS.items()
    for link in re.findall(r"\]\(([^)#:\s]+)\)", text)
]


@pytest.mark.parametrize("block", BLOCKS)
def test_python_block(block, tmp_path, monkeypatch):
    """As a newcomer runs it, in a folder of its own; what configures JAX, in a process of its own."""
    if "jax.config" in block:
        command = [sys.executable, "-W", "error", "-c", block]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block}\n{done.stderr}"
        return
    monkeypatch.chdir(tmp_path)
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        exec(compile(block, "page", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("cell", CELLS)
def test_cell_names_what_there_is(cell):
    """Cells of notebooks run when the site is built; here all code is read, and our names looked up."""
    for dotted in set(re.findall(r"\b(?:eq|eqprop)(?:\.[A-Za-z_]\w*)+", cell)):
        _, *names = dotted.split(".")
        assert reduce(getattr, names, eqprop) is not None
    ast.parse(cell)


@pytest.mark.parametrize("page", PAGES)
def test_tables_are_those_of_the_committed_results(page):
    text = TEXTS[page]
    assert sorted(FILLED.findall(text)) == sorted(PAGES[page])
    assert with_tables(text, PAGES[page]) == text, "run make tables"


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_link(page, link):
    target = (ROOT / page).parent / link
    if not target.exists():  # what the site makes, or has from elsewhere in the repository
        assert Path(os.path.relpath(target, ROOT / "docs")).as_posix() in MADE


def run(**relaxation):
    return {"relaxation": relaxation, "fixed_steps": True}


def test_the_table_says_where_the_drift_of_chains_is_unknown():
    assert how_settled([run(drift=0.1), run(drift=0.3)]) == "drift 0.30"
    for unknown in (run(drift=None), run()):
        assert how_settled([run(drift=0.1), unknown]) == "drift unknown"


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command, monkeypatch):
    jobs = []
    monkeypatch.setattr(cli, "_function", lambda name: lambda *asked: jobs.append(asked))
    cli.main(shlex.split(command.replace("\\\n", " "))[1:])
    if command.startswith("eqprop list"):
        return
    (job,) = jobs
    if command.startswith("eqprop reproduce"):
        assert job[0].name in (*GROUPS, *EXPERIMENTS)
    if len(job) == 3:
        eqx.filter_eval_shape(lambda: asked_for(*job))


def asked_for(recipe, arguments, options):
    """The training of a command."""
    training = recipe(**arguments)
    if options.estimator:
        training = training.by(rivals.named(options.estimator))
    if options.precision != "full":
        training = training.by(lambda estimator: estimator.reduced(options.precision))
    return training
