"""What a trained model says of examples in a file."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from eqprop._names import meant
from eqprop.cli import options
from eqprop.papers.pretrained import folders, pretrained
from eqprop.training.again import wanted_by
from eqprop.training.data.examples import read_examples
from eqprop.training.files import dumps, require_writable, write_text, written_whole
from eqprop.training.terminal import doing, tell
from eqprop.training.trained import Run, load

SHOWN = 40

FORMS = (".npz", ".csv")


def predict(asked: options.Predict) -> None:
    """Print the label of each example and the scores behind it."""
    if asked.top < 1:
        raise ValueError(f"top: expected a number of classes >= 1, got {asked.top}.")
    if asked.out is not None:
        if asked.out.suffix not in FORMS:
            raise ValueError(
                f"out: expected a name ending in {' or '.join(FORMS)}, got {asked.out}."
            )
        require_writable(asked.out.parent)
    with doing("reading the run and predicting"):
        run = _run(asked.run)
        examples = read_examples(asked.file, wanted_by(run))
        scores = run.best.scores(examples)
    labels = np.argmax(scores, 1) if run.best.classes else None
    if asked.out is not None:
        tell(f"  {_write(asked.out, labels, scores)}")
    if asked.json:
        told = {"run": asked.run, "file": asked.file, "classes": run.best.classes}
        print(dumps(told | {"labels": labels, "scores": scores}))
    else:
        Console(file=sys.stdout).print(_table(labels, scores, asked.top))
        if len(scores) > SHOWN:
            tell(f"the first {SHOWN} of {len(scores)}; --json or --out gives all")


def _run(named: Path) -> Run:
    """Of a folder, or, where there is none of that name, a network that comes with eqprop."""
    name, known = str(named), folders()
    if named.exists() or len(named.parts) > 1:
        return load(named)
    if name in known:
        return pretrained(name)
    raise ValueError(
        f"run: expected a run folder, or a network that comes with eqprop ({', '.join(known)}), got "
        f"{name!r}.{meant(name, known)}"
    )


def _table(labels: np.ndarray | None, scores: np.ndarray, top: int) -> Table:
    """One example a line; of several classes those with the highest scores, which are what the output layer
    shows, and no probabilities."""
    table = Table()
    table.add_column("example", justify="right")
    if labels is None:
        table.add_column("output")
    else:
        table.add_column("label", justify="right")
        table.add_column("highest scores")
    for index, row in enumerate(scores[:SHOWN]):
        if labels is None:
            table.add_row(str(index), "  ".join(f"{value:.4g}" for value in np.ravel(row)[:8]))
            continue
        best = np.argsort(-row, kind="stable")[:top]
        told = "  ".join(f"{label}: {row[label]:.3f}" for label in best)
        table.add_row(str(index), str(labels[index]), told)
    return table


def _write(path: Path, labels: np.ndarray | None, scores: np.ndarray) -> Path:
    known: dict[str, Any] = {} if labels is None else {"label": labels}
    if path.suffix == ".npz":
        with written_whole(path) as part:
            np.savez(part, allow_pickle=False, scores=scores, **known)
        return path
    flat = scores.reshape(len(scores), -1)
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["example", *known, *(f"score_{i}" for i in range(flat.shape[1]))])
    for index, row in enumerate(flat):
        label = [] if labels is None else [int(labels[index])]
        writer.writerow([index, *label, *row.tolist()])
    return write_text(path, lines.getvalue())
