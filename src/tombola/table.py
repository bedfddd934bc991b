"""Tables of a study as types: a mistake in one that is made in Python gets the sentence of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic._internal._model_construction import ModelMetaclass
from pydantic_core import ErrorDetails

from tombola.errors import UserError, nearest
from tombola.files import FOUND


class Spoken(ModelMetaclass):
    """The type of tables whose constructor raises UserError with one sentence. What is validated as a part of a whole
    is left to pydantic, which says where in the whole it is."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 (a class is its instance)
        try:
            return super().__call__(*args, **kwargs)
        except ValidationError as problem:
            raise UserError(f"{cls.__name__}: {explain(problem.errors()[0], cls)}") from None


class Table(BaseModel, metaclass=Spoken):
    """A table of a study."""


def explain(error: ErrorDetails, model: Any) -> str:
    """One sentence for a validation error of a model: where, what was found, what was expected."""
    parts = list(error["loc"])
    if parts and parts[-1] in ("int", "float", "str", "bool"):  # a branch of a union, no key of the user's
        parts.pop()
    place = place_of(parts)
    if error["type"] == "extra_forbidden":
        table = "" if any(isinstance(part, int) for part in parts) else place.rpartition(".")[0]
        return f"unknown key '{place}'{nearest(str(parts[-1]), _fields(model, parts[:-1]), table)}"
    if error["type"] == "model_type":
        fields = _fields(model, parts)
        begun = f", such as [{place}] {fields[0]} = ..." if fields and isinstance(error["input"], str) else ""
        return f"{place} is {_found(error)}, expected a table with {', '.join(fields)}{begun}"
    if error["type"] == "missing":
        return f"'{place}' is missing"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        return f"{place}: {message}" if place else message
    return f"{place} is {_found(error)}: {message[0].lower()}{message[1:]}"


def place_of(parts: Sequence[int | str]) -> str:
    """Where it is, as people count: 'recipe.lr'; 'arms, entry 2, draws' for the second of them."""
    said = ""
    for before, part in zip((None, *parts), parts, strict=False):
        if isinstance(part, int):
            said += f", entry {part + 1}"
        else:
            said += (", " if isinstance(before, int) else "." if said else "") + part
    return said


def _found(error: ErrorDetails) -> str:
    """The wrong value, as far as it fits into a sentence."""
    found = repr(error["input"])
    return found if len(found) <= FOUND else f"{found[:FOUND]}..."


def _fields(model: Any, tables: Sequence[int | str]) -> list[str]:
    """Names that a table of a model may hold."""
    for name in tables:
        if isinstance(name, int):
            continue
        info = model.model_fields.get(name) if hasattr(model, "model_fields") else None
        if info is None:
            return []
        model = next(iter(get_args(info.annotation)), info.annotation)  # of the tables in a list
    return list(getattr(model, "model_fields", {}))
