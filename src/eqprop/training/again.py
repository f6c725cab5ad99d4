"""The training of a run folder once more: to look at its examples, and to go on looking at its model."""

from __future__ import annotations

from eqprop.training.data.datasets import Dataset
from eqprop.training.data.examples import Wanted
from eqprop.training.data.named import NAMED, Named
from eqprop.training.files import AnyPath, RunError, read_json
from eqprop.training.trained import Run
from eqprop.training.training import Prepared, Training, digest_of, prepare

DataSource = AnyPath | Dataset | None
"""A folder with the data set, or a data set of one's own in its place."""


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
    folder = None if isinstance(source, Dataset) else source
    return prepare(training_of(run, source), folder)


def wanted_by(run: Run) -> Wanted:
    """What examples the model of a run from a folder takes."""
    assert run.folder is not None
    about = read_json(run.folder / "config.json")["data"]
    if "sha256" not in about and about["name"] in NAMED:
        return Wanted(NAMED[about["name"]].image_shape, run.best.scale)
    framed = run.best.preprocessing.multiple > 1
    return Wanted(None if framed else run.model.energy.input_shape)


def _data(run: Run, about: dict[str, object], source: DataSource) -> Dataset | Named:
    name = str(about["name"])
    if "sha256" not in about:
        return NAMED[name]
    if isinstance(source, Dataset) and digest_of(source) == about["sha256"]:
        return source
    got = f"another, {source.name!r}" if isinstance(source, Dataset) else "none"
    raise RunError(
        f"{run.folder}: expected the data set {name!r} on which it was trained, which is not one of the "
        f"package's, got {got}; pass it in Python, as to eqprop.fit(training, folder, resume=True) or "
        "eqprop.training.figures.run.draw_run(folder, data)."
    )
