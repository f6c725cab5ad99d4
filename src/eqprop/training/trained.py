"""A model that was trained, with all that it needs to be used; from memory or from its run folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from eqprop._arguments import checked
from eqprop.energies.model import Model
from eqprop.estimators.estimator import Estimator
from eqprop.training import checkpoints, structure
from eqprop.training.data.datasets import framed_images
from eqprop.training.data.examples import require_numbers, require_scaled
from eqprop.training.epoch import Examples
from eqprop.training.files import AnyPath, RunError, read_json, write_json, write_text
from eqprop.training.results import read_result
from eqprop.training.runs import identity, read_rows, require_rows
from eqprop.training.structure import StructureError
from eqprop.training.training import Preprocessing
from eqprop.training.weights import WEIGHTS, read_weights, save_weights

AT_ONCE = 500


class Trained(NamedTuple):
    """A model, what evaluates it, and what becomes of an example on its way in."""

    model: Model
    estimator: Estimator
    preprocessing: Preprocessing
    scale: float
    classes: int

    def scores(self, examples: Any, seed: int = 0) -> np.ndarray:
        """What the output shows of ``examples`` (N, ...), as they came with the data: (N, outputs). Raises
        `DataError` for what is no finite real number, and for images of 0 to 1 where it learnt from others.
        """
        x = np.asarray(examples)
        if x.size:
            require_numbers(x)
            require_scaled(x, self.scale)
        parts = [x[at : at + AT_ONCE] for at in range(0, len(x), AT_ONCE)]
        keys = jax.random.split(jax.random.key(seed), max(len(parts), 1))
        found = [self._shown(part, key) for part, key in zip(parts, keys, strict=False)]
        return np.concatenate(found) if found else np.zeros((0, self.classes))

    def predict(self, examples: Any, seed: int = 0) -> np.ndarray:
        """The label (N,) of each example; of a regression what the output shows (N, outputs)."""
        scores = self.scores(examples, seed)
        return np.argmax(scores, 1) if self.classes else scores

    def _shown(self, part: np.ndarray, key: Array) -> np.ndarray:
        mean, std, multiple = (
            self.preprocessing.mean,
            self.preprocessing.std,
            self.preprocessing.multiple,
        )
        framed = framed_images(part, multiple)
        labels = jnp.zeros(len(part), jnp.int32)
        images = Examples(jnp.asarray(framed), labels, self.scale, self.classes, mean, std)
        return np.asarray(_scores(self.model, images, self.estimator, key))


@eqx.filter_jit
def _scores(model: Model, images: Examples, estimator: Estimator, key: Array) -> Array:
    x, y = images.batch(images.x, images.y, model.energy.input_shape)
    kinds = [leaf.dtype for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))]
    if kinds:  # which need not be those of this process
        x, y = x.astype(kinds[0]), y.astype(kinds[0])
    if not images.classes:
        shown = jax.eval_shape(jax.vmap(model.predict), jax.eval_shape(model.rest, x))
        y = jnp.zeros(shown.shape, x.dtype)
    return estimator.forecast(model, x, y, key).scores


@dataclass(frozen=True)
class Run:
    """What a training gave: metrics by epoch, the best model ready for use, the result, and the folder."""

    rows: list[dict[str, float]]
    best: Trained
    result: dict[str, Any]
    folder: Path | None = None

    def __repr__(self) -> str:
        found = f"loss {self.loss:.4g}" if np.isnan(self.accuracy) else f"{self.accuracy:.2%}"
        where = "" if self.folder is None else f", in {self.folder}"
        return f"Run({self.result['data']}, {len(self.rows)} epochs, test {found}{where})"

    @property
    def history(self) -> dict[str, np.ndarray]:
        """Every metric, by epoch."""
        return {name: np.asarray([row[name] for row in self.rows]) for name in self.rows[0]}

    @property
    def model(self) -> Model:
        """The best model."""
        return self.best.model

    @property
    def accuracy(self) -> float:
        """On the test examples; of a regression ``nan``."""
        return self.result.get("test_accuracy", float("nan"))

    @property
    def loss(self) -> float:
        """On the test examples."""
        return self.result["test_loss"]

    def predict(self, examples: Any) -> np.ndarray:
        """`Trained.predict` of the best model."""
        return self.best.predict(examples)

    def export(self, folder: AnyPath, dtype: Any = None) -> Path:
        """Keep a run of a folder in another one in small, its best model as safetensors: config, metrics,
        result and ``model.safetensors``, which `load` reads. It cannot be resumed.

        ``dtype`` is that of the weights in the file, as ``numpy.float16``; loaded, they are of the model's.
        Raises `RunError` for a run without a folder.
        """
        if self.folder is None:
            raise RunError(
                "export: expected a run with a folder, got one in memory; fit it in one."
            )
        target, config = Path(folder), read_json(self.folder / "config.json")
        write_json(target / "config.json", config)
        for name in ("metrics.jsonl", "result.json"):
            if (self.folder / name).exists():
                write_text(target / name, (self.folder / name).read_text("utf-8"))
        save_weights(target, self.model, identity(config), dtype)
        return target


@checked
def load(folder: AnyPath) -> Run:
    """What a run folder holds, from the folder alone, finished or not.

    Raises `RunError` where the folder is no run or is damaged, and where its model was made of what no
    module has under a name, as an energy that was defined in a notebook.
    """
    folder = Path(folder)
    config = read_json(folder / "config.json")
    try:
        scale, classes = (config["data"][name] for name in ("scale", "classes"))
        like = structure.make(config["model"])
        estimator = structure.make(config["estimator"])
        preprocessing = structure.make(config["preprocessing"])
    except (StructureError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{folder / 'config.json'}: the run cannot be made again: {error}"
        ) from error
    rows = read_rows(folder)
    if (folder / WEIGHTS).exists():
        leaves = read_weights(folder, like, identity(config))
    else:
        found = checkpoints.last(folder, identity(config))
        count = len(jax.tree.leaves(eqx.filter(like, eqx.is_array)))
        *_, epoch = found[: -count - 2]
        require_rows(folder, rows, int(epoch))
        leaves = found[-count - 2 : -2]
    model = structure.with_arrays(like, [jnp.asarray(leaf) for leaf in leaves])
    path = folder / "result.json"
    result = dict(read_result(path)) if path.exists() else {}
    trained = Trained(model, estimator, preprocessing, scale, classes)
    return Run(rows, trained, result, folder)
