"""The spikes of a recipe: phases, firing and populations."""

import dataclasses

import pytest
from jax import random

from eqprop import Logistic, layered
from eqprop.papers.stochep.spikes import Spikes
from eqprop.spiking import Drawn, Probabilities, Rates, SigmaDelta, Staggered

LAYERS = ("h1", "out")


def test_every_field_builds_what_it_says():
    learner = Spikes(leak=0.7, firing=SigmaDelta(), rates=True).learner(LAYERS, 0.5)
    free, nudged = learner.solver, learner.nudged_solver
    assert (free.steps, free.reading) == (30, Rates(15))
    assert (nudged.steps, nudged.reading) == (10, Rates(5))
    assert free.firing == SigmaDelta() and free.leak == 0.7 and free.graded == ()
    assert max(learner.contrast.betas) == 0.5 and learner.common_noise
    crowds = Spikes(firing=Drawn(2), factors=(1, 8))
    assert crowds.fired(LAYERS) == {"h1": Drawn(2), "out": Drawn(16)}
    assert crowds.phase(LAYERS, 30, 15).reading == Probabilities(15)


def test_a_reset_is_part_of_the_model():
    model = layered((3, 4, 2), random.key(0), Logistic(), Logistic())
    assert Spikes().resetting(model) is model
    edges = Spikes(leak=0.5, reset=0.2).resetting(model).energy.edges
    assert edges["h1-h1"].op.strength == edges["out-out"].op.strength == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"leak": 0.0}, r"leak in \(0, 1\]"),
        ({"predicted": 31}, "predicted, averaged: expected at most the 30 steps .* got 31"),
        ({"averaged": 11}, "predicted, averaged: expected at most the 10 steps .* got 11"),
        ({"factors": (1,)}, r"factors: expected 2 numbers, one for each of \('h1', 'out'\)"),
        (
            {"factors": (1, 2), "firing": SigmaDelta()},
            "firing that is drawn, got .* with SigmaDelta",
        ),
        ({"factors": (0, 4)}, "expected factors to be a tuple, each a whole number >= 1"),
    ],
    ids=str,
)
def test_spikes_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(Spikes(), **change).learner(LAYERS, 0.5)


def test_a_crowd_of_nobody_is_refused():
    for kind in (Drawn, Staggered):
        with pytest.raises(ValueError, match="population >= 1"):
            kind(0)


def test_a_quick_trial_is_shorter():
    short = Spikes().in_short()
    assert (short.free_steps, short.predicted, short.nudged_steps, short.averaged) == (8, 4, 4, 2)
