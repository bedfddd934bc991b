"""The record of hypotheses in a run folder: which were held when, so that a change after the first cell shows.

`hypotheses.json` has the `densities` of the planned levels, dense first, and a `history` that only grows: an entry for
each set of hypotheses the study was run with, with its time (UTC), its digest, how many cells were done by then,
how many replicates were planned, and the hypotheses. Like environment.json it may differ between equal runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter

from tombola.files import canonical, checked, read_object, write_json
from tombola.runs.folder import Run
from tombola.seals import sealed, unsealed
from tombola.study.claims import Hypothesis

FILE = "hypotheses.json"
Table = dict[str, Any]


class EntryTable(BaseModel):
    """One entry of the history."""

    recorded: str
    digest: str
    cells: int
    replicates: int
    hypotheses: tuple[Table, ...]


class RecordTable(BaseModel):
    """What hypotheses.json holds."""

    densities: tuple[Annotated[float, Field(ge=0, le=1)], ...]
    history: tuple[EntryTable, ...]


RECORD = TypeAdapter(RecordTable)


@dataclass(frozen=True)
class Registration:
    """What hypotheses.json holds; empty where a run has none."""

    densities: tuple[float, ...] = ()
    history: tuple[Table, ...] = ()

    @classmethod
    def of(cls, run: Run) -> Registration:
        """The record of a run. Raises UserError for a file that is something else."""
        path = run.path / FILE
        if not path.exists():
            return cls()
        found = read_object(path)
        densities = checked(path, found, RECORD).densities
        return cls(densities, tuple(unsealed(path, found, FILE)["history"]))

    @property
    def digest(self) -> str | None:
        """The digest of the hypotheses recorded last."""
        return self.history[-1]["digest"] if self.history else None

    def changed_after(self, hypotheses: Sequence[Hypothesis], family: str) -> int | None:
        """How many cells were done when a family last changed; None where it is as it was before the first cell.

        A hypothesis that was dropped counts as a change too: it makes the correction of the others milder. `hypotheses`
        are those that the study holds now; where they are not the ones recorded last, -1: they were never recorded.
        """
        if hypotheses_digest(hypotheses) != self.digest:
            return -1
        after, before = None, list[Table]()
        for entry in self.history:
            now = [each for each in entry["hypotheses"] if each.get("family", DEFAULT) == family]
            if now != before and entry["cells"]:
                after = int(entry["cells"])
            before = now
        return after

    def register(
        self, run: Run, hypotheses: Sequence[Hypothesis], densities: Sequence[float], replicates: int
    ) -> None:
        """Record hypotheses in the run, unless they and the number of replicates are as recorded last; a run that
        never had any has no record. `densities` are those of the planned levels; of the longest ladder they stay."""
        if not hypotheses and not self.history:
            return
        history, digest = self.history, hypotheses_digest(hypotheses)
        if not history or (history[-1]["digest"], history[-1]["replicates"]) != (digest, replicates):
            entry = {
                "recorded": datetime.now(UTC).isoformat(timespec="seconds"),
                "digest": digest,
                "cells": len(run.cells()),
                "replicates": replicates,
                "hypotheses": _tables(hypotheses),
            }
            history = (*history, entry)
        longest = max(self.densities, tuple(densities), key=len)
        if (longest, history) != (self.densities, self.history):
            write_json(run.path / FILE, sealed({"densities": longest, "history": history}, FILE))

    def extended_after(self) -> int | None:
        """How many cells were done when replicates were last added, None where they never were. Who looks and then
        adds replicates until a p is small enough will find one."""
        grown = [
            int(entry["cells"])
            for before, entry in zip(self.history, self.history[1:], strict=False)
            if entry["cells"] and entry["replicates"] > before["replicates"]
        ]
        return grown[-1] if grown else None


DEFAULT = Hypothesis.model_fields["family"].default


def hypotheses_digest(hypotheses: Sequence[Hypothesis]) -> str:
    """16 hex digits of SHA-256 over hypotheses, options at their default left out."""
    return hashlib.sha256(canonical(_tables(hypotheses)).encode()).hexdigest()[:16]


def _tables(hypotheses: Sequence[Hypothesis]) -> list[Table]:
    return [each.model_dump(mode="json", exclude_defaults=True) for each in hypotheses]
