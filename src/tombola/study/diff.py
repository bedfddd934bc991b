"""What two runs have different: keys of their specs, and means of their results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from tombola.study.results import by_replicate
from tombola.study.spec import Study
from tombola.study.unedited import flat


def diff_specs(a: Study, b: Study) -> dict[str, tuple[Any, Any]]:
    """Dotted key -> its values in both specs, for the keys that differ (None where a spec lacks it)."""
    return {key: (first, second) for key, (first, second) in diff_many([a, b]).items()}


def diff_many(studies: Sequence[Study]) -> dict[str, list[Any]]:
    """Dotted key -> its value in each spec, for the keys that are not the same in all (None where a spec lacks it).
    Titles are words, and left out."""
    tables = [flat(study.model_dump(mode="json", exclude={"title"})) for study in studies]
    keys = sorted({key for table in tables for key in table})
    values = {key: [table.get(key) for table in tables] for key in keys}
    return {key: found for key, found in values.items() if any(value != found[0] for value in found)}


def diff_results(a: pl.DataFrame, b: pl.DataFrame) -> pl.DataFrame:
    """Means over replicates for each (arm, level) that both have: arm, level, density (of A), test_a, test_b
    (test accuracy at early stop, 0..1), stop_a, stop_b (early-stop iteration)."""
    return _means(a, "a").join(_means(b, "b").drop("density"), on=["arm", "level"]).sort("level", "arm")


def _means(frame: pl.DataFrame, side: str) -> pl.DataFrame:
    def mean(value: str, name: str) -> pl.DataFrame:
        grouped = by_replicate(frame, value).group_by("arm", "level")
        return grouped.agg(pl.col("density").mean(), pl.col(value).mean().alias(f"{name}_{side}"))

    test = mean("early_stop_test_accuracy", "test")
    return test.join(mean("early_stop_iteration", "stop").drop("density"), on=["arm", "level"])
