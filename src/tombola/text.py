"""How numbers, times and lists are printed."""

from __future__ import annotations

from collections.abc import Iterable


def percent(density: float) -> str:
    """A density (0..1) as people write it: 1.0 -> '100%', 0.2107 -> '21.1%', 0.00123 -> '0.12%'."""
    value = 100 * density
    if value >= 10:
        return f"{value:.1f}".removesuffix(".0") + "%"
    return f"{value:.2f}".rstrip("0").rstrip(".") + "%" if value >= 0.1 else f"{value:.2g}%"


def listed(words: Iterable[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    *front, last = words
    return f"{', '.join(front)} and {last}" if front else last


def duration(seconds: float) -> str:
    """A time as people write it: 45 s, 3 min, 2 h 5 min."""
    whole = max(1, round(seconds))
    if whole < 90:
        return f"{whole} s"
    if whole < 5400:
        return f"{round(whole / 60)} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
