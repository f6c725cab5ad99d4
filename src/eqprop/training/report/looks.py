"""What is seen of a trained model when it is run again: its answers, its layers, and its phases."""

from __future__ import annotations

import base64
import io
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from eqprop.energies.model import Model
from eqprop.estimators.estimator import Estimator
from eqprop.solvers import Iterative
from eqprop.training.again import DataSource, prepared
from eqprop.training.figures.run import SEED, shown, traces
from eqprop.training.fit import AUDITED
from eqprop.training.report.film import film
from eqprop.training.trained import Run
from eqprop.training.training import Prepared, batch_of

MISSED, BINS, AT_MOST = 48, 30, 10_000


def looked_at(run: Run, source: DataSource = None) -> dict[str, Any]:
    """Answers to the test examples, activity by layer, relaxation by phase and a film of one relaxation.

    ``source`` is as for `eqprop.training.figures.run.draw_run`. Raises `RunError` where the data set is not
    at hand.
    """
    data = prepared(run, source)
    estimator, model = run.best.estimator.inside(run.model)
    x, y = batch_of(data.validation, model, AUDITED)
    looks: dict[str, Any] = {"activity": _activity(estimator, model, x, y)}
    if run.best.classes:
        looks["answers"] = _answers(run, data)
    solver = getattr(estimator, "solver", None)
    solver = getattr(solver, "solver", solver)
    if isinstance(solver, Iterative):
        looks |= _relaxation(estimator, solver, model, x, y)
        first, label = (np.asarray(part[0]) for part in (data.validation.x, data.validation.y))
        looks["film"] |= {
            "image": picture(first, data.data.scale),
            "truth": int(label) if run.best.classes else None,
        }
    return looks


def _answers(run: Run, data: Prepared) -> dict[str, Any]:
    """The confusion matrix, and the examples that are missed, by the widest margin first."""
    x, truth = (np.asarray(part)[:AT_MOST] for part in (data.test.x, data.test.y))
    scores = run.best.scores(x)
    said = np.argmax(scores, 1)
    confusion = np.zeros((run.best.classes, run.best.classes), int)
    np.add.at(confusion, (truth, said), 1)
    rows = np.arange(len(truth))
    margin = scores[rows, said] - scores[rows, truth]
    wrong = np.flatnonzero(said != truth)
    chosen = wrong[np.argsort(-margin[wrong], kind="stable")][:MISSED]
    missed = [
        {
            "index": int(i),
            "truth": int(truth[i]),
            "said": int(said[i]),
            "margin": float(margin[i]),
            "image": picture(x[i], data.data.scale),
        }
        for i in chosen
    ]
    return {
        "confusion": confusion.tolist(),
        "missed": missed,
        "wrong": len(wrong),
        "of": len(truth),
    }


def picture(x: np.ndarray, scale: float) -> str | None:
    """An image (H, W, 1 or 3) as a PNG in a data URI; other examples have none."""
    if x.ndim != 3 or x.shape[-1] not in (1, 3):
        return None
    from PIL import Image

    pixels = np.clip(np.rint(x.astype(float) / scale * 255), 0, 255).astype(np.uint8)
    held = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(held, "PNG")
    return "data:image/png;base64," + base64.b64encode(held.getvalue()).decode()


def _activity(estimator: Estimator, model: Model, x: Array, y: Array) -> dict[str, Any]:
    """How often each layer shows which value, in per cent."""
    found = {}
    for name, values in shown(estimator, model, x, y).items():
        seen = np.real(values[np.isfinite(values)]).ravel()
        counts, edges = np.histogram(seen, BINS) if seen.size else (np.zeros(1), np.arange(2.0))
        found[name] = {
            "share": (100 * counts / max(seen.size, 1)).tolist(),
            "edges": edges.tolist(),
        }
    return found


def _relaxation(
    estimator: Estimator, solver: Iterative, model: Model, x: Array, y: Array
) -> dict[str, Any]:
    contrast = getattr(estimator, "contrast", None)
    drawn = np.zeros(0, x.dtype) if contrast is None else contrast.draw(jax.random.key(SEED))[0]
    phases = traces(solver, np.asarray(drawn), model, x, y)
    largest = float(np.max(np.real(drawn), initial=0.0))
    nudged = getattr(estimator, "nudged_solver", None) or solver
    return {
        "relaxation": {name: _bands(*pair) for name, pair in phases.items()},
        "tolerance": solver.tolerance,
        "film": film(model, solver, nudged, x[0], y[0], largest),
    }


def _bands(energy: np.ndarray, residual: np.ndarray) -> dict[str, Any]:
    """Median and 10-90 % of a batch, of the energy above its minimum and of the residual."""
    found = {}
    for name, values in (("energy", energy - energy.min(1, keepdims=True)), ("residual", residual)):
        floor = np.finfo(values.dtype).eps * max(1.0, float(np.nanmax(np.abs(energy))))
        held = values if name == "residual" else np.maximum(values, floor)
        low, middle, high = np.nanpercentile(held, (10, 50, 90), axis=0)
        found[name] = {"low": low.tolist(), "y": middle.tolist(), "high": high.tolist()}
    return found
