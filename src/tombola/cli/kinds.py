"""Everything that studies can be made of, by kind: the registries, presets and their recipes.

`python -m tombola.cli.kinds` writes `parts.json`: the names, where the tab key finds them, and what validation asks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tombola.alignment.align import ALIGNMENTS
from tombola.analysis import pairing
from tombola.cli import names
from tombola.comparison.measures.base import MEASURES
from tombola.comparison.nulls import NULLS
from tombola.data.dataset import DATASETS
from tombola.lottery.arms.catalog import ARMS
from tombola.lottery.arms.context import DEAD_ACTIONS, MASK_ACTIONS, WEIGHT_ACTIONS
from tombola.lottery.modes import MODES, REWINDS
from tombola.masks.allocation import ALLOCATIONS
from tombola.masks.criteria import CRITERIA
from tombola.masks.structure import STRUCTURES
from tombola.models.catalog import MODELS
from tombola.registry import Registry, load_announced
from tombola.report.figures.base import FIGURES
from tombola.runs.trackers.base import TRACKERS
from tombola.study.load import load_sweep, presets
from tombola.training.engines.base import ENGINES
from tombola.training.recipe import SCHEDULES
from tombola.training.search.base import SEARCHES
from tombola.transfer.route import ROUTES

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
    "pairs": pairing.KINDS,
    "engines": ENGINES,
    "routes": ROUTES,
    "figures": FIGURES,
    "trackers": TRACKERS,
}


def kinds() -> list[str]:
    """The kinds of the catalogue."""
    return [*KINDS, "recipes", "presets"]


def lines(kind: str) -> dict[str, str]:
    """The names of a kind, each with a line on what it is."""
    load_announced()
    if kind == "presets":
        return presets()
    if kind == "recipes":
        return {name: str(load_sweep(name).first.recipe) for name in presets()}
    parts = KINDS[kind]
    return {name: parts.describe(name) for name in parts} if isinstance(parts, Registry) else dict(parts)


ASKED = (
    ALIGNMENTS,
    CRITERIA,
    DATASETS,
    DEAD_ACTIONS,
    MASK_ACTIONS,
    MEASURES,
    ROUTES,
    SEARCHES,
    WEIGHT_ACTIONS,
)
"""The registries that studies are checked against."""


def written() -> str:
    """What `parts.json` has to hold."""
    families = sorted({measure.family for measure in MEASURES.values()})
    found = {
        "names": {**{kind: [*lines(kind)] for kind in KINDS}, names.FAMILIES: families},
        "facts": {registry.kind: {name: registry.facts(name) for name in registry} for registry in ASKED},
    }
    return json.dumps(found, indent=1) + "\n"


if __name__ == "__main__":
    names.FILE.write_text(written())
