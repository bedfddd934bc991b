"""Parts of one's own in a run folder: what was known of them when it was made, so that reading it needs no code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from tombola import parts
from tombola.errors import notice
from tombola.files import checked, read_object
from tombola.lottery.arms.catalog import ACTIONS, ARMS
from tombola.plugins.source import Code
from tombola.registry import OPEN
from tombola.study.spec import Study

IMPORTS = "imports.json"


class ArmFacts(BaseModel):
    """The actions of an arm."""

    mask: str
    weights: str
    dead: str


class ActionFacts(BaseModel):
    """The traits of an action."""

    traits: list[str] = []


class CriterionFacts(BaseModel):
    """What a criterion looks at, and in how many rounds it prunes."""

    probe: bool = False
    rounds: int = 1


class MeasureFacts(BaseModel):
    """What claims on a measure are checked against."""

    adjusted: bool
    null: str | None
    of_outputs: bool
    ordered: bool
    reads: str
    subjects: int
    tensorwise: bool


class NoFacts(BaseModel):
    """Of parts that only have a name."""


FACTS: Mapping[str, type[BaseModel]] = {
    ARMS.kind: ArmFacts,
    **dict.fromkeys(ACTIONS.values(), ActionFacts),
    "criterion": CriterionFacts,
    "data set": NoFacts,
    "measure": MeasureFacts,
    "schedule": NoFacts,
}
"""Kind -> the facts of its parts, of the kinds that studies are checked against."""


class Part(BaseModel):
    """A part that is not Tombola's: a line on what it is, and its facts."""

    line: str = ""
    facts: dict[str, Any] = {}


class ImportsFile(BaseModel):
    """imports.json: name -> digest of the sources, and kind -> name -> part."""

    imports: dict[str, str] = {}
    parts: dict[str, dict[str, Part]] = {}


def imported_by(study: Study, folder: Path) -> dict[str, Any]:
    """What imports.json has to hold of a study; nothing where all is Tombola's. Digests that it has already stay, since
    cells were made by that code."""
    text = study.to_toml() + "".join(str(entry.arm) for entry in study.arms)
    used = {
        kind: {
            name: {"line": registry.describe(name), "facts": registry.facts(name)}
            for registry in OPEN[kind]
            for name in registry.foreign
            if _is_in(text, name)
        }
        for kind in FACTS
    }
    digests = {name: Code(name).digest() for name in study.imports} | _read(folder / IMPORTS).imports
    found = {"imports": digests, "parts": {kind: named for kind, named in used.items() if named}}
    return found if any(found.values()) else {}


def _is_in(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


def remember(folder: Path, environment: Mapping[str, Any] | None = None) -> None:
    """Let the parts that a run was made with be known, as its folder has them: by imports.json, or of a run of an older
    Tombola by its environment. Raises UserError for a broken file, and for parts that are others in this process."""
    path = folder / IMPORTS
    if path.is_file():
        for kind, named in _read(path).parts.items():
            for name, part in named.items() if kind in FACTS else ():
                facts = checked(path, part.facts, TypeAdapter(FACTS[kind])).model_dump()
                parts.remember(kind, name, facts, part.line)
        return
    facts = (environment or {}).get("study") or {}
    for name, actions in facts.get("arms", {}).items():
        if actions.keys() == ACTIONS.keys():
            parts.remember(ARMS.kind, name, actions, certain=False)
            for field, kind in ACTIONS.items():
                parts.remember(kind, actions[field], ActionFacts().model_dump(), certain=False)
    deciding = facts.get("deciding", {})
    for table, key, kind in (("pruning", "criterion", "criterion"), ("data", "name", "data set")):
        named = deciding.get(table)
        found = named.get(key) if isinstance(named, dict) else None
        if isinstance(found, str):
            parts.remember(kind, found, FACTS[kind]().model_dump(), certain=False)


def say_what_changed(folder: Path) -> None:
    """Give a notice where code that a run was made with has other sources now, or is not found."""
    for name, digest in _read(folder / IMPORTS).imports.items():
        if Code(name).digest() != digest:
            notice(
                f"{folder}: the code of '{name}' is another one than when the run was made (digest {digest}, now "
                f"{Code(name).digest()}); what is trained from now on may differ from what is there"
            )


def _read(path: Path) -> ImportsFile:
    if not path.is_file():
        return ImportsFile()
    found: ImportsFile = checked(path, read_object(path), TypeAdapter(ImportsFile))
    return found
