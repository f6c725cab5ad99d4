"""The training of a run folder once more: to look at its examples, and to go on looking at its model."""

from __future__ import annotations

from pathlib import Path

from eqprop.training.data.datasets import Dataset
from eqprop.training.data.examples import Wanted
from eqprop.training.data.named import NAMED, Named
from eqprop.training.data.own import SUFFIX, read_dataset
from eqprop.training.files import AnyPath, RunError, read_json
from eqprop.training.trained import Run
from eqprop.training.training import Prepared, Training, about, prepare

DataSource = AnyPath | Dataset | None
"""A folder with the data set; or one's own, or the file in which `save_dataset` kept it."""


def training_of(run: Run, source: DataSource = None) -> Training:
    """The best model of a run from a folder, with its estimator and its data. Raises `RunError` where the
    run has a data set of its own, and ``source`` is another."""
    assert run.folder is not None
    config = read_json(run.folder / "config.json")
    best = run.best
    return Training(
        best.model,
        best.estimator,
        _data(run, config["data"], source),
        validation=config["validation"],
        preprocessing=best.preprocessing,
    )


def prepared(run: Run, source: DataSource = None) -> Prepared:
    """Its examples, divided as they were."""
    training = training_of(run, source)
    if isinstance(source, Dataset) or isinstance(training.data, Dataset):
        return prepare(training)
    return prepare(training, source)


def wanted_by(run: Run) -> Wanted:
    """What examples the model of a run from a folder takes."""
    assert run.folder is not None
    data = read_json(run.folder / "config.json")["data"]
    if "sha256" not in data and data["name"] in NAMED:
        return Wanted(NAMED[data["name"]].image_shape, run.best.scale)
    framed = run.best.preprocessing.multiple > 1
    return Wanted(None if framed else run.model.energy.input_shape)


def _data(run: Run, told: dict[str, object], source: DataSource) -> Dataset | Named:
    if "sha256" not in told:
        return NAMED[str(told["name"])]
    found = _own(source)
    if found is not None and about(found) == told:
        return found
    got = "none" if found is None else f"another, {_seen(about(found))}"
    raise RunError(
        f"{run.folder}: expected the data set {_seen(told)} on which it was trained, which is not one of "
        f"the package's, got {got}; keep it by eqprop.training.save_dataset(data, FILE{SUFFIX}) and say "
        f"--data-dir FILE{SUFFIX}, or pass it in Python, as to "
        "eqprop.training.figures.run.draw_run(folder, data)."
    )


def _seen(told: dict[str, object]) -> str:
    seen = f"{told['classes']} classes, scale {told['scale']}, sha256 {told['sha256']!s:.8}..."
    return f"{told['name']!r} ({seen})"


def _own(source: DataSource) -> Dataset | None:
    if source is None or isinstance(source, Dataset):
        return source
    return read_dataset(source) if Path(source).suffix == SUFFIX else None
