"""The command ``eqprop``: train, audit, sweep, list, plot, reproduce.

What is asked for decides what is loaded: help and lists need no JAX, and a recipe's help its own paper.
"""

from __future__ import annotations

import difflib
import inspect
import io
import os
import sys
import warnings
from collections.abc import Callable, Collection
from dataclasses import field, fields, make_dataclass
from functools import partial
from importlib import import_module
from typing import Annotated, Any, NoReturn, get_type_hints

from eqprop._version import __version__
from eqprop.cli import listing

TRACEBACK = "EQPROP_TRACEBACK"

COMMANDS = {
    "train": "Train a recipe in a folder of its own, and audit its gradient at the end.",
    "audit": "Compare a recipe's gradient with the exact one, and find the best nudge.",
    "sweep": "Train a recipe for each of several numbers (--beta 0.1 0.2 0.5), over seeds.",
    "plot": "Draw a run's figures again.",
    "list": "List recipes and experiments.",
    "reproduce": "Run an experiment, or those of a paper; --quick shows what the paper claims.",
}

OF_RECIPES = "train", "audit", "sweep"

HELP = "\n".join(
    [
        "usage: eqprop COMMAND ...",
        "",
        "Equilibrium propagation: train, audit and reproduce.",
        "",
        *(f"  {name:10} {about}" for name, about in COMMANDS.items()),
        "",
        "eqprop COMMAND --help tells more, eqprop train NAME --help all options of a recipe;",
        "eqprop --version tells the version.",
    ]
)


def main(arguments: list[str] | None = None) -> None:
    """Parse and run; an expected error becomes one clear line and exit code 1.

    With the environment variable EQPROP_TRACEBACK set, it keeps its traceback.
    """
    warnings.formatwarning = _as_line
    spell_out()
    try:
        _run(sys.argv[1:] if arguments is None else arguments)
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


def _run(words: list[str]) -> None:
    if words[:1] == ["--version"]:
        print(f"eqprop {__version__}")
    elif words[:1] in (["--help"], ["-h"]):
        print(HELP)
    elif words == ["list"] or words == ["reproduce"]:
        print("\n".join(listing.lines()))
    else:
        command, *rest = words or [""]
        _require("command", command, COMMANDS)
        (_of_recipe if command in OF_RECIPES else _of_options)(command, rest)


def _of_recipe(command: str, words: list[str]) -> None:
    """A command of a recipe, with the recipe's arguments and the command's as options."""
    name, *rest = words or [""]
    if name in ("--help", "-h"):
        known = (f"  {name:31} {entry.about}" for name, entry in listing.recipes().items())
        print("\n".join([f"usage: eqprop {command} NAME ...", "", COMMANDS[command], "", *known]))
        return
    _require(f"recipe to {command}", name, listing.recipes())
    paper = listing.recipes()[name].paper
    recipe = getattr(import_module(f"eqprop.papers.{paper}.recipes"), name.replace("-", "_"))
    from eqprop.cli import options

    kind = getattr(options, command.capitalize())
    job, prog = _joined(recipe, kind), f"eqprop {command} {name}"
    if command == "sweep" and not {"--help", "-h"} & set(rest):
        _sweep(recipe, job, prog, rest)
        return
    given, asked = _given(job, prog, rest)
    _commands().__dict__[command](recipe, given, asked)


def _given(job: type, prog: str, words: list[str]) -> tuple[dict[str, Any], Any]:
    """The recipe's arguments, and the command's options."""
    found = _parse(job, prog, words)
    given = {part.name: getattr(found, part.name) for part in fields(found)}
    return given, given.pop("every_run")


def _sweep(recipe: Callable[..., Any], job: type, prog: str, words: list[str]) -> None:
    """``sweep``: as many command lines as there are choices of a number."""
    from eqprop.cli.several import lines

    parsed = [(line.values, *_given(job, prog, line.words)) for line in lines(recipe, words)]
    _commands("sweep").sweep(recipe, parsed)


def _of_options(command: str, words: list[str]) -> None:
    """A command that is no recipe's."""
    from eqprop.cli import options

    kind = getattr(options, command.capitalize(), None)
    if kind is None:
        print(f"usage: eqprop {command}\n\n{COMMANDS[command]}")
        return
    asked = _parse(kind, f"eqprop {command}", words)
    _commands().__dict__[command](asked)


def _joined(recipe: Callable[..., Any], kind: type) -> type:
    """A dataclass of the arguments of ``recipe`` and, as ``every_run``, the options of ``kind``: what tyro
    makes a command line of."""
    import tyro

    hints = get_type_hints(recipe, include_extras=True)
    own: list[Any] = [
        (name, hints[name], field(default_factory=partial(_same, parameter.default)))
        for name, parameter in inspect.signature(recipe).parameters.items()
    ]
    options: Any = Annotated[kind, tyro.conf.OmitArgPrefixes]  # type: ignore[valid-type]
    job = make_dataclass("Job", [*own, ("every_run", options, field(default_factory=kind))])
    job.__doc__ = recipe.__doc__
    return job


def _same(default: Any) -> Any:
    return default


def _parse(what: Any, prog: str, words: list[str]) -> Any:
    import tyro

    config = (tyro.conf.FlagCreatePairsOff,)
    return tyro.cli(what, prog=prog, args=words, config=config)


def _commands(module: str = "commands") -> Any:
    import jax

    jax.config.update("jax_default_matmul_precision", "highest")
    return import_module(f"eqprop.cli.{module}")


def _require(what: str, name: str, known: Collection[str]) -> None:
    if name in known:
        return
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    got = repr(name) if name else "none"
    _fail(f"expected a {what}, one of {', '.join(known)}; got {got}.{hint}", 2)


def spell_out() -> None:
    """Let streams that lack a character, as in a locale without Greek, show its number and go on."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _as_line(message: object, *where: object, **line: object) -> str:
    return f"eqprop: warning: {message}\n"


def _fail(message: str, code: int) -> NoReturn:
    print(f"eqprop: {message}", file=sys.stderr)
    raise SystemExit(code)
