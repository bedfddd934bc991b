"""How numbers, times, sizes and lists are printed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that a terminal obeys or cannot show, but for the end of a line and the tab."""


def visible(text: str) -> str:
    """The text with control characters written out, which a terminal would obey: an escape as `\\x1b`."""
    return CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def percent(share: float, digits: int | None = None) -> str:
    """A share (0..1) as people write it: 1.0 -> '100%', 0.2107 -> '21.1%', 0.00123 -> '0.12%'; in a column or a
    sentence of several with so many `digits`: '100.0%', '21.1%', '0.1%'."""
    value = 100 * share
    if digits is not None:
        return f"{value:.{digits}f}%"
    if value >= 10:
        return f"{value:.1f}".removesuffix(".0") + "%"
    return f"{value:.2f}".rstrip("0").rstrip(".") + "%" if value >= 0.1 else f"{value:.2g}%"


def with_interval(row: Mapping[str, Any], scale: float = 1, digits: int = 2) -> str:
    """A mean: '96.12 ± 0.32', '99.80 [99.20, 100.00]' where the interval is cut, '96.12' where there is none. `row` has
    mean, low and high."""
    mean, low, high = row["mean"], row["low"], row["high"]

    def shown(value: float) -> str:
        return f"{scale * value:.{digits}f}"

    if low is None or high is None:
        return shown(mean)
    even = math.isclose(mean - low, high - mean, rel_tol=1e-6, abs_tol=1e-12)
    return f"{shown(mean)} ± {shown(mean - low)}" if even else f"{shown(mean)} [{shown(low)}, {shown(high)}]"


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


def draws_in_words(counts: Sequence[tuple[str, Sequence[int]]]) -> str:
    """'1 draw of ticket, 3 of reinit' where arms, each with its draws in every replicate, have unequal numbers; else
    ''."""
    if len({n for _, draws in counts for n in draws}) < 2:
        return ""
    parts = []
    for index, (arm, draws) in enumerate(counts):
        least, most = min(draws), max(draws)
        many = f"{least}" if least == most else f"{least} to {most}"
        parts.append(f"{many}{'' if index else ' draw' if most == 1 else ' draws'} of {arm}")
    return ", ".join(parts)


URL = re.compile(r"([a-z][a-z0-9+.-]+):/+([^/].*)")


def as_url(path: Path | str) -> str | None:
    """The URL that a path was meant to be, such as s3://bucket/runs, of which `Path` drops slashes; None for others.
    Those of this machine's files name no host."""
    found = URL.fullmatch(str(path))
    return f"{found[1]}:{'///' if found[1] in ('file', 'local') else '//'}{found[2]}" if found else None
