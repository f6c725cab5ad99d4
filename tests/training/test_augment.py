"""Augmentation: every operation against a plain reference, and what is drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from eqprop.training.data import randaugment
from eqprop.training.data.augment import Compose, Flip, RandomCrop, random_shift
from eqprop.training.data.randaugment import MAPS, OPERATIONS, RandAugment, apply

KEY = jax.random.key(3)
SIDE, MAGNITUDE = 20, 9
run = jax.jit(apply, static_argnums=3)


@pytest.fixture(autouse=True, scope="module")
def standard_promotion():
    with jax.numpy_dtype_promotion("standard"):
        yield


def picture(seed=0, channels=3, low=20, high=230):
    return np.random.default_rng(seed).integers(low, high, (SIDE, SIDE, channels), np.uint8)


def after(name, image, sign=1.0, magnitude=MAGNITUDE):
    which = jnp.asarray(OPERATIONS.index(name), jnp.int32)
    got = run(jnp.asarray(image), which, jnp.asarray(sign, jnp.float32), magnitude)
    assert got.shape == image.shape and got.dtype == jnp.uint8
    return np.asarray(got)


def by_pil(name, image, sign, magnitude):
    """What the Python Imaging Library makes of it."""
    given, level = Image.fromarray(image), magnitude / 30
    factor = 1 + sign * 0.9 * level
    made = {
        "identity": lambda: given,
        "brightness": lambda: ImageEnhance.Brightness(given).enhance(factor),
        "contrast": lambda: ImageEnhance.Contrast(given).enhance(factor),
        "color": lambda: ImageEnhance.Color(given).enhance(factor),
        "solarize": lambda: ImageOps.solarize(given, int(np.ceil(255 * (1 - level)))),
        "posterize": lambda: ImageOps.posterize(given, 8 - round(4 * level)),
        "autocontrast": lambda: ImageOps.autocontrast(given),
        "equalize": lambda: ImageOps.equalize(given),
    }
    return np.asarray(made[name]())


@pytest.mark.parametrize("magnitude", [9, 30])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", ["brightness", "contrast", "color"])
def test_enhancements(name, sign, magnitude):
    image = picture()
    got, wanted = after(name, image, sign, magnitude), by_pil(name, image, sign, magnitude)
    assert np.max(abs(got.astype(int) - wanted)) <= 1  # PIL rounds the grey that it blends with
    assert np.mean(abs(image.astype(int) - wanted)) > 5


@pytest.mark.parametrize("magnitude", [9, 30])
@pytest.mark.parametrize("name", ["identity", "solarize", "posterize", "autocontrast", "equalize"])
def test_tables(name, magnitude):
    image = picture()
    got, wanted = after(name, image, 1, magnitude), by_pil(name, image, 1, magnitude)
    exact = 1 if name == "autocontrast" else 0  # PIL adds in another order before it truncates
    assert np.max(abs(got.astype(int) - wanted)) <= exact
    assert np.array_equal(wanted, image) == (name == "identity")


@pytest.mark.parametrize("name", ["autocontrast", "equalize", "contrast", "color", "sharpness"])
def test_a_uniform_image_stays(name):
    image = np.full((SIDE, SIDE, 3), 77, np.uint8)
    np.testing.assert_array_equal(after(name, image), image)


def test_autocontrast_fills_the_range_of_each_channel():
    got = after("autocontrast", picture(low=90, high=110))
    assert np.all(got.min((0, 1)) == 0) and np.all(got.max((0, 1)) == 255)


def test_sharpness_by_hand():
    image, factor = picture().astype(float), 1 - 0.9 * 9 / 30
    smooth = image.copy()
    for i in range(1, SIDE - 1):
        for j in range(1, SIDE - 1):
            around = image[i - 1 : i + 2, j - 1 : j + 2].sum((0, 1)) + 4 * image[i, j]
            smooth[i, j] = np.round(around / 13)
    wanted = np.floor(np.clip(factor * image + (1 - factor) * smooth, 0, 255))
    got = after("sharpness", image.astype(np.uint8), -1)
    assert np.max(abs(got - wanted)) <= 1 and np.mean(got != wanted) < 0.01
    border = np.ones((SIDE, SIDE), bool)
    border[1:-1, 1:-1] = False
    np.testing.assert_array_equal(got[border], image[border])


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", MAPS)
def test_maps_by_hand(name, sign):
    """Each pixel from the nearest one under the inverse map; black from outside."""
    image, level = picture(low=1), sign * MAGNITUDE / 30
    turn, centre = np.deg2rad(30 * level), (SIDE - 1) / 2
    wanted = np.zeros_like(image)
    for i in range(SIDE):
        for j in range(SIDE):
            y, x = i - centre, j - centre
            source = {
                "shear-x": (i, j + 0.3 * level * i),
                "shear-y": (i + 0.3 * level * j, j),
                "translate-x": (i, j - 150 / 331 * SIDE * level),
                "translate-y": (i - 150 / 331 * SIDE * level, j),
                "rotate": (
                    centre + np.cos(turn) * y - np.sin(turn) * x,
                    centre + np.cos(turn) * x + np.sin(turn) * y,
                ),
            }[name]
            row, column = (round(float(s)) for s in source)
            if 0 <= row < SIDE and 0 <= column < SIDE:
                wanted[i, j] = image[row, column]
    got = after(name, image, sign)
    assert np.mean(np.any(got != wanted, -1)) < 0.02  # a coordinate half-way may round either way
    assert np.mean(np.any(got != image, -1)) > 0.4


def test_rotation_keeps_the_middle_and_takes_corners_from_outside():
    image = np.full((SIDE, SIDE, 1), 200, np.uint8)
    got = after("rotate", image, 1, 30)
    assert got[SIDE // 2, SIDE // 2] == 200 and got[0, 0] == got[-1, -1] == 0


def test_one_channel():
    image = picture(channels=1)
    for name in OPERATIONS:
        assert after(name, image).shape == image.shape
    np.testing.assert_array_equal(after("color", image), image)


def test_draws_every_operation_evenly():
    """Each image by its own operation: one step over many images that are the same."""
    image = picture()
    batch = jnp.broadcast_to(image, (600, *image.shape))
    got = np.asarray(jax.jit(RandAugment(1, 20))(batch, KEY)).reshape(600, -1)
    made = {
        (name, sign): after(name, image, sign, 20).reshape(-1)
        for name in OPERATIONS
        for sign in (1, -1)
    }
    seen = {n: np.any([np.all(got == made[n, s], 1) for s in (1, -1)], 0) for n in OPERATIONS}
    assert np.all(np.sum(list(seen.values()), 0) == 1)
    counts = np.array([hits.sum() for hits in seen.values()])
    assert np.sum((counts - 600 / 14) ** 2 / (600 / 14)) < 34.5  # chi-squared, 13 degrees, 0.1 %
    signed = [np.all(got == made["rotate", s], 1).sum() for s in (1, -1)]
    assert min(signed) > 5


def test_operations_follow_one_another():
    """Two operations are one after the other: keys as they are, operations given."""
    image = picture()[None]
    turned = after("rotate", after("solarize", image[0]))
    which = jnp.asarray([[OPERATIONS.index("solarize")], [OPERATIONS.index("rotate")]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(randaugment.jax.random, "randint", lambda *unused: which)
        patch.setattr(randaugment.jax.random, "rademacher", lambda *unused: jnp.ones((2, 1)))
        got = RandAugment(2, MAGNITUDE)(jnp.asarray(image), KEY)
    np.testing.assert_array_equal(got[0], turned)


def test_same_key_same_images_and_another_key_others():
    batch = jnp.asarray(np.stack([picture(i) for i in range(8)]))
    augment = jax.jit(Compose((Flip(), RandAugment(2), RandomCrop(2))))
    first, again, other = (
        augment(batch, KEY),
        augment(batch, KEY),
        augment(batch, jax.random.key(4)),
    )
    assert first.dtype == jnp.uint8
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_flip_mirrors_about_half():
    batch = np.stack([picture(i) for i in range(200)])
    got = np.asarray(Flip()(jnp.asarray(batch), KEY))
    kept = np.all(got == batch, (1, 2, 3))
    assert np.all(np.all(got == batch[:, :, ::-1], (1, 2, 3)) | kept)
    assert 70 < kept.sum() < 130


@pytest.mark.parametrize("crop, mode", [(RandomCrop(2), "edge"), (random_shift(2), "constant")])
def test_crops_are_windows_of_the_padded_image(crop, mode):
    batch = np.stack([picture(i) for i in range(200)])
    got = np.asarray(crop(jnp.asarray(batch), KEY))
    seen = set()
    for image, found in zip(batch, got, strict=True):
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode)
        corners = [(i, j) for i in range(5) for j in range(5)]
        at = [c for c in corners if np.array_equal(padded[c[0] :, c[1] :][:SIDE, :SIDE], found)]
        assert len(at) == 1
        seen |= set(at)
    assert len(seen) == 25


def test_augmentations_in_turn_have_keys_of_their_own():
    def note(x, key):
        return jnp.concatenate([x, jax.random.uniform(key, (1,))])

    one, other = Compose((note, note))(jnp.zeros(0), KEY)
    assert one != other


def test_equal_augmentations_are_one_program():
    assert hash(RandAugment(2)) == hash(RandAugment(2)) and RandomCrop(4) == RandomCrop(4)
