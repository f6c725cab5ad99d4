"""Demonstrations: what a paper claims, shown small in less than two minutes on two cores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rich.table import Table

from eqprop.papers.call import Call
from eqprop.papers.study import Asked, Study
from eqprop.training.files import AnyPath
from eqprop.training.fit import fit
from eqprop.training.terminal import tell
from eqprop.training.trained import Run


class Claim(NamedTuple):
    """A row of the table: a claim, what the paper says of it and where, and what is seen here."""

    claim: str
    paper: str
    where: str
    here: str


@dataclass(frozen=True)
class Demonstration(Study):
    """A table of claims and one figure, which ``eqprop reproduce PAPER --quick`` makes.

    `results` gives ``claims``, of `Claim`, beside what was measured, and saves ``demonstration.png``. It is
    quick as it is.
    """

    def reproduce(
        self, out: AnyPath, data_dir: AnyPath | None = None, quick: bool = False
    ) -> dict[str, Any]:
        return super().reproduce(out, data_dir)

    def summary(self, found: Mapping[str, Any]) -> Sequence[str | Table]:
        return [as_table(f"{found['name']}, {found['seconds']:.0f} s", found["claims"])]


def as_table(title: str, claims: Sequence[Mapping[str, str]]) -> Table:
    """Claim, paper and here, side by side."""
    table = Table(title=title, title_justify="left", show_lines=True)
    for column in ("claim", "paper", "here"):
        table.add_column(column, overflow="fold")
    for row in claims:
        table.add_row(row["claim"], f"{row['paper']} ({row['where']})", row["here"])
    return table


def told(*claims: Claim) -> list[dict[str, str]]:
    """The claims as a result holds them."""
    return [claim._asdict() for claim in claims]


class Trainings(NamedTuple):
    """Runs by label, of which nothing is kept."""

    runs: dict[str, Run]

    @property
    def tested(self) -> dict[str, float]:
        """Test accuracies in percent."""
        return {label: 100 * run.result["test_accuracy"] for label, run in self.runs.items()}

    @property
    def curves(self) -> dict[str, list[float]]:
        """Validation accuracies in percent after each epoch."""
        return {
            label: [100 * float(value) for value in run.history["validation_accuracy"]]
            for label, run in self.runs.items()
        }

    def found(self) -> dict[str, Any]:
        """What a result holds of them."""
        return {"test_accuracy_percent": self.tested, "validation_accuracy": self.curves}


def train(calls: Mapping[str, Call], asked: Asked) -> Trainings:
    """Each call trained once."""
    runs = {}
    for label, call in calls.items():
        tell(f"{label}:")
        runs[label] = fit(call.training(), data_dir=asked.data_dir)
    return Trainings(runs)
