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

FORMATS: dict[str, Callable[[str], bytes]] = {
    ".svg": lambda spec: vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE).encode(),
    ".pdf": lambda spec: bytes(vl_convert.vegalite_to_pdf(spec, vl_version=VEGA_LITE)),
    ".png": lambda spec: bytes(vl_convert.vegalite_to_png(spec, vl_version=VEGA_LITE, scale=PNG_SCALE)),
    ".html": lambda spec: vl_convert.vegalite_to_html(
        spec, vl_version=VEGA_LITE, bundle=True, renderer="svg"
    ).encode(),
}


def save(chart: Picture, path: Path) -> None:
    """Write a chart as SVG, PDF, PNG or one-file HTML, as the suffix of `path` says; text stays text.

    Raises UserError for any other suffix.
    """
    try:
        render = FORMATS[path.suffix.lower()]
    except KeyError:
        raise UserError(
            f"{path}: cannot write a figure as '{path.suffix}'{nearest(path.suffix, FORMATS)}"
        ) from None
    write_bytes(path, render(chart.to_json(indent=None)))


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
