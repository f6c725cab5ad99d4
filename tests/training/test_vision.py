"""A convolutional network on images: framed, normalised and augmented on their way in, and drawn."""

import dataclasses

import jax
import numpy as np
import pytest

import eqprop as eq
from eqprop.estimators.backpropagation import FeedForward
from eqprop.training import Dataset, Optimiser, Preprocessing, SgdMomentum, Split, predict
from eqprop.training.data.augment import Compose, Flip, RandomCrop
from eqprop.training.figures.run import draw_run
from eqprop.training.files import RunError
from eqprop.training.predict import predicted

pytestmark = pytest.mark.usefixtures("as_trained")
KEY = jax.random.key(0)
MEAN, STD = (0.4, 0.4, 0.4), (0.5, 0.4, 0.3)


def colours(count, seed=0, side=6, channels=3):
    """Images whose class is their brightest channel."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, channels, count).astype(np.int32)
    x = rng.integers(0, 100, (count, side, side, channels))
    x[np.arange(count), :, :, y] += 150
    return Split(x.astype(np.uint8), y)


OWN = Dataset("colours", colours(48), colours(16, 1), 3, 255.0)
MODEL = eq.convolutional((8, 8, 3), (2,), 3, KEY, eq.Tanh())


def training(estimator):
    return eq.Training(
        MODEL,
        estimator,
        OWN,
        Optimiser(0.1, SgdMomentum(), warmup=0.2, weight_decay=1e-3, clip_norm=1.0),
        epochs=3,
        batch_size=8,
        augment=Compose((Flip(), RandomCrop(1))),
        preprocessing=Preprocessing(MEAN, STD, multiple=4),
        validation=16,
    )


@pytest.fixture(scope="module")
def run(as_trained, tmp_path_factory):
    return eq.fit(training(FeedForward()), tmp_path_factory.mktemp("vision") / "run")


def test_images_are_framed_and_augmented_in_training_and_in_use(run):
    assert run.history["loss"][-1] < 0.7 * run.history["loss"][0]
    again = eq.load(run.folder)
    assert again.accuracy == np.mean(again.predict(OWN.test.x) == OWN.test.y) > 0.6
    framed = np.pad(OWN.test.x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    x = (framed / 255 - np.asarray(MEAN)) / np.asarray(STD)
    shown = FeedForward().forecast(run.model, jax.numpy.asarray(x), jax.numpy.zeros((16, 3)), KEY)
    np.testing.assert_allclose(again.best.scores(OWN.test.x), shown.scores, atol=1e-10)


def test_a_run_on_data_of_ones_own_is_drawn_with_them(run):
    drawn = {path.stem for path in draw_run(run.folder, OWN)}
    assert drawn == {"learning", "activity", "weights"}
    for other in (None, OWN._replace(test=OWN.train), OWN._replace(scale=128.0)):
        with pytest.raises(
            RunError, match=r"the data set 'colours' \(.*\) on which it was trained"
        ):
            draw_run(run.folder, other)


@pytest.mark.parametrize("name", ["mean", "std"])
def test_a_normalisation_of_other_channels_is_refused(name):
    changed = dataclasses.replace(training(FeedForward()), preprocessing=_one(name))
    with pytest.raises(ValueError, match=rf"{name}: expected 3 numbers, one a channel of colours"):
        eq.fit(changed)


def _one(name):
    return Preprocessing(**{name: (0.5, 0.5)})


def test_how_long_it_takes_is_told_of_what_takes_steps(monkeypatch):
    """Three epochs of four steps of 20 + 2 * 20 sweeps and at most four gradients, and 16 examples held
    out, two batches."""
    phases = eq.EquilibriumPropagation(eq.Blockwise(1e-3, 20), eq.symmetric(0.1))
    assert 0 < predicted(training(phases), None) < 60
    assert predicted(training(FeedForward()), None) is None
    monkeypatch.setattr(predict, "_sweep", lambda *unused: 0.0)
    assert predicted(training(phases), None) > 0  # gradients are timed, too
    monkeypatch.setattr(predict, "_sweep", lambda *unused: 1.0)
    monkeypatch.setattr(predict, "_gradient", lambda *unused: 100.0)
    assert predicted(training(phases), None) == 3 * (4 * (60 + 400) + 2 * 20)
