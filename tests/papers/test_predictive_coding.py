"""Predictive coding: how far a nudge reaches, and what its table says."""

import numpy as np
import pytest

from eqprop.papers.predictive_coding import tables
from eqprop.papers.predictive_coding.depth import Reach, until
from eqprop.training.files import write_json


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    study = Reach("tiny", "", depths=(5,), betas=(0.1, 0.01), steps=60)
    found = study.reproduce(folder)
    assert (folder / "tiny" / "reach.png").exists()
    return found


def test_the_error_of_a_gradient_falls_with_the_square_of_the_nudge(found):
    (row,) = found["rows"]
    assert row["errors"][0] / row["errors"][1] == pytest.approx(100, rel=0.1)
    assert row["implicit_beside_back_propagation"] < 1e-8


def test_a_nudge_arrives_at_once_in_errors_and_late_in_states(found):
    errors, states = (np.array(left) for left in found["rows"][0]["missing"].values())
    assert errors[0] < 0.6 and errors[-1] < 1e-6
    assert states[3] == 1.0 > states[4]  # the four layers above the first hear of it before
    assert until(found["rows"][0]["missing"]).startswith("1 in errors, ")


def test_the_table_has_a_row_a_depth(found, tmp_path):
    path = write_json(tmp_path / "result.json", found)
    lines = tables.of(path)(tables.reach.__wrapped__)()
    assert any(line.startswith("| 5 |") and "1 in errors" in line for line in lines)
