"""Charts as files, without a browser or a network."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import altair as alt
import polars as pl
import vl_convert

from tombola.errors import UserError, nearest
from tombola.files import csv_of, write_bytes
from tombola.report.figures.base import FIGURES, Picture
from tombola.report.tables import NothingToDrawError, Tables

VEGA_LITE = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
"""The grammar altair writes; the renderer and the page must speak the same one."""

PNG_SCALE = 3
"""Pixels a point: sharp on a slide, and 216 dots an inch in print."""

STILL: dict[str, Callable[[str], bytes]] = {
    ".svg": lambda svg: svg.encode(),
    ".pdf": lambda svg: bytes(vl_convert.svg_to_pdf(svg)),
    ".png": lambda svg: bytes(vl_convert.svg_to_png(svg, scale=PNG_SCALE)),
}
"""Formats that are made from the drawing, which is laid out once however many of them are asked for."""

FORMATS = (*STILL, ".html")

Spec: TypeAlias = dict[str, Any]
"""What altair makes of a chart. That takes longer than most of what is done with it: whoever wants several things of a
chart has it made once."""


def save(chart: Picture | Spec, *paths: Path) -> None:
    """Write a chart as SVG, PDF, PNG or one-file HTML, as the suffix of each path says; text stays text.

    Raises UserError for any other suffix, before anything is written.
    """
    for path in paths:
        if path.suffix.lower() not in FORMATS:
            raise UserError(
                f"{path}: cannot write a figure as '{path.suffix}'{nearest(path.suffix, FORMATS)}"
            )
    spec = compact(chart)
    svg = ""
    for path in paths:
        kind = path.suffix.lower()
        if kind == ".html":
            page = vl_convert.vegalite_to_html(spec, vl_version=VEGA_LITE, bundle=True, renderer="svg")
            write_bytes(path, page.encode())
        else:
            svg = svg or vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE)
            write_bytes(path, STILL[kind](svg))


def spec_of(chart: Picture | Spec) -> Spec:
    """The specification of a chart, checked by the grammar."""
    return chart if isinstance(chart, dict) else chart.to_dict()


def rows(chart: Picture | Spec) -> pl.DataFrame:
    """The rows a figure of FIGURES was drawn from, as a frame."""
    spec = spec_of(chart)  # altair moves the rows of `data` to a named data set
    return pl.DataFrame(spec["datasets"][spec["data"]["name"]], infer_schema_length=None)


def save_rows(chart: Picture | Spec, path: Path) -> None:
    """The rows behind a figure as CSV."""
    write_bytes(path, csv_of(rows(chart)).encode())


def compact(chart: Picture | Spec) -> str:
    """The chart's specification as JSON without spaces."""
    return json.dumps(spec_of(chart), separators=(",", ":"), allow_nan=False)


WIDTHS = {"column": 85.0, "page": 178.0}
"""Millimetres of a column and of both columns of a two-column journal."""

POINTS = 72 / 25.4
"""Points a millimetre."""

SHRINK = 8 / 11
"""Letters are laid out at 11 px, the size of the house style, and printed at 8 points."""

TRIES = 4
"""Layouts at most until a side is right; what is then left is made up by scaling."""


def fitted(chart: Picture, millimetres: float, kind: str = ".svg", tallest: float = math.inf) -> bytes:
    """The chart as `.svg`, `.pdf` or `.png` of this width (text stays text): its plots are made wider or narrower,
    letters stay alike.

    Heights follow by the square root, so that a wide picture is not a tall one, and plots are made lower where the
    picture were higher than `tallest` (millimetres). Pictures of pixels keep their shape.
    """
    spec = chart.to_dict()
    scale = POINTS / SHRINK
    across, size = _solved(lambda factor: _laid_out(spec, factor, _down(factor)), 0, millimetres * scale)
    down = _down(across)
    if size.height > tallest * scale:
        down, size = _solved(lambda factor: _laid_out(spec, across, factor), 1, tallest * scale, down)
    # The makers of PDF and PNG take a plain number for points; a browser would take it for pixels.
    return STILL[kind](_scaled(size.svg, millimetres * POINTS, "pt" * (kind == ".svg")))


@dataclass(frozen=True)
class _Laid:
    """A drawing with its size in px."""

    svg: str
    width: float
    height: float


def _solved(
    lay_out: Callable[[float], _Laid], side: Literal[0, 1], target: float, factor: float = 1.0
) -> tuple[float, _Laid]:
    """The factor of the plots at which a side (0: width) is `target` px, and the drawing.

    A side is a constant (axes, legend) plus a share that grows with the plots: from two layouts on by the secant.
    """
    laid = lay_out(factor)
    tried = [(factor, (laid.width, laid.height)[side])]
    while abs(tried[-1][1] - target) >= 2 and len(tried) < TRIES:
        f1, now = tried[-1]
        following = f1 * target / now
        if len(tried) > 1:
            f0, before = tried[-2]
            if abs(now - before) < 1e-6:
                break
            following = f1 + (target - now) * (f1 - f0) / (now - before)
        factor = min(max(following, 0.3), 6.0)
        if factor == f1:
            break
        laid = lay_out(factor)
        tried.append((factor, (laid.width, laid.height)[side]))
    return factor, laid


def _down(across: float) -> float:
    """The factor of heights that goes with one of widths."""
    return min(max(math.sqrt(across), 0.75), 1.5)


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


def _laid_out(spec: dict[str, Any], across: float, down: float) -> _Laid:
    sized = json.loads(json.dumps(spec))
    for view in _views(sized):
        for side, by in (("width", across), ("height", across if _has_tiles(view) else down)):
            if isinstance(view.get(side), int | float):
                view[side] = round(by * view[side], 1)
    svg = vl_convert.vegalite_to_svg(json.dumps(sized), vl_version=VEGA_LITE)
    match = SIZE.search(svg)
    assert match is not None, "Vega writes the size of a drawing into its first tag"
    return _Laid(svg, float(match[3]), float(match[4]))


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


def _scaled(svg: str, points: float, unit: str) -> str:
    """The drawing at a width in points: its first tag says so, its coordinates stay."""
    match = SIZE.search(svg)
    assert match is not None
    height = points * float(match[4]) / float(match[3])
    size = f'width="{points:.2f}{unit}" height="{height:.2f}{unit}" viewBox="0 0 {match[3]} {match[4]}"'
    return svg[: match.start()] + size + svg[match.end() :]
