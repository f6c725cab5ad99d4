"""Keep a finished run as a trained network of its paper: python -m docs.pretrained RUN NAME."""

import sys
from pathlib import Path

import numpy as np

import eqprop
from eqprop.cli.listing import recipes
from eqprop.papers.catalogue import home
from eqprop.papers.pretrained import HERE as PAPERS
from eqprop.training.again import prepared

MOST = 1_000_000


def main(run: str, name: str) -> None:
    """Into the folder of the paper whose experiment or recipe ``name`` is, in float16 where that costs no
    accuracy."""
    trained = eqprop.load(run)
    folder = paper_of(name) / "pretrained" / name
    trained.export(folder, np.float16)
    test = prepared(trained).data.test
    right = [np.mean(model.predict(test.x) == test.y) for model in (trained, eqprop.load(folder))]
    print(f"{folder}: test accuracy {right[0]:.4%} in float32, {right[1]:.4%} from float16")
    if right[1] < right[0]:
        trained.export(folder)
        print("kept in float32")
    size = sum(path.stat().st_size for path in Path(folder).iterdir())
    if size > MOST:
        raise SystemExit(
            f"{folder}: expected at most {MOST} bytes, got {size}; keep a smaller one."
        )


def paper_of(name: str) -> Path:
    """The folder of the paper whose experiment or recipe it is."""
    known = recipes()
    return PAPERS / known[name].paper if name in known else home(name).parent


if __name__ == "__main__":
    main(*sys.argv[1:])
