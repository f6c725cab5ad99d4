"""What the commands do that train, draw and reproduce."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eqprop.cli import options
from eqprop.cli.clock import waited
from eqprop.cli.names import require_known
from eqprop.estimators.audit import Agreement
from eqprop.papers.call import Call, heard, name_of
from eqprop.papers.catalogue import DEMONSTRATIONS, EXPERIMENTS, GROUPS, home, resized
from eqprop.thermal.mixing import Mixing
from eqprop.training import rivals, structure
from eqprop.training.callbacks import Callback, EarlyStopping, TensorBoard
from eqprop.training.claims import new_folder
from eqprop.training.devices import over
from eqprop.training.figures.run import draw_run
from eqprop.training.files import RunError, dumps, read_json, require_writable
from eqprop.training.fit import fit
from eqprop.training.hosts import from_first, is_first
from eqprop.training.terminal import agreement_table, doing, show, tell, tell_verdict
from eqprop.training.training import Training

RUNS = Path("runs")

Recipe = Callable[..., Training]
Arguments = dict[str, Any]


def train(recipe: Recipe, arguments: Arguments, asked: options.Train) -> None:
    """Train a recipe in a folder of its own, and audit its gradient at the end."""
    asked.hosts.join()
    with ExitStack() as held:
        name = name_of(recipe)
        folder = from_first(lambda: _folder(name, asked, held))
        begun = Begun(Call(recipe, arguments))
        if asked.resume:
            begun = from_first(lambda: resumed(recipe, arguments, folder))
        _train(name, asked_for(begun, asked), asked, folder)


class Begun(NamedTuple):
    """What is trained or audited, and the float type in which its phases relax."""

    call: Call
    precision: str = "full"

    def training(self) -> Training:
        training = self.call.training()
        if self.precision == "full":
            return training
        return training.by(lambda estimator: estimator.reduced(self.precision))

    def told(self) -> dict[str, Any]:
        few = {} if self.precision == "full" else {"precision": self.precision}
        return self.call.told() | few


def _train(name: str, begun: Begun, asked: options.Train, folder: Path) -> None:
    training = begun.training()
    callbacks: list[Callback] = [EarlyStopping(asked.patience)] if asked.patience else []
    if is_first():
        tell(f"{name} in {folder}")
        callbacks += [TensorBoard(folder)] if asked.tensorboard else []
    run = fit(
        training,
        folder,
        asked.resume,
        callbacks,
        asked.data_dir,
        over(asked.devices),
        audit=True,
        about={"name": name, **begun.told()},
    )
    if not is_first():
        return
    result = run.result
    with doing("drawing"):
        paths = draw_run(folder, asked.data_dir)
    if rows := [Agreement.read(row) for row in result["audit"]]:
        show(agreement_table(rows, f"{title(training)} against {result['against']}"))
        tell_verdict(rows)
    tell_examined(result)
    tell(
        f"validation {result['validation_accuracy']:.2%}  test {result['test_accuracy']:.2%}  "
        f"(epoch {result['best_epoch']} of {result['epochs']}; {waited():.0f} s, of these training "
        f"{result['seconds']:.0f} s)"
    )
    for path in (folder / "result.json", *paths):
        tell(f"  {path}")
    say(asked.json, result | {"folder": folder})


def plot(asked: options.Plot) -> None:
    """Draw a run's figures again."""
    with doing("drawing"):
        paths = draw_run(asked.run, asked.data_dir)
    for path in paths:
        tell(f"  {path}")


def reproduce(asked: options.Reproduce) -> None:
    """Run an experiment over its seeds and write its result."""
    require_known("paper or experiment to reproduce", asked.name, (*GROUPS, *EXPERIMENTS))
    shown = DEMONSTRATIONS.get(asked.name) if asked.quick else None
    names = (shown,) if shown else GROUPS.get(asked.name, (asked.name,))
    out = spelt(home(names[0]) if asked.out is None else asked.out)
    require_writable(out)
    studies = [resized(EXPERIMENTS[name], width=asked.width, epochs=asked.epochs) for name in names]
    found = [study.reproduce(out, asked.data_dir, asked.quick) for study in studies]
    say(asked.json, found if len(names) > 1 else found[0])


def asked_for(begun: Begun, asked: options.Train | options.Audit) -> Begun:
    """With the estimator and the precision that are asked for."""
    call, precision = begun
    if asked.estimator is not None:
        call = call.but(by=rivals.named(asked.estimator))
    return Begun(call, precision if asked.precision == "full" else asked.precision)


def resumed(recipe: Recipe, asked: Arguments, folder: Path) -> Begun:
    """What a run folder began with, but for arguments that are asked otherwise than by default."""
    config = read_json(folder / "config.json")
    name, wanted = config.get("recipe"), name_of(recipe)
    if name is None:
        raise RunError(
            f"{folder / 'config.json'}:1: expected a run of a recipe, got one of Python's own; go on "
            "there, as by eqprop.fit(training, folder, resume=True)."
        )
    if name != wanted:
        raise ValueError(
            f"{folder} holds a run of {name}, not of {wanted}; say {name} in place of {wanted}."
        )
    usual = Call(recipe).arguments
    given = {n: v for n, v in asked.items() if structure.tell(v) != structure.tell(usual[n])}
    by = heard({"by": config["by"]})["by"] if "by" in config else None
    call = Call(recipe, heard(config["arguments"]) | given, by)
    return Begun(call, config.get("precision", "full"))


def title(training: Training) -> str:
    return type(training.estimator.inside(training.model)[0]).__name__


def tell_examined(result: Mapping[str, Any]) -> None:
    """How chains mixed and neurons fired."""
    if rows := [Mixing.read(row) for row in result["mixing"]]:
        largest, least = np.max([r.r_hat for r in rows]), np.min([r.effective for r in rows])
        tell(
            f"chains: split R-hat at most {largest:.3f}, at least {least:.0f} effective of {rows[0].draws} "
            "draws, for cost and energy"
        )
    if (seen := result.get("spikes")) is not None:
        shares = ", ".join(f"{name} {rate:.2f}" for name, rate in seen["rates"]["free"].items())
        tell(
            f"free firing rates: {shares}; {seen['synaptic_operations']:.2g} synaptic operations and "
            f"{seen['draws']:.2g} draws an example, all phases; {seen['microjoules']:.2g} uJ at 0.9 pJ each"
        )


def _folder(name: str, asked: options.Train, held: ExitStack) -> Path:
    if asked.out is not None:
        spelt(asked.out)
        if asked.resume and not (asked.out / "config.json").exists():
            raise RunError(
                f"Nothing to resume: expected {asked.out}/config.json; run without --resume first."
            )
        return asked.out
    home = spelt(RUNS / name)
    if not asked.resume:
        return held.enter_context(new_folder(home, datetime.now().strftime("%Y%m%d-%H%M%S")))
    begun = sorted(path.parent for path in home.glob("????????-??????*/config.json"))
    if not begun:
        raise RunError(f"Nothing to resume: {home} holds no run; run without --resume first.")
    return begun[-1]


def spelt(folder: Path) -> Path:
    """The folder. Raises ``ValueError`` before the work for a name that cannot be written down."""
    try:
        os.fsencode(folder.absolute())
        str(folder.absolute()).encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"out: expected a folder whose name {sys.getfilesystemencoding()}, the locale's, and UTF-8 can "
            f"encode, got {str(folder)!a}; choose another with --out, or set LC_ALL=C.UTF-8."
        ) from error
    return folder


def say(wanted: bool, result: Mapping[str, Any] | list[dict[str, Any]]) -> None:
    if wanted:
        print(dumps(result))
