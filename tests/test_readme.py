"""The code of the pages runs, block by block, their commands parse, their tables are those of the results,
and their links lead somewhere."""

import re
import shlex
import subprocess
import sys
from types import SimpleNamespace

import equinox as eqx
import pytest
from docs.pages import FILLED, PAGES, ROOT, with_tables

from eqprop.cli import main as cli
from eqprop.papers.catalogue import EXPERIMENTS, GROUPS
from eqprop.papers.tables import how_settled
from eqprop.training.rivals import RIVALS

TEXTS = {page: (ROOT / page).read_text("utf-8") for page in (*PAGES, "docs/guide.md")}


def found(pattern):
    """What matches on any page, with a name for it."""
    return [
        pytest.param(match, id=f"{page}-{number}")
        for page, text in TEXTS.items()
        for number, match in enumerate(re.findall(pattern, text, re.DOTALL | re.MULTILINE))
    ]


BLOCKS = found(r"^```python\n(.*?)^```")

COMMANDS = found(r"^eqprop (?:\\\n|[^#\n])*")

LINKS = [
    pytest.param(page, link, id=f"{page}-{link}")
    for page, text in TEXTS.items()
    for link in re.findall(r"\]\(([^)#:\s]+)\)", text)
]


@pytest.mark.parametrize("block", BLOCKS)
def test_python_block(block, tmp_path):
    command = [sys.executable, "-W", "error", "-c", block]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{block}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES)
def test_tables_are_those_of_the_committed_results(page):
    text = TEXTS[page]
    assert sorted(FILLED.findall(text)) == sorted(PAGES[page])
    assert with_tables(text, PAGES[page]) == text, "run make tables"


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_link(page, link):
    assert ((ROOT / page).parent / link).exists()


def run(**relaxation):
    return {"relaxation": relaxation, "fixed_steps": True}


def test_the_table_says_where_the_drift_of_chains_is_unknown():
    assert how_settled([run(drift=0.1), run(drift=0.3)]) == "drift 0.30"
    for unknown in (run(drift=None), run()):
        assert how_settled([run(drift=0.1), unknown]) == "drift unknown"


def noted(jobs):
    """Commands that only tell what they were asked."""
    names = ("train", "audit", "sweep", "plot", "reproduce")
    return SimpleNamespace(**{name: lambda *asked, name=name: jobs.append(asked) for name in names})


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command, monkeypatch):
    jobs = []
    monkeypatch.setattr(cli, "_commands", lambda *module: noted(jobs))
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
        training = training.by(RIVALS[options.estimator])
    if options.precision != "full":
        training = training.by(lambda estimator: estimator.reduced(options.precision))
    return training
