"""What demonstrations claim, in tiny: the numbers of each table, and that a table and a figure are made."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from eqprop.energies.architectures import OUTPUT, layered
from eqprop.energies.costs import SquaredError
from eqprop.energies.model import Model
from eqprop.energies.units.oscillator import Oscillator
from eqprop.energies.units.sigmoid import Logistic
from eqprop.papers import demonstration
from eqprop.papers.call import Call
from eqprop.papers.demonstration import Trainings
from eqprop.papers.finite_nudge import demonstration as finite_nudge
from eqprop.papers.foundation import demonstration as foundation
from eqprop.papers.hopfield_resnet import demonstration as hopfield_resnet
from eqprop.papers.lagrangian import demonstration as lagrangian
from eqprop.papers.oim import demonstration as oim
from eqprop.papers.oim.machine import Machine
from eqprop.papers.predictive_coding import demonstration as predictive_coding
from eqprop.papers.resistive import demonstration as resistive
from eqprop.papers.resistive import recipes as resistive_recipes
from eqprop.papers.stochep import demonstration as stochep
from eqprop.papers.stochep.spikes import Spikes
from eqprop.papers.study import Asked
from eqprop.training.data.named import DIGITS
from eqprop.training.files import read_json
from eqprop.training.training import Training
from helpers.command import is_png


def untrained(calls, asked):
    """Runs of no step."""

    def run(call):
        result = {"test_accuracy": 0.5, "epochs": 2, "seconds": 1.0}
        history = {"validation_accuracy": np.array([0.25, 0.5])}
        return SimpleNamespace(result=result, history=history, model=call.training().model)

    return Trainings({label: run(call) for label, call in calls.items()})


@pytest.fixture
def shown(tmp_path, monkeypatch, capsys):
    """What a demonstration finds whose trainings take no step; its table, figure and file are there."""

    def reproduce(module, study):
        if hasattr(module, "train"):
            monkeypatch.setattr(module, "train", untrained)
        found = study.reproduce(tmp_path, quick=True)
        folder = tmp_path / study.name
        assert is_png(folder / "demonstration.png")
        assert read_json(folder / "result.json")["claims"] == found["claims"]
        told = " ".join(capsys.readouterr().err.split())
        assert all(word in told for word in ("claim", "paper", "here"))
        for claim in found["claims"]:
            assert all(claim[part] for part in ("claim", "paper", "where", "here"))
            assert claim["claim"].split()[-1] in told
        return found

    return reproduce


def test_trainings_are_told_in_percent(monkeypatch):
    fitted = []
    monkeypatch.setattr(demonstration, "fit", lambda training, data_dir: fitted.append(training))
    asked = Asked("tiny", Path(), None, False)
    call = Call(foundation.tanh_digits, {"hidden": 4})
    assert list(demonstration.train({"a": call}, asked).runs) == ["a"]
    assert fitted[0].epochs == 20
    found = untrained({"a": call}, None).found()
    assert found == {"test_accuracy_percent": {"a": 50.0}, "validation_accuracy": {"a": [25, 50]}}


@pytest.mark.long
def test_one_nudge_is_of_first_order_and_two_of_second(shown):
    call = Call(foundation.tanh_digits)
    found = shown(foundation, foundation.Gradients("tiny", "", call, (1e-3, 4e-3, 1.6e-2)))
    one, two = found["gradients"].values()
    assert one["order"] == pytest.approx(1, abs=0.05)
    assert two["order"] == pytest.approx(2, abs=0.05)
    assert two["errors"][1] < 1e-2 * one["errors"][1]


@pytest.mark.long
def test_a_contrast_is_exact_at_any_nudge_and_a_large_one_is_heard(shown):
    study = finite_nudge.Nudged("tiny", "", (3, 3, 2), (0.1, 1.0), chains=16, repeats=8)
    spins = shown(finite_nudge, study)["spins"]
    errors = spins["errors"]
    assert max(errors[finite_nudge.CONTRAST]) < 1e-12
    assert max(errors[finite_nudge.PATH]) < 1e-10
    assert errors[finite_nudge.SMALL_NUDGE][1] > 3 * errors[finite_nudge.SMALL_NUDGE][0] > 0.01
    apart, common = spins["snr"][finite_nudge.APART], spins["snr"][finite_nudge.COMMON]
    assert apart[1] > 4 * apart[0]
    assert common[0] > apart[0]


@pytest.mark.long
def test_an_echo_and_held_ends_tell_the_gradient_and_a_start_alone_does_not():
    study = lagrangian.Boundaries("tiny", "", (1e-3, 1e-2), length=60)
    errors = study._errors()
    for boundary in (lagrangian.PERIODIC, lagrangian.FIXED, lagrangian.ECHO):
        first, last = errors[boundary]
        assert first < 1e-5
        assert last / first == pytest.approx(100, rel=0.2)
    assert min(errors[lagrangian.STARTED]) > 0.1


def test_the_figure_of_paths_is_drawn():
    labels = lagrangian.PERIODIC, lagrangian.FIXED, lagrangian.ECHO, lagrangian.STARTED
    errors = {label: [1e-4, 1e-2] for label in labels}
    wave = np.sin(np.arange(12))
    figure = lagrangian.drawn((1e-3, 1e-2), errors, {"before": wave, "after": 2 * wave}, wave)
    left, right = figure.axes
    assert [line.get_label() for line in right.lines] == ["wanted", "before", "after"]
    assert [text.get_text() for text in left.texts] == [lagrangian.STARTED]


def tiny_oscillators(machine: Machine = Machine(), seed: int = 0) -> Training:  # noqa: B008
    """Digits by few oscillators, which a negative injection keeps from locking."""
    unit = Oscillator(-0.25)
    net = layered((64, 8, 10), jax.random.key(seed), unit, unit, (0.5, 0.25))
    model = Model(net.energy, SquaredError(OUTPUT, -1.0, 1.0))
    return Training(model, machine.learner(0.5, ("h1", OUTPUT)), DIGITS, validation=200)


@pytest.mark.long
def test_oscillators_settle_and_their_gradient_is_that_of_bptt(shown):
    found = shown(oim, oim.Settling("tiny", "", Call(tiny_oscillators)))
    assert found["cosine_with_bptt"] > 0.99
    training = tiny_oscillators()
    x = jax.random.uniform(jax.random.key(0), (1, 64))
    paths = oim.answers(training.model, x)
    settled = training.estimator.forecast(
        training.model, x, jnp.eye(10)[:1], jax.random.key(0)
    ).scores
    assert np.allclose(paths[0], 0, atol=1e-6)
    assert np.allclose(paths[-1], settled[0])
    assert len(paths) == oim.FREE + 1


def tiny_spikes(spikes: Spikes = Spikes(), seed: int = 0) -> Training:  # noqa: B008
    """Digits by few neurons."""
    net = layered((64, 16, 10), jax.random.key(seed), Logistic(), Logistic())
    learner = spikes.learner(("h1", OUTPUT), 0.5)
    model = Model(net.energy, SquaredError(OUTPUT))
    return Training(model, learner, DIGITS, batch_size=8, validation=200)


@pytest.mark.long
def test_spikes_are_those_of_deterministic_ep_on_average_and_remember_nothing(shown):
    study = stochep.Firing("tiny", "", Call(tiny_spikes), repeats=16, steps=(16, 64))
    with jax.enable_x64(False):  # whose memory is taken of float32
        found = shown(stochep, study)
    one, mean = found["cosines"].values()
    assert one < mean and mean > 0.95
    few, more = found["megabytes"]["spiking EP"]
    short, long = found["megabytes"]["surrogate BPTT"]
    assert more < 1.1 * few
    assert long > 2 * short


@pytest.mark.long
def test_momentum_relaxes_deep_networks_in_fewer_sweeps(shown):
    call = Call(hopfield_resnet.digits_resnet, {"width": 2, "blocks": 2, "epochs": 1})
    found = shown(hopfield_resnet, hopfield_resnet.Depth("tiny", "", call, images=2))
    residuals = found["residuals"]
    published, momentum = (
        residuals[label] for label in (hopfield_resnet.PUBLISHED, hopfield_resnet.MOMENTUM)
    )
    assert len(published) == hopfield_resnet.STEPS + 1
    assert int(hopfield_resnet.until(momentum)) <= int(hopfield_resnet.until(published))
    assert hopfield_resnet.until([1.0, 1.0]) == "more than 1"


def test_a_resnet_of_four_blocks_has_thirteen_layers_of_weights():
    assert hopfield_resnet.layers(hopfield_resnet.digits_resnet(width=1).model) == 13


@pytest.mark.long
def test_a_nudge_reaches_the_first_layer_sooner_in_errors(shown):
    call = Call(predictive_coding.digits_predictive_deep, {"width": 4, "depth": 12, "epochs": 1})
    found = shown(predictive_coding, predictive_coding.Errors("tiny", "", call))
    errors, states = found["missing"].values()
    assert errors[0] < 0.6 < states[0] and errors[-1] < 1e-3
    assert "12 layers" in found["claims"][0]["here"]


@pytest.mark.long
def test_a_circuit_has_the_voltages_that_spice_finds(shown):
    call = Call(resistive_recipes.digits_resistive, {"hidden": (8,), "epochs": 1})
    found = shown(resistive, resistive.Circuits("tiny", "", call, betas=(0.1, 1.0)))
    one, other = found["gradients"]["errors"]
    assert one < 1e-2 and one < other
    apart = found["volts_apart"]
    assert apart is None if shutil.which("ngspice") is None else apart < 1e-3
