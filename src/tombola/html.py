"""Small pieces of HTML for objects that show themselves in a notebook: no script, nothing fetched, everything escaped.

Colours are the page's own (`currentColor`) in shares of opacity, so that they hold on light and dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

MOST = 20
"""Rows that a table shows before it says how many are left."""
BINS = 64
"""Boxes of a heat strip, at most."""


def card(title: str, *parts: str) -> str:
    """A title over parts that are HTML already."""
    return f"<div><p><b>{escape(title)}</b></p>{''.join(parts)}</div>"


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], raw: int | None = None) -> str:
    """A table; beyond `MOST` rows it ends with a count. The column `raw`, if any, is HTML already."""
    top = "".join(f"<th>{escape(head)}</th>" for head in heads)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td>{value if column == raw else escape(str(value))}</td>" for column, value in enumerate(row)
        )
        + "</tr>"
        for row in rows[:MOST]
    )
    left = len(rows) - MOST
    more = f'<tr><td colspan="{len(heads)}">and {left:,} more</td></tr>' if left > 0 else ""
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}{more}</tbody></table>"


def facts(values: Mapping[str, object]) -> str:
    """Names and values, a row each."""
    return table(["", ""], list(values.items()))


def strip(values: Sequence[float], what: str) -> str:
    """Values in 0..1 as a strip of boxes from faint to full, as inline SVG; `what` is its text for those who cannot
    see it. More than `BINS` values are averaged in runs of equal length, to one."""
    bins = min(len(values), BINS)
    edges = [len(values) * place // bins for place in range(bins + 1)] if bins else []
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    boxes = "".join(
        f'<rect x="{3 * place}" y="0" width="3" height="12" fill="currentColor" fill-opacity="{mean:.3g}"/>'
        for place, mean in enumerate(means)
    )
    width = 3 * max(bins, 1)
    frame = f'<rect x="0" y="0" width="{width}" height="12" fill="none" stroke="currentColor" stroke-opacity="0.4"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width}" height="12" viewBox="0 0 {width} 12">'
        f"<title>{escape(what)}</title>{boxes}{frame}</svg>"
    )
