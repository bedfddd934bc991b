"""Whether the study in a run folder is still the one that its cells were trained by.

A run's environment.json holds what decides its cells, so that an edit of study.toml is found whatever the folder is
called. Of runs of an older Tombola, which lack this, the digest in the folder's name says the same while it is there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tombola.errors import UserError, notice
from tombola.files import canonical
from tombola.lottery.arms.catalog import Arm
from tombola.seals import digest_of_bytes
from tombola.study.diff import flat
from tombola.study.spec import DECIDING, Study
from tombola.study.sweep import shown

IDENTITY = re.compile(r".-([0-9a-f]{8})")
"""The end of a run folder's name."""
FEW = 3
"""Changed keys that are named."""


def facts_of(study: Study, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What environment.json holds of a study: what decides its cells, what its arms and routes do beside those that are
    recorded already, how many ladders each source says that it has, and the digest of all of it."""
    known = before or {}
    arms = {entry.name: asdict(entry.arm) for entry in study.arms}
    routes = {**known.get("routes", {}), **{arm.name: arm.actions for arm in study.route_arms}}
    facts = {
        "deciding": study.deciding(),
        "arms": {**known.get("arms", {}), **arms},
        "digest": _digest(study),
    }
    if study.sources:
        facts["source_replicates"] = {name: table.replicates for name, table in study.sources.items()}
    return {**facts, "routes": routes} if routes else facts


def is_edited(study: Study, environment: Mapping[str, Any]) -> bool:
    """Whether the study in a study.toml is not the one that the run was last run with, in what may change."""
    return (environment.get("study") or {}).get("digest") not in (None, _digest(study))


def _digest(study: Study) -> str:
    return digest_of_bytes(study.to_toml().encode())


def require_unedited(folder: Path, study: Study, environment: Mapping[str, Any]) -> None:
    """Raise UserError where the cells of a run folder were trained by another study than this one, which study.toml
    holds, in what decides a cell. A notice says so where nothing tells.

    What decides no cell may change: title, levels, the study's replicates, hypotheses, and arms that have no cells.
    """
    facts = environment.get("study")
    if facts is None:
        _require_name(folder, study)
        return
    try:
        deciding = dict(facts["deciding"])
        arms = {name: Arm(**actions) for name, actions in facts["arms"].items()}
        routes = dict(facts.get("routes", {}))
        ladders = dict(facts.get("source_replicates", {}))  # not noted in runs of old
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"{folder / 'environment.json'}: does not say which study it is of") from None
    if canonical(deciding) != canonical(study.deciding()):
        found = _changes(deciding, study)
        said = " and ".join(f"{key} = {_text(now)}" for key, (_, now) in list(found.items())[:FEW])
        then = " and ".join(_text(then) for then, _ in list(found.values())[:FEW])
        more = f" (and {len(found) - FEW} more)" if len(found) > FEW else ""
        raise UserError(
            f"{folder}: study.toml says {said}, but the cells were trained with {then}{more}; put it back (a changed "
            "study is run from a file of its own, into a folder of its own)"
        )
    for entry in study.arms:
        was = arms.get(entry.name, entry.arm)
        if was != entry.arm and any(folder.glob(f"cells/r*/L*/{entry.name}")):
            raise UserError(
                f"{folder}: arm '{entry.name}' is {entry.arm}, but its cells were made with {was}; put it back, or "
                "give the arm another name"
            )
    for route in study.route_arms:
        if routes.get(route.name, route.actions) != route.actions and any(
            folder.glob(f"cells/r*/L*/{route.name}")
        ):
            raise UserError(
                f"{folder}: arm '{route.name}' is {route}, but its cells were made in another way, which "
                "environment.json has; put it back, or give the arm another name"
            )
    # Replicate r takes from ladder r (mod their number): of another number, from another one.
    for name, table in study.sources.items():
        count = ladders.get(name, table.replicates)
        arms_of_it = [arm.name for arm in study.route_arms if name in arm.sources]
        if count != table.replicates and any(any(folder.glob(f"cells/r*/L*/{arm}")) for arm in arms_of_it):
            raise UserError(
                f"{folder}: [sources.{name}] says replicates = {_text(table.replicates)}, but cells of "
                f"'{arms_of_it[0]}' were made with {_text(count)}, which took from other ladders; put it back "
                "(a changed study is run into a folder of its own)"
            )


def _require_name(folder: Path, study: Study) -> None:
    """The same by the folder's name."""
    end = IDENTITY.fullmatch(folder.resolve().name[-10:])
    if end is None:
        if (folder / "cells").is_dir():
            notice(
                f"{folder}: neither environment.json nor the folder's name says by which study the cells were trained, "
                "so nothing would show that study.toml was edited"
            )
    elif end[1] != study.identity():
        raise UserError(
            f"{folder}: study.toml has the id {study.identity()}, but by its name the folder is of study {end[1]}; put "
            f"back what was edited, or, if the folder was renamed, call it {study.folder}"
        )


def _changes(deciding: dict[str, Any], study: Study) -> dict[str, tuple[Any, Any]]:
    """Dotted key -> its value when the cells were trained, and in the study, of those that differ."""
    try:
        then = Study.model_validate(deciding).model_dump(mode="json", include=set(DECIDING))
        now = study.model_dump(mode="json", include=set(DECIDING))
    except (ValidationError, UserError):  # recorded by a Tombola that had other options
        then, now = deciding, study.deciding()
    old, new = flat(then), flat(now)
    keys = [key for key in dict.fromkeys([*new, *old]) if old.get(key) != new.get(key)]
    return {key: (old.get(key), new.get(key)) for key in keys}


def _text(value: Any) -> str:
    return "nothing" if value is None else shown(value)
