"""The command ``eqprop``: train, audit, list, plot, reproduce."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar, Union

import tyro

from eqprop.recipes import RECIPES, Recipe

R = TypeVar("R", bound=Recipe)


@dataclass(frozen=True)
class Train(Generic[R]):
    """Train a recipe in a folder of its own, and audit its gradient at the end."""

    recipe: R
    name: tyro.conf.Suppress[str] = ""
    data_dir: Path | None = None
    """Folder that holds the data set; else $EQPROP_DATA; else it is downloaded to the cache."""
    out: Path | None = None
    """Run folder; runs/<recipe>/<time> unless given."""
    resume: bool = False
    """Continue the run in --out, or the latest of this recipe."""
    json: bool = False
    """Print the result as one JSON line on stdout; everything else goes to stderr."""
    tensorboard: bool = False
    """Also write TensorBoard logs (needs the extra `tensorboard`)."""


@dataclass(frozen=True)
class Audit(Generic[R]):
    """Compare the recipe's gradient with the exact one, by parameter, and find the best nudge."""

    recipe: R
    name: tyro.conf.Suppress[str] = ""
    data_dir: Path | None = None
    """Folder that holds the data set; else $EQPROP_DATA; else it is downloaded to the cache."""
    run: Path | None = None
    """Audit the best model of this run folder, with its own recipe; otherwise the recipe at
    initialisation."""
    out: Path = Path("audit")
    """Where the table and the plots go."""
    json: bool = False
    """Print the result as one JSON line on stdout; everything else goes to stderr."""


@dataclass(frozen=True)
class Plot:
    """Draw a run's figures again."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""
    data_dir: Path | None = None
    """Folder that holds the data set; else $EQPROP_DATA; else it is downloaded to the cache."""


@dataclass(frozen=True)
class List:
    """List recipes and experiments."""


@dataclass(frozen=True)
class Reproduce:
    """Run an experiment over its seeds and write experiments/<name>/result.json."""

    name: Annotated[str, tyro.conf.Positional] = ""
    """Experiment; without one, those that exist are listed."""
    data_dir: Path | None = None
    """Folder that holds the data set; else $EQPROP_DATA; else it is downloaded to the cache."""
    out: Path = Path("experiments")
    """Folder of the results."""
    quick: bool = False
    """One seed and one epoch, in a folder of its own: does everything work?"""
    json: bool = False
    """Print the result as one JSON line on stdout; everything else goes to stderr."""


def _each_recipe(command: Any) -> Any:
    """``command`` as one subcommand a recipe, with the recipe's values as defaults."""
    members = []
    for name, recipe in RECIPES.items():
        kind = command[type(recipe)]
        default = kind(recipe=recipe, name=name)
        about = f"{command.__doc__} {type(recipe).__doc__}"
        members.append(
            Annotated[kind, tyro.conf.subcommand(name, default=default, description=about)]
        )
    return Union[tuple(members)]  # noqa: UP007


def _parse(arguments: list[str] | None) -> Any:
    app = tyro.extras.SubcommandApp()

    def train(job: _each_recipe(Train)):  # type: ignore[valid-type]
        """Train a recipe by equilibrium propagation."""
        return job

    def audit(job: _each_recipe(Audit)):  # type: ignore[valid-type]
        """Compare a recipe's gradient with the exact one."""
        return job

    def plot(job: Plot):
        """Draw a run's figures again."""
        return job

    def list_(job: List):
        """List recipes and experiments."""
        return job

    def reproduce(job: Reproduce):
        """Run an experiment over its seeds."""
        return job

    for command in (train, audit, plot, reproduce):
        app.command(command)
    app.command(name="list")(list_)
    return app.cli(
        prog="eqprop",
        description="Equilibrium propagation: train, audit and reproduce.",
        args=arguments,
        config=(
            tyro.conf.OmitArgPrefixes,
            tyro.conf.OmitSubcommandPrefixes,
            tyro.conf.FlagCreatePairsOff,
        ),
    )


def main(arguments: list[str] | None = None) -> None:
    """Parse and run; an expected error becomes one clear line and exit code 1."""
    try:
        job = _parse(arguments)
        from eqprop import commands

        commands.run(job)
    except KeyboardInterrupt:
        _fail("interrupted; finished epochs are kept, and --resume continues from them.", 130)
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        _fail(str(error), 1)


def _fail(message: str, code: int) -> None:
    print(f"eqprop: {message}", file=sys.stderr)
    raise SystemExit(code)
