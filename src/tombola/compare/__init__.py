"""Comparison of tickets: measures, alignment, nulls, the table of pairs and the table of decisions."""

from __future__ import annotations

from tombola.compare import (  # noqa: F401  (they register their measures)
    degrees,
    fields,
    kernels,
    nnstd,
    overlap,
    paths,
    representation,
    signs,
    spectra,
    weights,
)
from tombola.compare.align import ALIGNMENTS, RAW, Request, align
from tombola.compare.bulk import overlaps
from tombola.compare.consensus import CONSENSUS, DISPERSION, consensus
from tombola.compare.decisions import DECISIONS, decide
from tombola.compare.foreign import chain, subject_from_file, subjects_from
from tombola.compare.function import FUNCTIONS, Exam, compare_functions, split_measures
from tombola.compare.holm import holm
from tombola.compare.measures import MEASURES, WHOLE, Additive, Case, Exact, Layerwise, Measure
from tombola.compare.network import Network, Permutations
from tombola.compare.nulls import NULLS
from tombola.compare.pairs import SCHEMA, compare
from tombola.compare.questions import needs_network
from tombola.compare.subject import Subject

__all__ = [
    "ALIGNMENTS",
    "CONSENSUS",
    "DECISIONS",
    "DISPERSION",
    "FUNCTIONS",
    "MEASURES",
    "NULLS",
    "RAW",
    "SCHEMA",
    "WHOLE",
    "Additive",
    "Case",
    "Exact",
    "Exam",
    "Layerwise",
    "Measure",
    "Network",
    "Permutations",
    "Request",
    "Subject",
    "align",
    "chain",
    "compare",
    "compare_functions",
    "consensus",
    "decide",
    "holm",
    "needs_network",
    "overlaps",
    "split_measures",
    "subject_from_file",
    "subjects_from",
]
