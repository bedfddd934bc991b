"""Titles: what a study is called on pages, in papers and in lists, where it has no written title that still holds.

A written title holds for a study as it is written. What is put over the study's network, data, training or pruning by
a setting (`--set data.name=fashion-mnist`) drops it, unless a title is set as well; see `tombola.study.load`.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePath

from tombola.study.pruning import Pruning
from tombola.study.spec import Study

SPOKEN_OF = ("model", "data", "recipe", "pruning")
"""The tables of a study that a title may speak of."""


def title_of(study: Study, swept: Collection[str] = ()) -> str:
    """The study's title; one made from what it trains, where it has none: 'Tickets of lenet-300-100 on digits'.

    `swept` are the keys of a sweep that the study is the first member of: the title is then the sweep's, and names them
    in the place of the first one's values.
    """
    if study.title:
        return study.title
    heads = {key.partition(".")[0] for key in swept}
    network = "several networks" if "model" in heads else _network(study)
    where = "several data sets" if "data" in heads else _data(study)
    traits = "".join(f", {trait}" for trait in _traits(study, swept))
    by = f", by {' and '.join(key.rpartition('.')[2] for key in swept)}" if swept else ""
    return f"{'Tickets of ' if study.levels else ''}{network} on {where}{traits}{by}"


def _network(study: Study) -> str:
    options = ", ".join(f"{key} {value}" for key, value in study.model.options.items())
    return f"{study.model.name} ({options})" if options else study.model.name


def _data(study: Study) -> str:
    """The name of the data set, of a file its name alone."""
    kind, colon, path = study.data.name.partition(":")
    return f"{kind}:{PurePath(path).name}" if colon else kind


def _traits(study: Study, swept: Collection[str]) -> list[str]:
    """How its pruning is not the usual one."""
    pruning, usual = study.pruning, Pruning()
    said = {
        "criterion": f"criterion {pruning.criterion}",
        "allocation": f"allocation {pruning.allocation.partition(':')[0]}",
        "structure": f"structure {pruning.structure}",
        "mode": f"mode {pruning.mode}",
        "after": f"then {pruning.after}",
        "rewind": f"rewound to iteration {pruning.rewind:,}",
    }
    return [
        words
        for key, words in said.items()
        if study.levels and f"pruning.{key}" not in swept and getattr(pruning, key) != getattr(usual, key)
    ]
