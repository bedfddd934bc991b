"""Sweeps: one study for every combination of the values that its [sweep] table lists."""

from __future__ import annotations

import copy
import hashlib
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tombola.errors import UserError
from tombola.files import canonical
from tombola.study.spec import Study
from tombola.study.title import SPOKEN_OF, title_of

MOST_MEMBERS = 10_000
Axes = dict[str, list[Any]]
"""Dotted key of a study -> the values it takes."""


@dataclass(frozen=True)
class Member:
    """One study of a sweep, and the values that make it this one: dotted key -> value."""

    values: Mapping[str, Any]
    study: Study

    @property
    def label(self) -> str:
        """What it is called on pages and in tables: 'criterion large-final, rate 0.3'."""
        return label_of(self.values)


@dataclass(frozen=True)
class Sweep:
    """Studies that differ in the swept keys alone; a study without a [sweep] table is a sweep of one."""

    keys: tuple[str, ...]
    members: tuple[Member, ...]
    written: str = ""
    """The title that was written for all of them; none of them has it that differs in what a title speaks of."""

    @property
    def first(self) -> Study:
        """The first member; its name is that of the sweep."""
        return self.members[0].study

    @property
    def title(self) -> str:
        """What the sweep is called, see `tombola.study.title`."""
        return self.written or title_of(self.first, self.keys)

    def untitled(self) -> Sweep:
        """The same without a written title."""
        members = (replace(each, study=each.study.model_copy(update={"title": ""})) for each in self.members)
        return replace(self, members=tuple(members), written="")

    def importing(self, imports: Sequence[str]) -> Sweep:
        """The same with further modules and files of one's own."""

        def more(study: Study) -> Study:
            return study.model_copy(update={"imports": tuple(dict.fromkeys([*study.imports, *imports]))})

        return replace(self, members=tuple(replace(each, study=more(each.study)) for each in self.members))

    @property
    def folder(self) -> str:
        """Name of the sweep's folder: the study's name, and 8 hex digits of the swept keys and the members' folders.

        What can be extended without changing a cell (levels, replicates, arms) is in none of these.
        """
        content = canonical([sorted(self.keys), sorted(member.study.folder for member in self.members)])
        return f"{self.first.name}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


def label_of(values: Mapping[str, Any]) -> str:
    """Swept values in words: each key's last part, or the whole key where two end alike, and its value."""
    lasts = [key.rpartition(".")[2] for key in values]
    names = [last if lasts.count(last) == 1 else key for key, last in zip(values, lasts, strict=True)]
    return ", ".join(f"{name} {shown(value)}" for name, value in zip(names, values.values(), strict=True))


def shown(value: Any) -> str:
    """A value of a spec as text: words as they are, a table by its name if it has one, a list of such tables by
    theirs and what they say, anything else as JSON."""
    if isinstance(value, dict) and "name" in value:
        value = value["name"]
    if isinstance(value, list) and value and all(isinstance(each, dict) and "name" in each for each in value):
        return ", ".join(_entry(each) for each in value)
    return value if isinstance(value, str) else canonical(value)


def _entry(table: dict[str, Any]) -> str:
    """A table of a list: its name, and whatever else it says."""
    others = ", ".join(
        f"{key} {shown(value)}" for key, value in table.items() if key != "name" and value is not None
    )
    return f"{table['name']} ({others})" if others else str(table["name"])


def axes_of(table: Any, where: str, prefix: str = "") -> Axes:
    """The axes of a [sweep] table, whose keys are dotted and quoted, or nested.

    Raises UserError for anything else than a list, and for an empty one.
    """
    if not isinstance(table, dict):
        raise UserError(f"{where}: sweep is {table!r}, expected a table of keys and lists of values")
    axes: Axes = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            axes |= axes_of(value, where, f"{name}.")
            continue
        if not isinstance(value, list):
            raise UserError(f"{where}: [sweep] {name} is {value!r}, expected a list of values")
        if not value:
            raise UserError(f"{where}: [sweep] {name} is an empty list, expected the values to take")
        axes[name] = value
    return axes


def cross(table: Mapping[str, Any], axes: Axes, where: str, read: Callable[[dict[str, Any]], Study]) -> Sweep:
    """The sweep of a study's table over `axes`; `read` makes a study of a table.

    The last axis changes fastest. Raises UserError for a key that the table sets as well, and where two members
    would be one run.
    """
    for key in axes:
        if _is_set(table, key.split(".")) or any(key.startswith(f"{other}.") for other in axes):
            raise UserError(f"{where}: '{key}' is swept and also set; leave one of them out")
    if (count := math.prod(map(len, axes.values()))) > MOST_MEMBERS:
        raise UserError(f"{where}: the sweep is of {count:,} studies; expected at most {MOST_MEMBERS:,}")
    written = table.get("title", "")
    if isinstance(written, str) and any(key.partition(".")[0] in SPOKEN_OF for key in axes):
        table = {key: value for key, value in table.items() if key != "title"}
    members = []
    for values in itertools.product(*axes.values()):
        member = copy.deepcopy(dict(table))
        for key, value in zip(axes, values, strict=True):
            _put(member, key.split("."), value, where)
        members.append(Member(dict(zip(axes, values, strict=True)), read(member)))
    sweep = Sweep(tuple(axes), tuple(members), written)
    require_different(sweep.members, where)
    return sweep


def require_different(members: Sequence[Member], where: str) -> None:
    """Raise UserError where two members would be one run: a value listed twice, or a key that changes no cell."""
    seen: dict[str, Member] = {}
    for member in members:
        other = seen.setdefault(member.study.folder, member)
        if other is not member:
            raise UserError(
                f"{where}: '{other.label}' and '{member.label}' are one run ({member.study.folder}); sweep over what "
                "changes every cell, and list each value once (levels, replicates, arms and titles are not in a "
                "run's id)"
            )


def _is_set(table: Any, path: Sequence[str]) -> bool:
    """Whether a nested table holds something at this path."""
    for name in path:
        if not isinstance(table, dict) or name not in table:
            return False
        table = table[name]
    return True


def _put(table: dict[str, Any], path: Sequence[str], value: Any, where: str) -> None:
    for name in path[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise UserError(f"{where}: [sweep] {'.'.join(path)}: '{name}' is not a table")
    table[path[-1]] = copy.deepcopy(value)
