"""Everything that studies can be made of, by kind: the registries, presets and their recipes.

`python -m tombola.cli.catalogue` writes the names into `names.json`, where the tab key finds them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tombola import study
from tombola.cli import names
from tombola.compare import ALIGNMENTS, FUNCTIONS, MEASURES, NULLS
from tombola.compare.function import FAMILY
from tombola.data import DATASETS
from tombola.lottery import ARMS, DEAD_ACTIONS, MASK_ACTIONS, MODES, REWINDS, WEIGHT_ACTIONS
from tombola.masks import ALLOCATIONS, CRITERIA, STRUCTURES
from tombola.models import MODELS
from tombola.registry import Registry
from tombola.report import FIGURES
from tombola.training import ENGINES, SCHEDULES

KINDS: Mapping[str, Registry[Any] | Mapping[Any, str]] = {
    "models": MODELS,
    "data": DATASETS,
    "criteria": CRITERIA,
    "allocations": ALLOCATIONS,
    "structures": STRUCTURES,
    "modes": MODES,
    "rewinds": REWINDS,
    "schedules": SCHEDULES,
    "arms": ARMS,
    "mask-actions": MASK_ACTIONS,
    "weights-actions": WEIGHT_ACTIONS,
    "dead-actions": DEAD_ACTIONS,
    "measures": MEASURES,
    "alignments": ALIGNMENTS,
    "nulls": NULLS,
    "pairs": study.KINDS,
    "engines": ENGINES,
    "figures": FIGURES,
    "trackers": study.TRACKERS,
}


def kinds() -> list[str]:
    """The kinds of the catalogue."""
    return [*KINDS, "recipes", "presets"]


def lines(kind: str) -> dict[str, str]:
    """The names of a kind, each with a line on what it is."""
    if kind == "presets":
        return study.presets()
    if kind == "recipes":
        return {name: str(study.load_sweep(name).first.recipe) for name in study.presets()}
    if kind == "measures":
        return {name: part.describe(name) for part in (MEASURES, FUNCTIONS) for name in part}
    parts = KINDS[kind]
    return {name: parts.describe(name) for name in parts} if isinstance(parts, Registry) else dict(parts)


def written() -> str:
    """What `names.json` has to hold."""
    families = sorted({measure.family for measure in MEASURES.values()} | {FAMILY})
    found = {**{kind: [*lines(kind)] for kind in KINDS}, names.FAMILIES: families}
    return json.dumps(found, indent=1) + "\n"


if __name__ == "__main__":
    names.FILE.write_text(written())
