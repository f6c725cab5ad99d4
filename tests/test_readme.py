"""The code of the pages runs, block by block, their commands parse, their tables are those of the results,
and their links lead somewhere."""

import dataclasses
import json
import re
import shlex
import subprocess
import sys

import pytest
from docs.pages import FILLED, PAGES, ROOT, with_tables

from eqprop.cli import commands, options
from eqprop.cli import main as cli
from eqprop.papers.catalogue import EXPERIMENTS, GROUPS, PAPERS
from eqprop.papers.comparison import Comparison, Sweep
from eqprop.papers.tables import how_settled, of_each
from eqprop.training.recipe_uses import require_used
from eqprop.training.recipes import RECIPES

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


def test_the_table_says_where_the_drift_of_chains_is_unknown():
    recipe = {"estimator": "thermal"}
    assert how_settled([{"drift": 0.1}, {"drift": 0.3}], recipe) == "drift 0.30"
    for unknown in ({"drift": None}, {}):
        assert how_settled([{"drift": 0.1}, unknown], recipe) == "drift unknown"


def plain(value):
    """As JSON has it; one number for all edges is a list of one."""
    value = json.loads(json.dumps(value))
    return value if isinstance(value, list | dict) else [value]


@pytest.mark.parametrize(
    ("paper", "name"), [(paper, study.name) for paper in PAPERS for study in PAPERS[paper]]
)
def test_committed_results_are_of_the_recipes_that_stand(paper, name):
    """In the fields that recipes had when they were run."""
    study = EXPERIMENTS[name]
    result = dict(of_each(paper, [name])).get(name)
    if result is None or not hasattr(study, "recipe"):
        return
    ran = result["recipe"] if "recipe" in result else result["runs"][0]["recipe"]
    stands = {key: value for key, value in dataclasses.asdict(study.recipe).items() if key in ran}
    assert {key: plain(ran[key]) for key in stands if key != "seed"} == {
        key: plain(value) for key, value in stands.items() if key != "seed"
    }
    if isinstance(study, Comparison):
        assert {case["line"]: case["change"] for case in result["cases"]} == plain(dict(study.ways))
    if isinstance(study, Sweep):
        changes = [plain(dict(case.change)) for case in study.cases]
        assert [case["change"] for case in result["cases"]] == changes


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command, monkeypatch):
    jobs = []
    monkeypatch.setattr(commands, "run", jobs.append)
    cli.main(shlex.split(command.replace("\\\n", " "))[1:])
    (job,) = jobs
    if isinstance(job, options.Reproduce):
        assert job.name in (*GROUPS, *EXPERIMENTS)
    if isinstance(job, options.Train | options.Audit):
        job.recipe.check()
        require_used(job.recipe, RECIPES[job.name], spared=commands.SWEPT)
