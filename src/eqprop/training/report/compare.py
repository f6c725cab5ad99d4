"""Several runs beside one another: in what they differ, means over seeds, and paired tests."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from eqprop.training.structure import KIND

SEED, ARGUMENTS, ALL = "seed", "arguments", "all runs"

ASKED = ("recipe", ARGUMENTS, "by", "precision")
"""What a run of a recipe was asked for; all else follows from it."""

SCORES = {"test_error_percent": "test error (%)", "test_loss": "test loss"}


def compared(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """In what runs differ, and by how much.

    ``settings`` that differ, each with its value in every run; ``groups`` of runs that differ in the seed
    alone, with mean and standard deviation of the test score; and ``tests``, of each two groups a
    paired t-test over the seeds that both have.
    """
    settings = _differing([run["config"] for run in runs])
    groups: dict[str, list[int]] = {}
    for index in range(len(runs)):
        told = (f"{name} = {values[index]}" for name, values in settings.items() if name != SEED)
        groups.setdefault(", ".join(told) or ALL, []).append(index)
    score = next((key for key in SCORES if all(r["summary"][key] is not None for r in runs)), None)
    found: dict[str, Any] = {"settings": settings, "score": score and SCORES[score], "groups": []}
    if score is None:
        return found | {"tests": []}
    by_seed = {
        name: {runs[i]["seed"]: runs[i]["summary"][score] for i in members}
        for name, members in groups.items()
    }
    found["groups"] = [
        {"name": name, "runs": members, **_spread([runs[i]["summary"][score] for i in members])}
        for name, members in groups.items()
    ]
    pairs = itertools.combinations(by_seed, 2)
    tests = [paired(first, by_seed[first], second, by_seed[second]) for first, second in pairs]
    return found | {"tests": tests}


def paired(
    first: str, scores: Mapping[Any, float], second: str, others: Mapping[Any, float]
) -> dict[str, Any]:
    """A paired t-test of two groups' scores by seed, two-sided.

    ``p`` is None where there are fewer than two seeds in common, or where all differences are the same.
    """
    from scipy.stats import ttest_rel

    seeds = sorted(scores.keys() & others.keys(), key=str)
    mine, theirs = ([held[seed] for seed in seeds] for held in (scores, others))
    differences = np.subtract(mine, theirs)
    told: dict[str, Any] = {"first": first, "second": second, **_spread(differences), "p": None}
    if len(seeds) > 1 and np.ptp(differences) > 1e-12:
        told["p"] = float(ttest_rel(mine, theirs).pvalue)
    return told


def _spread(values: Any) -> dict[str, Any]:
    """How many, their mean, and their standard deviation, which one alone has not."""
    count = len(values)
    return {
        "n": count,
        "mean": float(np.mean(values)) if count else None,
        "std": float(np.std(values, ddof=1)) if count > 1 else None,
    }


def _differing(configs: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Settings by name that are not the same in all runs: of recipes their arguments."""
    if all(ARGUMENTS in config for config in configs):
        configs = [{name: config.get(name) for name in ASKED} for config in configs]
    flat = [_flat(config) for config in configs]
    names = dict.fromkeys(name for settings in flat for name in settings)
    table = {name: [settings.get(name, "–") for settings in flat] for name in names}
    return {name: values for name, values in table.items() if len(set(values)) > 1}


def _flat(told: Any, path: str = "") -> dict[str, str]:
    """Nested settings under dotted names, objects by their class."""
    if not isinstance(told, dict):
        return {path: told if isinstance(told, str) else json.dumps(told)}
    kind = told.get(KIND)
    found = {path: str(kind).rpartition(":")[2]} if kind else {}
    for name, inner in told.items():
        outer = "" if path in ("", ARGUMENTS) else f"{path}."
        if name != KIND:
            found |= _flat(inner, name if name == ARGUMENTS else outer + name)
    return found
