"""A recipe with arguments: what a study trains, and what a result says was trained."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eqprop.estimators.estimator import Estimator
from eqprop.training import structure
from eqprop.training.training import Training

QUICK = 2000
"""Examples of a quick trial."""


@dataclass(frozen=True)
class Call:
    """A recipe with arguments, and, where the model learns otherwise than the recipe says, by what."""

    recipe: Callable[..., Training]
    given: Mapping[str, Any] = field(default_factory=dict)
    by: Callable[[Estimator], Estimator] | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """All of them, those that were given and the others."""
        bound = inspect.signature(self.recipe).bind(**self.given)
        bound.apply_defaults()
        return bound.arguments

    def but(self, by: Callable[[Estimator], Estimator] | None = None, **changes: Any) -> Call:
        """The same with other arguments, or learning by something else."""
        return Call(self.recipe, {**self.given, **changes}, by or self.by)

    def resized(self, **numbers: int) -> Call:
        """The same with other numbers, each an argument or a field of one. ``ValueError`` for others."""
        changed = self
        for name, number in numbers.items():
            changed = changed.but(**_placed(changed, name, number))
        return changed

    def training(self) -> Training:
        """What is trained."""
        training = self.recipe(**self.given)
        return training.by(self.by) if self.by else training

    def in_short(self) -> Training:
        """The same of one epoch of a few examples, its parts as short as they say."""
        shorter = {
            name: part.in_short()
            for name, part in self.arguments.items()
            if hasattr(part, "in_short")
        }
        training = self.but(**shorter).training()
        held_out = min(training.validation, QUICK)
        return dataclasses.replace(
            training, epochs=1, examples=QUICK, validation=held_out, test_seeds=1
        )

    def told(self) -> dict[str, Any]:
        """The recipe's name and its arguments, as JSON."""
        arguments = {name: _plain(structure.tell(part)) for name, part in self.arguments.items()}
        by = {} if self.by is None else {"by": _plain(structure.tell(self.by))}
        return {"recipe": name_of(self.recipe), "arguments": arguments, **by}


def name_of(recipe: Callable[..., Training]) -> str:
    """What the command calls a recipe."""
    return recipe.__name__.replace("_", "-")


def heard(told: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that `Call.told` told."""
    return {name: structure.make(_tuples(part)) for name, part in told.items()}


def _placed(call: Call, name: str, number: int) -> dict[str, Any]:
    if name in call.arguments:
        return {name: number}
    for argument, part in call.arguments.items():
        if dataclasses.is_dataclass(part) and hasattr(part, name):
            change: dict[str, Any] = {name: number}
            return {argument: dataclasses.replace(part, **change)}  # type: ignore[type-var]
    raise ValueError(
        f"{name_of(call.recipe)}: expected a recipe that has {name}, such as "
        "cifar-10-hopfield-resnet-narrow; leave the option out."
    )


def _plain(told: Any) -> Any:
    """With tuples as lists, of which arguments have no others."""
    if isinstance(told, Mapping):
        if told.get(structure.KIND) == "tuple":
            return [_plain(part) for part in told["items"]]
        return {name: _plain(part) for name, part in told.items()}
    return [_plain(part) for part in told] if isinstance(told, list) else told


def _tuples(told: Any) -> Any:
    if isinstance(told, Mapping):
        return {name: _tuples(part) for name, part in told.items()}
    if isinstance(told, list):
        return {structure.KIND: "tuple", "items": [_tuples(part) for part in told]}
    return told
