"""The command ``eqprop``.

What is asked for decides what is loaded: help and lists need no JAX, and a recipe's help its own paper.
"""

from __future__ import annotations

import inspect
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from dataclasses import field, fields, is_dataclass, make_dataclass
from functools import partial
from importlib import import_module
from typing import Annotated, Any, NoReturn, get_args, get_type_hints

from eqprop._version import __version__
from eqprop.cli import clock, listing
from eqprop.cli.names import UnknownName, hyphened, nearest, require_known

TRACEBACK = "EQPROP_TRACEBACK"

COMMANDS = {
    "train": "Train a recipe in a folder of its own, and audit its gradient at the end.",
    "audit": "Compare a recipe's gradient with the exact one, and find the best nudge.",
    "sweep": "Train a recipe for each of several numbers (--beta 0.1 0.2 0.5), over seeds.",
    "predict": "Say what a trained model makes of examples in a file.",
    "report": "Write a page of a run, or of several beside one another.",
    "doctor": "Say what a run meets here: versions, devices and their speed, data sets, caches.",
    "plot": "Draw a run's figures again.",
    "list": "List recipes and experiments.",
    "reproduce": "Run an experiment, or those of a paper; --quick shows what the paper claims.",
}

OF_RECIPES = "train", "audit", "sweep"
OWN_FILES = "audit", "doctor", "predict", "report", "sweep"
"""Commands that have a file of their own beside `commands`."""

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
    clock.start()
    sys.path.append(os.getcwd())  # where a run's own modules lie
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
    except UnknownName as error:
        print(error.shown, end="\n" if error.shown else "", file=sys.stderr)
        _fail(str(error), 2)
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
        require_known("command", command, COMMANDS)
        (_of_recipe if command in OF_RECIPES else _of_options)(command, rest)


def _of_recipe(command: str, words: list[str]) -> None:
    """A command of a recipe, with the recipe's arguments and the command's as options."""
    name, *rest = words or [""]
    if name in ("--help", "-h"):
        known = (f"  {name:31} {entry.about}" for name, entry in listing.recipes().items())
        print("\n".join([f"usage: eqprop {command} NAME ...", "", COMMANDS[command], "", *known]))
        return
    require_known(f"recipe to {command}", name, listing.recipes())
    paper = listing.recipes()[name].paper
    with clock.loading("JAX"):
        recipes = import_module(f"eqprop.papers.{paper}.recipes")
        from eqprop.cli import options

    recipe = getattr(recipes, name.replace("-", "_"))
    kind = getattr(options, command.capitalize())
    job, prog = _joined(recipe, kind), f"eqprop {command} {name}"
    if command == "sweep" and not {"--help", "-h"} & set(rest):
        _sweep(recipe, job, prog, rest)
        return
    given, asked = _given(job, prog, rest)
    _function(command)(recipe, given, asked)


def _given(job: type, prog: str, words: list[str]) -> tuple[dict[str, Any], Any]:
    """The recipe's arguments, and the command's options."""
    found = _parse(job, prog, words)
    given = {part.name: getattr(found, part.name) for part in fields(found)}
    return given, given.pop("every_run")


def _sweep(recipe: Callable[..., Any], job: type, prog: str, words: list[str]) -> None:
    """``sweep``: as many command lines as there are choices of a number."""
    from eqprop.cli.several import lines

    parsed = [(line.values, *_given(job, prog, line.words)) for line in lines(recipe, words)]
    _function("sweep")(recipe, parsed)


def _of_options(command: str, words: list[str]) -> None:
    """A command that is no recipe's."""
    if command == "reproduce" and words and not words[0].startswith("-"):
        require_known(
            "paper or experiment to reproduce", words[0], (*listing.papers(), *listing.studies())
        )
    with clock.loading("JAX"):
        from eqprop.cli import options

    kind = getattr(options, command.capitalize(), None)
    if kind is None:
        print(f"usage: eqprop {command}\n\n{COMMANDS[command]}")
        return
    asked = _parse(kind, f"eqprop {command}", words)
    _function(command)(asked)


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
    """What the words say. Where they name options that there are not, the nearest are told in place of the
    parser's own words."""
    import tyro

    config, said = (tyro.conf.FlagCreatePairsOff,), io.StringIO()
    try:
        with redirect_stderr(said):
            return tyro.cli(what, prog=prog, args=words, config=config)
    except SystemExit as refused:
        if refused.code and (meant := list(_suggestions(what, words))):
            _fail("\n".join([*meant, f"All options: {prog} --help"]), 2)
        print(said.getvalue(), end="", file=sys.stderr)
        raise


def _suggestions(what: Any, words: list[str]) -> Iterator[str]:
    """Which options may have been meant by those that there are not."""
    known, chosen = list(_options(what)), _chosen(what)
    for word in (word for word in words if word.startswith("--") and word != "--help"):
        option = word.partition("=")[0].replace("_", "-")
        if option in chosen:
            yield f"{option} is chosen by one word, after all options: {', '.join(chosen[option])}."
        is_known = option.replace("--no-", "--") in known or "." in option
        meant = None if is_known else nearest(option, known)
        if meant is not None:
            yield f"no option {option}. Did you mean {meant}?"


def _chosen(kind: Any) -> dict[str, list[str]]:
    """The words that choose an object from several classes, by the option that it might be."""
    return {
        f"--{part.name}": [f"{part.name}:{hyphened(each.__name__)}" for each in get_args(part.type)]
        for part in fields(kind)
        if len([each for each in get_args(part.type) if is_dataclass(each)]) > 1
    }


def _options(kind: Any) -> Iterator[str]:
    """The options of a dataclass, and of those in it."""
    for part in fields(kind):
        if is_dataclass(part.default_factory):
            yield from _options(part.default_factory)
        else:
            yield "--" + part.name.replace("_", "-")


def _function(command: str) -> Any:
    """What carries a command out."""
    own = command if command in OWN_FILES else "commands"
    with clock.loading("eqprop"):
        import jax

        jax.config.update("jax_default_matmul_precision", "highest")
        return getattr(import_module(f"eqprop.cli.{own}"), command)


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
