"""What newcomers do first, each in so many lines of their own: scripts that run as they stand."""

import runpy
from pathlib import Path

import jax
import pytest

TASKS = Path(__file__).parent / "tasks"
LINES = {
    "own_energy": 25,
    "two_moons": 20,
    "own_cost": 10,
    "own_solver": 20,
    "sweep": 15,
    "save_load_predict": 5,
}


def lines(path):
    return [line for line in path.read_text().splitlines() if line.strip()]


@pytest.fixture(autouse=True)
def as_a_user(tmp_path, monkeypatch):
    """In a folder of their own, with JAX as it comes."""
    monkeypatch.chdir(tmp_path)
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        yield


@pytest.mark.parametrize("task", LINES)
def test_a_task_takes_so_many_lines(task):
    path = TASKS / f"{task}.py"
    assert len(lines(path)) <= LINES[task]
    found = runpy.run_path(str(path))
    if task == "save_load_predict":
        (one,) = lines(TASKS / "go_on.py")
        exec(one, found)  # the same session, one line later
        assert len(found["eq"].load("run").history["loss"]) == 2
