"""Notices about runs beside a new one: the same study in a folder that was renamed, or on other data."""

from __future__ import annotations

from typing import Any

from tombola.errors import UserError, notice
from tombola.runs.folder import Run
from tombola.study.load import parse_study, read_text
from tombola.study.spec import Study


def say_of_siblings(folder: Run, study: Study, data: str) -> None:
    """Notices before a run is begun in a new folder, on data of this digest: that the same study lies beside it in a
    folder that was renamed, or the same study on other data. None for a folder that was begun already."""
    if folder.environment:
        return
    for path in sorted(folder.path.parent.glob("*/environment.json")):
        other = Run(path.parent)
        try:
            if other.path == folder.path or not _alike(other, study) or _study(other).name != study.name:
                continue
            was = str(other.environment["record"]["data"])
        except (UserError, KeyError, TypeError, ValueError):  # whoever reads that run is told
            continue
        if was == data:
            notice(f"the same study lies in {other.path}; this run trains all of it again in {folder.path}")
        else:
            notice(
                f"the same study on other data is in {other.path} (digest {was}, now {data}): this is a second study, "
                f"in {folder.path}"
            )


def _alike(run: Run, study: Study) -> bool:
    """Whether a run's cells are those of a study, the digest of the data aside, whatever its study.toml says now."""
    facts = run.environment.get("study")
    then = dict(facts["deciding"]) if facts else _study(run).deciding()
    return _without_digest(then) == _without_digest(study.deciding())


def _without_digest(deciding: dict[str, Any]) -> dict[str, Any]:
    return {**deciding, "data": {**deciding["data"], "digest": None}}


def _study(run: Run) -> Study:
    path = run.path / "study.toml"
    return parse_study(read_text(path), str(path), stored=True)
