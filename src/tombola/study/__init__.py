"""Studies: specs, plans, the runner, run folders, and results over replicates."""

from __future__ import annotations

from tombola.study.bind import bind
from tombola.study.comparison import Comparison, compare_runs
from tombola.study.diff import diff_results, diff_specs
from tombola.study.estimate import estimate_seconds
from tombola.study.expect import Checked, Expectation
from tombola.study.finding import all_runs, find_run, open_ticket
from tombola.study.load import load_study, parse_study, presets
from tombola.study.machine import pick_device, prepare
from tombola.study.plan import Plan, make_plan, planned_cells
from tombola.study.probing import probing
from tombola.study.results import Claim, claims, expectations, histories, results, summary
from tombola.study.runner import Progress, missing, run
from tombola.study.spec import ArmSpec, Pruning, StoreSpec, Study
from tombola.study.store import Run

__all__ = [
    "ArmSpec",
    "Checked",
    "Claim",
    "Comparison",
    "Expectation",
    "Plan",
    "Progress",
    "Pruning",
    "Run",
    "StoreSpec",
    "Study",
    "all_runs",
    "bind",
    "claims",
    "compare_runs",
    "diff_results",
    "diff_specs",
    "estimate_seconds",
    "expectations",
    "find_run",
    "histories",
    "load_study",
    "make_plan",
    "missing",
    "open_ticket",
    "parse_study",
    "pick_device",
    "planned_cells",
    "prepare",
    "presets",
    "probing",
    "results",
    "run",
    "summary",
]
