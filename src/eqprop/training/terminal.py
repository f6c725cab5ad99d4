"""What a user sees on the terminal: progress and tables, on stderr."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Timer

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table

from eqprop.estimators.audit import Agreement
from eqprop.training.callbacks import Callback
from eqprop.training.epoch import StepReport

SETTLED, ADJOINT, MIXED = 0.99, 1e-2, 0.1
GOOD = 0.99

NARROWEST = 56

PATIENCE, QUIET = 1.5, 30.0
"""Seconds until a line says what goes on, and between lines of progress."""

console = Console(stderr=True)


def tell(text: str, console: Console = console) -> None:
    """One line, as it is, however long."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def doing(text: str, shown: bool = True, console: Console = console) -> Iterator[None]:
    """Say what goes on while it does: on a terminal with the seconds so far, elsewhere in one line of what
    takes longer than `PATIENCE` seconds; nothing unless ``shown``."""
    if not shown:
        yield
    elif console.is_terminal:
        columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
        with Progress(*columns, console=console, transient=True) as progress:
            progress.add_task(text, total=None)
            yield
    else:
        with waiting(text, console=console):
            yield


@contextmanager
def waiting(text: str, shown: bool = True, console: Console = console) -> Iterator[None]:
    """`doing` in one line, on a terminal too, as beside a bar of downloads."""
    timer = _line_after(text, console)
    if not shown:
        timer.cancel()
    try:
        yield
    finally:
        timer.cancel()


def _line_after(text: str, console: Console) -> Timer:
    """A line after `PATIENCE` seconds, unless it is cancelled before."""
    timer = Timer(PATIENCE, lambda: tell(f"{text} ...", console))
    timer.daemon = True
    timer.start()
    return timer


def show(table: Table, console: Console = console) -> None:
    """A table no narrower than its numbers; a narrower terminal goes on in the next line."""
    table.width = NARROWEST if console.width < NARROWEST else None
    console.print(table, crop=False)


class TrainingBar(Callback):
    """A bar over the steps of a run, with its accuracy and the share of examples that settled.

    Where stderr is no terminal, one line an epoch, and within a long epoch one every
    `QUIET` seconds. With ``fixed_steps`` nothing is asked to settle, and the free phases' mean residual
    is shown instead.
    """

    def __init__(self, epochs: int, fixed_steps: bool = False, console: Console = console):
        self.epochs = epochs
        self.fixed_steps = fixed_steps
        self.console = console
        self.bar = Progress(
            TextColumn("{task.description}", table_column=Column(overflow="fold")),
            BarColumn(),
            MofNCompleteColumn(table_column=Column(overflow="fold")),
            TimeRemainingColumn(table_column=Column(overflow="fold")),
            TextColumn("{task.fields[now]}", table_column=Column(overflow="fold")),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("compiling", total=None, now="")
        self.best = 0.0
        self.compiling: Timer | None = None
        self.spoke = time.perf_counter()

    def __enter__(self) -> TrainingBar:
        self.bar.start()
        self.spoke = time.perf_counter()
        if not self.console.is_terminal:
            self.compiling = _line_after("compiling", self.console)
        return self

    def __exit__(self, *unused: object) -> None:
        self._compiled()
        self.bar.stop()

    @contextmanager
    def doing(self, text: str) -> Iterator[None]:
        """Say what goes on after the last epoch, as `doing` does."""
        self.bar.update(self.task, description=text, now="")
        with doing(text, not self.console.is_terminal, self.console):
            yield

    def _compiled(self) -> None:
        if self.compiling is not None:
            self.compiling.cancel()

    def step(self, step: StepReport) -> None:
        self._compiled()
        total = step.steps * self.epochs
        metrics = step.metrics
        now = f"loss {metrics['loss']:.4f}"
        if "accuracy" in metrics:
            now += f"  train {metrics['accuracy']:.1%}  best {self.best:.2%}"
        self.bar.update(
            self.task,
            description=f"epoch {step.epoch + 1}/{self.epochs}",
            total=total,
            completed=step.epoch * step.steps + step.step,
            now=now,
        )
        self._speak(step, now)

    def _speak(self, step: StepReport, now: str) -> None:
        """A line within a long epoch, where there is no bar."""
        clock = time.perf_counter()
        if self.console.is_terminal or clock - self.spoke < QUIET or step.step == step.steps:
            return
        self.spoke = clock
        tell(
            f"epoch {step.epoch + 1}/{self.epochs}, step {step.step} of {step.steps}  {now}",
            self.console,
        )

    def epoch(self, row: Mapping[str, float]) -> None:
        text = f"epoch {row['epoch']:3.0f}/{self.epochs}  loss {row['loss']:.4f}  "
        if "accuracy" in row:
            self.best = max(self.best, row["validation_accuracy"])
            text += f"train {row['accuracy']:.2%}  validation {row['validation_accuracy']:.2%}  "
        else:
            text += f"validation {row['validation_loss']:.4f}  "
        text += f"{row['seconds']:.0f} s"
        if "free_converged" in row:
            text += f"  {row['free_steps']:.0f}+{row.get('nudged_steps', 0):.0f} steps, "
            text += self._settled(row)
        elif "rate" in row:
            text += f"  residual {row['free_residual']:.0e}, rate {row['rate']:.2f}, "
            text += f"silent {row['silent']:.0%}"
        if "objective" in row:
            low, high = row["last_cost"], row["first_cost"]
            text += f"  J {row['objective']:.4f}, costs {high:.4f} to {low:.4f}"
            text += _drifting(row.get("drift", 0.0))
        if row.get("adjoint_residual", 0.0) > ADJOINT:
            text += f"  [yellow]adjoint equation solved to {row['adjoint_residual']:.0e} only[/]"
        self.console.print(text, highlight=False, soft_wrap=True)
        self.spoke = time.perf_counter()

    def _settled(self, row: Mapping[str, float]) -> str:
        if self.fixed_steps:
            return f"residual {row['free_residual']:.0e}"
        settled = min(row["free_converged"], row.get("nudged_converged", 1.0))
        advice = (
            "  [yellow]not at equilibrium: raise max_steps of the solver, or, of a network of layers, use "
            "Momentum[/]"
        )
        return f"{settled:.1%} settled" + (advice if settled < SETTLED else "")


def _drifting(drift: float) -> str:
    if math.isnan(drift):
        return (
            "  [yellow]no chain moved in a batch or more: raise the temperature or the thinning[/]"
        )
    return f"  [yellow]chains still drift ({drift:.2f}): raise burn[/]" if drift > MIXED else ""


def tell_verdict(rows: Sequence[Agreement], console: Console = console) -> None:
    """What the last row, of all parameters, means for training."""
    cosine = rows[-1].cosine
    if cosine >= GOOD:
        tell(
            f"good: cosine {cosine:.4f} with the exact gradient; {GOOD} is enough to train", console
        )
    elif not math.isnan(cosine):
        tell(
            f"rough: cosine {cosine:.3f} with the exact gradient, where {GOOD} is enough to train; a "
            "smaller tolerance or nudge, or more steps or samples, may mend it",
            console,
        )


def agreement_table(rows: Sequence[Agreement], title: str) -> Table:
    """The audit as a table: a dash where there is no direction, or nothing to be relative to; names fold
    where it is narrow, and numbers keep their digits."""
    table = Table(title=title, title_justify="left")
    table.add_column("parameter", overflow="fold")
    for column in ("cosine", "relative error", "norm"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        numbers = f"{row.cosine:.6f}", f"{row.relative_error:.1e}", f"{row.norm:.1e}"
        table.add_row(row.name, *("–" if number == "nan" else number for number in numbers))
    return table
