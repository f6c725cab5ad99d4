"""Examples of one's own for a trained model: read from a file, and held against what it learnt from."""

from __future__ import annotations

import io
import math
import struct
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from eqprop.training.data.formats import DataError, gunzip, read_bounded, read_idx

LARGEST = 1 << 30

NUMPY, PNG, GZIP, IDX = b"\x93NUMPY", b"\x89PNG\r\n", b"\x1f\x8b", b"\0\0\x08"

WHITE = 255


class Wanted(NamedTuple):
    """What a model takes: the shape of one example, or None where that is not known, and, of images, the
    value of white (of other examples None)."""

    shape: tuple[int, ...] | None
    white: float | None = None


def read_examples(path: str | Path, wanted: Wanted) -> np.ndarray:
    """The examples (N, ...) in a file: ``.npy`` of one or many, a PNG image, or IDX as MNIST comes in,
    zipped or not. What a file is, its first bytes say.

    A PNG's 0 to 255 become the 0 to white of the images that the model learnt from. Raises `DataError`
    for other files, other shapes, colour in place of grey or grey in place of colour, and values
    out of range; ``FileNotFoundError`` where there is no file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a file of examples, got nothing there.")
    content = read_bounded(path, LARGEST)
    if content.startswith(GZIP):
        content = gunzip(content, path, LARGEST)
    if content.startswith(PNG):
        return shaped(_image(content, path, wanted), wanted, str(path))
    if content.startswith(NUMPY):
        return shaped(_array(content, path), wanted, str(path))
    if content.startswith(IDX):
        return shaped(read_idx(content, path), wanted, str(path))
    raise DataError(
        f"{path}: expected .npy, .png or IDX (zipped or not), got a file that begins with "
        f"{content[:4].hex(' ') or 'nothing'}. Save the examples by numpy.save."
    )


def shaped(x: np.ndarray, wanted: Wanted, name: str = "examples") -> np.ndarray:
    """One example or many as (N, ...), in the shape that the model learnt from. Raises `DataError`."""
    require_numbers(x, name)
    if wanted.shape is None:
        return x
    flat = (math.prod(wanted.shape),)
    forms = [wanted.shape, flat]
    if wanted.shape[2:] == (1,):
        forms.append(wanted.shape[:2])
    for form in forms:
        if x.shape == form or x.shape[1:] == form:
            examples = x.reshape(-1, *wanted.shape)
            _require_range(examples, wanted, name)
            return examples
    _misshapen(x, wanted.shape, name)


def _misshapen(x: np.ndarray, shape: tuple[int, ...], name: str) -> NoReturn:
    remedy = "Resize or crop the examples."
    if len(shape) == 3:
        height, width, channels = shape
        kinds = {1: "grey", 3: "colour"}
        if x.shape[-3:-1] == (height, width) or x.shape[-2:] == (height, width):
            got = x.shape[-1] if x.shape[-3:-1] == (height, width) else 1
            if {got, channels} == {1, 3}:
                raise DataError(
                    f"{name}: expected {kinds[channels]} images {shape}, got {kinds[got]} ones {x.shape}. "
                    f"Convert them: {'x.mean(-1)' if channels == 1 else 'np.stack([x] * 3, -1)'}."
                )
        if x.shape[-3:] == (channels, height, width):
            remedy = "Put the channels last: numpy.moveaxis(x, -3, -1)."
        elif x.ndim == 1:
            remedy = "Is it the file of the labels? Pass that of the images."
    raise DataError(
        f"{name}: expected one example of shape {shape} or many of (N, {', '.join(map(str, shape))}), got "
        f"{x.shape}. {remedy}"
    )


def require_numbers(x: np.ndarray, name: str = "examples") -> None:
    """Raise `DataError` for what is no array of finite real numbers."""
    if x.dtype.kind not in "buif":
        raise DataError(f"{name}: expected real numbers, got dtype {x.dtype}. Convert them.")
    if x.size == 0 or x.ndim == 0:
        raise DataError(f"{name}: expected at least one example, got shape {x.shape}.")
    if odd := x.size - np.count_nonzero(np.isfinite(x)):
        raise DataError(f"{name}: expected finite values, got {odd} that are not. Replace them.")


def _require_range(x: np.ndarray, wanted: Wanted, name: str) -> None:
    if wanted.white is None:
        return
    low, high, white = float(x.min()), float(x.max()), wanted.white
    if low < 0 or high > white:
        _fail_range(x, white, name)
    require_scaled(x, white, name)


def require_scaled(x: np.ndarray, white: float, name: str = "examples") -> None:
    """Raise `DataError` for images of 0 to 1 where a model learnt from those of 0 to ``white``."""
    if x.ndim > 2 and x.dtype.kind == "f" and 0 < float(x.max()) <= 1 < white:
        _fail_range(x, white, name)


def _fail_range(x: np.ndarray, white: float, name: str) -> NoReturn:
    low, high = float(x.min()) + 0.0, float(x.max()) + 0.0
    remedy = "Scale them"
    if high > 0:
        factor = white if high <= 1 else white / high
        remedy += f"; where {high:.3g} is white, multiply by {factor:.3g}"
    raise DataError(
        f"{name}: expected values from 0 to {white:g}, as in the images that it learnt from, got "
        f"{low:.3g} to {high:.3g}. {remedy}."
    )


def _array(content: bytes, path: Path) -> np.ndarray:
    try:
        return np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(
            f"{path}: expected a whole .npy file of numbers, got one of which NumPy says '{error}'. Save "
            "them by numpy.save as an array with one shape and type."
        ) from error


def _image(content: bytes, path: Path, wanted: Wanted) -> np.ndarray:
    """(H, W) where all is grey, else (H, W, 3); white as the model knows it."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.mode.startswith("I"):
                raise DataError(f"{path}: expected 8 bits a channel, got 16. Convert the image.")
            if "A" in image.getbands() and image.getchannel("A").getextrema()[0] != WHITE:  # type: ignore[operator]
                raise DataError(
                    f"{path}: expected an opaque image, got one that is clear in parts."
                )
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: expected a whole PNG image, got '{error}'.") from error
    is_grey = (pixels == pixels[..., :1]).all()
    if is_grey and (wanted.shape is None or wanted.shape[2:] != (3,)):
        pixels = pixels[..., 0]
    white = WHITE if wanted.white is None else wanted.white
    return pixels if white == WHITE else pixels * (white / WHITE)
