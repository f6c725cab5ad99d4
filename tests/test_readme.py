"""The README's code runs, block by block, and its commands parse."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from experiments import tables
from experiments.committed import ROOT

from eqprop import cli, commands

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text() if README.exists() else ""
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
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


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command, monkeypatch):
    jobs = []
    monkeypatch.setattr(commands, "run", jobs.append)
    cli.main(shlex.split(command)[1:])
    assert len(jobs) == 1
