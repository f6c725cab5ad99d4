"""The command ``eqprop``: train, audit, list, plot, reproduce."""

import io
import os
import sys
import warnings
from typing import Annotated, Any, Union

import tyro

from eqprop._version import __version__
from eqprop.cli.options import Audit, List, Plot, Reproduce, Train
from eqprop.training.recipes import RECIPES

TRACEBACK = "EQPROP_TRACEBACK"


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
        description="Equilibrium propagation: train, audit and reproduce. --version tells the version.",
        args=arguments,
        config=(
            tyro.conf.OmitArgPrefixes,
            tyro.conf.OmitSubcommandPrefixes,
            tyro.conf.FlagCreatePairsOff,
        ),
    )


def main(arguments: list[str] | None = None) -> None:
    """Parse and run; an expected error becomes one clear line and exit code 1.

    With the environment variable EQPROP_TRACEBACK set, it keeps its traceback.
    """
    warnings.formatwarning = _as_line
    spell_out()
    try:
        if (sys.argv[1:] if arguments is None else arguments) == ["--version"]:
            print(f"eqprop {__version__}")
            return
        job = _parse(arguments)
        import jax

        from eqprop.cli import commands

        jax.config.update("jax_default_matmul_precision", "highest")
        commands.run(job)
    except KeyboardInterrupt:
        _fail(
            "interrupted; a training run keeps its finished epochs (train --resume goes on from them, "
            "reproduce does so by itself).",
            130,
        )
    except BrokenPipeError:  # whoever read stdout, as head does, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        if os.environ.get(TRACEBACK):
            raise
        _fail(str(error), 1)


def spell_out() -> None:
    """Let streams that lack a character, as in a locale without Greek, show its number and go on."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _as_line(message: object, *where: object, **line: object) -> str:
    return f"eqprop: warning: {message}\n"


def _fail(message: str, code: int) -> None:
    print(f"eqprop: {message}", file=sys.stderr)
    raise SystemExit(code)
