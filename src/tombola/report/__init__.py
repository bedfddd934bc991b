"""The report: pictures and a page, drawn from tidy tables alone."""

from tombola.report import (  # noqa: F401  (their figures register themselves)
    alike,
    curves,
    function,
    heat,
    maps,
    paths,
    structure,
)
from tombola.report.collect import input_maps, looks_of, tables_of, tables_together
from tombola.report.documents import FORMATS, TEMPLATES, write_document
from tombola.report.figures import FIGURES, Figure, Picture, figure
from tombola.report.reports import write_report, write_reports, write_sweep_report, write_together
from tombola.report.saving import save, save_rows
from tombola.report.sizing import WIDTHS, save_figure
from tombola.report.tables import VALUES, Looks, NothingToDrawError, Tables, with_gap
from tombola.report.watch import LivePage, LiveServer

__all__ = [
    "FIGURES",
    "FORMATS",
    "TEMPLATES",
    "VALUES",
    "WIDTHS",
    "Figure",
    "LivePage",
    "LiveServer",
    "Looks",
    "NothingToDrawError",
    "Picture",
    "Tables",
    "figure",
    "input_maps",
    "looks_of",
    "save",
    "save_figure",
    "save_rows",
    "tables_of",
    "tables_together",
    "with_gap",
    "write_document",
    "write_report",
    "write_reports",
    "write_sweep_report",
    "write_together",
]
