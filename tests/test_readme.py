"""The code of the README and of the guide runs, block by block, and the README's commands parse."""

import dataclasses
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from experiments import tables
from experiments.committed import ROOT, read

from eqprop.cli import commands
from eqprop.cli import main as cli
from eqprop.papers.catalogue import EXPERIMENTS
from eqprop.papers.comparison import Comparison, Sweep

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text() if README.exists() else ""
GUIDE = (README.parent / "docs/guide.md").read_text() if TEXT else ""
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT + GUIDE, re.DOTALL | re.MULTILINE)
COMMANDS = re.findall(r"^eqprop [^#\n]*", TEXT, re.MULTILINE)

pytestmark = pytest.mark.skipif(not TEXT, reason=f"README NOT TESTED: no {README}")


def test_there_is_something_to_test():
    assert BLOCKS
    assert COMMANDS


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_python_block(block, tmp_path):
    command = [sys.executable, "-W", "error", "-c", block]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{block}\n{done.stderr}"


@pytest.mark.parametrize("page", tables.PAGES)
def test_tables_are_those_of_the_committed_results(page):
    text = (ROOT / page).read_text()
    assert tables.with_tables(text, tables.PAGES[page]) == text, "run make tables"


def test_the_table_says_where_the_drift_of_chains_is_unknown():
    recipe = {"estimator": "thermal"}
    assert tables.how_settled([{"drift": 0.1}, {"drift": 0.3}], recipe) == "drift 0.30"
    for unknown in ({"drift": None}, {}):
        assert tables.how_settled([{"drift": 0.1}, unknown], recipe) == "drift unknown"


def plain(value):
    """As JSON has it; one number for all edges is a list of one."""
    value = json.loads(json.dumps(value))
    return value if isinstance(value, list | dict) else [value]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_committed_results_are_of_the_recipes_that_stand(name):
    """In the fields that recipes had when they were run."""
    study, result = EXPERIMENTS[name], read(ROOT / f"experiments/{name}/result.json")
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
    cli.main(shlex.split(command)[1:])
    assert len(jobs) == 1
