"""The preset that a study differs least from, to say what it is in a few lines."""

from __future__ import annotations

from dataclasses import dataclass

import tomli_w

from tombola.study.diff import diff_many
from tombola.study.load import load_sweep, presets
from tombola.study.spec import Study

MOST = 6
"""Settings that a study may have beside a preset and still be said to come from it."""


@dataclass(frozen=True)
class Origin:
    """A preset by name, and what a study sets otherwise, as lines of TOML with dotted keys; none where nothing is."""

    preset: str
    settings: tuple[str, ...]


def origin_of(study: Study) -> Origin | None:
    """The preset from which the study differs in the fewest keys; None where that is many, or more than single values.

    Its name is one of the keys, its title is none."""
    found = []
    for preset in presets():
        sweep = load_sweep(preset)
        changed = {} if sweep.keys else diff_many([study, sweep.first])
        values = {key: value for key, (value, _) in changed.items()}
        plain = all(isinstance(value, str | int | float) for value in values.values())
        if not sweep.keys and len(values) <= MOST and plain:
            written = {key: tomli_w.dumps({"value": value}).strip() for key, value in values.items()}
            lines = (f"{key}{text.removeprefix('value')}" for key, text in written.items())
            found.append(Origin(preset, tuple(lines)))
    return min(found, key=lambda origin: len(origin.settings), default=None)
