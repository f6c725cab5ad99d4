"""The recipes by name, and what a run folder keeps of one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from eqprop.training.chain_recipes import ConvRecipe, DenseRecipe, ThermalRecipe
from eqprop.training.choices import (
    UNITS,
    ContrastName,
    DataName,
    EstimatorName,
    ReadingName,
    RuleName,
    SamplerName,
    ScheduleName,
    SolverName,
)
from eqprop.training.recipe import Recipe
from eqprop.training.spiking_recipes import NETWORKS, SpikingConvRecipe, SpikingRecipe
from eqprop.training.vision import VISION, VisionRecipe

__all__ = [
    "OWN_DATA",
    "RECIPES",
    "UNITS",
    "ContrastName",
    "ConvRecipe",
    "DataName",
    "DenseRecipe",
    "EstimatorName",
    "ReadingName",
    "Recipe",
    "RuleName",
    "SamplerName",
    "ScheduleName",
    "SolverName",
    "SpikingConvRecipe",
    "SpikingRecipe",
    "ThermalRecipe",
    "VisionRecipe",
    "from_config",
    "to_config",
]

KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        DenseRecipe,
        ThermalRecipe,
        ConvRecipe,
        VisionRecipe,
        SpikingRecipe,
        SpikingConvRecipe,
    )
}


OWN_DATA = "own_data"


def to_config(name: str, recipe: Recipe, data: str = "") -> dict[str, Any]:
    """What a run folder keeps of a recipe, and the name of the data set where that is not its own."""
    config = {"name": name, "kind": type(recipe).__name__, **dataclasses.asdict(recipe)}
    return config | ({OWN_DATA: data} if data not in ("", recipe.data) else {})


def from_config(config: Mapping[str, Any], where: str = "config") -> Recipe:
    """The recipe of a run folder; ``ValueError`` that says ``where``, if another version wrote it, or a
    value is none of its field."""
    name, kind = config.get("name"), str(config.get("kind"))
    fields = {k: v for k, v in config.items() if k not in ("name", "kind", OWN_DATA)}
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    hints = get_type_hints(KINDS[kind]) if kind in KINDS else {}
    if not hints or set(values) != set(hints):
        raise ValueError(
            f"{where} of {name!r}: expected one of {sorted(KINDS)} with its own fields, got {kind!r} with "
            f"{sorted(set(values) ^ set(hints))} unknown or missing; another version of eqprop wrote it, "
            "or it was damaged."
        )
    if odd := [key for key, value in values.items() if not _fits(value, hints[key])]:
        raise ValueError(
            f"{where} of {name!r}: expected {hints[odd[0]]} as {odd[0]}, got {fields[odd[0]]!r}; restore "
            "the file from a copy."
        )
    return KINDS[kind](**values)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a field's type: a number, a truth value, one of some names, a tuple."""
    inner = get_args(hint)
    if get_origin(hint) is Literal:
        return value in inner
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_fits(item, inner[0]) for item in value)
    return type(value) in ((int, float) if hint is float else (hint,))


def _images(name: DataName) -> DenseRecipe:
    return DenseRecipe(
        data=name,
        hidden=(2048,),
        beta=0.3,
        learning_rate=4e-4,
        weight_decay=0.1,
        epochs=25,
        batch_size=100,
    )


def _oscillators(name: DataName, learning_rate: float, weight_decay: float) -> DenseRecipe:
    return DenseRecipe(
        data=name,
        hidden=(500,),
        unit="oscillator",
        output="oscillator",
        target=(-1.0, 1.0),
        gain=(0.5, 0.25),
        beta=0.1,
        solver="gradient",
        tolerance=0.0,
        step_size=0.5,
        max_steps=40,
        nudged_steps=8,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        epochs=30,
        batch_size=50,
    )


def _conv_oscillators(name: DataName, epochs: int) -> ConvRecipe:
    """Phases kept from locking by a quadrature field. Of weak feedback, they are near an equilibrium after
    a few sweeps from the input up, and one sweep down takes a nudge to the first layer; far from it where
    weights have grown."""
    return ConvRecipe(
        data=name,
        unit="oscillator",
        output="oscillator",
        quadrature=1.0,
        target=(-1.0, 1.0),
        channels=(24, 48),
        dense=(128,),
        gain=(8.0, 6.0, 6.0, 3.0),
        beta=1.0,
        feedback=0.05,
        solver="ordered",
        tolerance=0.0,
        max_steps=3,
        nudged_steps=1,
        learning_rate=3e-3,
        epochs=epochs,
        batch_size=50,
        shift=1,
    )


RECIPES: dict[str, Recipe] = {
    "digits": DenseRecipe(
        hidden=(256,), beta=0.1, epochs=60, batch_size=32, validation=200, learning_rate=2e-3
    ),
    "mnist-dense": _images("mnist"),
    "fashion-mnist-dense": _images("fashion-mnist"),
    "mnist-conv": ConvRecipe(
        data="mnist",
        unit="relu",
        pool="max",
        cost="cross-entropy",
        epochs=9,
        batch_size=100,
        beta=0.1,
        gain=(9.6, 0.6, 1.0),
        layer_rates=(4.0, 0.25, 1.0),
        learning_rate=2e-3,
        solver="spectral",
        tolerance=1e-2,
        differences=True,
        shift=1,
    ),
    "mnist-conv-oscillators": _conv_oscillators("mnist", 10),
    "fashion-mnist-conv-oscillators": dataclasses.replace(
        _conv_oscillators("fashion-mnist", 20), dense=(256,), feedback=0.03, target=(-0.7, 0.7)
    ),
    "mnist-oscillators": _oscillators("mnist", 3e-4, 1.0),
    "mnist-100-oscillators": dataclasses.replace(
        _oscillators("mnist-100", 1e-3, 2.0),
        hidden=(120,),
        validation=100,
        batch_size=20,
        shift=2,
        epochs=100,
    ),
    "digits-thermal": ThermalRecipe(
        hidden=(64,),
        unit="hard-tanh",
        beta=1.0,
        temperature=0.02,
        burn=8,
        thinning=2,
        learning_rate=4e-3,
        epochs=20,
        batch_size=32,
        validation=200,
    ),
    "fashion-mnist-thermal": ThermalRecipe(
        data="fashion-mnist",
        hidden=(256,),
        beta=1.0,
        temperature=0.005,
        burn=4,
        thinning=1,
        learning_rate=1e-3,
        epochs=10,
        batch_size=100,
    ),
    "fashion-mnist-oscillators": _oscillators("fashion-mnist", 1e-4, 1.0),
    **NETWORKS,
    **VISION,
}


def changed(name: str, **change: Any) -> Recipe:
    """The recipe of that name with other values of some fields."""
    return dataclasses.replace(RECIPES[name], **change)
