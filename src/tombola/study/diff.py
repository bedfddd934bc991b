"""The keys in which studies differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tombola.study.spec import Study


def flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested table as dotted key -> value."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def diff_many(studies: Sequence[Study]) -> dict[str, list[Any]]:
    """Dotted key -> its value in each spec, for the keys that are not the same in all (None where a spec lacks it).
    Titles are words, and left out."""
    tables = [flat(study.model_dump(mode="json", exclude={"title"})) for study in studies]
    keys = sorted({key for table in tables for key in table})
    values = {key: [table.get(key) for table in tables] for key in keys}
    return {key: found for key, found in values.items() if any(value != found[0] for value in found)}
