"""Figures for print: laid out for the width of a column or a page, with letters of one size."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import vl_convert

from tombola.errors import UserError, nearest
from tombola.files import write_bytes
from tombola.report.figures import FIGURES, Picture
from tombola.report.saving import STILL, VEGA_LITE
from tombola.report.tables import NothingToDrawError, Tables

WIDTHS = {"column": 85.0, "page": 178.0}
"""Millimetres of a column and of both columns of a two-column journal."""

POINTS = 72 / 25.4
"""Points a millimetre."""

SHRINK = 8 / 11
"""Letters are laid out at 11 px, the size of the house style, and printed at 8 points."""

TRIES = 4
"""Layouts at most until the width is right; what is then left is made up by scaling."""


def fitted(chart: Picture, millimetres: float, kind: str = ".svg") -> bytes:
    """The chart as `.svg`, `.pdf` or `.png` of this width (text stays text): its plots are made wider or narrower,
    letters stay alike.

    Heights follow by the square root, so that a wide picture is not a tall one; pictures of pixels keep their shape.
    """
    # The makers of PDF and PNG take a plain number for points; a browser would take it for pixels.
    return STILL[kind](_scaled(_fitted(chart, millimetres), millimetres * POINTS, "pt" * (kind == ".svg")))


def _fitted(chart: Picture, millimetres: float) -> str:
    target = millimetres * POINTS / SHRINK
    spec = chart.to_dict()
    natural = [view["width"] for view in _views(spec) if isinstance(view.get("width"), int | float)]
    factor, tried = 1.0, dict[float, float]()
    svg = _drawn(spec, factor)
    for _ in range(TRIES):
        width = _width_of(svg)
        tried[factor] = width
        if not natural or abs(width - target) < 2:
            break
        # Width is a constant (axes) plus a share that grows with the plots: from two layouts on by the secant.
        if len(tried) < 2:
            following = factor * target / width
        else:
            (f0, w0), (f1, w1) = list(tried.items())[-2:]
            if abs(w1 - w0) < 1e-6:
                break
            following = f1 + (target - w1) * (f1 - f0) / (w1 - w0)
        factor = min(max(following, 0.3), 6.0)
        if factor in tried:
            break
        svg = _drawn(spec, factor)
    return svg


def save_figure(name: str, tables: Tables, path: Path, millimetres: float) -> None:
    """Write a figure of FIGURES at a width as `.svg`, `.pdf` or `.png`, as the path's suffix says.

    Raises UserError for an unknown figure or suffix and, with its reason, for a figure that cannot be drawn.
    """
    kind = path.suffix.lower()
    if kind not in STILL:
        raise UserError(f"{path}: cannot write a figure as '{path.suffix}'{nearest(kind, STILL)}")
    found = FIGURES[name]
    try:
        chart = found(tables)
    except NothingToDrawError as nothing:
        raise UserError(f"figure '{name}' cannot be drawn: {nothing}") from None
    write_bytes(path, fitted(chart, millimetres, kind))


def _drawn(spec: dict[str, Any], factor: float) -> str:
    sized = json.loads(json.dumps(spec))
    for view in _views(sized):
        across = factor
        down = across if _has_tiles(view) else min(max(math.sqrt(factor), 0.75), 1.5)
        for side, by in (("width", across), ("height", down)):
            if isinstance(view.get(side), int | float):
                view[side] = round(by * view[side], 1)
    return vl_convert.vegalite_to_svg(json.dumps(sized), vl_version=VEGA_LITE)


def _views(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A view and those inside it: panels, layers, and charts beside each other."""
    yield spec
    inside = [spec["spec"]] if isinstance(spec.get("spec"), dict) else []
    for key in ("layer", "concat", "hconcat", "vconcat"):
        inside += spec.get(key, [])
    for view in inside:
        yield from _views(view)


def _has_tiles(view: dict[str, Any]) -> bool:
    """Whether a view is of pixels."""
    marks = [each.get("mark", {}) for each in _views(view)]
    return any((mark.get("type") if isinstance(mark, dict) else mark) == "rect" for mark in marks)


SIZE = re.compile(r'width="([\d.]+)" height="([\d.]+)" viewBox="0 0 ([\d.]+) ([\d.]+)"')


def _width_of(svg: str) -> float:
    match = SIZE.search(svg)
    assert match is not None, "Vega writes the size of a drawing into its first tag"
    return float(match[3])


def _scaled(svg: str, points: float, unit: str) -> str:
    """The drawing at a width in points: its first tag says so, its coordinates stay."""
    match = SIZE.search(svg)
    assert match is not None
    height = points * float(match[4]) / float(match[3])
    size = f'width="{points:.2f}{unit}" height="{height:.2f}{unit}" viewBox="0 0 {match[3]} {match[4]}"'
    return svg[: match.start()] + size + svg[match.end() :]
