"""Charts as files, without a browser or a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
import vl_convert

from tombola.errors import UserError, nearest
from tombola.files import write_bytes
from tombola.report.figures import Picture

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


def save(chart: Picture, *paths: Path) -> None:
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


def rows(chart: Picture) -> pl.DataFrame:
    """The rows a figure of FIGURES was drawn from, as a frame."""
    spec: dict[str, Any] = chart.to_dict()  # altair moves the rows of `data` to a named data set
    return pl.DataFrame(spec["datasets"][spec["data"]["name"]], infer_schema_length=None)


def save_rows(chart: Picture, path: Path) -> None:
    """The rows behind a figure as CSV."""
    write_bytes(path, rows(chart).write_csv().encode())


def compact(chart: Picture) -> str:
    """The chart's specification as JSON without spaces."""
    return json.dumps(chart.to_dict(), separators=(",", ":"), allow_nan=False)
