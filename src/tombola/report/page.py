"""The report: one self-contained HTML page that opens offline, with every figure and its data as files beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import polars as pl
import vl_convert

from tombola.files import write_bytes
from tombola.report.collect import tables_of
from tombola.report.figures import FIGURES
from tombola.report.saving import VEGA_LITE, compact, save, save_rows
from tombola.report.tables import NothingToDrawError, Tables, percent
from tombola.study import Run, claims, expectations

BESIDE = (".svg", ".pdf", ".png")
"""Formats that each figure is saved as, beside the page."""


@dataclass(frozen=True)
class Shown:
    """A figure as the page shows it: its chart as JSON, or the reason there is none."""

    name: str
    title: str
    section: str
    reading: str
    alt: str = ""
    spec: str = ""
    missing: str = ""


def write_report(run: Run) -> Path:
    """Write `report/index.html` of a run, finished or not, and return its path."""
    study, environment = run.study, run.environment
    provenance = {
        "run": run.path.name,
        "repeat with": "tombola run study.toml (the file below)",
        "seed": study.seed,
        "replicates": study.replicates,
        **{f"{name} version": number for name, number in environment.get("versions", {}).items()},
        **{key: environment[key] for key in ("python", "processor", "gpu", "commit") if environment.get(key)},
        **{key: value for key, value in environment.get("record", {}).items() if key != "stacks"},
    }
    tables = tables_of(run)
    lines = [str(claim) for claim in claims(tables.results)]
    published = [str(checked) for checked in expectations(tables.results, study.expect)]
    return write(run.path / "report", tables, lines, provenance, study.to_toml(), published)


def write(
    folder: Path,
    tables: Tables,
    claims: Sequence[str],
    provenance: Mapping[str, Any],
    spec_toml: str,
    published: Sequence[str] = (),
) -> Path:
    """Write the page and, in `figures/`, each figure as SVG, PDF, PNG and CSV; returns the page's path."""
    shown = [_show(name, tables, folder / "figures") for name in FIGURES]
    order = list(dict.fromkeys(["Accuracy", "Learning", "Generalisation", *(s.section for s in shown)]))
    text = _template().render(
        title=tables.title,
        notes=notes(tables),
        claims=claims,
        published=published,
        sections=[(section, [s for s in shown if s.section == section]) for section in order],
        levels=level_rows(tables),
        provenance=provenance,
        spec=spec_toml,
        formats=[*(suffix.removeprefix(".") for suffix in BESIDE), "csv"],
        vega=_vega(),
    )
    page = folder / "index.html"
    write_bytes(page, text.encode())
    return page


def _show(name: str, tables: Tables, folder: Path) -> Shown:
    figure = FIGURES[name]
    try:
        chart = figure(tables)
    except NothingToDrawError as nothing:
        return Shown(name, figure.title, figure.section, figure.reading, missing=str(nothing))
    save(chart, *(folder / f"{name}{suffix}" for suffix in BESIDE))
    save_rows(chart, folder / f"{name}.csv")
    # A "<" of the data must not end the script that the chart stands in; it can only be inside a string.
    spec = compact(chart).replace("<", "\\u003c")
    return Shown(name, figure.title, figure.section, figure.reading, chart.to_dict()["description"], spec)


def notes(tables: Tables) -> list[str]:
    """What a reader must know before the numbers: a run under way, no interval, cells without numbers."""
    found = []
    frame = tables.results
    if tables.cells_planned is not None and len(frame) < tables.cells_planned:
        found.append(f"This run is not finished: {len(frame)} of {tables.cells_planned} cells are done.")
    if len(frame) and tables.replicates() == 1:
        found.append("There is one replicate, so no mean has an interval and no difference can be tested.")
    for status in ("collapsed", "diverged"):
        count = int((frame["status"] == status).sum())
        if count:
            what = "a layer without weights" if status == "collapsed" else "weights that are not finite"
            found.append(f"{count} of {len(frame)} cells {status} ({what}); they have no numbers here.")
    return found


def level_rows(tables: Tables) -> list[dict[str, str]]:
    """The table of the page: one row for each arm at each level, formatted."""
    values = (
        ("early_stop_test_accuracy", 100, 2),
        ("final_test_accuracy", 100, 2),
        ("early_stop_iteration", 1, 0),
    )
    cells: dict[tuple[int, str], dict[str, str]] = {}
    for value, scale, digits in values:
        frame = tables.summaries.get(value, pl.DataFrame())
        for row in frame.iter_rows(named=True):
            place = cells.setdefault(
                (row["level"], row["arm"]),
                {
                    "level": str(row["level"]),
                    "arm": row["arm"],
                    "density": percent(row["density"]),
                    "n": str(row["n"]),
                },
            )
            place[value] = _with_interval(row, scale, digits)
    order = sorted(cells, key=lambda key: (key[0], key[1] != "ticket", key[1]))
    return [cells[key] for key in order]


def _with_interval(row: Mapping[str, Any], scale: float, digits: int) -> str:
    mean = f"{scale * row['mean']:.{digits}f}"
    return mean if row["low"] is None else f"{mean} ± {scale * (row['mean'] - row['low']):.{digits}f}"


@cache
def _template() -> jinja2.Template:
    text = (resources.files("tombola.report") / "templates" / "page.html.j2").read_text()
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(text)


@cache
def _vega() -> str:
    """Vega, Vega-Lite and vega-embed as one script: once a page, however many figures."""
    bundle = vl_convert.javascript_bundle(snippet=None, vl_version=VEGA_LITE)  # type: ignore[arg-type]
    return bundle.replace("</script", "<\\/script")
