"""Deep oscillators: couplings by cosines make few sweeps enough, and the table says so."""

import jax
import pytest

from eqprop import Blockwise, DeltaPropagation, Oscillator, layered, one_sided, with_stiff_layers
from eqprop.energies.feedback import nudge_scale
from eqprop.energies.network import one_by_one
from eqprop.papers.call import Call
from eqprop.papers.oim import tables
from eqprop.papers.oim.depth import COUPLINGS, Depth
from eqprop.training import DIGITS
from eqprop.training.files import write_json
from eqprop.training.training import Training


def small(beta=0.01, feedback=0.01, seed=0):
    unit = Oscillator(0.0, 1.0, in_phase=True)
    model = layered((64, 32, 32, 10), jax.random.key(seed), unit, unit, gain=12.0)
    order = tuple(model.energy.shapes)
    learner = DeltaPropagation(
        Blockwise(None, 2, one_by_one(order)),
        one_sided(beta * nudge_scale(feedback, 3)),
        Blockwise(None, 1, one_by_one(order[::-1])),
    )
    return Training(with_stiff_layers(model, feedback), learner, DIGITS, validation=200)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    study = Depth("oim-depth", "", Call(small), feedbacks=(0.01,), settled=40)
    return study.reproduce(tmp_path_factory.mktemp("results"))


def test_in_phase_few_sweeps_are_enough_and_else_they_are_not(found):
    between, in_phase = found["rows"]
    assert [between["coupling"], in_phase["coupling"]] == list(COUPLINGS)
    assert in_phase["worst"] > 0.99 and between["worst"] < 0.95


def test_the_table_has_a_row_a_coupling_and_feedback(found, tmp_path):
    path = write_json(tmp_path / "result.json", found)
    lines = tables.of(path)(tables.depth.__wrapped__)()
    assert sum(line.startswith("| J cos") for line in lines) == 2
