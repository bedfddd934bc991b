"""The page of the run folder: its files, and what the columns of its tables mean, from where they are made."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from typing import Any

from docs_build.columns import MEANINGS
from docs_build.tables import code, prose, table
from tombola.comparison.consensus import CONSENSUS
from tombola.comparison.decisions import DECISIONS
from tombola.comparison.table import SCHEMA as MEASURES
from tombola.runs import folder
from tombola.runs.cells.cells import HISTORY
from tombola.runs.cells.record import CellRecord
from tombola.runs.results import SCHEMA as RESULTS

START = """# The run folder

A run is a folder that a person can read, named by the study and 8 digits of what decides its bits. Tables are Parquet
files (`polars.read_parquet`), weights and masks safetensors, everything else JSON and TOML.
"""

TABLES: dict[str, dict[str, Any]] = {
    "results": RESULTS,
    "history": HISTORY,
    "measures": MEASURES,
    "decisions": DECISIONS,
    "consensus": CONSENSUS,
}
"""Table -> its columns and their types; a cell's `history` lies in its folder."""


def pages() -> dict[str, str]:
    """Path -> Markdown."""
    about, listing, rest = _parted(inspect.getdoc(folder) or "")
    text = [START, prose(about), f"```text\n{listing}\n```", prose(rest)]
    text += ["## `cell.json`", prose(inspect.getdoc(CellRecord) or "")]
    text.append(table(["key", "kind"], [[code(each.name), code(each.type)] for each in fields(CellRecord)]))
    for name, schema in TABLES.items():
        text += [f"## `{name}.parquet`", columns(schema)]
    text.append("[Comparing tickets](../compare.md) says how to read the last three.")
    return {"reference/run-folder.md": "\n\n".join(text) + "\n"}


def _parted(doc: str) -> tuple[str, str, str]:
    """The text before, the indented lines, and the text behind."""
    listing = re.search(r"(?:^    .*\n?)+", doc, re.MULTILINE)
    assert listing
    return doc[: listing.start()].strip(), inspect.cleandoc(listing[0]), doc[listing.end() :].strip()


def columns(schema: dict[str, Any]) -> str:
    """A table of the columns of a table."""
    rows = [[code(name), code(kind), MEANINGS.get(name, "")] for name, kind in schema.items()]
    return table(["column", "kind", "what it is"], rows)
