"""Printing what tickets cost, and what other ways to them save."""

from __future__ import annotations

from dataclasses import asdict

from tombola.analysis.costs import costs_of
from tombola.analysis.savings import Against, savings_of
from tombola.cli.show.tables import print_csv, print_json, print_table
from tombola.metrics import ACCURACY, metric_in
from tombola.report.page.savings import saving_ledger
from tombola.runs.folder import Run


def print_costs(run: Run, margin: float, against: Against, as_json: bool, as_csv: bool) -> None:
    """A line an arm and level, in accuracy against the ticket or the dense network and in cost against the ticket; as
    JSON these rows and one a cell, as CSV one a cell."""
    costs = costs_of(run)
    if as_csv:
        print_csv(costs)
        return
    savings = savings_of(costs, run.study.seed, margin, against)
    if as_json:
        print_json({"savings": [asdict(one) for one in savings], "cells": costs.to_dicts()})
    elif (metric := metric_in(costs.columns)) is not ACCURACY:
        print(
            f"what is saved is told beside accuracy, and this study is measured by {metric.noun}; --csv has the costs"
        )
    elif not savings:
        print("no ticket below dense is done yet")
    else:
        ledger = saving_ledger("", savings)
        print_table(ledger.heads, ledger.rows)
        print(ledger.caption)
