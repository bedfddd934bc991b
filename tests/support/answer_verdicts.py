"""Verdicts as a study has them, for tests of what is said and drawn of them."""

from __future__ import annotations

from typing import Any

from tombola.analysis.verdicts.verdict import Verdict
from tombola.stats.verdict import YES


def verdict(name: str, answers: str, decision: str = YES, **changes: Any) -> Verdict:
    """Ticket less reinit in accuracy at 3.4%: 1.23 points [0.45, 2.01], n = 7."""
    table: dict[str, Any] = {
        "family": "answer",
        "name": name,
        "claim": f"What {name} says.",
        "quantity": "early_stop_test_accuracy",
        "a": "ticket",
        "b": "reinit",
        "c": "",
        "d": "",
        "wanted": 0.034,
        "level": 5,
        "density": 0.0343,
        "direction": "greater",
        "margin": 0.0,
        "needs": "",
        "test": "sign-flip",
        "alpha": 0.05,
        "planned": 7,
        "n": 7,
        "difference": 0.0123,
        "low": 0.0045,
        "high": 0.0201,
        "p": 1 / 128,
        "decision": decision,
        "answers": answers,
    }
    return Verdict(**{**table, **changes})
