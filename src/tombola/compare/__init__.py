"""Comparison of tickets: measures, alignment, nulls, the table of pairs and the table of decisions."""

from __future__ import annotations

from tombola.compare import overlap, signs  # noqa: F401  (they register their measures)
from tombola.compare.align import ALIGNMENTS, RAW, Request, align
from tombola.compare.bulk import overlaps
from tombola.compare.decisions import DECISIONS, decide
from tombola.compare.foreign import chain, subject_from_file
from tombola.compare.holm import holm
from tombola.compare.measures import MEASURES, WHOLE, Exact, Measure
from tombola.compare.network import Network, Permutations
from tombola.compare.nulls import NULLS
from tombola.compare.pairs import SCHEMA, compare
from tombola.compare.subject import Subject

__all__ = [
    "ALIGNMENTS",
    "DECISIONS",
    "MEASURES",
    "NULLS",
    "RAW",
    "SCHEMA",
    "WHOLE",
    "Exact",
    "Measure",
    "Network",
    "Permutations",
    "Request",
    "Subject",
    "align",
    "chain",
    "compare",
    "decide",
    "holm",
    "overlaps",
    "subject_from_file",
]
