"""The page of the study file: every key, from the types that check it."""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from docs_build.tables import code, prose, table
from tombola.data.spec import DataSpec
from tombola.masks.rule import ROLES
from tombola.models.spec import ModelSpec
from tombola.study.arm_spec import ArmSpec
from tombola.study.claims import QUESTIONS, Expectation, Hypothesis
from tombola.study.compare_table import CompareTable
from tombola.study.pruning import Pruning, options_of
from tombola.study.routes import Control, RouteSpec, SourceSpec
from tombola.study.spec import StoreSpec, Study
from tombola.training.recipe import Recipe
from tombola.training.search.base import SEARCHES
from tombola.training.search.bird import EARLY_BIRD, SHORT_ROUNDS
from tombola.training.search.options import Options

TABLES: dict[str, type[BaseModel]] = {
    "study": Study,
    "[model]": ModelSpec,
    "[data]": DataSpec,
    "[recipe]": Recipe,
    "[pruning]": Pruning,
    "[compare]": CompareTable,
    "[[arms]]": ArmSpec,
    "[[route]]": RouteSpec,
    "[[route.controls]]": Control,
    "[sources.NAME]": SourceSpec,
    "[[hypothesis]]": Hypothesis,
    "[[expect]]": Expectation,
    "[store]": StoreSpec,
}
"""What a study file may hold -> the type that checks it."""
EXAMPLE = (Path(__file__).parent / "example.toml").read_text()
WORDS = {
    bool: "`true` or `false`",
    int: "a whole number",
    float: "a number",
    str: "text",
    Any: "a value",
}
"""Type -> what it is called."""
START = f"""# The study file

A study is a TOML file; `tombola run FILE` runs it. What is left out has its default. `--set KEY=VALUE` puts a value
over it: a key is dotted (`recipe.lr`), and its last part is enough where no other table has it. The
[presets](presets.md) are such files. A key that is not here is refused with the nearest one that is.

A table `[sweep]` has dotted keys, each with a list of values: every combination is a study
([Cross choices](../tutorials/sweep.md)).

```toml
{EXAMPLE.strip()}
```
"""


def pages() -> dict[str, str]:
    """Path -> Markdown."""
    text = [START]
    for name, model in TABLES.items():
        heading = "The study" if name == "study" else code(name)
        text += [
            f"## {heading} {{ #{anchor(name)} }}",
            prose(inspect.cleandoc(model.__doc__ or "")),
            keys(model),
        ]
    text.append("## `[pruning.search]` { #search }")
    text.append("The options of a mode that searches for masks, or watches for them.")
    for mode, options in searches().items():
        text += [f"### mode `{mode}`", prose(inspect.cleandoc(options.__doc__ or "")), keys(options)]
    text += ["## Words", table(["key", "may be"], [
        ["a role in `rates`", ", ".join(map(code, ROLES))],
        *([f"`answers = \"{name}\"`", question] for name, question in QUESTIONS.items()),
    ])]  # fmt: skip
    return {"reference/study-file.md": "\n\n".join(text) + "\n"}


def anchor(name: str) -> str:
    """Where a table stands on the page."""
    return name.strip("[]").lower().replace(".", "-")


def searches() -> dict[str, type[BaseModel]]:
    """Mode -> its options."""
    return {mode: options_of(mode) for mode in (EARLY_BIRD, SHORT_ROUNDS, *SEARCHES)}


def keys(model: type[BaseModel]) -> str:
    """A table of the keys of a type."""
    said = sentences(model)
    rows = [
        [code(field.alias or name), spelled(field), default(field), prose(said.get(name, ""))]
        for name, field in model.model_fields.items()
    ]
    return table(["key", "what it takes", "default", "what it is"], rows)


def sentences(model: type[BaseModel]) -> dict[str, str]:
    """Key -> the docstring that stands below its field, in the type or in one that it extends."""
    found: dict[str, str] = {}
    for each in reversed(
        [base for base in model.__mro__ if issubclass(base, BaseModel) and base is not BaseModel]
    ):
        found.update(_below_fields(each))
    return found


def _below_fields(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)
    for field, below in zip(body.body, body.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text)


def spelled(field: FieldInfo) -> str:
    """What a key takes, in words."""
    return _words(field.annotation, field.metadata)


def _words(kind: Any, limits: typing.Sequence[Any] = ()) -> str:
    if get_origin(kind) is typing.Annotated:
        kind, *more = get_args(kind)
        flat = [
            limit for each in more for limit in (each.metadata if isinstance(each, FieldInfo) else [each])
        ]
        return _words(kind, [*limits, *flat])
    inner, origin = get_args(kind), get_origin(kind)
    if origin is Literal:
        return " or ".join(code(f'"{each}"') for each in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(each, limits) for each in inner if each is not type(None))
    if origin is tuple:
        return (
            f"a list of {_words(inner[0])}" if inner[1:] == (...,) else f"{len(inner)} of: {_words(inner[0])}"
        )
    if origin is dict:
        return f"a table: name = {_words(inner[1])}"
    if inspect.isclass(kind) and issubclass(kind, BaseModel):
        if issubclass(kind, Options):
            return "[`[pruning.search]`](#search)"
        where = next(name for name, model in TABLES.items() if model is kind)
        return f"[`{where}`](#{anchor(where)})"
    word = WORDS.get(kind, str(kind))
    bounds = [said for limit in limits for said in _bound(limit)]
    return ", ".join([word, *bounds])


def _bound(limit: object) -> Iterator[str]:
    match limit:
        case Gt(gt=value):
            yield f"above {value:,}"
        case Ge(ge=value):
            yield f"{value:,} or more"
        case Lt(lt=value):
            yield f"below {value:,}"
        case Le(le=value):
            yield f"at most {value:,}"
        case MinLen():
            yield "not empty"
        case _:
            return


def default(field: FieldInfo) -> str:
    """The default of a key as TOML would have it."""
    if field.is_required():
        return "**needed**"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "its defaults"
    if value is None or value in ((), {}, ""):
        return "none"
    if isinstance(value, bool):
        return code(str(value).lower())
    if isinstance(value, str):
        return code(f'"{value}"')
    return code(
        list(value) if isinstance(value, tuple) else f"{value:_}" if isinstance(value, int) else value
    )
