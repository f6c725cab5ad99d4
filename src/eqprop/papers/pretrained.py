"""Trained networks, one or more a paper: small run folders, `papers/<paper>/pretrained/<name>`."""

from __future__ import annotations

from pathlib import Path

from eqprop._arguments import checked
from eqprop._names import meant
from eqprop.training.trained import Run, load

HERE = Path(__file__).parent


def folders() -> dict[str, Path]:
    """The networks that there are, by the name of the experiment that trained them."""
    found = sorted(HERE.glob("*/pretrained/*/config.json"))
    return {path.parent.name: path.parent for path in found}


@checked
def pretrained(name: str) -> Run:
    """A trained network of a paper, as `eqprop.load` gives it: model, result, and how it was trained.

    ``name`` is one of ``digits`` (the foundation), ``digits-thermal`` (finite nudges), ``oim-mnist-100``,
    ``stochep-mnist``, ``hopfield-resnet-cifar-10`` and ``lagrangian-mnist``. Weights are kept in float16
    where that costs no accuracy, and predict in float32. Raises ``ValueError`` for another name.

    Examples:
        >>> import eqprop as eq
        >>> trained = eq.pretrained("digits")  # then trained.predict(images): (N, 8, 8, 1), 0 to 16
        >>> trained.model.energy.shapes, round(trained.accuracy, 3)
        ({'h1': (256,), 'out': (10,)}, 0.983)
    """
    known = folders()
    if name not in known:
        raise ValueError(
            f"pretrained: expected name to be one of {', '.join(known)}, got {name!r}."
            f"{meant(name, known)} Others are trained by `eqprop reproduce`."
        )
    return load(known[name])
