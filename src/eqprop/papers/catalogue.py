"""The experiments by name: what `eqprop reproduce` knows, gathered from the papers."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from eqprop.papers.demonstration import Demonstration
from eqprop.papers.finite_nudge.studies import THERMAL
from eqprop.papers.foundation.studies import FOUNDATION
from eqprop.papers.hopfield_resnet.studies import RESIDUAL
from eqprop.papers.lagrangian.studies import LAGRANGIAN
from eqprop.papers.oim.studies import OSCILLATORS
from eqprop.papers.predictive_coding.studies import PREDICTIVE
from eqprop.papers.resistive.studies import RESISTIVE
from eqprop.papers.stochep.studies import SPIKING
from eqprop.papers.study import Study
from eqprop.papers.tables import results

PAPERS: dict[str, tuple[Study, ...]] = {
    "foundation": FOUNDATION,
    "finite_nudge": THERMAL,
    "oim": OSCILLATORS,
    "lagrangian": LAGRANGIAN,
    "hopfield_resnet": RESIDUAL,
    "stochep": SPIKING,
    "predictive_coding": PREDICTIVE,
    "resistive": RESISTIVE,
}
"""Studies by the folder of their paper."""

EXPERIMENTS: dict[str, Study] = {
    study.name: study for studies in PAPERS.values() for study in studies
}

GROUPS: dict[str, tuple[str, ...]] = {
    paper.replace("_", "-"): tuple(study.name for study in studies)
    for paper, studies in PAPERS.items()
}
"""All the experiments of one paper."""


DEMONSTRATIONS: dict[str, str] = {
    paper.replace("_", "-"): study.name
    for paper, studies in PAPERS.items()
    for study in studies
    if isinstance(study, Demonstration)
}
"""The study of each paper that shows what it claims in two minutes."""


def home(name: str) -> Path:
    """Where the results of an experiment go: to its paper's, where this is a checkout that can be written,
    and else to ``results`` in the working folder."""
    for paper, studies in PAPERS.items():
        if name in (study.name for study in studies) and os.access(results(paper), os.W_OK):
            return results(paper)
    return Path("results")


def resized(study: Study, **given: int) -> Study:
    """The study under a name of its own, its recipes with the ``given`` numbers that are not 0."""
    changes = {name: value for name, value in given.items() if value}
    if not changes:
        return study
    name = study.name + "".join(f"--{name}-{value}" for name, value in changes.items())
    changed = study.each(lambda call: call.resized(**changes))
    return dataclasses.replace(changed, name=name)
