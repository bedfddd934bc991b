"""How numbers, times, sizes and lists are printed."""

from __future__ import annotations

from collections.abc import Iterable


def percent(density: float) -> str:
    """A density (0..1) as people write it: 1.0 -> '100%', 0.2107 -> '21.1%', 0.00123 -> '0.12%'."""
    value = 100 * density
    if value >= 10:
        return f"{value:.1f}".removesuffix(".0") + "%"
    return f"{value:.2f}".rstrip("0").rstrip(".") + "%" if value >= 0.1 else f"{value:.2g}%"


def number(value: float | None, digits: int = 2) -> str:
    """'1,234.50'; a dash where there is none."""
    return "–" if value is None else f"{value:,.{digits}f}"


def counted(count: int, noun: str) -> str:
    """'1 replicate', '1,200 cells'."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def listed(words: Iterable[str]) -> str:
    """'a', 'a and b', 'a, b and c'; '' of none."""
    *front, last = [*words] or [""]
    return f"{', '.join(front)} and {last}" if front else last


def ticket_first(arm: str) -> tuple[bool, str]:
    """What arms are sorted by: the ticket, then its controls by name."""
    return (arm != "ticket", arm)


def duration(seconds: float) -> str:
    """A time: 45 s, 3 min, 2 h 5 min."""
    whole = max(1, round(seconds))
    if whole < 90:
        return f"{whole} s"
    if whole < 5400:
        return f"{round(whole / 60)} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: float) -> str:
    """Bytes: 0.3 MB, 12 MB, 1.5 GB."""
    mega = count / 1e6
    if mega >= 1000:
        return f"{mega / 1000:.1f} GB"
    return f"{mega:.0f} MB" if mega >= 10 else f"{max(mega, 0.1):.1f} MB"
