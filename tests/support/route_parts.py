"""Studies with a route of every kind, from the replicate's own ticket, from donors and from sources."""

from __future__ import annotations

from typing import Any

from support.study_kit import tiny
from tombola.study.spec import Study

ROUTE_TABLES: dict[str, dict[str, Any]] = {
    "carry": {"from": "other", "controls": ["random", "reinit", "both", "new-head"]},
    "elastic": {"from": "narrow", "controls": ["random", "reinit", "both", "permuted", "snip"]},
    "widen": {"from": "thin", "options": {"noise": 0.1}, "controls": ["random", "reinit", "both"]},
    "votes": {"from": "donors", "start": "own", "options": {"keep": "top"}, "controls": ["random"]},
    "refill": {"from": "tickets", "controls": ["random", "reinit", "both"]},
    "regroup": {
        "from": "tickets",
        "options": {"groups": 2, "rows": 2, "columns": 2},
        "controls": ["reinit"],
    },
    "predicted": {"from": "donors", "controls": ["shuffled"]},
}
"""Kind -> the [[route]] table that tries it, with all its controls, in a study of lenet-8-8-8."""
SOURCES: dict[str, dict[str, Any]] = {
    "other": {"pruning": {"mode": "one-shot"}},
    "narrow": {"model": {"name": "lenet-8-8"}},
    "thin": {"model": {"name": "lenet-6-6-6"}},
}


def travelling(*tables: dict[str, Any], sources: dict[str, Any] | None = None, **changes: Any) -> Study:
    """A tiny study of lenet-8-8-8 with these [[route]] tables and the sources that they take from."""
    routes = [{"name": f"by-{table['kind']}", **table} for table in tables]
    every = {**SOURCES, **(sources or {})}
    asked = [
        name
        for route in routes
        for name in ([route["from"]] if isinstance(route["from"], str) else route["from"])
    ]
    table: dict[str, Any] = {
        "model": {"name": "lenet-8-8-8"},
        "data": {"split": "study"},
        "arms": [],
        "route": routes,
        "sources": {name: every[name] for name in every if name in {*asked, *(sources or {})}},
    }
    return tiny(**{**table, **changes})


def by(kind: str, **changes: Any) -> dict[str, Any]:
    """The table that tries a kind, with changes."""
    return {"kind": kind, **ROUTE_TABLES[kind], **changes}
