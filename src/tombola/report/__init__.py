"""The report: pictures and a page, drawn from tidy tables alone."""

from tombola.report import curves, maps  # noqa: F401  (their figures register themselves)
from tombola.report.collect import input_maps, tables_of
from tombola.report.figures import FIGURES, Figure, Picture, figure
from tombola.report.page import write_report
from tombola.report.saving import save, save_rows
from tombola.report.tables import VALUES, NothingToDrawError, Tables, with_gap

__all__ = [
    "FIGURES",
    "VALUES",
    "Figure",
    "NothingToDrawError",
    "Picture",
    "Tables",
    "figure",
    "input_maps",
    "save",
    "save_rows",
    "tables_of",
    "with_gap",
    "write_report",
]
