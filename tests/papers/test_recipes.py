"""Recipes are functions of the public API, and what was committed was made by those that stand."""

import dataclasses
import inspect
import json
from importlib import import_module

import jax
import numpy as np
import pytest

from eqprop.cli import listing
from eqprop.papers.call import Call, heard, name_of
from eqprop.papers.catalogue import DEMONSTRATIONS, PAPERS
from eqprop.papers.foundation import recipes as foundation
from eqprop.papers.hopfield_resnet.parts import Architecture
from eqprop.papers.tables import of_each
from eqprop.training import rivals
from eqprop.training.structure import tell
from eqprop.training.training import Training

WIDE = {"channels": (2, 3), "dense": (4,), "hidden": (8,), "architecture": Architecture(2)}
"""In place of sizes that take long to draw."""


def recipe_of(name):
    module = import_module(f"eqprop.papers.{listing.recipes()[name].paper}.recipes")
    return getattr(module, name.replace("-", "_"))


def narrow(call):
    """The call with small layers."""
    smaller = {name: size for name, size in WIDE.items() if name in call.arguments}
    if name_of(call.recipe).startswith("cifar-10-spiking"):
        smaller["channels"] = (2, 3, 4, 4)
    return call.but(**smaller)


@pytest.fixture(params=listing.recipes())
def call(request):
    return Call(recipe_of(request.param))


def test_a_recipe_is_a_training(call):
    training = narrow(call).in_short()
    assert isinstance(training, Training) and training.epochs == 1
    assert name_of(call.recipe) in listing.recipes()
    arguments = inspect.signature(call.recipe).parameters
    assert {"epochs", "seed"} <= set(arguments)
    assert all(f"{name}: " in inspect.getdoc(call.recipe) for name in arguments)


def test_a_recipe_is_told_and_heard(call):
    told = json.loads(json.dumps(call.told()))
    again = Call(call.recipe, heard(told["arguments"]))
    assert again.told() == call.told()
    for name, argument in call.arguments.items():
        assert type(again.arguments[name]) is type(argument)


def test_a_seed_draws_other_weights():
    one, same, other = (foundation.digits((4,), seed=seed).model for seed in (0, 0, 1))
    weights = [np.asarray(jax.tree.leaves(model)[-1]) for model in (one, same, other)]
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_the_config_of_a_training_is_of_its_arguments():
    one, other = foundation.digits(), foundation.digits(beta=0.2)
    assert one.config() == foundation.digits().config() != other.config()
    assert dataclasses.replace(one, seed=1).config() != one.config()


def test_a_call_is_resized_where_it_has_such_a_number():
    call = Call(recipe_of("cifar-10-hopfield-resnet-narrow")).resized(width=3, epochs=7)
    assert call.arguments["architecture"].width == 3
    assert call.arguments["architecture"].gain == (1.0, 1.0, 1.0)
    assert call.arguments["epochs"] == 7
    with pytest.raises(ValueError, match="digits: expected a recipe that has width"):
        Call(foundation.digits).resized(width=3)


def test_a_call_tells_by_what_else_it_learns():
    call = Call(foundation.digits, {"hidden": (4,)}, rivals.bptt)
    assert call.told()["by"] == {"is": "named", "name": "eqprop.training.rivals:bptt"}
    assert tell(call.training().estimator) == tell(rivals.bptt(foundation.digits((4,)).estimator))


def calls_of(study):
    """Every call of a study, in the order of its result."""
    if hasattr(study, "cases"):
        return [case.call for case in study.cases]
    if hasattr(study, "ways"):
        return list(study.ways.values())
    return [study.call] if hasattr(study, "call") else []


def told_in(result):
    """What a result tells of its calls, in the same order."""
    parts = [part for key in ("runs", "cases") for part in result.get(key, ())]
    parts += result.get("ways", {}).values()
    return [part for part in parts or [result] if "recipe" in part]


@pytest.mark.parametrize(
    ("paper", "study"),
    [
        pytest.param(paper, study, id=study.name)
        for paper, studies in PAPERS.items()
        if paper != "lagrangian"
        for study in studies
        if calls_of(study) and study.name not in DEMONSTRATIONS.values()
    ],
)
def test_committed_results_are_of_the_recipes_that_stand(paper, study):
    result = dict(of_each(paper, [study.name]))[study.name]
    seeds = [{"seed": run["seed"]} for run in result["runs"]] if "runs" in result else [{}]
    wanted = [call.but(**seed).told() for call in calls_of(study) for seed in seeds]
    found = [
        {key: part[key] for key in ("recipe", "arguments", "by") if key in part}
        for part in told_in(result)
    ]
    assert found == json.loads(json.dumps(wanted))
