"""`python -m tombola.cli.reference` writes docs/study-file.md: every key of a study file, from its types."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tombola.study.spec import Study

PAGE = Path(__file__).parents[3] / "docs" / "study-file.md"
HEAD = """# The study file

Every key that a study file may have, with its type and its default; a key without a default has to be there. This page
is written by `python -m tombola.cli.reference` from the types that check the file. A file may also have a `[sweep]`
table of keys and lists of values, see [Cross choices](../README.md#cross-choices).
"""


def written() -> str:
    """The page."""
    return "\n".join([HEAD, *_table(Study, "")]).rstrip() + "\n"


def _table(model: type[BaseModel], name: str) -> Iterator[str]:
    """The section of a table, and those of the tables within it."""
    yield f"## {f'`[{name}]`' if name else 'Above all tables'}\n"
    yield f"{_about(model)}\n"
    notes, inner = _notes(model), list[tuple[type[BaseModel], str]]()
    yield "| key | type | default | |"
    yield "|---|---|---|---|"
    for key, info in model.model_fields.items():
        below = _models(info.annotation)
        if below:
            several = "tuple" in str(info.annotation)
            dotted = f"{name}.{key}" if name else key
            inner.append((below[0], f"[{dotted}]" if several else dotted))
            continue
        kind = _kind(info.annotation).replace("|", "\\|")
        default = "" if info.default is PydanticUndefined else f"`{_value(info.default)}`"
        yield f"| `{key}` | {kind} | {default} | {notes.get(key, '')} |"
    yield ""
    for table, called in inner:
        yield from _table(table, called)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The tables that a type holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for each in get_args(annotation) for found in _models(each)]


def _kind(annotation: Any) -> str:
    """A type, in words."""
    args = get_args(annotation)
    origin = getattr(annotation, "__origin__", None)
    if annotation is type(None):
        return "nothing"
    if origin is dict:
        return f"table of {_kind(args[1])}"
    if origin in (tuple, list):
        return f"list of {_kind(args[0])}"
    if getattr(annotation, "__metadata__", None):
        return _kind(args[0])
    if "Literal" in str(origin):
        return " or ".join(f'"{each}"' for each in args)
    if args:
        return " or ".join(dict.fromkeys(_kind(each) for each in args if each is not type(None)))
    return {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}.get(
        getattr(annotation, "__name__", ""), str(annotation)
    )


def _value(default: Any) -> str:
    """A default as TOML has it."""
    if default is None:
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return f"[{', '.join(map(_value, default))}]"
    return f'"{default}"' if isinstance(default, str) else "{}" if default == {} else f"{default:g}"


def _about(model: type[BaseModel]) -> str:
    return inspect.getdoc(model) or ""


def _notes(model: type[BaseModel]) -> dict[str, str]:
    """Key -> what its docstring says, of all classes of a model."""
    notes: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if not issubclass(each, BaseModel) or each.__module__.startswith("pydantic"):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(each))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            said = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and said:
                assert isinstance(text, ast.Expr)
                assert isinstance(text.value, ast.Constant)
                notes[field.target.id] = " ".join(str(text.value.value).split())
    return notes


if __name__ == "__main__":
    PAGE.write_text(written())
