"""The report: one self-contained HTML page that opens offline, with every figure and its data as files beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import vl_convert

from tombola.files import sweep, write_bytes
from tombola.report.figures.base import FIGURES
from tombola.report.figures.export import VEGA_LITE, compact, save, save_rows, spec_of
from tombola.report.page.savings import saving_ledgers
from tombola.report.page.tables import (
    MARKS,
    VerdictSection,
    cost_ledgers,
    layer_ledgers,
    level_rows,
)
from tombola.report.tables import NothingToDrawError, Tables
from tombola.runs.stops import ends_in_words
from tombola.stats.intervals import FEWEST

ANSWER = "Answer"
"""The section of the pictures that stand beside the sentences of a study's answer."""
BESIDE = (".svg", ".pdf", ".png")
"""Formats that each figure is saved as, beside the page."""

UNBROKEN = re.compile(r"\[[^]]*\]|\([^)]*\)|p = |not shown")
"""Parts of a cell that stand on one line."""


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


def write(
    folder: Path,
    tables: Tables,
    claims: Sequence[str],
    provenance: Mapping[str, Any],
    spec_toml: str,
    published: Sequence[str] = (),
    within: Mapping[str, Sequence[str]] | None = None,
    differences: Mapping[str, Sequence[str]] | None = None,
    verdicts: VerdictSection | None = None,
    beside: Sequence[str] = BESIDE,
) -> Path:
    """Write the page and, in `figures/`, each figure as SVG, PDF, PNG and CSV; returns the page's path.

    Without any suffix in `beside` the page stands alone, and links to no files.

    Of several runs: `claims` are those between them, `within` those of each, and `differences` has a value a run for
    each key that differs. `verdicts` come first, and have the published numbers with them.
    """
    figures = [each for name in FIGURES for each in _show(name, tables, folder / "figures", beside)]
    pictures = {each.name: each for each in figures if each.section == ANSWER}
    figures = [each for each in figures if each.section != ANSWER]
    order = list(dict.fromkeys(["Accuracy", "Learning", "Generalisation", *(s.section for s in figures)]))
    text = _template().render(
        title=tables.title,
        notes=notes(tables),
        claims=claims,
        within=within or {},
        published=published,
        verdicts=verdicts,
        answers=[
            (each, pictures.get(f"answer-{each.question}")) for each in (verdicts.answers if verdicts else ())
        ],
        marks=MARKS,
        runs=list(tables.runs),
        differences=differences or {},
        sections=[
            (section, [s for s in figures if s.section == section and not s.missing]) for section in order
        ],
        missing={section: _reasons([s for s in figures if s.section == section]) for section in order},
        levels=level_rows(tables),
        metric=tables.metric,
        layers=layer_ledgers(tables),
        costs=cost_ledgers(tables) + saving_ledgers(tables),
        unbroken=unbroken,
        provenance=provenance,
        spec=spec_toml,
        formats=[suffix.removeprefix(".") for suffix in (*beside, ".csv")] if beside else [],
        vega=_vega(),
    )
    page = folder / "index.html"
    sweep(folder, "**/.*.tmp")
    write_bytes(page, text.encode())
    return page


def unbroken(cell: str) -> str:
    """The text of a cell, which where it is narrow breaks between a number and its brackets, not within either."""
    return UNBROKEN.sub(lambda part: part[0].replace(" ", "\N{NO-BREAK SPACE}"), cell)


def _reasons(figures: Sequence[Shown]) -> dict[str, str]:
    """Why pictures are not there -> the titles of those that it keeps away."""
    found: dict[str, list[str]] = {}
    for figure in figures:
        if figure.missing:
            found.setdefault(figure.missing, []).append(figure.title)
    return {reason: ", ".join(titles) for reason, titles in found.items()}


def _show(name: str, tables: Tables, folder: Path, beside: Sequence[str]) -> list[Shown]:
    """A figure as it is shown: once, or in the parts that several runs take."""
    parts = FIGURES[name].parts(tables)
    found = [
        _show_one(name, f"{name}-{i}" if label else name, label, each, folder, beside)
        for i, (label, each) in enumerate(parts.items(), 1)
    ]
    # What no run has is said once.
    reasons = {shown.missing for shown in found}
    return (
        found
        if "" in reasons or len(reasons) > 1
        else [replace(found[0], name=name, title=tables.metric.titled(FIGURES[name].title))]
    )


def _show_one(
    name: str, place: str, label: str, tables: Tables, folder: Path, beside: Sequence[str]
) -> Shown:
    figure = FIGURES[name]
    own = tables.metric.titled(figure.title)
    title = f"{own}: {label}" if label else own
    try:
        chart = figure(tables)
    except NothingToDrawError as nothing:
        return Shown(place, title, figure.section, figure.reading, missing=str(nothing))
    spec = spec_of(chart)
    if beside:
        save(spec, *(folder / f"{place}{suffix}" for suffix in beside))
        save_rows(spec, folder / f"{place}.csv")
    # A "<" of the data must not end the script that the chart stands in; it can only be inside a string.
    script = compact(spec).replace("<", "\\u003c")
    return Shown(place, title, figure.section, figure.caption(chart), spec["description"], script)


def notes(tables: Tables) -> list[str]:
    """What a reader must know before the numbers: a run under way, no interval, cells without numbers."""
    if tables.runs:
        return [f"{label}: {note}" for label, each in tables.runs.items() for note in notes(each)]
    found = []
    frame = tables.results
    if tables.cells_planned is not None and len(frame) < tables.cells_planned:
        found.append(f"This run is not finished: {len(frame)} of {tables.cells_planned} cells are done.")
    if len(frame) and tables.replicates() == 1:
        found.append("There is one replicate, so no mean has an interval and no difference can be tested.")
    elif len(frame) and tables.replicates() < FEWEST:
        found.append("There are two replicates, too few for a mean to have an interval.")
    for status in ("collapsed", "diverged"):
        count = int((frame["status"] == status).sum())
        if count:
            what = "a layer without weights" if status == "collapsed" else "weights that are not finite"
            found.append(f"{count} of {len(frame)} cells {status} ({what}); they have no numbers here.")
    if said := ends_in_words(frame):
        found.append(said)
    return found


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tombola.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("page.html.j2")


@cache
def _vega() -> str:
    """Vega, Vega-Lite and vega-embed as one script: once a page, however many figures."""
    bundle = vl_convert.javascript_bundle(snippet=None, vl_version=VEGA_LITE)  # type: ignore[arg-type]
    return bundle.replace("</script", "<\\/script")
