"""Papers, proposals and talks, as files."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tombola.errors import UserError, nearest
from tombola.files import write_bytes
from tombola.report.collect import require_cells
from tombola.report.figures.base import FIGURES, Picture
from tombola.report.figures.export import POINTS, SHRINK, fitted
from tombola.report.paper.document import Document, Drawing
from tombola.report.paper.markdown import markdown
from tombola.report.paper.markup import write_beside
from tombola.report.paper.material import Material, material_of_run, material_of_study
from tombola.report.paper.paper import ANSWERS, HALF, MAIN, TALL, WIDE, Charts, paper, proposal
from tombola.report.paper.slides import forests, slides
from tombola.report.paper.typst import compiled, write_source
from tombola.report.tables import NothingToDrawError
from tombola.runs.folder import Run
from tombola.study.spec import Study

Compose = Callable[[Material, Charts, str], Document]
TEMPLATES: Mapping[str, Compose] = {"paper": paper, "proposal": proposal}
FORMATS = ("pdf", "md", "typst", "slides")
HIGH, LOW, AXIS = 95.0, 48.0, 45
"""Millimetres that figures are high at most, those of the appendix LOW, and px that an axis with its title takes."""
ON_SLIDE = (150.0, 70.0)
WORDY = (195.0, 88.0)
MANY_ROWS = {"arms": (270.0, 125.0)}
"""Millimetres across and down that a figure is laid out for on a slide, where it is then made as large as fits.

WORDY has room for a sentence a row, MANY_ROWS for as many rows as a study may have."""


def write_document(
    what: Run | Study, form: str = "pdf", template: str = "paper", *, out: Path, data_dir: Path | None = None
) -> Path:
    """Write a document of a run, or the proposal of a study that was not begun; returns the path of its main file.

    `form` is pdf (`out`/TEMPLATE.pdf), md or typst (in the folder `out`/TEMPLATE, with the figures), or slides
    (`out`/slides.pdf). Raises UserError for an unknown form or template, and for a paper of what was not run, or
    of which no cell is trained yet.
    """
    if form not in FORMATS:
        raise UserError(f"unknown format '{form}'{nearest(form, ('html', *FORMATS))}")
    if template not in TEMPLATES:
        raise UserError(f"unknown template '{template}'{nearest(template, TEMPLATES)}")
    if isinstance(what, Study) and template == "paper":
        raise UserError(
            f"study '{what.name}' was not run, and a paper takes a run; --template proposal writes a proposal"
        )
    if isinstance(what, Run) and template == "paper":
        require_cells(what)
    m = material_of_run(what, data_dir) if isinstance(what, Run) else material_of_study(what, data_dir)
    charts = drawable(m) | (forests(m) if form == "slides" else {})
    compose = slides if form == "slides" else TEMPLATES[template]
    document = compose(m, charts, datetime.date.today().isoformat())
    kind = ".svg" if form == "md" else ".pdf"
    figures = {
        f"{drawing.name}{kind}": (
            fitted(charts[drawing.name], size[0], kind, size[1])
            if form == "slides"
            else fitted(charts[drawing.name], HALF if drawing.half else WIDE, kind, _tallest(drawing, charts))
        )
        for drawing in document.drawings()
        for size in (_on_slide(drawing.name),)
    }
    if form == "md":
        return write_beside(markdown(document), out / template / f"{template}.md", figures)
    if form == "typst":
        return write_source(document, figures, out / template)
    path = out / f"{'slides' if form == 'slides' else template}.pdf"
    with tempfile.TemporaryDirectory() as folder:
        write_bytes(path, compiled(write_source(document, figures, Path(folder))))
    return path


def _on_slide(name: str) -> tuple[float, float]:
    """Millimetres across and down of a figure on a slide."""
    return MANY_ROWS.get(name, WORDY if name.startswith("claims-") else ON_SLIDE)


def _tallest(drawing: Drawing, charts: Charts) -> float:
    """Millimetres that a figure is high at most: rows of words stay as near to each other as they are."""
    if drawing.name in ANSWERS:
        return float((charts[drawing.name].height + AXIS) * SHRINK / POINTS)
    return TALL.get(drawing.name, HIGH if drawing.name in MAIN else LOW)


def drawable(m: Material) -> dict[str, Picture]:
    """The figures that can be drawn, by name."""
    found: dict[str, Picture] = {}
    if m.tables is None:
        return found
    for name, figure in FIGURES.items():
        try:
            found[name] = figure(m.tables)
        except NothingToDrawError:
            continue
    return found
