"""Signatures of Equinox modules: their fields, which griffe only reads of decorated dataclasses."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from typing import Any

import griffe


class Fields(griffe.Extension):
    """Give every class that has fields and no ``__init__`` of its own the one that it gets."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        _fill(pkg)


def _fill(module: griffe.Module | griffe.Class) -> None:
    for member in list(module.members.values()):
        if member.is_alias or not (member.is_module or member.is_class):
            continue
        if member.is_class and "__init__" not in member.members:
            member.set_member("__init__", _init(member))
        if not member.name.startswith("__"):
            _fill(member)


def _init(found: griffe.Class) -> griffe.Function:
    made: Any = import_module(found.module.path)
    for name in found.path.removeprefix(found.module.path + ".").split("."):
        made = getattr(made, name)
    fields = dataclasses.fields(made) if dataclasses.is_dataclass(made) else ()
    itself = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
    shown = [_parameter(found, field) for field in fields if field.init]
    parameters = griffe.Parameters(itself, *shown)
    return griffe.Function("__init__", parameters=parameters, parent=found, lineno=0, endlineno=0)


def _parameter(found: griffe.Class, field: dataclasses.Field) -> griffe.Parameter:
    declared = found.all_members.get(field.name)
    default = None if field.default is dataclasses.MISSING else repr(field.default)
    if field.default_factory is not dataclasses.MISSING:
        default = "..."
    kind = griffe.ParameterKind.positional_or_keyword
    annotation = getattr(declared, "annotation", None)
    return griffe.Parameter(field.name, annotation=annotation, kind=kind, default=default)
